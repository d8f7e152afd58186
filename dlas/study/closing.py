"""The last lines of a finished study: rows that are not ok, verdicts, fastest configurations."""

import csv
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

from dlas.study.paths import path


def closing_lines(asked: Collection[str]) -> list[str]:
    """Return the last lines of a study, for those of its tables that were asked for.

    Parameters
    ----------
    asked
        Files and rules that the run was to make; `all` stands for all files.
    """
    tables: dict[str, Callable[[Path], list[str]]] = {
        path("status_summary"): statuses,
        path("observations"): verdicts,
        path("recommendation"): fastest,
    }
    lines = [
        line
        for file, summarize in tables.items()
        if {"all", file} & {*asked} and Path(file).exists()
        for line in summarize(Path(file))
    ]
    if "all" in asked:
        lines.append(
            f"Every row: {path('study')}. In a browser: make explore; in one file: make report."
        )
    return lines


def statuses(file: Path) -> list[str]:
    """Return how many rows are not ok, and why."""
    return file.read_text().splitlines()


def verdicts(file: Path) -> list[str]:
    """Return how many observations have each verdict."""
    with open(file, newline="") as stream:
        counts = Counter(row["verdict"] for row in csv.DictReader(stream))
    each = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    return [f"{counts.total()} verdicts in {file}: {each}"]


def fastest(file: Path) -> list[str]:
    """Return the recommended configuration of each platform and dataset, and its speedup."""
    with open(file, newline="") as stream:
        return [line for row in csv.DictReader(stream) for line in _recommended(row)]


def _recommended(row: dict[str, str]) -> list[str]:
    place = f"{row['platform']}, {row['dataset']}"
    if not row["model"]:
        return [f"{place}: {row['reason']}"]
    choice = " ".join(
        row[key] for key in ("model", "compression", "level", "primitive", "format", "tuning")
    )
    gains = [
        f"{float(gain):.2f} times by the {key}"
        for key in ("model", "compression", "primitive", "tuning")
        if (gain := row[f"contribution_{key}"]) and float(gain) != 1
    ]
    return [
        f"{place}: fastest with a top-1 of at least {float(row['top1_floor']):g} %: "
        f"{' '.join(choice.split())}, {float(row['latency_ms']):.3g} ms, "
        f"{float(row['top1_compiled']):.1f} %",
        *([f"  faster than the default choices: {', '.join(gains)}"] if gains else []),
    ]
