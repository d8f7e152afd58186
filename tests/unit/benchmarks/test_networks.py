"""The benchmark of whole networks: what is pruned, which forms take part, what a row says, and the summary."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from benchmarks import network_contenders
from benchmarks.network_contenders import (
    CASES,
    COLUMNS,
    PEERS,
    SPARSITY,
    Case,
    Contender,
    Workload,
    enlivened,
    measure,
    own_networks,
    pruned,
    pytorch,
    workload,
)
from benchmarks.network_ratios import summary
from benchmarks.random_images import random_images
from dlas import datasets, models, primitives
from dlas.models import accuracy


@pytest.fixture(scope="module", params=CASES[:2], ids=lambda case: case.name)
def work(request):
    return workload(request.param)


def test_exactly_the_share_of_the_weights_is_zero_and_the_other_layers_are_whole(work):
    before = dict(work.model.named_modules())
    zeros = total = 0
    untouched = []
    for name, layer in pruned(work, SPARSITY).named_modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        if isinstance(layer, nn.Linear) or layer.in_channels == 3 or layer.groups > 1:
            torch.testing.assert_close(layer.weight, before[name].weight, rtol=0, atol=0)
            untouched.append(name)
            continue
        share = float((layer.weight == 0).float().mean())
        assert share == pytest.approx(SPARSITY, abs=0.03)  # random, in every layer alike
        zeros += int((layer.weight == 0).sum())
        total += layer.weight.numel()
    assert zeros == round(SPARSITY * total)
    assert len(untouched) == {"resnet18": 2, "mobilenet_v2": 19}[work.case.model]
    assert all((layer.weight != 0).all() for layer in before.values() if type(layer) is nn.Conv2d)


def test_a_network_and_its_zeros_are_always_the_same(work):
    again = workload(work.case)
    np.testing.assert_array_equal(work.images, again.images)
    image = work.image
    logits = accuracy.logits(pruned(work, SPARSITY), image)
    np.testing.assert_array_equal(logits, accuracy.logits(pruned(again, SPARSITY), image))
    assert np.abs(accuracy.logits(work.model, image)).max() > 0.01  # an error would be seen


@pytest.mark.parametrize("compressed", [True, False])
def test_every_primitive_takes_part_in_each_form_and_is_right(compressed, tmp_path, monkeypatch):
    monkeypatch.setattr(network_contenders, "RECORDS", tmp_path)
    trials = None if compressed else {"layer": 2, "network": 4}
    case = Case("resnet18", 32, "small_input", 10, compressed)
    torch.manual_seed(0)
    model = enlivened(models.build(case.model, case.classes, 0.125, case.stem)).eval()
    dataset = random_images(network_contenders.IMAGES, case.size, case.classes)
    images = datasets.normalize(dataset.train.images, dataset.mean, dataset.std)
    work = Workload(case, model, dataset, images)
    found = [
        (one.dtype, one.format, one.sparsity, one.primitive, one.runtime, one.tuning)
        for one in own_networks(work, trials)
    ]
    forms = [("float32", "dense", 0.0)]
    if compressed:
        forms += [("float16", "dense", 0.0), ("int8", "dense", 0.0), ("float32", "csr", SPARSITY)]
    names = primitives.names()
    tunings = ["untuned"] if compressed else ["untuned", *network_contenders.WAYS]
    assert found == list(
        (*form, name, "dlas", tuning) for form in forms for name in names for tuning in tunings
    )
    assert bool(list(tmp_path.glob("*/*/records.jsonl"))) is not compressed
    assert pytorch(work).sample(1) > 0


def fake(runtime: str, dtype: str, seconds: float) -> Contender:
    return Contender(runtime, "", "dense", dtype, 0.0, "", lambda number: seconds)


def test_a_row_has_its_ratio_to_every_peer_that_took_part():
    contenders = [fake("pytorch", "float32", 4e-3), fake("onnxruntime", "float32", 2e-3)]
    table = measure("any_32", contenders, range(3), seconds=1e-2)
    assert list(table) == [*COLUMNS, *PEERS]
    assert table["latency_ms"].tolist() == [4, 2]
    assert table["ratio_to_pytorch"].tolist() == [1, 0.5]
    assert table["ratio_to_onnxruntime"].tolist() == [2, 1]
    assert table["ratio_to_onnxruntime_int8"].isna().all()
    contenders.append(fake("onnxruntime", "int8", 1e-3))
    table = measure("any_32", contenders, range(3), seconds=1e-2)
    assert table["ratio_to_onnxruntime_int8"].tolist() == [4, 2, 1]


def test_the_summary_compares_the_fastest_primitive_of_each_form():
    forms = {
        ("dense", "float32", 0.0): 0.5,
        ("dense", "float16", 0.0): 0.3,
        ("dense", "int8", 0.0): 0.1,
        ("csr", "float32", SPARSITY): 0.2,
    }
    rows = [
        {
            "network": network,
            "runtime": "dlas",
            "primitive": primitive,
            "format": format,
            "dtype": dtype,
            "sparsity": sparsity,
            "tuning": "untuned",
            "ratio_to_pytorch": ratio * slower,
            "ratio_to_onnxruntime": 2 * ratio * slower,
            "ratio_to_onnxruntime_int8": 8 * ratio * slower if network == "a_32" else np.nan,
        }
        for network in ("a_32", "b_224")
        for (format, dtype, sparsity), ratio in forms.items()
        if network == "a_32" or (format, dtype) == ("dense", "float32")
        for primitive, slower in (("direct", 1.5), ("gemm", 1.0))
    ]
    assert "autotuned" not in summary(pd.DataFrame(rows))
    tuned = {"tuning": "autotuned", "ratio_to_pytorch": 0.4, "ratio_to_onnxruntime": 0.8}
    rows.append(rows[1] | tuned)
    said = summary(pd.DataFrame(rows))
    line = "dense float32 (gemm, autotuned): 0.800 of the fastest untuned dense float32"
    assert f"{line}, 0.800 of ONNX Runtime float32" in said
    dense = "dense float32 (gemm, untuned): 1.000 of the fastest untuned dense float32"
    assert f"{dense}, 1.000 of ONNX Runtime float32" in said
    line = "csr float32 at 90 % zeros (gemm, untuned): 0.400 of the fastest untuned dense float32"
    assert f"{line}, 0.400 of ONNX Runtime float32" in said
    assert "dense float16 (gemm, untuned): 0.600 of the fastest untuned dense float32" in said
    line = "dense int8 (gemm, untuned): 0.200 of the fastest untuned dense float32"
    assert f"{line}, 0.800 of ONNX Runtime int8" in said
    assert said.count("b_224") == said.count("a_32") == 1
    assert len(said.splitlines()) == 1 + 2 + 5 + 2 + 1
