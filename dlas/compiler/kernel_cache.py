"""Cache of compiled kernels by content: equal kernels of all networks are compiled once.

A weight-pruned network in dense code has the kernels of the uncompressed one with other constants,
and most kernels of a tuned library are those of the untuned one. The cache is a folder of object
files that is safe to delete at any time.
"""

import hashlib
import json
import re
from pathlib import Path

import tvm
import tvm_ffi
from tvm import tirx
from tvm.target import Target

from dlas.compiler.pipeline import compile_kernel
from dlas.compiler.workload import LABEL
from dlas.files import atomic_write

# TVM numbers operators of equal names: the 3 of add3.
_NUMBER = re.compile(r"(?<=[a-z])\d+(?=_|$)")


class KernelCache:
    """Object files of scheduled kernels for one target, in a folder.

    Parameters
    ----------
    folder : Path
        Folder of the object files, made when the first one is written. Code that compiles kernels
        differently must use another folder.
    target : Target
        Target of the kernels.
    """

    def __init__(self, folder: Path, target: Target) -> None:
        self.folder, self.target = folder, target
        described = json.dumps([str(target), tvm.__version__])
        self._target = hashlib.sha256(described.encode()).hexdigest()[:16]

    def name(self, hint: str, function: tirx.PrimFunc) -> str:
        """Return the symbol of a scheduled kernel: its name in the network and its content hash."""
        content = tvm_ffi.structural_hash(function.without_attr("global_symbol"))
        # Numbers in a layer's label describe its shape, so they stay.
        layer = found[0] if (found := LABEL.match(hint)) else ""
        return f"{layer}{_NUMBER.sub('', hint[len(layer) :])}_{content:016x}"

    def object_file(self, name: str, function: tirx.PrimFunc) -> Path:
        """Return the object file of a kernel under its `name`, compiled if it is missing."""
        file = self.folder / self._target / f"{name}.o"
        if not file.exists():
            compiled = compile_kernel(function.with_attr("global_symbol", name), self.target)
            with atomic_write(file) as temporary:
                compiled.write_to_file(str(temporary))
        return file
