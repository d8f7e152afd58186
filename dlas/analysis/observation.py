"""What an observation is, how it is stored, and the selections that the observations share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import pandas as pd

from dlas import registry
from dlas.analysis import statistics
from dlas.analysis.answers import Answers
from dlas.analysis.columns import LATENCY, SPEEDUP
from dlas.analysis.effects import FEWEST_ROUNDS, Effect, Rounds, effects
from dlas.analysis.judging import Generalization, Verdict
from dlas.analysis.statistics import Interval
from dlas.errors import StudyError
from dlas.status import MEASURED

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from dlas.analysis.style import Looks

# How a record names `Observation.others`.
GENERALIZES = ("generalizes", "generalizes_low", "generalizes_high")
NUMBERS = ("estimate", "ci_low", "ci_high", *GENERALIZES[1:])


@dataclass(frozen=True)
class Tables:
    """What an observation takes.

    Parameters
    ----------
    study, noise_floor, curves : DataFrame
        study.csv, noise_floor.csv and accuracy_curves.csv.
    rounds : Rounds
        The samples of each row of `study`, in its order.
    answers : Answers
        What each network answers to each test image.
    groups : mapping of str to str
        The group of each model that is in one: "compact" or "large".
    steps : mapping of str to sequence of str
        The techniques of each compression in their order, one for a technique alone.
    """

    study: pd.DataFrame
    noise_floor: pd.DataFrame
    curves: pd.DataFrame
    rounds: Rounds
    answers: Answers
    groups: Mapping[str, str] = field(default_factory=dict)
    steps: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def rows(self) -> pd.DataFrame:
        """The study with `row`, the position of each row in `rounds`."""
        return self.study.assign(row=np.arange(len(self.study)))


@dataclass(frozen=True)
class Observation:
    """What the study's measurements say on one claim.

    Methods have their plain names everywhere, in texts in backquotes: see `dlas.analysis.words`.

    Parameters
    ----------
    verdict : {"supported", "contradicted", "inconclusive"}
        On the study's own grid of networks, platforms and techniques.
    reason : str
        One sentence on how the verdict came about; where data is missing it begins with "needs".
    statistic : str
        The name of the effect size.
    estimate, ci_low, ci_high : float
        The effect size with its 95 % interval, whose error is that of the measurements; NaN where
        there is none.
    n : int
        What was counted for it.
    others : Generalization
        Whether the claim holds for other networks, with the interval of the effect size as a
        sample's.
    evidence : DataFrame
        What was compared; its columns are the observation's own.
    shown : mapping of str to DataFrame
        What the figure shows besides. Cells are numbers, texts and tuples of texts; an index is not
        kept.
    """

    verdict: Verdict
    reason: str
    statistic: str
    estimate: float = float("nan")
    ci_low: float = float("nan")
    ci_high: float = float("nan")
    n: int = 0
    others: Generalization = field(default_factory=Generalization)
    evidence: pd.DataFrame = field(default_factory=pd.DataFrame, compare=False, repr=False)
    shown: Mapping[str, pd.DataFrame] = field(default_factory=dict, compare=False, repr=False)

    @property
    def headline(self) -> str:
        """The verdict, with what is missing, "inconclusive: needs a second platform", or what it says of others."""
        if self.reason.startswith("needs"):
            return f"{self.verdict}: {self.reason}"
        return f"{self.verdict} on this grid; for other networks: {self.others}"

    def showing(self, **tables: pd.DataFrame) -> "Observation":
        """Return the same observation with these tables for its figure."""
        return replace(self, shown=tables)

    def names(self, kind: str) -> list[str]:
        """Return the methods of a kind that the table `shown[kind]` lists."""
        return list(self.shown[kind][kind])

    def record(self) -> dict[str, Any]:
        """Return the observation as values that JSON has."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        generalizes, *limits = values.pop("others")
        values |= dict(zip(GENERALIZES, (generalizes, *limits), strict=True))
        numbers = {name: _number(values[name]) for name in NUMBERS}
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
    record = dict(record)
    for name in NUMBERS:
        record[name] = float("nan") if record[name] is None else record[name]
    values = {each.name: record[each.name] for each in fields(Observation) if each.name in record}
    values["others"] = Generalization(*(record[name] for name in GENERALIZES))
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

    It describes itself in PLUGIN, see `dlas.plugins.ObservationPlugin`. RULE says what makes the
    claim supported, contradicted or inconclusive, READING how its figure is read, DATA which rows
    of which tables it takes. RULE_VERSION counts the changes of the rule;
    docs/explanation/verdicts.md has their reasons.
    """

    RULE_VERSION: int
    RULE: str
    READING: str
    DATA: str

    def observe(self, tables: Tables) -> Observation:
        """Return the verdict under RULE, whatever rows there are and whatever became of them."""

    def draw(self, observation: Observation, looks: "Looks") -> "tuple[Figure, list[Line2D]]":
        """Return the figure of what was observed, and the entries of its legend."""


PARTS = ("RULE_VERSION", "RULE", "READING", "DATA", "observe", "draw")


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

    Only some configurations have other ways to schedule: what compares networks with one another
    compares these, so that no difference comes from the choice of what was tuned.
    """
    return study[study["tuning"] == "untuned"]


