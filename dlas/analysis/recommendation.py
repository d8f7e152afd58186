"""The recommended configuration at an accuracy floor, and the contribution of each layer's choice.

A contribution compares with the default of a layer. The default model is the most accurate
uncompressed network that meets the floor, and the faster one of equals; `choices.default` gives all
other defaults.
"""

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from dlas.analysis import choices
from dlas.analysis.choices import Choice, Place
from dlas.analysis.columns import LATENCY
from dlas.analysis.observation import Tables, distinct, floors, measured
from dlas.analysis.pages import Page, estimate
from dlas.analysis.words import Words

LAYERS = {
    "model": ["model"],
    "compression": ["compression", "format"],
    "primitive": ["primitive"],
    "tuning": ["tuning"],
}
RECOMMENDED = ["model", "compression", "level", "primitive", "format", "tuning"]
CONTRIBUTIONS = [f"contribution_{layer}" for layer in LAYERS]
JOINT = ["joint_speedup", "joint_speedup_low", "joint_speedup_high"]
COLUMNS = [
    *("platform", "dataset", "top1_floor", *RECOMMENDED, "top1_compiled", *LATENCY),
    *("candidates", "reason", *CONTRIBUTIONS),
    *("layer_by_layer", "layer_by_layer_ms", "layer_by_layer_status", *JOINT),
]
BELOW, UNMEASURED = "below the floor", "not measured"
# In percentage points: a share of images has rounding errors.
ROUNDING = 1e-9


def recommend(tables: Tables, top1_floor: Mapping[str, float]) -> pd.DataFrame:
    """Return the fastest configuration of each platform and data set that meets the accuracy floor.

    Parameters
    ----------
    tables : Tables
        The tables of the study.
    top1_floor : mapping of str to float
        Top-1 in percent by data set.

    Returns
    -------
    DataFrame
        COLUMNS; one row for each platform and data set.

        - Candidates: measured configurations with a compiled top-1 on the test split of at least
          the floor. The one of lowest latency is recommended.
        - Contribution: latency with that layer's choice put back to its default, over the
          recommended one. NaN if that was not measured.
        - Joint speedup: of the recommended configuration over the one chosen layer by layer, see
          `choices.gains`. NaN if the latter is no candidate.
    """
    study = tables.study
    rows = distinct(measured(tables.rows))
    rows = rows.assign(top1_compiled=choices.top1(rows))
    lines: dict[Place, dict[str, Any]] = {}
    found: dict[Place, Choice] = {}
    for place, asked in study.groupby(["platform", "dataset"]):
        platform, dataset = place
        floor = top1_floor[dataset]
        line = lines[place] = {"platform": platform, "dataset": dataset, "top1_floor": floor}
        of_platform = rows[rows["platform"] == platform]
        here = of_platform[of_platform["dataset"] == dataset]
        candidates = here[here["top1_compiled"] >= floor - ROUNDING]
        line["candidates"] = len(candidates)
        if candidates.empty:
            line["reason"] = _reason(asked, here)
            continue
        best = candidates.loc[[candidates["latency_ms"].idxmin()]]
        usual = _default(candidates, choices.default(of_platform))
        line |= best[[*RECOMMENDED, "top1_compiled", *LATENCY]].iloc[0].to_dict()
        line |= _contributions(here, best.iloc[0], usual)
        if "model" in usual:
            chosen = choices.layer_by_layer(candidates, usual, list(LAYERS.values()))
            combination = choices.having(candidates, chosen)
            line |= _layer_by_layer(chosen, choices.having(here, chosen), combination)
            default = choices.having(candidates, usual)
            found[place] = Choice(default, combination, best, candidates)
    for place, gain in choices.gains(found, floors(tables.noise_floor), tables.rounds).items():
        lines[place] |= dict(zip(JOINT, gain, strict=True))
    return pd.DataFrame(list(lines.values()), columns=COLUMNS)


def _reason(asked: pd.DataFrame, here: pd.DataFrame) -> str:
    """Return why there is no candidate."""
    if here.empty:
        return f"{UNMEASURED}: {', '.join(sorted(asked['status'].unique()))}"
    return f"none reaches the floor; the highest top-1 is {here['top1_compiled'].max():.1f} %"


def _default(candidates: pd.DataFrame, usual: dict[str, str]) -> dict[str, str]:
    """Return the default of each layer; the model needs an uncompressed candidate."""
    if "primitive" not in usual:
        return usual
    plain = choices.having(candidates, usual)
    if plain.empty:
        return usual
    ranked = plain.sort_values(["top1_compiled", "latency_ms"], ascending=[False, True])
    return usual | {"model": str(ranked["model"].iloc[0])}


