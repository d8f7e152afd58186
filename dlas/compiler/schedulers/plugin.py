"""What the file of a tuning offers beside its description, where it searches."""

from pathlib import Path
from typing import Any, Protocol, cast

from dlas import registry
from dlas.compiler.device import DeviceOpener
from dlas.compiler.network import Network
from dlas.compiler.tuning.settings import Outcome, Settings


class Scheduler(Protocol):
    """A tuning that searches: it measures candidates on the platform."""

    def tune(
        self,
        network: Network,
        primitive: str,
        format: str,
        target: dict[str, Any],
        settings: Settings,
        *,
        records: Path,
        seed: int,
        opener: DeviceOpener,
        kernels: Path | None = None,
    ) -> Outcome:
        """Tune a network. Parameters and results are those of `tuning.network.tune_network`."""


def load(name: str) -> Scheduler:
    """Import a tuning that searches; raise StudyError for an unknown one."""
    return cast(Scheduler, registry.load("tuning", name))
