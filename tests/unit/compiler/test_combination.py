"""The best of several ways: for each layer the one that is fastest in the network."""

import numpy as np
import pytest

from dlas.compiler.build import build_library
from dlas.compiler.tuning import combination
from dlas.compiler.tuning.auto_scheduling import auto_schedule
from dlas.compiler.tuning.combination import combine
from dlas.compiler.tuning.measurement import CandidateError
from dlas.compiler.tuning.network import tune_network
from dlas.compiler.tuning.settings import Settings
from dlas.errors import UnsupportedError
from dlas.hardware.devices import device_opener
from dlas.hardware.platforms import Platform, target
from tests.unit.compiler.imported import network_of

ONE = Platform("host", threads=1)
HOST, HERE = target(ONE), device_opener(ONE)
SETTINGS = Settings(
    "evolutionary",
    {"layer": 2, "network": 100},
    4,
    {"repeats": 2, "min_repeat_ms": 0.2, "timeout_s": 60},
    {"finalists": 1, "repeats": 5},
)


@pytest.fixture(scope="module")
def network():
    return network_of(16, 16, 16)


@pytest.fixture(scope="module")
def others(network, tmp_path_factory):
    """What both searches found, with decisions for each layer whether or not they are faster."""
    found = {}
    for way, search in (("autotuned", tune_network), ("auto_scheduled", auto_schedule)):
        folder = tmp_path_factory.mktemp(way)
        arguments = (network, "direct", "dense", HOST, SETTINGS)
        found[way] = search(*arguments, records=folder, seed=0, opener=HERE).choices
    for choice in found["autotuned"].values():
        choice["decisions"] = {"unrolled": 1}
    return found


def combined(network, others, folder):
    arguments = (network, "direct", "dense", HOST, SETTINGS)
    return combine(*arguments, records=folder, seed=0, opener=HERE, others=others)


def timed(monkeypatch, ratios):
    """Set the ways' times in the network, relative to the default: a row per measurement."""
    left = iter(ratios)

    def measure(self, ways):
        assert all(
            build_library(self.library.args[0], "direct", "dense", HOST, way) for way in ways
        )
        row = np.array(next(left))
        assert len(row) == len(ways)
        rounds = np.ones((5, 1 + len(ways), len(self.labels)))
        rounds[:, 1:] = row[:, None]
        return rounds

    monkeypatch.setattr(combination.InNetwork, "__call__", measure)


@pytest.mark.parametrize(
    ("ratios", "way"),
    [
        ([[0.9, 0.8], [0.8]], "auto_scheduled"),
        ([[0.7, 0.8], [0.7]], "autotuned"),
        ([[1.1, 1.2], [1.1]], "untuned"),
        ([[0.9, 0.8], [1.1]], "untuned"),  # faster only by luck
    ],
)
def test_each_layer_has_the_way_that_is_fastest_in_the_network(
    network, others, tmp_path, monkeypatch, ratios, way
):
    timed(monkeypatch, ratios)
    outcome = combined(network, others, tmp_path)
    assert {choice["way"] for choice in outcome.choices.values()} == {way}
    assert {choice["ratio"] for choice in outcome.choices.values()} == {min(1, ratios[1][0])}
    assert outcome.curve == []
    library = build_library(network, "direct", "dense", HOST, outcome.choices)
    assert library.scheduled_layers == (0 if way == "untuned" else 4)


def test_one_library_is_made_of_several_ways(network, others, tmp_path):
    finalists = combination._by_layer(others)
    assert len(finalists) == 3
    mixed = {label: found[number % 2] for number, (label, found) in enumerate(finalists.items())}
    choices = combination._choices(finalists, mixed)
    assert {choice["way"] for choice in choices.values()} == {"autotuned", "auto_scheduled"}
    images = np.random.default_rng(0).standard_normal((2, 3, 8, 8), "float32")
    library = build_library(network, "direct", "dense", HOST, choices)
    assert library.scheduled_layers == 4
    expected = build_library(network, "direct", "dense", HOST).load().run(images)
    np.testing.assert_allclose(library.load().run(images), expected, atol=1e-4)


def test_what_was_measured_is_as_fast_as_it_says(network, others, tmp_path):
    outcome = combined(network, others, tmp_path)
    assert {choice["label"] for choice in outcome.choices.values()} == {
        choice["label"] for choice in others["autotuned"].values()
    }
    assert all(0 < choice["ratio"] <= 1 for choice in outcome.choices.values())


def test_a_wrong_network_leaves_all_layers_as_by_default(
    network, others, tmp_path, monkeypatch, caplog
):
    def wrong(self, ways):
        raise CandidateError("in the network its output is wrong by 1")

    monkeypatch.setattr(combination.InNetwork, "__call__", wrong)
    outcome = combined(network, others, tmp_path)
    assert "all layers stay as by default: in the network its output is wrong" in caplog.text
    assert {choice["way"] for choice in outcome.choices.values()} == {"untuned"}


def test_with_one_way_left_it_is_that_or_the_default(network, others, tmp_path):
    outcome = combined(network, {"autotuned": others["autotuned"]}, tmp_path)
    assert {choice["way"] for choice in outcome.choices.values()} <= {"autotuned", "untuned"}
    assert set(outcome.choices) == set(others["autotuned"])
    with pytest.raises(UnsupportedError, match="none of autotuned, auto_scheduled found schedules"):
        combined(network, {"autotuned": {}, "auto_scheduled": {}}, tmp_path)
