"""What an observation is, how it is stored, and the selections that the observations share."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import numpy as np
import pandas as pd

from dlas import registry
from dlas.analysis import statistics
from dlas.analysis.columns import LATENCY, SCHEDULED, SPEEDUP
from dlas.analysis.statistics import Interval
from dlas.errors import StudyError
from dlas.status import MEASURED

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from dlas.analysis.style import Looks

Verdict = Literal["supported", "contradicted", "inconclusive"]


@dataclass(frozen=True)
class Tables:
    """What an observation takes.

    Parameters
    ----------
    study, noise_floor, curves : DataFrame
        study.csv, noise_floor.csv and accuracy_curves.csv.
    groups : mapping of str to str
        The group of each model that is in one: "compact" or "large".
    """

    study: pd.DataFrame
    noise_floor: pd.DataFrame
    curves: pd.DataFrame
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Observation:
    """What the study's measurements say on one claim.

    Methods have their plain names everywhere, in texts in backquotes: see `dlas.analysis.words`.

    Parameters
    ----------
    verdict : {"supported", "contradicted", "inconclusive"}
    reason : str
        One sentence on how the verdict came about; where data is missing it begins with "needs".
    statistic : str
        The name of the effect size.
    estimate, ci_low, ci_high : float
        The effect size with its 95 % interval; NaN where there is none.
    n : int
        What was counted for it.
    evidence : DataFrame
        What was compared; its columns are the observation's own.
    shown : mapping of str to DataFrame
        What the figure shows besides. Cells are numbers, texts and tuples of texts; an index is not kept.
    """

    verdict: Verdict
    reason: str
    statistic: str
    estimate: float = float("nan")
    ci_low: float = float("nan")
    ci_high: float = float("nan")
    n: int = 0
    evidence: pd.DataFrame = field(default_factory=pd.DataFrame, compare=False, repr=False)
    shown: Mapping[str, pd.DataFrame] = field(default_factory=dict, compare=False, repr=False)

    @property
    def headline(self) -> str:
        """The verdict, with what is missing where it is: "inconclusive: needs a second platform"."""
        return f"{self.verdict}: {self.reason}" if self.reason.startswith("needs") else self.verdict

    def showing(self, **tables: pd.DataFrame) -> "Observation":
        """Return the same observation with these tables for its figure."""
        return replace(self, shown=tables)

    def names(self, kind: str) -> list[str]:
        """Return the methods of a kind that the table `shown[kind]` lists."""
        return list(self.shown[kind][kind])

    def record(self) -> dict[str, Any]:
        """Return the observation as values that JSON has."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        numbers = {name: _number(values[name]) for name in ("estimate", "ci_low", "ci_high")}
        tables = {name: _stored(table) for name, table in self.shown.items()}
        return {
            **values,
            **numbers,
            "n": int(self.n),
            "evidence": _stored(self.evidence),
            "shown": tables,
        }


def restored(record: Mapping[str, Any]) -> Observation:
    """Return an observation from its record, whatever else that has."""
    values = {each.name: record[each.name] for each in fields(Observation)}
    for name in ("estimate", "ci_low", "ci_high"):
        values[name] = float("nan") if values[name] is None else values[name]
    values["evidence"] = _table(values["evidence"])
    values["shown"] = {name: _table(table) for name, table in values["shown"].items()}
    return Observation(**values)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _stored(table: pd.DataFrame) -> dict[str, Any]:
    """Return a table column by column with its types; cells without a value are None."""
    return {
        name: {
            "type": str(column.dtype),
            "cells": column.astype(object).where(column.notna(), None).tolist(),
        }
        for name, column in table.items()
    }


def _table(stored: Mapping[str, Any]) -> pd.DataFrame:
    """Return a table from what `_stored` returned."""
    return pd.DataFrame(
        {
            name: pd.Series(
                [tuple(cell) if isinstance(cell, list) else cell for cell in column["cells"]],
                dtype=column["type"],
            )
            for name, column in stored.items()
        }
    )


class Module(Protocol):
    """The module of an observation.

    It describes itself in PLUGIN, see `dlas.plugins.ObservationPlugin`. RULE says what makes the claim supported,
    contradicted or inconclusive, READING how its figure is read, DATA which rows of which tables it takes.
    """

    RULE: str
    READING: str
    DATA: str

    def observe(self, tables: Tables) -> Observation:
        """Return the verdict under RULE, whatever rows there are and whatever became of them."""

    def draw(self, observation: Observation, looks: "Looks") -> "tuple[Figure, list[Line2D]]":
        """Return the figure of what was observed, and the entries of its legend."""


