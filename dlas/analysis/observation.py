"""Observations: their input, their record, and the selections of rows that they share."""

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

# The keys of `Observation.others` in a record.
GENERALIZES = ("generalizes", "generalizes_low", "generalizes_high")
NUMBERS = ("estimate", "ci_low", "ci_high", *GENERALIZES[1:])


@dataclass(frozen=True)
class Accuracy:
    """The accuracy of the networks of one machine.

    Parameters
    ----------
    curves : DataFrame
        As accuracy_curves.csv has it.
    answers : Answers
        Which test images each network gets right.
    """

    curves: pd.DataFrame
    answers: Answers


@dataclass(frozen=True)
class Tables:
    """Input of an observation.

    Attributes
    ----------
    study, noise_floor, curves : DataFrame
        study.csv, noise_floor.csv and accuracy_curves.csv.
    rounds : Rounds
        The samples of each row of `study`, in its order.
    answers : Answers
        Predictions of each network on each test image.
    groups : mapping of str to str
        The group of each model that is in one: "compact" or "large".
    steps : mapping of str to sequence of str
        The techniques of each compression in their order, one for a technique alone.
    bundled : mapping of str to Accuracy
        By the platforms of bundles: their rows are of networks that their machines trained.
    """

    study: pd.DataFrame
    noise_floor: pd.DataFrame
    curves: pd.DataFrame
    rounds: Rounds
    answers: Answers
    groups: Mapping[str, str] = field(default_factory=dict)
    steps: Mapping[str, Sequence[str]] = field(default_factory=dict)
    bundled: Mapping[str, Accuracy] = field(default_factory=dict)

    def accuracy(self, platform: str) -> Accuracy:
        """Return the accuracy of the networks that a platform's rows are of."""
        return self.bundled.get(platform, Accuracy(self.curves, self.answers))

    @property
    def rows(self) -> pd.DataFrame:
        """The study with `row`, the position of each row in `rounds`."""
        return self.study.assign(row=np.arange(len(self.study)))


@dataclass(frozen=True)
class Observation:
    """The verdict of the study's measurements on one claim.

    Methods have their plain names everywhere, in texts in backquotes: see `dlas.analysis.words`.

    Attributes
    ----------
    verdict : {"supported", "contradicted", "inconclusive"}
        On the study's own grid of networks, platforms and techniques.
    reason : str
        One sentence on how the verdict came about; it begins with "needs" if data is missing.
    statistic : str
        The name of the effect size.
    estimate, ci_low, ci_high : float
        The effect size with its 95 % interval, whose error is that of the measurements; NaN if
        there is none.
    n : int
        The number of networks, pairs or other units that the effect size comes from.
    others : Generalization
        Whether the claim holds for other networks, with the interval of the effect size with the
        networks as a sample.
    evidence : DataFrame
        The comparisons behind the verdict, with columns that each observation defines.
    shown : mapping of str to DataFrame
        Further tables for the figure. Cells are numbers, texts and tuples of texts; an index is not
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
        """The verdict with the missing data, or with the answer for other networks."""
        if self.reason.startswith("needs"):
            return f"{self.verdict}: {self.reason}"
        return f"{self.verdict} on this grid; for other networks: {self.others}"

    def showing(self, **tables: pd.DataFrame) -> "Observation":
        """Return the same observation with these tables as `shown`."""
        return replace(self, shown=tables)

    def names(self, kind: str) -> list[str]:
        """Return the methods of a kind that the table `shown[kind]` lists."""
        return list(self.shown[kind][kind])

    def record(self) -> dict[str, Any]:
        """Return the observation as values that JSON has, see `restored`."""
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
    """Return the observation of a record.

    Parameters
    ----------
    record : mapping
        Values of `Observation.record`; further keys are ignored.
    """
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
    """Return a table column by column with its dtypes; missing cells are None."""
    return {
        name: {
            "type": str(column.dtype),
            "cells": column.astype(object).where(column.notna(), None).tolist(),
        }
        for name, column in table.items()
    }


def _table(stored: Mapping[str, Any]) -> pd.DataFrame:
    """Return the table of what `_stored` returned."""
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

    It describes itself in PLUGIN, see `dlas.plugins.ObservationPlugin`.

    Attributes
    ----------
    RULE_VERSION : int
        Counts the changes of the rule; docs/explanation/verdicts.md has their reasons.
    RULE : str
        When the claim is supported, contradicted or inconclusive.
    READING : str
        How to read the figure.
    DATA : str
        Which rows of which tables the observation takes.
    """

    RULE_VERSION: int
    RULE: str
    READING: str
    DATA: str

    def observe(self, tables: Tables) -> Observation:
        """Return the verdict under RULE.

        Parameters
        ----------
        tables : Tables
            Any rows, with any status, or none. The tables are not changed.

        Returns
        -------
        Observation
            Its `shown` has all that `draw` needs.
        """

    def draw(self, observation: Observation, looks: "Looks") -> "tuple[Figure, list[Line2D]]":
        """Return the figure of an observation.

        Parameters
        ----------
        observation : Observation
            A result of `observe`, for any study.
        looks : Looks
            Labels, order and looks of the methods.

        Returns
        -------
        figure : Figure
            The panels without claim, verdict and rule, see `dlas.analysis.panels.finish`.
        legend : list of Line2D
            The entries of the legend.
        """


PARTS = ("RULE_VERSION", "RULE", "READING", "DATA", "observe", "draw")


