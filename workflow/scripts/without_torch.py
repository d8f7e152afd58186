"""Import TVM without torch, which TVM imports where it is installed and does not need here.

That takes more than a second of each job that compiles, checks or times, and brings a second pool of threads.
"""

import sys

import job  # noqa: F401 (before TVM, as always)

sys.modules["torch"] = None  # type: ignore[assignment]  # an import of it fails from here
import tvm  # noqa: E402, F401

del sys.modules["torch"]
