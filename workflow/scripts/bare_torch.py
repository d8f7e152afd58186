"""Import PyTorch without its compiler of graphs, which no training uses and each optimizer imports: seconds of a job.

An optimizer asks it to leave functions alone that would otherwise be compiled, which is done here as well; torchvision
asks whether it knows a device. Whoever asks for anything else of it gets the compiler itself.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

import job  # noqa: F401 (before PyTorch, as always)

# isort: split
import torch

COMPILER = "torch._dynamo"


class Absent(ModuleType):
    """Stands for a module of the compiler, until something is asked of it that is not given here."""

    def __init__(self, name: str, **given: Any) -> None:
        super().__init__(name)
        self.__dict__.update(given)

    def __getattr__(self, name: str) -> Any:
        part_asked_for = name == "__path__" and self.__name__ == COMPILER
        if name.startswith("__") and not part_asked_for:
            raise AttributeError(name)  # asked of any module
        for absent in ABSENT:
            if sys.modules.get(absent.__name__) is absent:
                del sys.modules[absent.__name__]
        torch.__dict__.pop("_dynamo", None)
        return getattr(import_module(self.__name__), name)


ABSENT = (
    Absent(COMPILER, disable=lambda function, *_, **__: function, graph_break=lambda: None),
    Absent(f"{COMPILER}.utils", is_compile_supported=lambda _: False),
)
if COMPILER not in sys.modules:
    sys.modules.update({absent.__name__: absent for absent in ABSENT})
