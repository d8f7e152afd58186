"""Summary tables of the study, as a paper shows them.

Each one is a pure function of the study's tables; its page explains it to readers.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from dlas.analysis import choices, reach
from dlas.analysis.columns import LATENCY, MODEL, NETWORK, PLACE
from dlas.analysis.observation import (
    Tables,
    compared,
    distinct,
    floors,
    measured,
    unreached,
)
from dlas.analysis.pages import (
    BEST,
    QUIET,
    TIED,
    Page,
    estimate,
    estimates,
    labelled,
    level_text,
)
from dlas.analysis.published import published_page, published_speedups
from dlas.analysis.statuses import UNREACHED
from dlas.analysis.words import Words
from dlas.status import MEASURED, OK

ACCURACY_COLUMNS = (
    "dataset model compression level dtype top1 top1_change params nonzero_params macs model_bytes "
    "factor status"
).split()
TIMED = ["platform", *NETWORK, "level", "format"]
CODE = ["primitive", "tuning"]
# Columns of each CODE in the table of latencies.
CELL = [*LATENCY, "status"]
RANKED = ["fastest", "tied"]
OVER_DEFAULT = ["speedup", "speedup_low", "speedup_high"]
BEST_COLUMNS = [
    *(*PLACE, "choice", "compression", "level", "primitive", "format", "tuning", "top1_compiled"),
    *(*LATENCY, *OVER_DEFAULT, "status"),
]
CHOICES = {"fastest": "fastest", "fastest_accurate": "fastest of equal accuracy"}


class Summary(NamedTuple):
    """A summary table and its page.

    Attributes
    ----------
    rows : callable
        Returns the table from `Tables` and `Words`, for a CSV. It has plain names; the words give
        the order of its rows.
    page : callable
        Returns the `Page` from the table and `Words`.
    """

    rows: Callable[[Tables, Words], pd.DataFrame]
    page: Callable[[pd.DataFrame, Words], Page]


def accuracy_and_compression(tables: Tables, words: Words) -> pd.DataFrame:
    """Return the accuracy and the size of each network.

    Parameters
    ----------
    tables : Tables
        The tables of the study.
    words : Words
        The order of the methods.

    Returns
    -------
    DataFrame
        ACCURACY_COLUMNS. `top1_change` is in percentage points, `factor` is the bytes of the
        uncompressed network over those of the network. A network that could not be made has the
        reason as its status.
    """
    study = tables.study
    networks = _sorted(study.drop_duplicates(NETWORK), NETWORK, words)
    uncompressed = networks[networks["compression"] == "none"].set_index(MODEL)
    before = uncompressed[["top1", "model_bytes"]].add_suffix("_before")
    networks = networks.join(before, on=MODEL)
    networks = networks.assign(
        top1_change=networks["top1"] - networks["top1_before"],
        factor=networks["model_bytes_before"] / networks["model_bytes"],
        status=networks["status"].where(networks["top1"].isna(), OK),
    )
    networks.loc[unreached(networks).index, "status"] = UNREACHED
    return networks[ACCURACY_COLUMNS]


def latencies(tables: Tables, words: Words) -> pd.DataFrame:
    """Return the latencies of each network, platform and format in all primitives and tunings.

    Parameters
    ----------
    tables : Tables
        The tables of the study.
    words : Words
        The order of the methods.

    Returns
    -------
    DataFrame
        TIMED, CELL of each primitive and tuning, and RANKED. The columns of a variant begin with
        its primitive and tuning, as in direct_untuned_latency_ms, and are empty if the study does
        not ask for it. `fastest` names the variant of lowest latency, `tied` the others that are
        not clearly slower in paired samples, with a family-wise error of 5 % in each row.
    """
    rows = _sorted(tables.rows, [*TIMED, *CODE], words)
    floor = floors(tables.noise_floor)
    variants = _sorted(tables.study[CODE].drop_duplicates(), CODE, words).itertuples(index=False)
    columns = [f"{_variant(variant)}_{name}" for variant in variants for name in CELL]
    lines = []
    for place, group in rows.groupby(TIMED, sort=False, dropna=False):
        line: dict[str, Any] = dict(zip(TIMED, place, strict=True))
        for row in group.itertuples():
            line |= {f"{_variant(row)}_{name}": getattr(row, name) for name in CELL}
        # Without a noise floor nothing is measured.
        equal = _not_clearly_slower(group, tables, floor.get(place[:2], 1.0))
        line |= {"fastest": equal[0] if equal else None, "tied": ", ".join(equal[1:])}
        lines.append(line)
    return pd.DataFrame(lines, columns=[*TIMED, *columns, *RANKED])


def _variant(row: Any) -> str:
    return f"{row.primitive}_{row.tuning}"


def _not_clearly_slower(rows: pd.DataFrame, tables: Tables, floor: float) -> list[str]:
    """Return the variant of lowest latency, then the others that are not clearly slower."""
    timed = measured(rows).sort_values("latency_ms")
    best = timed.iloc[[0] * len(timed)]
    effect, _ = compared(timed, best, tables.rounds)
    slower = effect.orders(floor, max(1, len(timed) - 1)) == 1
    return [_variant(row) for row in timed[~slower].itertuples()]


def best_configurations(tables: Tables, words: Words) -> pd.DataFrame:
    """Return the fastest configuration of each network and platform, of all and at equal accuracy.

    Parameters
    ----------
    tables : Tables
        The tables of the study.
    words : Words
        The order of the methods.

    Returns
    -------
    DataFrame
        BEST_COLUMNS; one row for each of CHOICES. Equal accuracy is that of `choices.accurate`. The
        speedup is over the default, see `choices.default`.
    """
    rows = distinct(measured(tables.rows))
    usual = {platform: choices.default(own) for platform, own in rows.groupby("platform")}
    options = dict(zip(CHOICES, (rows, choices.accurate(rows)), strict=True))
    lines = []
    for place, asked in _sorted(tables.study, PLACE, words).groupby(PLACE, sort=False):
        network = dict(zip(PLACE, place, strict=True))
        for choice, allowed in options.items():
            line, here = network | {"choice": choice}, choices.having(allowed, network)
            if here.empty:
                line["status"] = ", ".join(sorted(asked["status"].unique()))
            else:
                best = here.loc[here["latency_ms"].idxmin()]
                default = choices.having(rows, network | usual[place[0]])
                line |= {name: best[name] for name in BEST_COLUMNS if name in best.index}
                if "primitive" in usual[place[0]] and len(default):
                    line |= _speedup(here.loc[[best.name]], default, tables)
            lines.append(line)
    return pd.DataFrame(lines, columns=BEST_COLUMNS)


def _speedup(rows: pd.DataFrame, default: pd.DataFrame, tables: Tables) -> dict[str, float]:
    """Return OVER_DEFAULT of one configuration; the default has 1 without error."""
    if list(rows["row"]) == list(default["row"]):
        return dict.fromkeys(OVER_DEFAULT, 1.0)
    effect, _ = compared(default, rows, tables.rounds)
    return {
        name: float(value[0]) for name, value in zip(OVER_DEFAULT, effect.interval(), strict=True)
    }


def _sorted(table: pd.DataFrame, names: list[str], words: Words) -> pd.DataFrame:
    """Return a table sorted by these columns except the level, in the order of methods."""
    kinds = [name for name in names if name != "level"]
    return words.sort(table, kinds).reset_index(drop=True)


def accuracy_page(rows: pd.DataFrame, words: Words) -> Page:
    """Return the page of `accuracy_and_compression`."""
    names = {
        "level": "level",
        "dtype": "type",
        "top1": "top-1 (%)",
        "top1_change": "change (points)",
        "params": "parameters",
        "nonzero_params": "not zero",
        "macs": "MACs",
        "model_bytes": "bytes",
        "factor": "compression (x)",
        "status": "",
    }
    shown = rows.assign(status=rows["status"].replace(OK, ""))
    table = labelled(shown, NETWORK, words).set_index(NETWORK)
    table = table.rename(columns=names)[list(names.values())]
    counts = dict.fromkeys(("parameters", "not zero", "MACs", "bytes"), "{:,.0f}")
    classes = pd.DataFrame("", table.index, table.columns)
    classes[""] = QUIET
    return Page(
        "Accuracy and compression of every network",
        "Top-1 on the test split, in the training framework, and its change against the "
        "uncompressed network in percentage points. Level: share of the prunable weights that are "
        "zero, or of the MACs that is removed (channel pruning). Bytes: the stored model, pruned "
        "weights in the smaller of dense and CSR. Compression: bytes of the uncompressed network "
        "over its own. Where no level of a technique was within the tolerance, the row is the "
        "uncompressed network.",
        table,
        counts
        | {"level": "{:g}", "top-1 (%)": "{:.1f}", "change (points)": "{:+.1f}"}
        | {"compression (x)": "{:.2f}"},
        classes,
    )


def latency_page(rows: pd.DataFrame, words: Words) -> Page:
    """Return the page of `latencies`, with primitives and tunings as columns."""
    variants = [name.removesuffix("_status") for name in rows if name.endswith("_status")]
    cells: dict[str, list[str]] = {variant: [] for variant in variants}
    classes: dict[str, list[str]] = {variant: [] for variant in variants}
    for row in rows.to_dict("records"):
        equal = [row["fastest"], *row["tied"].split(", ")]
        for variant in variants:
            status, *timed = (row[f"{variant}_{name}"] for name in ("status", *LATENCY))
            usable = status in MEASURED
            cells[variant].append(
                estimate(*timed) if usable else "" if pd.isna(status) else str(status)
            )
            looks = (
                BEST * (variant == row["fastest"]),
                TIED * (variant in equal),
                QUIET * (status != OK),
            )
            classes[variant].append(" ".join(filter(None, looks)))
    shown = rows.assign(level=rows["level"].map(level_text))
    table = labelled(shown.assign(**cells), TIMED, words).set_index(TIMED)[variants]
    pairs = [_parts(variant, words) for variant in variants]
    table.columns = pd.MultiIndex.from_tuples(pairs, names=CODE)
    return Page(
        "Latency (ms) by primitive and tuning",
        "Median latency of one image in milliseconds, with its 95 % interval. Bold: the lowest of "
        "a row. Tinted: with it, all that are not clearly slower, that is, by more than the noise "
        "floor (what two timings of the same library differ by) and the intervals, at a "
        "family-wise error of 5 % in each row. Grey: arithmetic that the platform does not have "
        "and that is widened, or the reason why there is no measurement. Empty: not asked for. At "
        "level 0 no level of a technique was within the tolerance, and the network is the "
        "uncompressed one.",
        table,
        classes=pd.DataFrame(classes, index=table.index).set_axis(table.columns, axis=1),
    )


def _parts(variant: str, words: Words) -> tuple[str, str]:
    """Return the labels of the primitive and the tuning of a variant."""
    tunings = words.methods["tuning"]
    tuning = next(name for name in tunings if variant.endswith(f"_{name}"))
    return words.label(variant.removesuffix(f"_{tuning}")), words.label(tuning)


def best_page(rows: pd.DataFrame, words: Words) -> Page:
    """Return the page of `best_configurations`."""
    index = [*PLACE, "choice"]
    methods = [*index, "compression", "primitive", "format", "tuning"]
    shown = labelled(rows.assign(choice=rows["choice"].map(CHOICES)), methods, words)
    shown = shown.assign(
        compression=(shown["compression"] + " " + rows["level"].map(level_text)).str.strip(),
        latency=estimates(rows, LATENCY),
        speedup=estimates(rows, OVER_DEFAULT),
        status=rows["status"].replace(OK, ""),
    )
    names = {
        "compression": "compression",
        "primitive": "primitive",
        "format": "format",
        "tuning": "tuning",
        "top1_compiled": "top-1 (%)",
        "latency": "latency (ms)",
        "speedup": "speedup over the default (x)",
        "status": "",
    }
    table = shown.set_index(index).rename(columns=names)[list(names.values())]
    classes = pd.DataFrame("", table.index, table.columns)
    classes[""] = QUIET
    timed = rows.dropna(subset=["latency_ms"])
    lowest = timed.groupby(["platform", "dataset", "choice"])["latency_ms"].idxmin()
    classes.iloc[lowest.to_list(), table.columns.get_loc("latency (ms)")] = BEST
    return Page(
        "The best configuration of every network",
        "Of each network and platform the configuration of lowest latency: of all, and of the "
        "compressions that are as accurate as the uncompressed network, compiled. Equal accuracy: "
        f"{reach.ALLOWED}. Speedup: over the uncompressed network with its default schedule, in "
        "the primitive that is fastest so on average on the platform; with 95 % intervals. The "
        "lowest of many latencies is a little too low by chance: whether a joint choice is "
        "worthwhile is for observation 13 to judge. Bold: the model of lowest latency on a data "
        "set and platform; the medians decide.",
        table,
        {"top-1 (%)": "{:.1f}"},
        classes,
    )


SUMMARIES: Mapping[str, Summary] = {
    "accuracy_and_compression": Summary(accuracy_and_compression, accuracy_page),
    "latency": Summary(latencies, latency_page),
    "best_configurations": Summary(best_configurations, best_page),
    "published": Summary(published_speedups, published_page),
}
