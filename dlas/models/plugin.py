"""The interface of an architecture's file."""

from collections.abc import Mapping
from typing import Protocol, cast, runtime_checkable

from torch import Tensor, nn

from dlas import registry


class Architecture(Protocol):
    """A neural architecture: a module of this package."""

    def build(self, classes: int, width: float, stem: str) -> nn.Module:
        """Build the network with random weights.

        Parameters
        ----------
        classes : int
            Length of its output.
        width : float
            Multiplies the channels of all layers, see `vision.channels`.
        stem : {"small_input", "large_input"}
            The kind of its first layers, see `architecture.build`.

        Returns
        -------
        nn.Module
            Maps float32 [B, 3, H, W] to logits float32 [B, classes].
        """


@runtime_checkable
class RenamedArchitecture(Architecture, Protocol):
    """An architecture whose published weights have other names than its layers."""

    def renamed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return published weights under this project's names; other tensors keep their names."""


def load(name: str) -> Architecture:
    """Import an architecture's module; raise StudyError for an unknown one."""
    return cast(Architecture, registry.load("model", name))
