"""Settings and outcome of a tuning job."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dlas.errors import StudyError

CURVE = [
    *("trial", "layer", "latency_ms", "best_layer_ms", "default_layer_ms"),
    *("network_ms", "default_network_ms"),
]


@dataclass(frozen=True)
class Settings:
    """How much is tried, and how it is measured.

    Attributes
    ----------
    strategy : str
        How candidates are proposed, see `Search`.
    trials : mapping of str to int
        Maximum number of trials for a "layer" and for the whole "network".
    batch : int
        Number of candidates that are built together.
    measurement : mapping of str to float
        "repeats" samples of at least "min_repeat_ms" each; a candidate fails after "timeout_s".
    confirmation : mapping of str to int
        The best "finalists" of each layer are measured in the network, in "repeats" rounds.
    """

    strategy: str
    trials: Mapping[str, int]
    batch: int
    measurement: Mapping[str, float]
    confirmation: Mapping[str, int]


def require_cores(target: Mapping[str, Any]) -> None:
    """Raise StudyError for a CPU's target without its number of cores."""
    if target["kind"] == "llvm" and "num-cores" not in target:
        raise StudyError(
            f"target {target} has no num-cores; tuning needs the number of its threads"
        )


@dataclass(frozen=True)
class Outcome:
    """The result of tuning a network.

    Attributes
    ----------
    choices : dict
        Choices for `build_library`, see `Choices`. Each layer also has its name ("layer") and
        "label", its "calls" in the network, its "trials", the latencies of its default and its best
        code alone ("default_ms" and "latency_ms", None if none was correct), and the "ratio" of the
        latency in the network to the default's.
    curve : list of dict
        Every trial in order, with the keys `CURVE`.
    """

    choices: dict[str, Any]
    curve: list[dict[str, Any]]
