"""A technique: its networks survive their checkpoints, and are as its description says."""

import numpy as np
import pytest
import torch

from dlas import compression, registry
from dlas.errors import UnsupportedError
from dlas.models import accuracy, checkpoint
from tests.unit.compression import small

KIND = "compression"


@pytest.fixture
def ladder(name, settings_of, tmp_path):
    """Compress a small network; return its levels' checkpoints and their networks' logits."""
    section = settings_of(name, "compression", "techniques")
    required = {key for key, one in registry.describe(KIND, name).settings.items() if one.required}
    if missing := sorted(required - section.keys()):
        pytest.skip(
            f"no config gives its settings {', '.join(missing)}; make check-plugin CONFIG=..."
        )
    settings = {key: value for key, value in section.items() if key != "levels"}
    model, images = small.network(middle=32), image_batch()
    task = small.task(settings, model)
    found = []
    for level in section.get("levels", [None]):
        try:
            model = compression.load(name).compress(model, level, task)
        except UnsupportedError:
            # The small network cannot be compressed that far.
            break
        path = tmp_path / f"{level}.safetensors"
        checkpoint.save(model, path)
        found.append((path, accuracy.logits(model, images)))
        model = compression.restore([name], small.network(1, middle=32), path)
    assert found
    return found


def image_batch():
    return np.random.default_rng(0).standard_normal((4, 3, 8, 8), dtype=np.float32)


def test_levels_follow_each_other_through_checkpoints(name, ladder):
    for path, logits in ladder:
        restored = compression.restore([name], small.network(1, middle=32), path)
        assert not restored.training
        assert np.isfinite(logits).all() and logits.dtype == np.float32
        assert np.array_equal(accuracy.logits(restored, image_batch()), logits)


def test_it_computes_in_the_type_of_its_description(name, ladder):
    """Integer networks keep scales beside their weights, so weights alone are asked."""
    expected = getattr(torch, registry.describe(KIND, name).dtype)
    for path, _ in ladder:
        weights = {tensor.dtype for tensor in checkpoint.read(path).values() if tensor.ndim == 4}
        assert weights == {expected}


def test_it_makes_weights_zero_if_its_description_says_so(name, ladder):
    zeros = [
        sum(
            int((tensor == 0).sum())
            for tensor in checkpoint.read(path).values()
            if tensor.ndim == 4
        )
        for path, _ in ladder
    ]
    if registry.describe(KIND, name).sparse:
        assert zeros[0] > 0 and zeros == sorted(zeros)
