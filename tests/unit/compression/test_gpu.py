"""What the techniques make is evaluated on a GPU as on a CPU, and fine-tuned there."""

import copy

import numpy as np
import pytest
import torch

from dlas import compression
from dlas.models import accuracy, devices
from dlas.models.training import Recipe
from tests.unit.compression import small

pytestmark = pytest.mark.skipif(not torch.cuda.device_count(), reason="a CUDA GPU is needed")


@pytest.mark.parametrize("technique", ["none", "float16", "int8"])
def test_a_compressed_network_gives_the_same_on_a_gpu(technique):
    settings = {"calibration_images": 16, "observer": "minmax", "epochs": 0}
    model = small.network().eval()
    model = compression.load(technique).compress(model, None, small.task(settings, model))
    images = np.random.default_rng(0).standard_normal((40, 3, 8, 8), dtype=np.float32)
    expected = accuracy.logits(model, images)
    on_gpu = accuracy.logits(copy.deepcopy(model).to("cuda"), images)
    tolerance = {"none": 1e-5, "float16": 1e-2, "int8": 1e-2}[technique]
    assert np.abs(on_gpu - expected).max() < tolerance * np.abs(expected).max()


@pytest.mark.parametrize("technique", ["weight_pruning", "channel_pruning"])
def test_a_level_is_fine_tuned_on_a_gpu(technique):
    settings = {"scope": "uniform", "channel_multiple": 4, "exclude": [], "score": "lamp"}
    model = small.network(middle=32)
    recipe = Recipe("sgd", 0.02, 5e-4, epochs=2, batch_size=8, device="cuda")
    task = small.task(settings, model, recipe)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for level in (0.3, 0.6):
        model = compression.load(technique).compress(model, level, task)
    assert devices.of(model) == torch.device("cpu")
    state = model.state_dict()
    assert any(not torch.equal(state[name], tensor) for name, tensor in before.items())
    if technique == "weight_pruning":
        layers = [layer for layer in model if hasattr(layer, "weight") and layer.weight.ndim > 1]
        total = sum(layer.weight.numel() for layer in layers)
        assert sum(int((layer.weight == 0).sum()) for layer in layers) == round(0.6 * total)
