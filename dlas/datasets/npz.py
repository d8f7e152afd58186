"""Uncompressed .npz files of arrays larger than memory, which numpy can neither write nor read."""

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

# Offset of two lengths in the local header of a .zip member: of its name and of its extra field.
LENGTHS_OFFSET = 26


def write(arrays: Mapping[str, Any], temporary: Path, path: str | Path) -> None:
    """Write arrays as `np.savez` does, to a temporary file.

    Parameters
    ----------
    arrays : mapping of str to array
        Arrays, or objects with `shape` and `dtype` that are iterated for their rows.
    temporary : Path
        The file to write.
    path : str or Path
        The final path, for messages.

    Raises
    ------
    StudyError
        If the disk has too little space; nothing is written then.
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
    """Map an array of an .npz file into memory; writes to it stay in memory.

    Parameters
    ----------
    path : str or Path
        The file.
    name : str
        Name of the array.

    Returns
    -------
    np.ndarray
        The array, which is read from disk when it is used.

    Raises
    ------
    ValueError
        If the array is compressed or has objects.
    KeyError
        If there is no array of this name.
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
    """Map the content of a file into memory; writes to it stay in this process.

    The system counts a writable mapping as memory that may be needed. If that is more than it has,
    the mapping is read-only.
    """
    try:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except OSError:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
