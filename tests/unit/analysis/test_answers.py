"""The file of all networks' answers comes back as it was written, and a damaged one is one line."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlas import datasets
from dlas.analysis import answers
from dlas.analysis.answers import Answers
from dlas.errors import StudyError

# "file" is also a parameter of np.savez.
NAMES = st.sampled_from(["digits", "photos", "resnet18", "file", "int8"])
LEVELS = st.sampled_from(["single", "0.8", "1e-05"])


def classes(*values):
    return np.array(values, np.uint16)


SOME = Answers(
    {"digits": classes(0, 1, 2, 3)},
    {
        ("digits", "resnet18", "none", "single"): classes(0, 1, 2, 9),
        ("digits", "resnet18", "weight_pruning", "0.8"): classes(9, 9, 9, 3),
    },
)


@st.composite
def studies(draw):
    predicted = st.integers(0, 2**16 - 1)
    labels = {
        name: classes(*draw(st.lists(predicted, max_size=5)))
        for name in draw(st.lists(NAMES, min_size=1, unique=True))
    }
    networks = st.tuples(st.sampled_from(sorted(labels)), NAMES, NAMES, LEVELS)
    found = {
        network: classes(*draw(st.lists(predicted, min_size=size, max_size=size)))
        for network in draw(st.lists(networks, unique=True, max_size=5))
        for size in [len(labels[network[0]])]
    }
    return Answers(labels, found)


def items(mapping):
    return {key: array.tolist() for key, array in mapping.items()}


@given(studies())
def test_what_is_written_is_read_and_equal_answers_are_equal_bytes(study):
    turned = Answers(dict(reversed(study.labels.items())), dict(reversed(study.answers.items())))
    with TemporaryDirectory() as folder:
        first, second = (Path(folder, name) for name in ("first.npz", "second.npz"))
        answers.write(first, study)
        answers.write(second, turned)
        assert first.read_bytes() == second.read_bytes()
        found = answers.read(first)
    assert items(found.labels) == items(study.labels)
    assert items(found.answers) == items(study.answers)
    for network, predicted in study.answers.items():
        right = found.correct(*network)
        assert right.dtype == bool
        assert right.tolist() == [
            one == other for one, other in zip(predicted, study.labels[network[0]], strict=True)
        ]


def test_a_network_without_answers_has_no_array():
    assert SOME.correct("digits", "resnet18", "none", "single").tolist() == [True] * 3 + [False]
    assert SOME.correct("digits", "resnet18", "weight_pruning", "0.9") is None
    assert SOME.correct("photos", "resnet18", "none", "single") is None


@pytest.mark.parametrize("predicted", [classes(1, 2), classes(), np.zeros((4, 1), np.uint16)])
def test_each_image_has_one_answer(predicted):
    with pytest.raises(
        StudyError, match=r"digits/vgg16/none/single has answers of .* 4 test images"
    ):
        Answers(SOME.labels, {("digits", "vgg16", "none", "single"): predicted})
    with pytest.raises(StudyError, match="its data set has no test images"):
        Answers({}, {("digits", "vgg16", "none", "single"): predicted})


@pytest.mark.parametrize(
    "arrays",
    [
        {"digits": np.zeros(4, np.int64)},
        {"digits": np.zeros((4, 2), np.uint16)},
        {"digits/vgg16": classes(1)},
    ],
    ids=["dtype", "shape", "key"],
)
def test_arrays_of_another_form_are_named(tmp_path, arrays):
    np.savez(tmp_path / "answers.npz", **arrays)
    with pytest.raises(StudyError, match=re.escape(f"{next(iter(arrays))} in the answers")):
        answers.read(tmp_path / "answers.npz")


@pytest.mark.parametrize("share", [0.0, 0.4, 0.9])
def test_a_truncated_file_is_one_line(tmp_path, share):
    file = tmp_path / "answers.npz"
    answers.write(file, SOME)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(StudyError, match="missing or damaged"):
        answers.read(file)
    with pytest.raises(StudyError, match="missing or damaged"):
        answers.read(tmp_path / "none.npz")


@pytest.fixture
def dataset(tmp_path):
    """A prepared data set of four test images of the classes 0 to 3."""
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    split = datasets.Split(images, np.arange(4))
    file = tmp_path / "digits.npz"
    datasets.save(datasets.assemble(split, split, split, tuple("abcd")), file)
    return {"digits": str(file)}


def network(file, level="0.8"):
    names = {"dataset": "digits", "model": "resnet18", "compression": "weight_pruning"}
    return {**names, "level": level, "file": str(file)}


def test_levels_that_were_not_made_are_absent(tmp_path, dataset):
    np.save(tmp_path / "0.8.npy", classes(0, 1, 1, 1))
    np.save(tmp_path / "0.9.npy", classes())
    files = [network(tmp_path / f"{level}.npy", level) for level in ("0.8", "0.9")]
    found = answers.collect(dataset, files)
    assert items(found.labels) == {"digits": [0, 1, 2, 3]}
    assert list(found.answers) == [("digits", "resnet18", "weight_pruning", "0.8")]
    assert found.correct(*next(iter(found.answers))).tolist() == [True, True, False, False]


@pytest.mark.parametrize("content", [None, b"", b"no array"])
def test_a_damaged_file_of_a_network_is_named(tmp_path, dataset, content):
    file = tmp_path / "0.8.npy"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StudyError, match=r"0\.8\.npy are missing or damaged"):
        answers.collect(dataset, [network(file)])


@pytest.mark.parametrize("images", [1, 8, 13])
def test_a_bit_for_each_image_says_whether_it_is_right(images):
    labels = np.arange(images, dtype=np.uint16)
    found = {
        ("digits", "resnet18", "none", "single"): labels,
        ("digits", "resnet18", "weight_pruning", "0.8"): np.where(labels % 3, labels, 99),
    }
    before = answers.Answers({"digits": labels}, {k: v.astype(np.uint16) for k, v in found.items()})
    table = answers.correct_table(before)
    assert list(table.columns) == answers.CORRECT_COLUMNS
    assert set(table["correct"].str.len()) == {2 * -(-images // 8)}
    after = answers.from_correct_table(table)
    for key in found:
        assert after.correct(*key).tolist() == before.correct(*key).tolist()
    assert after.correct("digits", "resnet18", "weight_pruning", "0.9") is None
