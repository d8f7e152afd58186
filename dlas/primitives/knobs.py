"""Knobs: the named choices of a kernel and its schedule, each a list of options.

The first option is the default. A kernel asks for a choice where it needs it, so the search space
is the set of choices that the code asked for. A point of the space maps names to positions in these
lists. A point and its code can therefore never disagree on the choices that exist.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from tvm import tirx
from tvm.s_tir import Schedule

from dlas.primitives.kernel import CONVOLUTION

Option = TypeVar("Option")
# Annotation of a kernel's convolution: the point that its schedule is made for.
ANNOTATION = "decisions"


class Knobs:
    """A point of a search space; `space` has the number of options of each knob asked for."""

    def __init__(self, chosen: Mapping[str, int] | None = None) -> None:
        self.chosen = dict(chosen or {})
        self.space: dict[str, int] = {}

    def choose(self, name: str, options: Sequence[Option]) -> Option:
        """Return the option that was chosen; the first where nothing was.

        An earlier choice may leave fewer options than there are elsewhere in the space: positions
        count on from the first one then.
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


def attached(schedule: Schedule) -> Knobs:
    """Return the point that a kernel carries, the default where it carries none."""
    annotations: Any = schedule.get(schedule.get_sblock(CONVOLUTION)).annotations
    return Knobs({str(k): int(v) for k, v in annotations.get(ANNOTATION, {}).items()})
