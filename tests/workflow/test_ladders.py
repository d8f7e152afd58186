"""A level that is not made is a row with its reason, and the study goes on."""

import json
import re

import pandas as pd

from dlas.analysis import answers

NETWORK = ("digits_8x8", "resnet18")
FOLDER = "results/compressed/digits_8x8/resnet18"
CURVES, ANSWERS = "results/accuracy_curves.csv", "results/answers.npz"


def ladder(study, compression):
    """Return the rows of a ladder of the network by level, without level 0."""
    table = pd.read_csv(study.folder / CURVES, keep_default_na=False)
    rows = table[(table.dataset == NETWORK[0]) & (table.compression == compression)]
    return {row.level: row for row in rows.itertuples() if float(row.level)}


def test_a_share_of_the_macs_that_cannot_be_removed_ends_its_ladder_alone(study):
    study.edit(
        "config/smoke.yaml",
        lambda text: text.replace("levels: [0.3]", "levels: [0.3, 0.9998, 0.9999]"),
    )
    before = study.artifacts()
    study.snakemake("--cores", "1", CURVES, ANSWERS)
    rows = ladder(study, "channel_pruning")
    assert (rows["0.3"].status, rows["0.3"].chosen) == ("ok", True)
    for level in ("0.9998", "0.9999"):
        said = rows[level].status
        assert said.startswith(
            "unsupported: channel pruning cannot remove a share 0.9998 of the MACs; allowed: up to "
        )
        assert "which leaves 1 channels in each layer and the most MACs in " in said
        assert rows[level].top1 == rows[level].macs == "" and not rows[level].chosen
    found = answers.read(study.folder / ANSWERS)
    assert {key[3] for key in found.answers if key[2] == "channel_pruning"} == {"0.3"}
    after = study.artifacts()
    changed = {name for name in before if after.get(name) != before[name]}
    chosen = ("chosen.safetensors", "curve.csv", "summary.json")
    assert {name for name in changed if "/channel_pruning/" in name and NETWORK[1] in name} == {
        f"{FOLDER}/channel_pruning/{name}" for name in chosen
    }
    assert {CURVES, ANSWERS} <= changed
    assert not [name for name in changed if "/weight_pruning/" in name or "/none/" in name]


def test_a_pipeline_starts_from_what_its_steps_share(study):
    study.edit(
        "config/smoke.yaml",
        lambda text: text.replace(
            "  models:\n    digits_8x8:",
            "  compression: [none, weight_pruning, channel_pruning, both, slim_pruned]\n"
            "  models:\n    digits_8x8:",
            1,
        ).replace(
            "  techniques:",
            "  pipelines: {both: [weight_pruning, {int8: {epochs: 1}}]}\n  techniques:",
        ),
    )
    before = study.artifacts()
    check = "results/checks/digits_8x8/resnet18/both/local_cpu.json"
    study.snakemake("--cores", "2", CURVES, check, f"{FOLDER}/slim_pruned/summary.json")
    after = study.artifacts()
    # Nothing is trained twice.
    assert not [
        name
        for name in before
        if after.get(name) != before[name]
        and re.search("results/models/|/(none|weight_pruning|channel_pruning)/.*safetensors", name)
    ]
    points = {
        level: json.loads((study.folder / FOLDER / f"both/{level}.json").read_text())
        for level in ("0", "0.5", "0.8")
    }
    nonzero = [point["nonzero_params"] for point in points.values()]
    assert nonzero == sorted(nonzero, reverse=True) and nonzero[2] < 0.3 * nonzero[0]
    assert {point["dtype"] for point in points.values()} == {"int8"}
    rows = ladder(study, "both")
    assert rows.keys() == {"0.5", "0.8"} and rows["0.8"].chosen
    slim = json.loads((study.folder / FOLDER / "slim_pruned/summary.json").read_text())
    channels = json.loads((study.folder / FOLDER / "channel_pruning/summary.json").read_text())
    assert slim["level"] == 0.8 and slim["macs"] == channels["macs"]
    assert slim["nonzero_params"] < 0.3 * channels["nonzero_params"]
    found = json.loads((study.folder / check).read_text())
    assert {name: one["status"] for name, one in found.items()} == {
        f"{primitive}-{format_}/untuned": "ok"
        for primitive in ("direct", "gemm", "spatial_pack")
        for format_ in ("dense", "csr")
    }


def test_levels_after_one_that_lost_too_much_are_not_made(study):
    file = study.folder / FOLDER / "none/single.json"
    baseline = json.loads(file.read_text()) | {"validation_top1": 100}
    file.write_text(json.dumps(baseline))
    study.edit("config/smoke.yaml", lambda text: text.replace("give_up: 100", "give_up: 5"))
    study.edit("config/smoke.yaml", lambda text: text.replace("[0.5, 0.8]", "[0.5, 0.8, 0.9]"))
    folder = study.folder / FOLDER / "weight_pruning"
    first = (folder / "0.5.json").read_text()
    study.snakemake("--cores", "1", f"{FOLDER}/weight_pruning/summary.json", ANSWERS)
    assert (folder / "0.5.json").read_text() == first
    lost = 100 - json.loads(first)["validation_top1"]
    assert lost > 5
    for level in ("0.8", "0.9"):
        point = json.loads((folder / f"{level}.json").read_text())
        assert point["status"] == (
            f"unsupported: the level 0.5 before it lost {lost:.1f} points of validation top-1, "
            f"more "
            "than compression.give_up: 5"
        )
        assert point["top1"] is point["macs"] is None and point["level"] == float(level)
    # The smoke study accepts any accuracy.
    assert json.loads((folder / "summary.json").read_text())["level"] == 0.5
    found = answers.read(study.folder / ANSWERS)
    assert {key[3] for key in found.answers if key[:3] == (*NETWORK, "weight_pruning")} == {"0.5"}