PARTS = ("RULE", "READING", "DATA", "observe", "draw")


def load(name: str) -> Module:
    """Return the module of an observation.

    Raises
    ------
    StudyError
        For an unknown name and for a module that lacks a part of `Module`.
    """
    module = registry.load("observation", name)
    missing = [part for part in PARTS if not hasattr(module, part)]
    if missing:
        raise StudyError(f"dlas/analysis/observations/{name}.py lacks {', '.join(missing)}")
    return cast(Module, module)


def needs(what: str, statistic: str) -> Observation:
    """Return the verdict on a claim whose data is not in the study's grid."""
    return Observation("inconclusive", f"needs {what}", statistic)


def distinct_names(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return the methods of a kind that a table has, once each, for `Observation.names`."""
    return table[[kind]].drop_duplicates(ignore_index=True)


def measured(study: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that stand for a measurement with an interval."""
    return study[study["status"].isin(MEASURED) & study["latency_ms_low"].notna()]


def untuned(study: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of default schedules.

    Some configurations only are auto-scheduled: what compares networks with one another compares these, so that no
    difference comes from the choice of what was tuned.
    """
    return study[study["tuning"] == "untuned"]


def unreached(study: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of compressions without a level within the tolerance.

    Their level is 0: the network is the uncompressed one once more, not a compressed one.
    """
    return study[(study["compression"] != "none") & (study["level"] == 0)]


def distinct(study: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of different networks: all but those of `unreached`."""
    return study[(study["compression"] == "none") | (study["level"] != 0)]


def retimed(study: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each configuration measured both untuned and auto-scheduled: SCHEDULED, LATENCY, status.

    Auto-scheduled latencies have the suffix "_tuned"; the status is that of the auto-scheduled row.
    """
    rows = distinct(measured(study))
    before = untuned(rows)[[*SCHEDULED, *LATENCY]]
    after = rows.loc[rows["tuning"] == "auto_scheduled", [*SCHEDULED, *LATENCY, "status"]]
    return before.merge(after, on=SCHEDULED, suffixes=("", "_tuned"))


def latency(row: pd.Series) -> Interval:
    """Return a row's latency in milliseconds with its 95 % interval."""
    return Interval(row["latency_ms"], row["latency_ms_low"], row["latency_ms_high"])


def log_errors(rows: pd.DataFrame, names: list[str] = LATENCY) -> np.ndarray:
    """Return the standard error of the logarithm of each row's latency, or other estimate, from its interval."""
    _, low, high = (rows[name].to_numpy(float) for name in names)
    errors: np.ndarray = np.log(high / low) / (2 * statistics.REACH)
    return errors


def speedup(before: Interval, after: Interval) -> Interval:
    """Return the first latency over the second, numbers or arrays of them.

    The 95 % limits come from the two latencies' intervals, taken as independent.
    """
    reach = np.exp(np.hypot(*(np.log(each.high / each.low) / 2 for each in (before, after))))
    ratio = before.estimate / after.estimate
    return Interval(ratio, ratio / reach, ratio * reach)


def speedup_over(rows: pd.DataFrame, before: str, after: str = "") -> pd.DataFrame:
    """Return the `speedup` of the columns with one suffix over those with another: speedup, low and high."""
    first, second = (
        Interval(*(rows[f"{name}{end}"].to_numpy(float) for name in LATENCY))
        for end in (before, after)
    )
    values = dict(zip(SPEEDUP, speedup(first, second), strict=True))
    return pd.DataFrame(values, index=rows.index)


def macs_done(rows: pd.DataFrame) -> pd.Series:
    """Return the MACs of one inference that are computed: in CSR those of non-zero weights only.

    They are what `table.study_row` counts for gflops.
    """
    return rows["gflops"] * rows["latency_ms"] * 1e6 / 2


def fastest(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return the row of the lowest latency of each group."""
    return rows.loc[rows.groupby(by, sort=False)["latency_ms"].idxmin()]


def floors(noise_floor: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Return for each (platform, dataset) the noise floor: the largest factor of its models' A/A pairs."""
    found: dict[tuple[str, str], float] = {}
    for row in noise_floor.itertuples():
        factor = statistics.noise_floor(Interval(row.ratio, row.low, row.high))
        found[row.platform, row.dataset] = max(factor, found.get((row.platform, row.dataset), 1.0))
    return found
