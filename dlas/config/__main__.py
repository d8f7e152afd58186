"""Check overlays of config.yaml: `python -m dlas.config FILE ...`.

What is wrong is one line.
"""

import sys

from dlas.config import read, typed
from dlas.errors import StudyError

if __name__ == "__main__":
    try:
        typed(read(*sys.argv[1:]))
    except StudyError as error:
        sys.exit(str(error))
