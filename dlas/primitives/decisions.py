"""What a kernel leaves open: named choices, each a list of options of which the first is the default.

A kernel and its schedule ask for every choice where they need it. What they asked for is the kernel's search space,
and a mapping from names to positions in these lists is one point of it, so that a point and the code that it stands for
can never disagree on what there is to choose.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from tvm import tirx
from tvm.s_tir import Schedule

from dlas.primitives.kernel import CONVOLUTION

Option = TypeVar("Option")
# Annotation of a kernel's convolution: the point that its schedule is made for.
ANNOTATION = "decisions"


class Decisions:
    """A point of a search space. `space` tells the number of options of each choice that has been asked for."""

    def __init__(self, chosen: Mapping[str, int] | None = None) -> None:
        self.chosen = dict(chosen or {})
        self.space: dict[str, int] = {}

    def choose(self, name: str, options: Sequence[Option]) -> Option:
        """Return the option that was chosen; the first where nothing was.

        An earlier choice may leave fewer options than there are elsewhere in the space: positions count on from the
        first one then.
        """
        self.space[name] = len(options)
        return options[self.chosen.get(name, 0) % len(options)]


def attach(function: tirx.PrimFunc, chosen: Mapping[str, int]) -> tirx.PrimFunc:
    """Return an unscheduled kernel that carries a point of its search space to its schedule."""
    if not chosen:
        return function
    schedule = Schedule(function)
    schedule.annotate(schedule.get_sblock(CONVOLUTION), ANNOTATION, dict(chosen))
    return schedule.mod["main"].with_attrs(function.attrs)


def attached(schedule: Schedule) -> Decisions:
    """Return the point that a kernel carries, the default where it carries none."""
    annotations: Any = schedule.get(schedule.get_sblock(CONVOLUTION)).annotations
    return Decisions({str(k): int(v) for k, v in annotations.get(ANNOTATION, {}).items()})
