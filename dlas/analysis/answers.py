"""Predictions of every network on every test image.

Two accuracies are compared on the same images.
"""

import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dlas import datasets
from dlas.errors import StudyError
from dlas.files import atomic_write

# (dataset, model, compression, level); the level as `level_name` writes it.
Network = tuple[str, str, str, str]
CORRECT_COLUMNS = ["dataset", "model", "compression", "level", "images", "correct"]


@dataclass(frozen=True)
class Answers:
    """Predicted classes of the networks of a study on the test images.

    Attributes
    ----------
    labels : mapping of str to np.ndarray
        True classes of the test images of each data set, uint16 [images].
    answers : mapping of (dataset, model, compression, level) to np.ndarray
        Predicted classes of each network, uint16 [images]. A level that could not be made has no
        entry.

    Raises
    ------
    StudyError
        If a network does not have one answer for each test image of its data set.
    """

    labels: Mapping[str, np.ndarray]
    answers: Mapping[Network, np.ndarray]

    def __post_init__(self) -> None:
        for network, answers in self.answers.items():
            labels = self.labels.get(network[0])
            if labels is None or answers.shape != labels.shape:
                images = "no" if labels is None else len(labels)
                raise StudyError(
                    f"{'/'.join(network)} has answers of the shape {list(answers.shape)}, its data "
                    f"set has {images} test images; allowed: one answer for each"
                )

    def correct(self, dataset: str, model: str, compression: str, level: str) -> np.ndarray | None:
        """Return which test images a network classifies correctly.

        Parameters
        ----------
        dataset, model, compression : str
            Names of the network's data set, model and compression.
        level : str
            The compression's level, as `level_name` writes it.

        Returns
        -------
        np.ndarray or None
            bool [images]; None for a network without answers.
        """
        found = self.answers.get((dataset, model, compression, level))
        return None if found is None else found == self.labels[dataset]


def level_name(level: float | None) -> str:
    """Return a level of study.csv as used in keys: "0.8", or "single" for None and NaN."""
    return "single" if level is None or np.isnan(level) else f"{level:g}"


def collect(files: Mapping[str, str], networks: Iterable[Mapping[str, str]]) -> Answers:
    """Collect the answers that the jobs of a study wrote.

    Parameters
    ----------
    files : mapping of str to path
        The prepared data set file of each data set.
    networks : iterable of mapping
        One for each level of each network: dataset, model, compression, level and "file", a .npy
        file that is empty if the level could not be made.

    Returns
    -------
    Answers
        The labels of all data sets and the answers of all networks that have some.

    Raises
    ------
    StudyError
        For a file that is missing, damaged or of another data set.
    """
    labels = _labels(files)
    answers = {}
    for one in networks:
        try:
            found = np.load(one["file"], allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise StudyError(
                f"the answers {one['file']} are missing or damaged: {error}"
            ) from error
        if len(found):
            answers[one["dataset"], one["model"], one["compression"], one["level"]] = found
    return Answers(labels, answers)


def _labels(files: Mapping[str, str]) -> dict[str, np.ndarray]:
    return {name: datasets.load(file).test.labels.astype(np.uint16) for name, file in files.items()}


def select(
    every: Answers, files: Mapping[str, str], networks: Iterable[Mapping[str, str]]
) -> Answers:
    """Select the answers of the networks of a study, whatever their levels.

    Parameters
    ----------
    every : Answers
        The answers that come with networks of another machine.
    files, networks : mapping, iterable
        See `collect`; a "file" is not read.

    Raises
    ------
    StudyError
        If the test images of a data set have other labels.
    """
    labels = _labels(files)
    for name, ours in labels.items():
        if not np.array_equal(ours, every.labels.get(name, ours[:0])):
            raise StudyError(
                f"the archived networks were tested on other images of {name}; allowed: the seed "
                "and the settings of its data set that the networks were made with"
            )
    wanted = {(one["dataset"], one["model"], one["compression"]) for one in networks}
    return Answers(labels, {key: one for key, one in every.answers.items() if key[:3] in wanted})


def write(path: str | Path, answers: Answers) -> None:
    """Write answers as one .npz file, atomically; equal answers give equal bytes.

    Labels have the name of their data set as key, answers "dataset/model/compression/level".
    """
    arrays = dict(answers.labels) | {"/".join(key): one for key, one in answers.answers.items()}
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in sorted(arrays):
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, arrays[name].astype("<u2"), allow_pickle=False)


def read(path: str | Path) -> Answers:
    """Read the file that `write` wrote.

    Raises
    ------
    StudyError
        For a file that is missing, truncated or of another form.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {tuple(name.split("/")): file[name] for name in file.files}
    except (OSError, TypeError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StudyError(f"the answers {path} are missing or damaged: {error}") from error
    labels, answers = {}, {}
    for key, array in arrays.items():
        if len(key) not in (1, 4) or array.dtype != np.uint16 or array.ndim != 1:
            raise StudyError(
                f"{'/'.join(key)} in the answers {path} is {array.dtype} {list(array.shape)}; "
                "allowed: uint16 [images] for each dataset and dataset/model/compression/level"
            )
        if len(key) == 1:
            labels[key[0]] = array
        else:
            dataset, model, compression, level = key
            answers[dataset, model, compression, level] = array
    return Answers(labels, answers)


def correct_table(answers: Answers) -> pd.DataFrame:
    """Return which test images each network gets right, one row for each network.

    Returns
    -------
    DataFrame
        The columns CORRECT_COLUMNS. `level` is NaN without a ladder, `images` the number of test
        images. `correct` has one bit for each image, 1 where the network is right. It is written
        as two hexadecimal digits for each 8 images; the last byte is filled up with 0.
    """
    rows = []
    for network, predicted in sorted(answers.answers.items()):
        *names, level = network
        correct = predicted == answers.labels[network[0]]
        number = np.nan if level == level_name(None) else float(level)
        rows.append((*names, number, len(correct), np.packbits(correct).tobytes().hex()))
    return pd.DataFrame(rows, columns=CORRECT_COLUMNS)


def from_correct_table(table: pd.DataFrame) -> Answers:
    """Return the answers of a table of `correct_table`: 1 where right, else 0; all labels are 1."""
    labels, answers = {}, {}
    for row in table.itertuples():
        packed = np.frombuffer(bytes.fromhex(row.correct), np.uint8)
        network = row.dataset, row.model, row.compression, level_name(row.level)
        answers[network] = np.unpackbits(packed, count=row.images).astype(np.uint16)
        labels[row.dataset] = np.ones(row.images, np.uint16)
    return Answers(labels, answers)
