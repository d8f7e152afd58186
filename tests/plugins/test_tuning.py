"""A way to schedule computes the same; a search finds a schedule for each layer."""

import numpy as np
import pytest

from dlas import registry
from dlas.compiler.build import build_library
from dlas.compiler.schedulers import plugin
from dlas.compiler.tuning.settings import Settings
from dlas.hardware.devices import device_opener
from dlas.hardware.platforms import Platform, target
from tests.unit.compiler.imported import network_of

KIND = "tuning"
ONE = Platform("host", threads=1)
SETTINGS = Settings(
    "evolutionary",
    {"layer": 2, "network": 8},
    2,
    {"repeats": 2, "min_repeat_ms": 0.2, "timeout_s": 60},
    {"finalists": 1, "repeats": 5},
)


def found(name, network, folder):
    """What a way finds for a network, after the ways that it combines."""
    others = {
        way: found(way, network, folder / way).choices
        for way in registry.describe(KIND, name).combines
    }
    return plugin.load_searching(name).tune(
        network,
        "direct",
        "dense",
        target(ONE),
        SETTINGS,
        records=folder,
        seed=0,
        opener=device_opener(ONE),
        **({"others": others} if others else {}),
    )


def test_a_scheduled_network_computes_the_same(name):
    network, host = network_of(16, 16), target(ONE)
    images = np.random.default_rng(0).standard_normal((2, 3, 8, 8), "float32")
    default = build_library(network, "direct", "dense", host)
    scheduled = build_library(network, "direct", "dense", host, scheduler=plugin.load(name))
    np.testing.assert_allclose(scheduled.load().run(images), default.load().run(images), atol=1e-4)


def test_a_tuned_network_computes_the_same(name, tmp_path):
    if not registry.describe(KIND, name).searches:
        pytest.skip("it does not search")
    network, host = network_of(16, 16), target(ONE)
    outcome = found(name, network, tmp_path)
    assert outcome.choices
    assert (len(outcome.curve) > 0) == (not registry.describe(KIND, name).combines)
    images = np.random.default_rng(0).standard_normal((2, 3, 8, 8), "float32")
    default = build_library(network, "direct", "dense", host)
    tuned = build_library(
        network, "direct", "dense", host, outcome.choices, scheduler=plugin.load(name)
    )
    np.testing.assert_allclose(tuned.load().run(images), default.load().run(images), atol=1e-4)
