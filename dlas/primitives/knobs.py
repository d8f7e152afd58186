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
# Annotation of a convolution's block: the point of the search space to schedule.
ANNOTATION = "decisions"


class Knobs:
    """A point of a search space.

    Parameters
    ----------
    chosen : mapping of str to int, optional
        Position of the chosen option for each knob. Knobs that it lacks take their first option.

    Attributes
    ----------
    space : dict of str to int
        Number of options of each knob that was asked for.
    """

    def __init__(self, chosen: Mapping[str, int] | None = None) -> None:
        self.chosen = dict(chosen or {})
        self.space: dict[str, int] = {}

    def choose(self, name: str, options: Sequence[Option]) -> Option:
        """Return the chosen option of a knob, by default the first.

        An earlier choice may leave fewer options than a point counts with. Positions beyond the
        last option then count on from the first.

        Parameters
        ----------
        name : str
            Name of the knob.
        options : sequence
            Options, at least one, the default first.

        Returns
        -------
        object
            One of the options.
        """
        self.space[name] = len(options)
        return options[self.chosen.get(name, 0) % len(options)]


def attach(function: tirx.PrimFunc, chosen: Mapping[str, int]) -> tirx.PrimFunc:
    """Return an unscheduled kernel annotated with the point of the search space to schedule."""
    if not chosen:
        return function
    schedule = Schedule(function)
    schedule.annotate(schedule.get_sblock(CONVOLUTION), ANNOTATION, dict(chosen))
    return schedule.mod["main"].with_attrs(function.attrs)


def attached(schedule: Schedule) -> Knobs:
    """Return the point that a kernel is annotated with, or the default point."""
    annotations: Any = schedule.get(schedule.get_sblock(CONVOLUTION)).annotations
    return Knobs({str(k): int(v) for k, v in annotations.get(ANNOTATION, {}).items()})
