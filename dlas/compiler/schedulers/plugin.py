"""The functions of a way to schedule, and how to load it."""

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

    It may have a function `supports(weight_format, vector)` as well, see `unsupported`.
    """

    def schedule(
        self,
        kernel: Schedule,
        primitive: Primitive,
        weight_format: WeightFormat,
        vector: VectorUnit | GPU,
    ) -> None:
        """Schedule a kernel of a network in place.

        Parameters
        ----------
        kernel : Schedule
            A convolution with its fused epilogue, or an operator between convolutions.
        primitive : Primitive
            Algorithm of the layers.
        weight_format : WeightFormat
            Format of the weights.
        vector : VectorUnit or GPU
            The processor.
        """


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
    """A way to schedule that combines the results of other ways, its description's `combines`."""

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
    """Import a way to schedule. Raise StudyError for an unknown name."""
    return cast(Scheduler, registry.load("tuning", name))


def load_searching(name: str) -> SearchingScheduler:
    """Import a way to schedule that searches. Raise StudyError for an unknown name."""
    return cast(SearchingScheduler, registry.load("tuning", name))


def load_combining(name: str) -> CombiningScheduler:
    """Import a way to schedule that combines others. Raise StudyError for an unknown name."""
    return cast(CombiningScheduler, registry.load("tuning", name))


def unsupported(
    scheduler: Scheduler, weight_format: WeightFormat, vector: VectorUnit | GPU
) -> str | None:
    """Return why a way to schedule declines a network.

    Parameters
    ----------
    scheduler : Scheduler
        It supports all networks unless it has a function `supports`, with the other parameters.
    weight_format : WeightFormat
        Format of the network's weights.
    vector : VectorUnit or GPU
        The processor.

    Returns
    -------
    str or None
        The reason, None if the network is supported.
    """
    supports: Any = getattr(scheduler, "supports", None)
    reason: str | None = supports and supports(weight_format, vector)
    return reason
