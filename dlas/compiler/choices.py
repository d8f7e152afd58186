"""What searches found for the layers of a network: decisions of its primitives' schedules, or whole schedules."""

from collections.abc import Mapping
from typing import Any

from tvm import tirx

from dlas.compiler.layer import Chosen, Layer, workload_hash
from dlas.compiler.workload import label_of, workload_key
from dlas.errors import StudyError


class Choices:
    """The schedules that a library is built by, and how many of its convolutions have one.

    Parameters
    ----------
    found : mapping
        For a `workload_hash` the "decisions" of that layer, for a `workload_key` the "trace" of
        that kernel, in JSON. An entry that has neither leaves its convolution to the default
        schedule.
    target : mapping
        The target on which they were found.
    """

    def __init__(self, found: Mapping[str, Mapping[str, Any]], target: Mapping[str, Any]) -> None:
        self.found, self.target = found, target
        self.scheduled = 0
        self._unknown: dict[str, str] = {}

    def decisions_of(self, layer: Layer) -> Chosen:
        """Return the decisions of a layer."""
        choice = self.found.get(workload_hash(layer, self.target))
        if choice is None:
            self._unknown[layer.label] = layer.name
            return {}
        decisions: Chosen = choice.get("decisions") or {}
        self.scheduled += bool(decisions)
        return decisions

    def trace(self, name: str, kernel: tirx.PrimFunc, calls: int) -> list[Any] | None:
        """Return the trace of an unscheduled convolution kernel, None where there is none.

        `calls` is how often the network runs it. Raises StudyError for a kernel that no search
        knows.
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