def unreached(study: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of compressions without a level within the tolerance.

    Their level is 0: the network is the uncompressed one once more, not a compressed one, or that
    of a pipeline's other step alone.
    """
    return study[(study["compression"] != "none") & (study["level"] == 0)]


def distinct(study: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of different networks: all but those of `unreached`."""
    return study[(study["compression"] == "none") | (study["level"] != 0)]


def log_errors(rows: pd.DataFrame, names: list[str] = LATENCY) -> np.ndarray:
    """Return the standard error of the logarithm of each row's latency, or other estimate, from its interval."""
    _, low, high = (rows[name].to_numpy(float) for name in names)
    errors: np.ndarray = np.log(high / low) / (2 * statistics.REACH)
    return errors


def timed(tables: Tables) -> pd.DataFrame:
    """Return the measured rows of the study with `row`, their position in `Tables.rounds`.

    Any two of them that are of one job share `FEWEST_ROUNDS` rounds or more. Left out are rows with
    samples of half of their job's rounds or fewer: they may have no pair.
    """
    sampled = pd.DataFrame(np.isfinite(tables.rounds.log))
    rounds = sampled.groupby(tables.rounds.job).transform("any").sum(axis=1)
    shared = 2 * sampled.sum(axis=1) - rounds
    return measured(tables.rows[(shared >= FEWEST_ROUNDS).to_numpy()])


def assess(module: Module, tables: Tables) -> Observation:
    """Return what a module observes; where it needs data, the reason also counts the rows without paired samples."""
    found = module.observe(tables)
    unpaired = len(measured(tables.study)) - len(timed(tables))
    if not found.reason.startswith("needs") or not unpaired:
        return found
    return replace(
        found,
        reason=f"{found.reason}; paired samples of {FEWEST_ROUNDS} rounds are missing of "
        f"{unpaired} measured configurations",
    )


def compared(over: pd.DataFrame, under: pd.DataFrame, rounds: Rounds) -> tuple[Effect, np.ndarray]:
    """Return the ratios of the latencies of two tables' rows, one by one, and which of them are of paired samples.

    Latencies of different timing jobs have no pairs: their intervals are taken as independent.
    """
    logs = [np.log(rows["latency_ms"].to_numpy(float)) for rows in (over, under)]
    found = Effect(
        logs[0] - logs[1],
        np.hypot(*(log_errors(rows) for rows in (over, under))),
        np.full(len(over), np.inf),
    )
    of_rounds = effects(rounds.ratios(over["row"], under["row"]))
    known = np.isfinite(of_rounds.error)
    both = [
        np.where(known, getattr(of_rounds, name), getattr(found, name))
        for name in ("log", "error", "freedom")
    ]
    return Effect(*both), known


def intervals(found: Effect, index: pd.Index, names: list[str] = SPEEDUP) -> pd.DataFrame:
    """Return the ratios of effects with their 95 % limits as columns."""
    return pd.DataFrame(dict(zip(names, found.interval(), strict=True)), index=index)


def paired(rows: pd.DataFrame, series: np.ndarray, names: list[str] = SPEEDUP) -> pd.DataFrame:
    """Return rows with the trimmed mean ratio of each one's series [rows, rounds] and its 95 % limits."""
    return rows.join(intervals(effects(series), rows.index, names))


def macs_done(rows: pd.DataFrame) -> pd.Series:
    """Return the MACs of one inference that are computed: in CSR those of non-zero weights only.

    They are what `table.study_row` counts for gflops.
    """
    return rows["gflops"] * rows["latency_ms"] * 1e6 / 2


def fastest(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return the row of the lowest latency of each group."""
    return rows.loc[rows.groupby(by, sort=False)["latency_ms"].idxmin()]


def floor_of(rows: pd.DataFrame, noise_floor: pd.DataFrame) -> np.ndarray:
    """Return the noise floor of each row's platform and data set, infinite where there is none."""
    known = floors(noise_floor)
    places = zip(rows["platform"], rows["dataset"], strict=True)
    return np.array([known.get(place, np.inf) for place in places], float)


def floors(noise_floor: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Return for each (platform, dataset) the noise floor: the largest factor of its models' A/A pairs."""
    found: dict[tuple[str, str], float] = {}
    for row in noise_floor.itertuples():
        factor = statistics.noise_floor(Interval(row.ratio, row.low, row.high))
        found[row.platform, row.dataset] = max(factor, found.get((row.platform, row.dataset), 1.0))
    return found
