"""A technique as docs/extending.md shows it: one file and one entry, run for real."""

import json
import re
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

ROOT = Path(__file__).parents[2]
TARGET = "results/compressed/digits/resnet18/n_m_sparsity/curve.csv"


def example(language: str) -> str:
    text = (ROOT / "docs/extending.md").read_text()
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return found


def test_a_technique_is_one_file_and_one_entry(study):
    (study.folder / "dlas/compression/n_m_sparsity.py").write_text(example("python"))
    (study.folder / "overlay.yaml").write_text(example("yaml"))
    calls = ("--configfile", "config/smoke.yaml", "overlay.yaml", "--cores", "2", TARGET)
    # The network is trained already, and the other techniques have no part in it.
    assert study.planned(*calls, config=None) == {"compress_model": 2, "choose_level": 1}
    before = study.artifacts()
    study.snakemake(*calls, config=None)

    folder = (study.folder / TARGET).parent
    for level, zeros in (("0.5", 2), ("0.75", 3)):
        weights = load_file(folder / f"{level}.safetensors")
        weight = weights["layer1.0.conv1.weight"].reshape(-1, 4)
        assert ((weight == 0).sum(axis=1) == zeros).all()
    summary = json.loads((folder / "summary.json").read_text())
    baseline = json.loads((folder.parent / "none/summary.json").read_text())
    assert summary["level"] == 0.75
    assert summary["nonzero_params"] < 0.5 * baseline["params"]
    assert np.isclose(summary["macs"], baseline["macs"])
    after = study.artifacts()
    assert all(after[name] == before[name] for name in before)


def test_a_wrong_setting_of_a_new_technique_is_told(study):
    (study.folder / "dlas/compression/n_m_sparsity.py").write_text(example("python"))
    overlay = example("yaml").replace("[0.5, 0.75]", "[0.5, 0.7]")
    (study.folder / "overlay.yaml").write_text(overlay)
    calls = ("--configfile", "config/smoke.yaml", "overlay.yaml", "--cores", "2", TARGET)
    done = study.attempt(*calls, config=None)
    assert done.returncode != 0
    assert "error: the sparsity 0.7 is not allowed; allowed: multiples of 0.25" in done.stderr
    assert (study.folder / TARGET).with_name("0.5.safetensors").is_file()
