"""A study to explore, of any number of rows, with the tables that belong to it."""

import numpy as np
import pandas as pd

from dlas.analysis import explore_data
from dlas.analysis.columns import CONFIGURATION
from dlas.analysis.rows import SAMPLES_COLUMNS
from tests.unit.analysis import synthetic

REASON = 'unsupported: "CSR", <b>here</b>'
SHOWN = {
    "compressions": ("none", "weight_pruning", "int8"),
    "formats": ("dense", "csr"),
    "tunings": ("untuned", "autotuned"),
}


def study(platforms=synthetic.PLATFORMS, **choices):
    """Return a study in which GEMM in CSR was measured nowhere, and float16 code is widened."""

    def latency(platform, dataset, model, compression, primitive, tuning):
        known = platform if platform in synthetic.PLATFORMS else "local_cpu"
        return synthetic.realistic(known, dataset, model, compression, primitive, tuning)

    table = synthetic.study(latency, platforms=platforms, **SHOWN | choices)
    gone = (table["format"] == "csr") & (table["primitive"] == "gemm")
    measured = ["latency_ms", "latency_ms_low", "latency_ms_high", "repeats", "top1_compiled"]
    table.loc[gone, [*measured, "gflops", "peak_fraction"]] = np.nan
    table.loc[gone, "status"] = REASON
    return table


def samples(table, rounds=synthetic.ROUNDS, seed=0):
    """Return the raw samples of a study's measured rows; the platforms of this CPU are one
    machine.
    """
    timed = table[table["latency_ms"].notna()]
    long = timed.loc[timed.index.repeat(rounds), [*CONFIGURATION, "latency_ms"]]
    noise = np.exp(0.02 * np.random.default_rng(seed).standard_normal(len(long)))
    machine = long["platform"].replace("local_cpu_avx2", "local_cpu")
    return long.assign(
        machine=machine,
        role="measured",
        round=np.tile(np.arange(rounds), len(timed)),
        latency_ms=long["latency_ms"] * noise,
    )[SAMPLES_COLUMNS].reset_index(drop=True)


def content(table, own_samples=None, floor=1.02):
    """Return what the page of a study embeds."""
    own_samples = samples(table) if own_samples is None else own_samples
    floors = synthetic.noise_floor(floor, platforms=sorted(set(table["platform"])))
    return explore_data.content(table, floors, own_samples, synthetic.LOOKS)


def empty_samples():
    return pd.DataFrame(columns=SAMPLES_COLUMNS)
