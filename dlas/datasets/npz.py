"""Uncompressed .npz files of arrays that need not fit into memory, which numpy neither writes nor reads."""

import math
import mmap
import os
import shutil
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.lib import format as npy

from dlas.errors import StudyError

# Offset, in the local header of a file in a .zip, of the lengths of its name and its extra field,
# which follow.
LENGTHS_OFFSET = 26


def write(arrays: Mapping[str, Any], temporary: Path, path: str | Path) -> None:
    """Write arrays as `np.savez` does to `temporary`, which will be `path`.

    What is not an array, but has the `shape` and `dtype` of one, is iterated for its rows. Raises
    StudyError, before that, where the disk has too little space.
    """
    needed = sum(math.prod(array.shape) * array.dtype.itemsize for array in arrays.values())
    free = shutil.disk_usage(temporary.parent).free
    if needed > free:
        raise StudyError(
            f"{path} cannot be written: it takes {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB "
            f"are free"
        )
    with zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                if isinstance(array, np.ndarray):
                    npy.write_array(file, array, allow_pickle=False)
                else:
                    _write_rows(file, array)


def _write_rows(file: IO[bytes], rows: Any) -> None:
    form = {"descr": rows.dtype.str, "fortran_order": False, "shape": rows.shape}
    npy.write_array_header_1_0(file, form)
    for row in rows:
        file.write(row.tobytes())


def mapped(path: str | Path, name: str) -> np.ndarray:
    """Return an array that stays in the file until it is used; what is written to it stays in memory.

    Raises ValueError where the array is compressed or of objects, KeyError where there is none of
    this name.
    """
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{name}.npy")
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member.filename} is compressed")
    with open(path, "rb") as file:
        file.seek(member.header_offset + LENGTHS_OFFSET)
        file.seek(sum(struct.unpack("<HH", file.read(4))), os.SEEK_CUR)
        old = npy.read_magic(file) == (1, 0)
        read = npy.read_array_header_1_0 if old else npy.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds objects")
        order: Literal["F", "C"] = "F" if fortran else "C"
        return np.ndarray(shape, dtype, content(file), file.tell(), order=order)


def content(file: IO[bytes]) -> mmap.mmap:
    """Return the content of a file, mapped into memory: what is written to it is this process's own.

    The system counts that as memory that may be needed. Where it is more than there is, the content
    can only be read.
    """
    try:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except OSError:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
