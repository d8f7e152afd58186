"""CUDA's compiler, without a GPU or a driver: NVRTC and its headers, as PyPI has them."""

import ctypes
import os
from pathlib import Path

import nvidia
from tvm.support.nvcc import compile_cuda

(PACKAGES,) = map(Path, nvidia.__path__)
LIBRARY = PACKAGES / "cuda_nvrtc" / "lib" / "libnvrtc.so.12"
RUNTIME = PACKAGES / "cuda_runtime"
CCCL = PACKAGES / "cuda_cccl" / "include"
ARCHITECTURES = ("sm_72", "sm_90")  # Jetson AGX Xavier's GPU; H100

# Loaded first, it is the one that TVM calls, whatever other version there is.
ctypes.CDLL(str(LIBRARY), ctypes.RTLD_GLOBAL)


def build(source: str, architecture: str) -> bytes:
    """Compile a source as TVM does for a GPU; RuntimeError with the compiler's message."""
    os.environ["CUDA_PATH"] = str(RUNTIME)  # where TVM looks for headers
    options = [f"-I{CCCL}", "-w"]
    return bytes(compile_cuda(source, "cubin", architecture, options, compiler="nvrtc"))
