"""The form that all data sets share: splits, statistics, the file and what a bad one answers."""

import multiprocessing
import os
import signal
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dlas import datasets
from dlas.datasets import Split, npz
from dlas.errors import StudyError
from dlas.files import remove_stale

FRACTIONS = {"validation_fraction": 0.2, "test_fraction": 0.3}


def images_with_their_number(count: int, classes: int) -> Split:
    """Images whose every pixel holds the image's number, so that each can be found again."""
    images = (
        np.zeros((count, 4, 4, 3), np.uint8) + np.arange(count, dtype=np.uint8)[:, None, None, None]
    )
    return Split(images, np.arange(count) % classes)


@pytest.fixture
def dataset():
    everything = images_with_their_number(200, 4)
    return datasets.split(
        everything.images, everything.labels, ("a", "b", "c", "d"), FRACTIONS, seed=3
    )


def numbers(split: Split) -> list[int]:
    return split.images[:, 0, 0, 0].tolist()


def test_splits_hold_every_image_once_and_each_class_in_its_share(dataset):
    parts = [dataset.train, dataset.validation, dataset.test]
    assert sorted(number for part in parts for number in numbers(part)) == list(range(200))
    for part, share in zip(parts, (0.5, 0.2, 0.3), strict=True):
        assert np.bincount(part.labels).tolist() == [50 * share] * 4
        assert part.labels.tolist() == [number % 4 for number in numbers(part)]


def test_splits_are_fixed_by_the_seed():
    everything = images_with_their_number(200, 4)

    def test_numbers(seed):
        names = ("a", "b", "c", "d")
        return numbers(
            datasets.split(everything.images, everything.labels, names, FRACTIONS, seed).test
        )

    assert test_numbers(1) == test_numbers(1) != test_numbers(2)


@pytest.mark.parametrize(("validation", "test"), [(0, 0.2), (0.2, 0), (0.5, 0.5), (-0.1, 0.2)])
def test_fractions_that_leave_a_split_empty_are_refused(validation, test):
    everything = images_with_their_number(200, 4)
    settings = {"validation_fraction": validation, "test_fraction": test}
    with pytest.raises(StudyError, match="validation_fraction"):
        datasets.split(everything.images, everything.labels, ("a",) * 4, settings, seed=0)


@given(
    count=st.integers(4, 60),
    validation=st.floats(0, 1, exclude_min=True, exclude_max=True),
    test=st.floats(0, 1, exclude_min=True, exclude_max=True),
)
def test_any_fractions_give_splits_or_one_line(count, validation, test):
    everything = images_with_their_number(count, 4)
    settings = {"validation_fraction": validation, "test_fraction": test}
    try:
        found = datasets.split(everything.images, everything.labels, tuple("abcd"), settings, 0)
    except StudyError as error:
        assert "_fraction" in str(error) and "\n" not in str(error)
    else:
        assert all(len(getattr(found, name).labels) >= 4 for name in datasets.SPLITS)


def test_a_class_of_one_image_cannot_be_in_two_splits():
    images = images_with_their_number(9, 2)
    images.labels[:] = [2] + [0, 1] * 4
    with pytest.raises(StudyError, match=r"^split: 4 of 9 images cannot be held out; .* 3 classes"):
        datasets.hold_out(images, 4, 0)


@given(value=st.integers(0, 255), channel=st.integers(0, 2), count=st.integers(1, 50))
def test_images_that_are_all_the_same_are_refused(value, channel, count):
    images = np.arange(count * 3, dtype=np.uint8).reshape(count, 1, 1, 3).repeat(2, axis=1)
    images[:, 1] += 1
    images[..., channel] = value
    split = Split(images, np.zeros(count, np.int64))
    colour = ("red", "green", "blue")[channel]
    with pytest.raises(StudyError, match=f"^{colour} has the std 0.0; allowed: above 0"):
        datasets.assemble(split, split, split, ("a",))


@pytest.mark.parametrize("label", [-1, 4])
@pytest.mark.parametrize("name", datasets.SPLITS)
def test_a_label_that_is_no_class_is_refused(name, label):
    splits = {each: images_with_their_number(8, 4) for each in datasets.SPLITS}
    splits[name].labels[3] = label
    with pytest.raises(StudyError, match=f"^a label in the {name} split is {label}; .* 0 to 3, "):
        datasets.assemble(*splits.values(), ("a", "b", "c", "d"))