def _contributions(
    here: pd.DataFrame, best: pd.Series, usual: Mapping[str, str]
) -> dict[str, float]:
    """Return the contribution of each layer whose default was measured, by column."""
    chosen = {name: str(best[name]) for layer in LAYERS.values() for name in layer}
    found = {}
    for layer, names in LAYERS.items():
        if not set(names) <= set(usual):
            continue
        back = choices.having(here, chosen | {name: usual[name] for name in names})
        if len(back):
            found[f"contribution_{layer}"] = back["latency_ms"].iloc[0] / best["latency_ms"]
    return found


def _layer_by_layer(
    chosen: Mapping[str, str], measured: pd.DataFrame, allowed: pd.DataFrame
) -> dict[str, Any]:
    """Return the columns of the configuration chosen layer by layer."""
    text = f"`{chosen['model']}`, {choices.in_words(chosen)}"
    if measured.empty:
        return {"layer_by_layer": text, "layer_by_layer_status": UNMEASURED}
    status = BELOW if allowed.empty else measured["status"].iloc[0]
    latency = measured["latency_ms"].iloc[0]
    return {
        "layer_by_layer": text,
        "layer_by_layer_ms": latency,
        "layer_by_layer_status": status,
    }


def page(rows: pd.DataFrame, words: Words) -> Page:
    """Return the page of the recommendations, a column for each platform and data set."""
    if rows.empty:
        return Page("The recommended configuration", "No configuration takes part.", rows)
    columns = [(words.label(row.platform), words.label(row.dataset)) for row in rows.itertuples()]
    texts = [_texts(row, words) for row in rows.to_dict("records")]
    table = pd.DataFrame(
        texts, index=pd.MultiIndex.from_tuples(columns, names=["platform", "dataset"])
    ).T
    table.index = pd.MultiIndex.from_tuples(table.index)
    return Page(
        "The recommended configuration",
        "On each platform and data set the configuration of lowest latency among the candidates, "
        "which reach the accuracy floor of the configuration file: top-1 on the test split, of the "
        "compiled network. A layer's contribution is the factor by which latency changes when its "
        "choice is put back to the default, the other choices as recommended. Defaults: the most "
        "accurate uncompressed network that reaches the floor; no compression; the primitive that "
        "is fastest on average on the platform; no tuning. Empty where that was not measured. "
        "Layer by layer: what is fastest on each layer with the others at their default, put "
        "together. The speedup over it is 1 where it is not clear; its 95 % interval allows for "
        "the choice among many.",
        table,
    )


def _texts(row: Mapping[str, Any], words: Words) -> dict[tuple[str, str], str]:
    """Return the cells of a recommendation, by group and name."""

    def number(name: str, form: str, unit: str = "") -> str:
        return "" if pd.isna(row[name]) else f"{row[name]:{form}}{unit}"

    def word(name: str) -> str:
        return "" if pd.isna(row[name]) else words.label(str(row[name]))

    def interval(names: list[str]) -> str:
        return estimate(*(float(row[name]) for name in names))

    def text(name: str) -> str:
        return "" if pd.isna(row[name]) else re.sub("([,;:]) ", r"\1\n", str(row[name]))

    compression = f"{word('compression')} {number('level', 'g')}".strip()
    needed = "asked for", "recommended", "contribution (x)", "chosen layer by layer"
    return {
        (needed[0], "top-1 at least (%)"): number("top1_floor", "g"),
        (needed[0], "candidates"): number("candidates", ",d"),
        (needed[1], "model"): word("model") or text("reason"),
        (needed[1], "compression"): compression,
        (needed[1], "format"): word("format"),
        (needed[1], "primitive"): word("primitive"),
        (needed[1], "tuning"): word("tuning"),
        (needed[1], "top-1 (%)"): number("top1_compiled", ".1f"),
        (needed[1], "latency (ms)"): interval(LATENCY),
        **{(needed[2], layer): number(f"contribution_{layer}", ".2f") for layer in LAYERS},
        (needed[3], "configuration"): words.text(text("layer_by_layer")),
        (needed[3], "latency (ms)"): estimate(row["layer_by_layer_ms"]),
        (needed[3], "status"): text("layer_by_layer_status"),
        (needed[3], "speedup of the recommended (x)"): interval(JOINT),
    }
