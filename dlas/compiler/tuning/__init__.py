"""Tuning: the schedule of each layer, found by measuring candidates on the platform itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dlas.compiler.network import Network

CURVE = ["trial", "layer", "latency_ms", "best_layer_ms", "network_ms"]


@dataclass(frozen=True)
class Settings:
    """How much is tried and how it is measured."""

    strategy: str
    trials: Mapping[str, int]
    batch: int
    measurement: Mapping[str, float]
    confirmation: Mapping[str, int]


@dataclass(frozen=True)
class Outcome:
    """What was chosen for each layer, and every trial."""

    choices: dict[str, Any]
    curve: pd.DataFrame


def tune_network(
    network: Network,
    primitive: str,
    format: str,
    target: dict[str, Any],
    settings: Settings,
    *,
    records: Path,
    seed: int,
    bind: Callable[[int], object],
) -> Outcome:
    """Tune every layer of a network under a primitive and a format."""
    raise NotImplementedError
