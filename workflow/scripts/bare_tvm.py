"""Import TVM without what no job needs of it.

That is torch, which TVM imports where it is installed (more than a second, and a second pool of threads); sessions of
many GPUs; and what TVM knows of each kind of GPU, which `dlas.compiler` loads for one that it compiles for or runs on
(a third of a second). Whoever needs torch imports it afterwards.
"""

import os
import sys

import job  # noqa: F401 (before TVM, as always)

AUTOLOAD = "TVM_DEVICE_BACKEND_AUTOLOAD"
UNNEEDED = ("torch", "tvm.runtime.disco")

sys.modules.update(dict.fromkeys(UNNEEDED))  # type: ignore[arg-type]  # an import of one fails from here
os.environ[AUTOLOAD] = "0"
import tvm  # noqa: E402, F401

for name in UNNEEDED:
    del sys.modules[name]
del os.environ[AUTOLOAD]  # processes of its own decide by themselves
