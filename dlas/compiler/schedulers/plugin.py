"""What the files of ways to schedule offer beside their descriptions."""

from typing import TYPE_CHECKING, Any, Protocol, cast

from tvm.s_tir import Schedule

from dlas import registry
from dlas.primitives.gpu import GPU
from dlas.primitives.plugin import Primitive, WeightFormat
from dlas.primitives.vector import VectorUnit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dlas.compiler.device import DeviceOpener
    from dlas.compiler.network import Network
    from dlas.compiler.tuning.settings import Outcome, Settings


class Scheduler(Protocol):
    """A way to schedule: a module of this package.

    It may have a function `supports(format, vector)` as well, see `unsupported`.
    """

    def schedule(
        self,
        kernel: Schedule,
        primitive: Primitive,
        weight_format: WeightFormat,
        vector: VectorUnit | GPU,
    ) -> None:
        """Schedule a kernel of a network: a convolution with whatever was fused behind it, or what lies between."""


class SearchingScheduler(Scheduler, Protocol):
    """A way to schedule that measures candidates on the platform."""

    def tune(
        self,
        network: "Network",
        primitive: str,
        weight_format: str,
        target: dict[str, Any],
        settings: "Settings",
        *,
        records: "Path",
        seed: int,
        opener: "DeviceOpener",
        kernels: "Path | None" = None,
    ) -> "Outcome":
        """Tune a network. Parameters and results are those of `tuning.network.tune_network`."""


class CombiningScheduler(Scheduler, Protocol):
    """A way to schedule that chooses from what other ways found, those that its description names in `combines`."""

    def tune(
        self,
        network: "Network",
        primitive: str,
        weight_format: str,
        target: dict[str, Any],
        settings: "Settings",
        *,
        records: "Path",
        seed: int,
        opener: "DeviceOpener",
        kernels: "Path | None" = None,
        others: "Mapping[str, Mapping[str, Any]]",
    ) -> "Outcome":
        """Tune a network. Parameters and results are those of `tuning.combination.combine`."""


def load(name: str) -> Scheduler:
    """Import a way to schedule; raise StudyError for an unknown one."""
    return cast(Scheduler, registry.load("tuning", name))


def load_searching(name: str) -> SearchingScheduler:
    """Import a way to schedule that searches; raise StudyError for an unknown one."""
    return cast(SearchingScheduler, registry.load("tuning", name))


def load_combining(name: str) -> CombiningScheduler:
    """Import a way to schedule that combines others; raise StudyError for an unknown one."""
    return cast(CombiningScheduler, registry.load("tuning", name))


def unsupported(
    scheduler: Scheduler, weight_format: WeightFormat, vector: VectorUnit | GPU
) -> str | None:
    """Ask a way to schedule whether it declines a network.

    Parameters
    ----------
    scheduler : Scheduler
        It declines none unless it has a function `supports`, with the other parameters.
    weight_format : WeightFormat
        The format of the network's weights.
    vector : VectorUnit or GPU
        The processor.

    Returns
    -------
    str or None
        The reason why it declines the network, None if it supports it.
    """
    supports: Any = getattr(scheduler, "supports", None)
    reason: str | None = supports and supports(weight_format, vector)
    return reason
