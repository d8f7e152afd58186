"""Search results for the layers of a network: decisions of their knobs, or whole schedules."""

from collections.abc import Mapping
from typing import Any

from tvm import tirx

from dlas.compiler.layer import Chosen, Layer, workload_hash
from dlas.compiler.workload import label_of, workload_key
from dlas.errors import StudyError


class Choices:
    """The schedules that a library is built with, and how many of its convolutions have one.

    Parameters
    ----------
    found : mapping
        Maps a `workload_hash` to the "decisions" of that layer, or a `workload_key` to the "trace"
        of that kernel in JSON. An entry with neither leaves its convolution to the default
        schedule.
    target : mapping
        The target on which they were found.

    Attributes
    ----------
    scheduled : int
        Number of convolutions that got decisions or a trace so far.
    """

    def __init__(self, found: Mapping[str, Mapping[str, Any]], target: Mapping[str, Any]) -> None:
        self.found, self.target = found, target
        self.scheduled = 0
        self._unknown: dict[str, str] = {}

    def decisions_of(self, layer: Layer) -> Chosen:
        """Return the decisions of a layer, empty for the default schedule."""
        choice = self.found.get(workload_hash(layer, self.target))
        if choice is None:
            self._unknown[layer.label] = layer.name
            return {}
        decisions: Chosen = choice.get("decisions") or {}
        self.scheduled += bool(decisions)
        return decisions

    def trace(self, name: str, kernel: tirx.PrimFunc, calls: int) -> list[Any] | None:
        """Return the trace of an unscheduled convolution kernel, None if it has none.

        Parameters
        ----------
        name : str
            Name of the kernel in the network.
        kernel : tirx.PrimFunc
            The kernel.
        calls : int
            How often the network runs it.

        Returns
        -------
        list or None
            The trace in JSON.

        Raises
        ------
        StudyError
            For a kernel that no search has tuned.
        """
        choice = self.found.get(workload_key(kernel))
        if choice is None:
            if (label := label_of(name)) in self._unknown:
                raise StudyError(
                    f"layer {self._unknown[label]} was not tuned for the target {self.target}; "
                    f"allowed: schedules "
                    "that were found on this platform, by this code"
                )
            return None
        trace: list[Any] | None = choice.get("trace")
        self.scheduled += calls if trace else 0
        return trace
