"""Environment variables that change the speed, the results or the version of code."""

from collections.abc import Mapping, MutableMapping

# Libraries that place threads, choose instructions, round numbers or allocate memory read these.
_PREFIXES = (
    "ATEN_",
    "BLIS_",
    "CUBLAS_",
    "CUDNN_",
    "DNNL_",
    "GLIBC_TUNABLES",
    "GOMP_",
    "GOTO_",
    "KMP_",
    "LD_PRELOAD",
    "MALLOC_",
    "MKL_",
    "NPY_",
    "NUMEXPR_",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_",
    "ONEDNN_",
    "OPENBLAS_",
    "ORT_",
    "PYTORCH_",
    "TORCH_",
    "TVM_",
    "VECLIB_",
)
# Python reads these; they replace or change the pinned packages.
_PYTHON = (
    "PYTHONHOME",
    "PYTHONMALLOC",
    "PYTHONOPTIMIZE",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
)
# Schedulers and driver installations need these. They are kept and recorded.
_KEPT = ("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")


def clear(environment: MutableMapping[str, str]) -> list[str]:
    """Remove variables that change measurements, and return their names."""
    removed = sorted(filter(_changes_measurements, environment))
    for name in removed:
        del environment[name]
    return removed


def relevant(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that can change a measurement, for its record."""
    return {
        name: environment[name]
        for name in sorted(environment)
        if _changes_measurements(name) or name in _KEPT
    }


def _changes_measurements(name: str) -> bool:
    return name.startswith(_PREFIXES) or name in _PYTHON
