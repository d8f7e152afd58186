"""Instruction-set extensions: what a CPU multiplies and adds numbers of each dtype with.

`EXTENSIONS` is the one table of them. The kernels, the peak microbenchmarks, the platform record
and the table in docs/reference/instruction-sets.md follow it. Which extensions a CPU has is LLVM's
answer for the target's `mcpu` and `mattr`.
"""

from dataclasses import dataclass

from tvm.target import Target, codegen

# The dtype that is computed in where no extension has the dtype.
WIDENED = {"float16": "float32", "int8": "int32"}


@dataclass(frozen=True)
class Extension:
    """An instruction-set extension that multiplies and adds numbers of one dtype.

    Attributes
    ----------
    name
        As the vendor's manual has it.
    features
        LLVM's names of the features that a CPU must have, all of them.
    dtype
        Of the factors: float32, float16, int8 or int32.
    bits
        Width of a vector register.
    registers
        Number of vector registers.
    dot_product
        LLVM's intrinsic that adds four products of int8 weights to each lane of int32, with {bits}
        for the width; empty for an extension of plain multiply-adds.
    feature_map
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
        """Number of sums in a vector register: float16 where it has that dtype, else of 32 bits."""
        return self.bits // (16 if self.dtype == "float16" else 32)


# Of an architecture's extensions for a dtype, the first that a CPU has is used.
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
# Aliases of architectures in LLVM's triples.
ALIASES = {"arm64": "aarch64", "amd64": "x86_64"}


def extension(target: Target, dtype: str) -> Extension:
    """Return the extension that a CPU's kernels compute float32, float16 or int8 networks with.

    Without one for `dtype` it is that for the dtype to which `WIDENED` widens. An architecture that
    is not in the table counts as one with 16 registers of 128 bits, which LLVM expresses on any
    CPU.
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
