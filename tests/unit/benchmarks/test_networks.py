"""The benchmark of whole networks: pruning, the forms of a case, rows and summary."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from benchmarks import network_contenders, networks
from benchmarks.network_contenders import (
    CASES,
    COLUMNS,
    FORMS,
    SPARSITY,
    Case,
    Contender,
    Workload,
    enlivened,
    measure,
    own_networks,
    pruned,
    workload,
)
from benchmarks.network_peers import peers
from benchmarks.network_ratios import draw, summary, with_ratios
from benchmarks.random_images import random_images
from dlas import datasets, models, primitives, registry
from dlas.errors import FailedError
from dlas.models import accuracy

SMALL = [case for case in CASES if case.name in ("resnet18_32", "mobilenet_v2_32")]


@pytest.fixture(scope="module", params=SMALL, ids=lambda case: case.name)
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


def narrow(case: Case) -> Workload:
    """A network of an eighth of the width, as the benchmark takes it."""
    torch.manual_seed(0)
    model = enlivened(models.build(case.model, case.classes, 0.125, case.stem)).eval()
    dataset = random_images(network_contenders.IMAGES, case.size, case.classes)
    images = datasets.normalize(dataset.train.images, dataset.mean, dataset.std)
    return Workload(case, model, dataset, images)


@pytest.mark.parametrize("forms", [FORMS, ("float32",)], ids=["all forms", "searched"])
def test_every_primitive_takes_part_in_each_form_and_is_right(forms, tmp_path, monkeypatch):
    monkeypatch.setattr(network_contenders, "RECORDS", tmp_path)
    trials = None if len(forms) > 1 else {"layer": 2, "network": 4}
    work = narrow(Case("resnet18", 32, "small_input", 10, forms))
    found = {}
    for one in own_networks(work, trials):
        assert one.runtime == "dlas" and one.sparsity == (SPARSITY if one.format == "csr" else 0)
        assert (one.sample is None) == (one.status != "ok")
        form = "csr" if one.format == "csr" else one.dtype
        found.setdefault((form, one.primitive, one.status.partition(":")[0]), []).append(one.tuning)
    if trials:
        (fastest,) = [key for key, tunings in found.items() if len(tunings) > 1]
        assert found[fastest].pop() == "autotuned"
    for form in forms:
        for name in primitives.names():
            declined = name == "winograd" and form in ("int8", "csr")
            if declined:
                assert found[form, name, "unsupported"] == ["untuned"]
            else:
                assert found[form, name, "ok"] == ["untuned"]
    assert len(found) == len(forms) * len(primitives.names())
    assert bool(list(tmp_path.glob("*/*/records.jsonl"))) is bool(trials)


def test_every_peer_takes_part_or_says_why_not():
    work = narrow(Case("resnet18", 32, "small_input", 10, ("float32", "int8")))
    with peers(work) as found:
        dtypes = {}
        for one in found:
            assert (one.sample is None) == (one.status != "ok")
            if one.sample is None:
                assert "not installed" in one.status or "No module named" in one.status
            else:
                assert 1e-6 < one.sample(3) < 1
            dtypes.setdefault(one.dtype, []).append(one.runtime)
    assert sorted(dtypes["float32"]) == sorted(registry.names("runtime"))
    assert sorted(dtypes["int8"]) == ["onnxruntime", "openvino"]


def fake(runtime: str, dtype: str, seconds: float, primitive: str = "") -> Contender:
    return Contender(runtime, primitive, "dense", dtype, 0.0, "", lambda number: seconds)


def test_a_row_is_compared_with_the_fastest_peer_of_its_numbers():
    contenders = [
        fake("pytorch", "float32", 4e-3),
        fake("onnxruntime", "float32", 2e-3),
        fake("dlas", "float32", 1e-3, "direct"),
        fake("dlas", "int8", 1e-3, "direct"),
        Contender("ncnn", "", "dense", "float32", 0.0, "", None, "unsupported: not installed"),
    ]
    table = with_ratios(*measure("any_32", contenders, range(3), seconds=1e-2))
    assert list(table) == [*COLUMNS, "best_peer", "ratio_to_best_peer"]
    assert table["latency_ms"].tolist()[:4] == [4, 2, 1, 1] and np.isnan(table["latency_ms"][4])
    assert table["ratio_to_best_peer"].tolist()[:3] == [2, 1, 0.5]
    assert table["best_peer"].tolist() == ["onnxruntime"] * 3 + ["", "onnxruntime"]
    assert table["ratio_to_best_peer"][3:].isna().all()
    contenders[-1] = fake("openvino", "int8", 5e-4)
    table = with_ratios(*measure("any_32", contenders, range(3), seconds=1e-2))
    assert table["ratio_to_best_peer"].tolist() == [2, 1, 0.5, 2, 1]
    assert table["best_peer"].tolist() == ["onnxruntime"] * 3 + ["openvino"] * 2


def test_a_contender_that_fails_has_its_reason_and_the_others_go_on():
    calls = iter(range(100))

    def failing(number: int) -> float:
        if next(calls) > 4:
            raise FailedError("the peer ncnn: no answer within 2 s")
        return 1e-3

    contenders = [
        fake("pytorch", "float32", 2e-3),
        Contender("ncnn", "", "dense", "float32", 0.0, "", failing),
    ]
    table = with_ratios(*measure("any_32", contenders, range(9), seconds=1e-2))
    assert table["status"].tolist() == ["ok", "failed: the peer ncnn: no answer within 2 s"]
    assert table["ratio_to_best_peer"][0] == 1 and table.iloc[1, -1:].isna().all()


def rows_of(network: str, ratios: dict) -> list[dict]:
    return [
        {
            "network": network,
            "runtime": "dlas",
            "primitive": primitive,
            "format": weight_format,
            "dtype": dtype,
            "sparsity": sparsity,
            "tuning": "untuned",
            "status": "ok",
            "latency_ms": 10 * ratio * slower,
            "best_peer": "openvino",
            "ratio_to_best_peer": 2 * ratio * slower,
        }
        for (weight_format, dtype, sparsity), ratio in ratios.items()
        for primitive, slower in (("direct", 1.5), ("gemm", 1.0))
    ]


def test_the_summary_and_the_figure_show_the_fastest_primitive_of_each_form(tmp_path):
    forms = {
        ("dense", "float32", 0.0): 0.5,
        ("dense", "float16", 0.0): 0.3,
        ("dense", "int8", 0.0): 0.1,
        ("csr", "float32", SPARSITY): 0.2,
    }
    rows = rows_of("a_32", forms) + rows_of("b_224", dict(list(forms.items())[:1]))
    assert "autotuned" not in summary(pd.DataFrame(rows))
    rows.append(rows[1] | {"tuning": "best_of", "latency_ms": 4.0, "ratio_to_best_peer": 0.8})
    declined = {"primitive": "winograd", "status": "unsupported: no layer", "latency_ms": np.nan}
    rows.append(rows[0] | declined)
    said = summary(pd.DataFrame(rows))
    for line in (
        "dense float32 (gemm, best_of): 0.800 of the fastest untuned dense float32, 0.800 of "
        "openvino",
        "dense float32 (gemm, untuned): 1.000 of the fastest untuned dense float32, 1.000 of "
        "openvino",
        "csr float32 at 90 % zeros (gemm, untuned): 0.400 of the fastest untuned dense float32, "
        "0.400",
        "dense float16 (gemm, untuned): 0.600 of the fastest untuned dense float32",
        "dense int8 (gemm, untuned): 0.200 of the fastest untuned dense float32, 0.200 of openvino",
        "dlas winograd, dense float32: unsupported: no layer",
    ):
        assert line in said
    assert said.count("b_224") == said.count("a_32") == 1
    assert len(said.splitlines()) == 1 + 2 + 6 + 2 + 1
    draw(pd.DataFrame(rows), tmp_path / "networks.png")
    assert (tmp_path / "networks.png").stat().st_size > 10_000


def test_a_run_that_was_killed_goes_on_with_the_networks_that_are_left(
    tmp_path, monkeypatch, capsys
):
    done = []

    def measured(case: Case, arguments: object) -> pd.DataFrame:
        done.append(case.name)
        if len(done) == 2:
            raise KeyboardInterrupt
        return pd.DataFrame(rows_of(case.name, {("dense", "float32", 0.0): 0.5}))

    monkeypatch.setattr(networks, "measured", measured)
    monkeypatch.setattr(networks, "RECORDS", tmp_path)
    command = ["networks", "--networks", "mobilenet_v2", "--results", str(tmp_path)]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(KeyboardInterrupt):
        networks.main()
    assert "2 networks: about" in capsys.readouterr().out
    networks.main()
    assert "1 networks: about" in capsys.readouterr().out
    assert done == ["mobilenet_v2_32", "mobilenet_v2_224", "mobilenet_v2_224"]
    table = networks.read(tmp_path / "networks.csv")
    assert list(table["network"].unique()) == ["mobilenet_v2_32", "mobilenet_v2_224"]
    assert not list(tmp_path.glob("networks/*/*.csv"))


def test_networks_that_were_not_measured_keep_their_rows(tmp_path):
    def table(latency, *names):
        rows = [rows_of(name, {("dense", "float32", 0.0): latency}) for name in names]
        return pd.DataFrame([row for some in rows for row in some])

    file = tmp_path / "networks.csv"
    first = networks.updated(file, table(0.5, "vgg16_32", "resnet50_224"))
    first.to_csv(file, index=False)
    found = networks.updated(file, table(0.25, "resnet18_32", "resnet50_224"))
    own = found[found["runtime"] == "dlas"].groupby("network", sort=False)["latency_ms"].min()
    assert dict(own) == {"resnet18_32": 2.5, "vgg16_32": 5.0, "resnet50_224": 2.5}
    assert list(own.index) == ["resnet18_32", "vgg16_32", "resnet50_224"]
    assert len(found) == 3 * len(table(1, "vgg16_32"))


def test_a_name_that_no_network_has_is_told(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["networks", "--networks", "alexnet"])
    with pytest.raises(SystemExit):
        networks.main()
    assert "no network has 'alexnet' in its name; there are resnet18_32" in capsys.readouterr().err