def load(name: str) -> Module:
    """Return the module of an observation.

    Parameters
    ----------
    name : str
        The name of its file in dlas/analysis/observations, without suffix.

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
    """Return the verdict on a claim whose data is not in the study.

    Parameters
    ----------
    what : str
        The missing data, to follow the word "needs".
    statistic : str
        The name of the effect size.
    """
    return Observation("inconclusive", f"needs {what}", statistic)


def distinct_names(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return the distinct methods of a kind in a table, for `Observation.names`."""
    return table[[kind]].drop_duplicates(ignore_index=True)


def measured(study: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with a measurement that has an interval."""
    return study[study["status"].isin(MEASURED) & study["latency_ms_low"].notna()]


def untuned(study: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of default schedules.

    Only some configurations have other ways to schedule. Comparisons of networks take these rows,
    and do not depend on which configurations were tuned.
    """
    return study[study["tuning"] == "untuned"]


def unreached(study: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of compressions without a level within the tolerance.

    Their level is 0: the network is the uncompressed one once more, or that of a pipeline's other
    step alone.
    """
    return study[(study["compression"] != "none") & (study["level"] == 0)]


def distinct(study: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of different networks: all but those of `unreached`."""
    return study[(study["compression"] == "none") | (study["level"] != 0)]


def log_errors(rows: pd.DataFrame, names: list[str] = LATENCY) -> np.ndarray:
    """Return the standard error of the logarithm of each row's estimate, from its 95 % interval.

    Parameters
    ----------
    rows : DataFrame
        Rows with an interval.
    names : list of str
        The columns of the estimate and its lower and upper limit.

    Returns
    -------
    np.ndarray
        float64 [rows].
    """
    _, low, high = (rows[name].to_numpy(float) for name in names)
    errors: np.ndarray = np.log(high / low) / (2 * statistics.REACH)
    return errors


def timed(tables: Tables) -> pd.DataFrame:
    """Return the measured rows of the study that have paired samples.

    Any two rows of one job share `FEWEST_ROUNDS` rounds or more. Rows with samples of half of their
    job's rounds or fewer may have no pair and are left out.

    Returns
    -------
    DataFrame
        With `row`, the position of each row in `Tables.rounds`.
    """
    sampled = pd.DataFrame(np.isfinite(tables.rounds.log))
    rounds = sampled.groupby(tables.rounds.job).transform("any").sum(axis=1)
    shared = 2 * sampled.sum(axis=1) - rounds
    return measured(tables.rows[(shared >= FEWEST_ROUNDS).to_numpy()])


def assess(module: Module, tables: Tables) -> Observation:
    """Return the observation of a module, with a note on unpaired samples.

    Parameters
    ----------
    module : Module
        The module of the observation.
    tables : Tables
        The tables of the study.

    Returns
    -------
    Observation
        If it needs data, its reason also counts the measured rows without paired samples.
    """
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
    """Return the ratios of the latencies of two tables, row by row.

    Latencies of different timing jobs have no pairs: their intervals are taken as independent.

    Parameters
    ----------
    over, under : DataFrame
        LATENCY and row of the numerators and of the denominators, equally many.
    rounds : Rounds
        The samples of the rows.

    Returns
    -------
    ratios : Effect
        Arrays [rows].
    paired : np.ndarray
        bool [rows]: whether a ratio is of paired samples.
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
    """Return the ratios of effects with their 95 % limits as a table.

    Parameters
    ----------
    found : Effect
        Arrays [rows].
    index : Index
        The index of the table.
    names : list of str
        The columns of the ratio and its lower and upper limit.
    """
    return pd.DataFrame(dict(zip(names, found.interval(), strict=True)), index=index)


def paired(rows: pd.DataFrame, series: np.ndarray, names: list[str] = SPEEDUP) -> pd.DataFrame:
    """Return rows with the trimmed mean of their ratios over the rounds.

    Parameters
    ----------
    rows : DataFrame
        One row for each ratio.
    series : np.ndarray
        float64 [rows, rounds]: logarithms of the ratios.
    names : list of str
        The new columns of the ratio and its lower and upper 95 % limit.
    """
    return rows.join(intervals(effects(series), rows.index, names))


def macs_done(rows: pd.DataFrame) -> pd.Series:
    """Return the MACs that one inference computes: in CSR those of non-zero weights only.

    They follow from gflops, see `dlas.analysis.rows.study_row`.
    """
    return rows["gflops"] * rows["latency_ms"] * 1e6 / 2


def fastest(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return the row of the lowest latency of each group of equal values in columns `by`."""
    return rows.loc[rows.groupby(by, sort=False)["latency_ms"].idxmin()]


def floor_of(rows: pd.DataFrame, noise_floor: pd.DataFrame) -> np.ndarray:
    """Return the noise floor of each row's platform and data set.

    Parameters
    ----------
    rows : DataFrame
        Rows with platform and dataset.
    noise_floor : DataFrame
        noise_floor.csv.

    Returns
    -------
    np.ndarray
        float64 [rows]; infinite where there is no noise floor.
    """
    known = floors(noise_floor)
    places = zip(rows["platform"], rows["dataset"], strict=True)
    return np.array([known.get(place, np.inf) for place in places], float)


def floors(noise_floor: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Return the noise floor of each platform and data set.

    It is the largest factor of the A/A pairs of its models, see `statistics.noise_floor`.

    Parameters
    ----------
    noise_floor : DataFrame
        noise_floor.csv.

    Returns
    -------
    dict of (platform, dataset) to float
        Factors of at least 1.
    """
    found: dict[tuple[str, str], float] = {}
    for row in noise_floor.itertuples():
        factor = statistics.noise_floor(Interval(row.ratio, row.low, row.high))
        found[row.platform, row.dataset] = max(factor, found.get((row.platform, row.dataset), 1.0))
    return found
