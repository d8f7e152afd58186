"""When two studies are the same: in all that no measurement has a part in."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

EXACT = (
    "results/datasets/*.npz",
    "results/models/**/*.safetensors",
    "results/compressed/**/*.safetensors",
    "results/compressed/**/*.json",
    "results/compressed/**/*.csv",
    "results/networks/**/*.json",
    "results/networks/**/*.safetensors",
    "results/networks/**/*.npz",
    "results/accuracy_curves.csv",
)
MEASURED = (
    *("latency_ms", "latency_ms_low", "latency_ms_high", "gflops", "peak_fraction"),
    *("scheduled_layers", "library_bytes"),  # a tuned library is made of what was measured
)


def digests(folder: Path, patterns: tuple[str, ...] = EXACT) -> dict[str, str]:
    """Return the content of files, as digests by name."""
    files = [file for pattern in patterns for file in folder.glob(pattern) if file.is_file()]
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


def table(folder: Path) -> pd.DataFrame:
    """Return a study's table without what is measured."""
    return pd.read_csv(folder / "results/study.csv").drop(columns=list(MEASURED))


def leftovers(folder: Path) -> list[Path]:
    """Return the states of trainings, which must be gone when they are over, torn ones too."""
    return list(folder.glob("results/resume/**/*.pt"))


def wait_until(ready: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for something to happen, not for ever."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it has not come to that"
        time.sleep(0.02)
