"""Import PyTorch or TVM without the parts that no job uses.

`from fast_imports import torch` and `from fast_imports import tvm` import the package on demand.
"""

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

import job  # noqa: F401 (before all packages, as always)

COMPILER = "torch._dynamo"
TVM_AUTOLOAD = "TVM_DEVICE_BACKEND_AUTOLOAD"
NOT_FOR_TVM = {"torch", "tvm.runtime.disco"}


def import_torch() -> ModuleType:
    """Import PyTorch without `torch._dynamo`.

    Every optimizer and torchvision import it, no job uses it, and it takes longer than PyTorch
    itself. Stand-ins replace it and have the attributes that these imports read. Any other access
    imports the real modules.
    """
    torch = import_module("torch")
    if COMPILER not in sys.modules:
        sys.modules.update({stand_in.__name__: stand_in for stand_in in STAND_INS})
    return torch


class StandIn(ModuleType):
    """Represents a module of the compiler until a missing attribute is accessed."""

    def __init__(self, name: str, **attributes: Any) -> None:
        super().__init__(name)
        self.__dict__.update(attributes)

    def __getattr__(self, name: str) -> Any:
        imports_submodule = name == "__path__" and self.__name__ == COMPILER
        # The import system reads such names of every module.
        if name.startswith("__") and not imports_submodule:
            raise AttributeError(name)
        for stand_in in STAND_INS:
            if sys.modules.get(stand_in.__name__) is stand_in:
                del sys.modules[stand_in.__name__]
        vars(sys.modules["torch"]).pop("_dynamo", None)
        return getattr(import_module(self.__name__), name)


STAND_INS = (
    StandIn(
        COMPILER,
        disable=lambda function, *_, **__: function,
        graph_break=lambda: None,
    ),
    StandIn(f"{COMPILER}.utils", is_compile_supported=lambda _: False),
)


def import_tvm() -> ModuleType:
    """Import TVM without PyTorch, multi-GPU sessions and the libraries of GPU kinds.

    TVM imports PyTorch if it is installed, which takes seconds and starts a second thread pool.
    `dlas.compiler` loads the library of a GPU kind when it compiles for one or runs on one.
    """
    absent = NOT_FOR_TVM - sys.modules.keys()
    # Importing a module whose entry is None fails.
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    os.environ[TVM_AUTOLOAD] = "0"
    tvm = import_module("tvm")
    for name in absent:
        del sys.modules[name]
    # Child processes must decide for themselves.
    del os.environ[TVM_AUTOLOAD]
    return tvm


def __getattr__(name: str) -> ModuleType:
    if name == "torch":
        return import_torch()
    if name == "tvm":
        return import_tvm()
    raise AttributeError(name)
