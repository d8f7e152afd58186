"""Published speedups of compression beside those of the study.

published.csv next to this module has the published figures and their source. Their columns begin
with `published_`; all other numbers are the study's own.
"""

from pathlib import Path

import pandas as pd

from dlas.analysis.choices import having
from dlas.analysis.columns import PLACE, STORED
from dlas.analysis.observation import (
    Tables,
    compared,
    distinct,
    fastest,
    measured,
    unreached,
    untuned,
)
from dlas.analysis.pages import QUIET, Page, estimates, labelled, level_text
from dlas.analysis.statuses import UNREACHED
from dlas.analysis.table import read_table
from dlas.analysis.words import Words
from dlas.status import OK

FILE = Path(__file__).with_suffix(".csv")
ABSENT = "not in the study"
LIMITS = ["speedup", "speedup_low", "speedup_high"]
PUBLISHED_COLUMNS = [
    *("model", "compression", "format", "published_dataset", "published_top1_before"),
    *("published_speedup_intel_i7", "published_speedup_odroid_xu4"),
    *("platform", "dataset", "level", "top1_before", "top1", *LIMITS, "status", "source"),
]


def published_speedups(tables: Tables, words: Words) -> pd.DataFrame:
    """Return the published speedups beside those of the study.

    Parameters
    ----------
    tables : Tables
        The tables of the study.
    words : Words
        The order of platforms and data sets.

    Returns
    -------
    DataFrame
        PUBLISHED_COLUMNS; one row for each published speedup, platform and data set with its model.
        The study's own speedup is the latency of the uncompressed network over that of the
        compressed one. Each is untuned and in its fastest primitive, the compressed one in the
        format of the published figure. A row without one has the reason as its status. If no data
        set has the model, `dataset` is empty.
    """
    study, asked = tables.study, untuned(tables.rows)
    names = words.ordered("platform", study["platform"])
    platforms = pd.DataFrame({"platform": pd.Series(names, dtype=study["platform"].dtype)})
    datasets = words.sort(study[["dataset", "model"]].drop_duplicates(), ["dataset"])
    places = read_table(FILE).merge(datasets, on="model", how="left").merge(platforms, how="cross")
    timed = distinct(measured(asked))
    plain = fastest(timed[timed["compression"] == "none"], PLACE)
    compressed = fastest(timed, STORED).merge(plain[PLACE], on=PLACE)
    before = compressed[PLACE].merge(plain, on=PLACE)
    speedups, _ = compared(before, compressed, tables.rounds)
    limits = dict(zip(LIMITS, speedups.interval(), strict=True))
    compressed = compressed.assign(**limits)[[*STORED, "level", "top1", *LIMITS]]
    uncompressed = plain[[*PLACE, "top1"]].rename(columns={"top1": "top1_before"})
    rows = places.merge(uncompressed, on=PLACE, how="left")
    rows = rows.merge(compressed, on=STORED, how="left")
    statuses = [_status(asked, row) for _, row in rows.iterrows()]
    return rows.assign(status=statuses)[PUBLISHED_COLUMNS]


def _status(asked: pd.DataFrame, row: pd.Series) -> str:
    """Return OK, or why the study has no speedup of the network of a row."""
    here = having(asked, row[PLACE].to_dict())
    compressed = having(here, {"compression": row["compression"]})
    if len(unreached(compressed)):
        return UNREACHED
    if why := _unmeasured(having(compressed, {"format": row["format"]})):
        return why
    why = _unmeasured(having(here, {"compression": "none"}))
    return f"the uncompressed network: {why}" if why else OK


def _unmeasured(network: pd.DataFrame) -> str:
    """Return why no row of a network is measured, or an empty text if one is."""
    if len(measured(network)):
        return ""
    return ", ".join(sorted(network["status"].unique())) or ABSENT


def published_page(rows: pd.DataFrame, words: Words) -> Page:
    """Return the page of `published_speedups`, each published figure once."""
    methods = ["model", "compression", "format", "platform", "dataset"]
    figures = [
        "published_top1_before",
        "published_speedup_intel_i7",
        "published_speedup_odroid_xu4",
    ]
    found = rows["status"] == OK
    shown = labelled(rows, methods, words)
    shown = shown.assign(
        **{name: rows[name].map("{:.1f}".format) for name in figures},
        level=rows["level"].map(level_text),
        speedup=pd.Series(estimates(rows, LIMITS), rows.index).where(found, rows["status"]),
    )
    # Line breaks in the head of a page are kept.
    index = {
        "model": "model",
        "compression": "compression",
        "format": "format",
        "published_dataset": "published:\ndata set",
        "published_top1_before": "\ntop-1 (%),\nbefore",
        "published_speedup_intel_i7": "\nspeedup (x),\nIntel i7",
        "published_speedup_odroid_xu4": "\nspeedup (x),\nOdroid-XU4",
        "dataset": "here:\ndata set",
        "platform": "\nplatform",
    }
    columns = {
        "level": "level",
        "top1_before": "top-1 (%),\nbefore",
        "top1": "\nafter",
        "speedup": "speedup (x)",
    }
    table = shown.rename(columns=index | columns).set_index(list(index.values()))
    table = table[list(columns.values())]
    classes = pd.DataFrame("", table.index, table.columns)
    classes.loc[~found.to_numpy(), columns["speedup"]] = QUIET
    return Page(
        "Published speedups of compression beside this study's",
        "Published: speedups over the uncompressed network. Source: "
        f"{'; '.join(rows['source'].unique())}. Here: the same quantity, measured in this study. "
        "It is the latency of the uncompressed network over that of the compressed one, each "
        "untuned and in its fastest primitive, with its 95 % interval, at the strongest level "
        "within the tolerance. What differs: the images, the width of the networks (models.width "
        "in the config), the kernels, the number of threads and the processors. The published "
        "networks lose channels by Fisher information, those of this study by L1 norm. The slides "
        "with the published speedups state neither the levels nor the top-1 after compression. So "
        "compare which technique pays off on which network, not the digits. Parts of DLAS that are "
        "reproduced, replaced or absent: docs/explanation/paper.md.",
        table,
        {columns[name]: "{:.1f}" for name in ("top1_before", "top1")},
        classes,
    )
