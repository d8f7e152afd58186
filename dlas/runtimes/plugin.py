"""The interface of a peer runtime's file."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from dlas import registry

Run = Callable[[], np.ndarray]


class Runtime(Protocol):
    """A peer runtime. Its file imports the runtime, so only a subprocess loads it."""

    def open_network(self, path: Path, threads: int) -> Callable[[np.ndarray], Run]:
        """Load an exported network.

        Parameters
        ----------
        path : Path
            The network, in the file format that the description names.
        threads : int
            Threads of a run.

        Returns
        -------
        callable
            Binds an image, float32 [1, C, H, W], and returns a function that runs the network on it
            and returns the logits, float32 [1, classes].
        """


def load(name: str) -> Runtime:
    """Import a runtime; raise StudyError for an unknown one."""
    return cast(Runtime, registry.load("runtime", name))
