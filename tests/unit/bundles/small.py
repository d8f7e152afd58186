"""A small bundle for tests to change: one network, three primitives, a peer, random numbers."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from dlas.analysis import rows, statistics, table
from dlas.analysis.answers import CORRECT_COLUMNS
from dlas.analysis.columns import MEASURED
from dlas.bundles import checking, form
from dlas.bundles.form import Bundle

MODEL = {"dataset": "digits", "model": "resnet18"}
PRIMITIVES = ("direct", "gemm", "spatial_pack")
PEAK = 100.0
MACS = 1_000_000
SETTINGS = {
    "width": 0.25,
    "datasets": {"digits": 32},
    "compressions": {"none": ["none"]},
    "checks": {"float32": [8, 0.0001, 0.5]},
}
CODE = {
    "compiler": "c",
    "model resnet18": "m",
    "compression none": "n",
    "format dense": "f",
    "tuning untuned": "u",
} | {f"primitive {name}": name for name in PRIMITIVES}


def machine(measured="2026-11-29", **others):
    return {
        "schema": form.SCHEMA,
        "platform": "local_cpu",
        "measured": measured,
        "cpu": {"model": "Some CPU"},
        "kernel": "Linux-6.18.44",
        "versions": {"tvm": "0.27.0"},
        "commit": "0123456789ab",
        "threads": 1,
        "target": {"target": {"kind": "llvm"}},
        "probe": {"status": "ok", "cpu_model": "Some CPU", "peak_gflops": {"float32": PEAK}},
    } | others


def samples(seed, rounds, primitives=PRIMITIVES, platform="local_cpu"):
    """Return samples of libraries, a replicate of the first, a reference kernel and a peer."""
    draw = np.random.default_rng(seed)
    variant = {"compression": "none", "format": "dense", "tuning": "untuned"}
    timed = [(MEASURED, variant | {"primitive": name}) for name in primitives]
    timed += [("aa_replicate", timed[0][1]), ("reference", {}), ("onnxruntime", {})]
    lines = [
        MODEL
        | {"machine": platform, "platform": platform, **names, "role": role, "round": turn}
        | {"latency_ms": float(draw.uniform(0.9, 1.1))}
        for turn in range(rounds)
        for role, names in timed
    ]
    return pd.DataFrame(lines, columns=rows.SAMPLES_COLUMNS)


def bundle(seed=0, rounds=5, measured="2026-11-29", platform="local_cpu", failed=(), digest=None):
    """Return a bundle; the primitives in `failed` have a reason instead of a latency."""
    right = [name for name in PRIMITIVES if name not in failed]
    taken = samples(seed, rounds, right, platform)
    study = []
    for name in PRIMITIVES:
        row = dict.fromkeys(rows.STUDY_COLUMNS) | MODEL
        row |= {"compression": "none", "primitive": name, "format": "dense", "tuning": "untuned"}
        row |= {"dtype": "float32", "platform": platform, "macs": MACS, "threads": 1, "top1": 97.5}
        row["status"] = "failed: it crashed" if name in failed else "ok"
        own = taken[(taken["role"] == MEASURED) & (taken["primitive"] == name)]["latency_ms"]
        if name in right:
            latency = statistics.median(own)
            row |= dict(zip(rows.STUDY_COLUMNS[18:21], latency, strict=True))
            row |= {"repeats": len(own), "gflops": 2 * MACS / latency.estimate / 1e6}
            row["peak_fraction"] = row["gflops"] / PEAK
        study.append(row)
    curve = MODEL | {"compression": "none", "top1": 97.5, "chosen": True, "status": "ok"}
    # 39 of 40 images.
    correct = MODEL | {"compression": "none", "images": 40, "correct": "fffffffffe"}
    tables = {
        "study": table.study_table(study),
        "correct": pd.DataFrame([correct], columns=CORRECT_COLUMNS),
        "peers": table.peers_table([]),
        "samples": taken,
        "curves": pd.DataFrame([curve], columns=table.CURVES_COLUMNS),
    }
    provenance = {"settings": SETTINGS, "code": CODE, "networks": {"digits/resnet18/none": "0"}}
    made = Bundle(machine(measured, platform=platform), provenance, tables, digest or f"{seed}")
    return Bundle(made.machine, provenance, tables | checking.remade_tables(made), made.digest)


def write(folder: Path, made: Bundle) -> Path:
    jsons = {form.MACHINE: made.machine, form.PROVENANCE: made.provenance}
    form.write(folder, jsons, made.tables)
    return folder


def edit_json(folder: Path, name: str, change) -> None:
    """Change a JSON file of a bundle and make its manifest anew, as who hides a change would do."""
    value = json.loads((folder / name).read_text())
    change(value)
    (folder / name).write_text(json.dumps(value))
    form.write_manifest(folder)


def edit_table(folder: Path, name: str, change) -> None:
    """Change a table of a bundle, cells as texts, and make its manifest anew."""
    file = folder / form.TABLES[name][0]
    change(form.texts(file)).to_csv(file, index=False)
    form.write_manifest(folder)
