"""What an observation is, and the selections that the observations share."""

from dataclasses import dataclass, field, fields
from types import ModuleType
from typing import Literal

import numpy as np
import pandas as pd

from dlas import registry
from dlas.analysis import statistics
from dlas.analysis.statistics import Interval
from dlas.errors import StudyError

USABLE = ("ok", "emulated")  # the values of status that stand for a measurement
CONFIGURATION = ["platform", "dataset", "model", "compression", "primitive", "format"]
LATENCY = ["latency_ms", "latency_ms_low", "latency_ms_high"]
SPEEDUP = ["speedup", "low", "high"]  # what `speedup_over` returns
PARTS = "RULE READING DATA observe draw".split()  # of an observation's module
Verdict = Literal["supported", "contradicted", "inconclusive"]


@dataclass(frozen=True)
class Tables:
    """What an observation reads: study.csv, noise_floor.csv and accuracy_curves.csv."""

    study: pd.DataFrame
    noise_floor: pd.DataFrame
    curves: pd.DataFrame


TABLES = tuple(each.name for each in fields(Tables))


@dataclass(frozen=True)
class Observation:
    """What the study's measurements say on one claim.

    `statistic` names the effect size, `estimate` with `ci_low` and `ci_high` is its value with a 95 % interval (NaN
    where there is none), `n` is what was counted for it. `reason` is one sentence on how the verdict came about; where
    data is missing it begins with "needs". `evidence` is the table of what was compared, for the figure; its columns
    are the observation's own.
    """

    verdict: Verdict
    reason: str
    statistic: str
    estimate: float = float("nan")
    ci_low: float = float("nan")
    ci_high: float = float("nan")
    n: int = 0
    evidence: pd.DataFrame = field(default_factory=pd.DataFrame, compare=False, repr=False)

    @property
    def headline(self) -> str:
        """The verdict, with what is missing where it is: "inconclusive: needs a second platform"."""
        return f"{self.verdict}: {self.reason}" if self.reason.startswith("needs") else self.verdict


def load(name: str) -> ModuleType:
    """Return the module of an observation.

    It has PLUGIN, see `dlas.plugins.ObservationPlugin`; RULE, what makes the claim supported, contradicted or
    inconclusive; READING, how its figure is read; DATA, which rows of which tables it takes; and two functions of
    `Tables`, observe(tables) -> Observation and draw(tables, observation) -> Figure. Raises a StudyError for an unknown
    name and for a module that lacks one of these.
    """
    module = registry.load("observation", name)
    missing = [part for part in PARTS if not hasattr(module, part)]
    if missing:
        raise StudyError(f"dlas/analysis/observations/{name}.py lacks {', '.join(missing)}")
    return module


def needs(what: str, statistic: str) -> Observation:
    """Return the verdict on a claim whose data is not in the study's grid."""
    return Observation("inconclusive", f"needs {what}", statistic)


def measured(study: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that stand for a measurement with an interval."""
    return study[study["status"].isin(USABLE) & study["latency_ms_low"].notna()]


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
    """Return one row for each configuration measured both untuned and auto-scheduled: CONFIGURATION, LATENCY, status.

    Auto-scheduled latencies have the suffix "_tuned"; the status is that of the auto-scheduled row.
    """
    rows = distinct(measured(study))
    before = untuned(rows)[[*CONFIGURATION, *LATENCY]]
    after = rows.loc[rows["tuning"] == "auto_scheduled", [*CONFIGURATION, *LATENCY, "status"]]
    return before.merge(after, on=CONFIGURATION, suffixes=("", "_tuned"))


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