@pytest.mark.parametrize("name", ["mean", "std"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_colours_that_are_no_numbers_are_refused(dataset, tmp_path, name, value):
    values = np.array([0.5, value, 0.5], np.float32)
    with pytest.raises(StudyError, match=r"^green has the mean .* allowed: finite numbers$"):
        replace(dataset, **{name: values})
    with_array(dataset, tmp_path / "set.npz", name, values)
    assert "green has the mean" in error_of_loading(tmp_path / "set.npz")


def test_statistics_are_those_of_the_training_images_alone(dataset):
    values = dataset.train.images / 255
    assert dataset.mean == pytest.approx(values.mean(axis=(0, 1, 2)), rel=1e-6)
    assert dataset.std == pytest.approx(values.std(axis=(0, 1, 2)), rel=1e-6)
    everything = np.concatenate([dataset.train.images, dataset.test.images]) / 255
    assert dataset.mean != pytest.approx(everything.mean(axis=(0, 1, 2)), rel=1e-6)


@given(
    images=arrays.arrays(np.uint8, (2, 3, 5, 3)),
    mean=st.tuples(*[st.floats(0, 1, width=32)] * 3),
    std=st.tuples(*[st.floats(0.0625, 1, width=32)] * 3),
)
def test_normalize_is_the_textbook_formula_channel_by_channel(images, mean, std):
    normalized = datasets.normalize(images, np.float32(mean), np.float32(std))
    assert normalized.dtype == np.float32 and normalized.shape == (2, 3, 3, 5)
    assert normalized.flags["C_CONTIGUOUS"]
    for channel in range(3):
        expected = (images[..., channel] / 255 - mean[channel]) / std[channel]
        assert normalized[:, channel] == pytest.approx(expected, abs=1e-5)


def test_images_that_are_normalized_when_they_are_read_are_the_same(dataset):
    at_once = datasets.normalize(dataset.test.images, dataset.mean, dataset.std)
    lazily = datasets.normalized(dataset.test, dataset)
    assert len(lazily) == len(at_once)
    assert (lazily[3:7] == at_once[3:7]).all() and len(
        lazily[len(lazily) - 1 : len(lazily) + 9]
    ) == 1
    assert (np.stack(list(lazily)) == at_once).all()


def test_top1_is_the_percentage_of_rows_whose_largest_entry_is_the_label():
    logits = np.array([[1, 2, 0], [5, 4, 3], [0, 0, 1], [9, 1, 1]], np.float32)
    assert datasets.top1(logits, np.array([1, 0, 2, 2])) == 75.0


def test_a_saved_data_set_is_read_as_it_was(dataset, tmp_path):
    path = tmp_path / "some" / "set.npz"
    datasets.save(dataset, path)
    read = datasets.load(path)
    for name in datasets.SPLITS:
        for field in ("images", "labels"):
            written, found = (getattr(getattr(source, name), field) for source in (dataset, read))
            assert found.dtype == written.dtype
            np.testing.assert_array_equal(found, written)
    assert read.class_names == dataset.class_names
    np.testing.assert_array_equal(read.mean, dataset.mean)
    np.testing.assert_array_equal(read.std, dataset.std)


def test_the_same_data_set_gives_the_same_bytes(dataset, tmp_path):
    for name in ("one.npz", "two.npz"):
        datasets.save(dataset, tmp_path / name)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


class Rows:
    """Images that are made when they are iterated, as those of a large data set."""

    dtype = np.dtype(np.uint8)

    def __init__(self, images, shape=None, kill=False):
        self.images, self.shape, self.kill = images, shape or images.shape, kill

    def __iter__(self):
        yield from self.images
        if self.kill:
            os.kill(os.getpid(), signal.SIGKILL)


def with_rows(dataset, **changes):
    rows = Rows(dataset.train.images, **changes)
    return replace(dataset, train=Split(rows, dataset.train.labels))


def test_images_that_come_one_after_the_other_give_the_same_bytes(dataset, tmp_path):
    datasets.save(dataset, tmp_path / "one.npz")
    datasets.save(with_rows(dataset), tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with np.load(tmp_path / "two.npz") as read:  # by numpy, with its checksums
        assert (read["train_images"] == dataset.train.images).all()


def test_a_process_that_is_killed_while_it_writes_leaves_nothing_that_is_taken_for_whole(
    dataset, tmp_path
):
    path = tmp_path / "set.npz"
    arguments = with_rows(dataset, kill=True), path
    process = multiprocessing.get_context("fork").Process(target=datasets.save, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    (torn,) = tmp_path.iterdir()
    assert torn != path
    remove_stale(path)  # as each job does that starts anew
    assert [*tmp_path.iterdir()] == []


def test_a_data_set_that_is_larger_than_the_disk_is_refused_before_it_is_made(dataset, tmp_path):
    wanted = with_rows(dataset, shape=(10**14, 4, 4, 3), kill=True)
    with pytest.raises(StudyError, match=r"set.npz cannot be written: it takes 4800000.0 GB, and"):
        datasets.save(wanted, tmp_path / "set.npz")
    assert [*tmp_path.iterdir()] == []


def test_images_stay_on_disk_and_what_is_written_to_them_does_not_get_there(dataset, tmp_path):
    path = tmp_path / "set.npz"
    datasets.save(dataset, path)
    before = path.read_bytes()
    read = datasets.load(path)
    assert not read.train.images.flags.owndata
    with warnings.catch_warnings(action="error"):
        torch.from_numpy(read.train.images).zero_()
    assert not read.train.images.any() and path.read_bytes() == before
    assert datasets.load(path).train.images.any()


def test_a_file_that_is_larger_than_the_memory_is_mapped(tmp_path):
    path = tmp_path / "sparse"
    path.touch()
    os.truncate(path, 2**42)
    with open(path, "rb") as file:
        content = npz.content(file)
    assert len(content) == 2**42 and content[2**41] == 0
    assert np.frombuffer(content, np.uint8)[2**41 : 2**41 + 4].sum() == 0


def test_a_compressed_file_is_not_one_of_ours(dataset, tmp_path):
    path = tmp_path / "set.npz"
    datasets.save(dataset, path)
    with np.load(path) as file:
        np.savez_compressed(path, **file)
    assert "train_images.npy is compressed" in error_of_loading(path)


def test_objects_are_not_images(dataset, tmp_path):
    path = tmp_path / "set.npz"
    datasets.save(dataset, path)
    with np.load(path) as file:
        content = {key: file[key] for key in file.files}
    np.savez(path, **content | {"test_images": np.array([{}])})
    assert "test_images.npy holds objects" in error_of_loading(path)


def error_of_loading(path) -> str:
    with pytest.raises(StudyError) as caught:
        datasets.load(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def test_a_missing_file_is_named(tmp_path):
    assert "does not exist" in error_of_loading(tmp_path / "none.npz")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_named(dataset, tmp_path, share):
    path = tmp_path / "set.npz"
    datasets.save(dataset, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "truncated" in error_of_loading(path)


def test_a_single_array_is_not_a_data_set(tmp_path):
    path = tmp_path / "set.npz"
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    assert "not an .npz file" in error_of_loading(path)


def with_array(dataset, path, name, array):
    datasets.save(dataset, path)
    with np.load(path) as file:
        content = {key: file[key] for key in file.files}
    if array is None:
        del content[name]
    else:
        content[name] = array
    np.savez(path, **content)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("test_images", np.zeros((60, 4, 4), np.uint8)),
        ("test_images", np.zeros((60, 4, 4, 1), np.uint8)),
        ("test_images", np.zeros((60, 4, 5, 3), np.uint8)),
        ("test_images", np.zeros((0, 4, 4, 3), np.uint8)),
        ("test_images", np.zeros((60, 4, 4, 3), np.float32)),
        ("test_images", np.uint8(1)),
        ("train_images", np.uint8(1)),
        ("test_labels", np.zeros(59, np.int64)),
        ("test_labels", np.zeros(60, np.int32)),
        ("test_labels", np.full(60, 4)),
        ("test_labels", np.full(60, -1)),
        ("mean", np.zeros(1, np.float32)),
        ("std", np.zeros(3)),
    ],
)
def test_an_array_of_a_wrong_shape_or_type_is_named(dataset, tmp_path, name, array):
    path = tmp_path / "set.npz"
    with_array(dataset, path, name, array)
    message = error_of_loading(path)
    assert message.startswith(name) and "allowed:" in message


def test_a_missing_array_is_named(dataset, tmp_path):
    path = tmp_path / "set.npz"
    with_array(dataset, path, "validation_labels", None)
    assert "lacks validation_labels" in error_of_loading(path)


def test_an_unknown_name_is_answered_with_the_allowed_ones():
    with pytest.raises(
        StudyError, match="'mnist'; allowed: cifar10, digits, digits_8x8, imagenet, photos"
    ):
        datasets.prepare("mnist", {}, 0)
