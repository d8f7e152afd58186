"""The interface of a data set's file."""

from collections.abc import Mapping
from typing import Any, Protocol, cast

from dlas import registry
from dlas.datasets.dataset import Dataset


class DatasetModule(Protocol):
    """A data set: a module of this package."""

    def prepare(self, settings: Mapping[str, Any], seed: int) -> Dataset:
        """Read, resize and split the images.

        Parameters
        ----------
        settings : mapping
            The data set's section of the config, with the number of `threads` if not 1.
        seed : int
            Seed of the splits.

        Returns
        -------
        Dataset
            The images of a large data set are decoded when they are iterated.

        Raises
        ------
        StudyError
            For images that are missing or damaged, and for settings that do not fit them.
        """


def load(name: str) -> DatasetModule:
    """Import a data set's module; raise StudyError for an unknown one."""
    return cast(DatasetModule, registry.load("dataset", name))


def prepare(name: str, settings: Mapping[str, Any], seed: int) -> Dataset:
    """Prepare a data set.

    Parameters
    ----------
    name : str
        The data set's plugin.
    settings, seed
        As in `DatasetModule.prepare`.

    Raises
    ------
    StudyError
        For an unknown name, and as in `DatasetModule.prepare`.
    """
    return load(name).prepare(settings, seed)
