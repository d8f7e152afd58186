"""Instruction-set extensions: the instructions with which a CPU multiplies and adds each dtype.

`EXTENSIONS` is their one table. The kernels, the peak microbenchmarks, the platform record and the
table in docs/reference/instruction-sets.md follow it. LLVM says which extensions a CPU has, for the
target's `mcpu` and `mattr`.
"""

from dataclasses import dataclass

from tvm.target import Target, codegen

# Dtype to which a dtype is widened where no extension computes in it.
WIDENED = {"float16": "float32", "int8": "int32"}


@dataclass(frozen=True)
class Extension:
    """An instruction-set extension that multiplies and adds numbers of one dtype.

    Attributes
    ----------
    name : str
        Name in the vendor's manual.
    features : tuple of str
        LLVM's names of the features that a CPU must have, all of them.
    dtype : str
        Dtype of the factors: float32, float16, int8 or int32.
    bits : int
        Width of a vector register.
    registers : int
        Number of vector registers.
    dot_product : str
        LLVM's intrinsic that adds four products of int8 weights to each lane of int32, with {bits}
        for the width. Empty for plain multiply-adds.
    feature_map : str
        Dtype of the other factor of the dot product: uint8 or int8.
    """

    name: str
    features: tuple[str, ...]
    dtype: str
    bits: int
    registers: int
    dot_product: str = ""
    feature_map: str = "uint8"

    @property
    def lanes(self) -> int:
        """Number of sums in a vector register: of float16 if that is the dtype, else of 32 bits."""
        return self.bits // (16 if self.dtype == "float16" else 32)


# The extensions of each architecture. The first one for a dtype that the CPU has is used.
EXTENSIONS = {
    "x86_64": (
        Extension("AVX-512F", ("avx512f",), "float32", 512, 32),
        Extension("AVX", ("avx",), "float32", 256, 16),
        Extension("SSE2", ("sse2",), "float32", 128, 16),
        Extension("AVX512-FP16", ("avx512fp16",), "float16", 512, 32),
        Extension(
            "AVX512-VNNI",
            ("avx512vnni", "avx512vl"),
            "int8",
            512,
            32,
            "llvm.x86.avx512.vpdpbusd.{bits}",
        ),
        Extension("AVX-VNNI", ("avxvnni",), "int8", 256, 16, "llvm.x86.avx512.vpdpbusd.{bits}"),
        Extension("AVX-512F", ("avx512f",), "int32", 512, 32),
        Extension("AVX2", ("avx2",), "int32", 256, 16),
        Extension("SSE2", ("sse2",), "int32", 128, 16),
    ),
    "aarch64": (
        Extension("Advanced SIMD", ("neon",), "float32", 128, 32),
        Extension("FEAT_FP16", ("fullfp16",), "float16", 128, 32),
        Extension("FEAT_I8MM", ("i8mm",), "int8", 128, 32, "llvm.aarch64.neon.usdot.v4i32.v16i8"),
        Extension(
            "FEAT_DotProd",
            ("dotprod",),
            "int8",
            128,
            32,
            "llvm.aarch64.neon.sdot.v4i32.v16i8",
            "int8",
        ),
        Extension("Advanced SIMD", ("neon",), "int32", 128, 32),
    ),
}
# Other names of architectures in LLVM's triples.
ALIASES = {"arm64": "aarch64", "amd64": "x86_64"}


def extension(target: Target, dtype: str) -> Extension:
    """Return the extension that the kernels of a network use on a CPU.

    Parameters
    ----------
    target : Target
        LLVM target.
    dtype : str
        Dtype of the network: float32, float16 or int8.

    Returns
    -------
    Extension
        The extension for `dtype`, else for the dtype to which `WIDENED` widens it, else a nameless
        one with 16 registers of 128 bits, which LLVM can express on any CPU.
    """
    architecture = str(target.attrs["mtriple"]).split("-")[0]
    has = codegen.llvm_get_cpu_features(target)
    found = [
        one
        for one in EXTENSIONS.get(ALIASES.get(architecture, architecture), ())
        if has.issuperset(one.features)
    ]
    generic = Extension("", (), WIDENED.get(dtype, dtype), 128, 16)
    order = (dtype, WIDENED.get(dtype))
    return next((one for name in order for one in found if one.dtype == name), generic)
