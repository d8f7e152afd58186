"""Make a bundle part of a study: bundles of one machine put together, and the rows that fit.

The rules are in docs/reference/bundles.md: which rows are left out, and with which reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from dlas import status
from dlas.analysis import rows, statistics
from dlas.analysis.columns import CONFIGURATION, LATENCY, MEASURED, MODEL, NETWORK, REFERENCE
from dlas.bundles import checking, form
from dlas.bundles.form import Bundle
from dlas.errors import StudyError

# What a configuration's measurement leaves in its row.
_MEASURED = (
    "library_bytes scheduled_layers primitive_layers top1_compiled latency_ms latency_ms_low "
    "latency_ms_high repeats gflops peak_fraction"
).split()


def merge(bundles: Sequence[Bundle]) -> Bundle:
    """Combine bundles of one machine, with the rounds of all; order and copies change nothing.

    Raises
    ------
    StudyError
        For bundles of different machines, networks, settings or code.
    """
    distinct = {bundle.digest: bundle for bundle in bundles}
    ordered = sorted(distinct.values(), key=lambda one: (one.machine["measured"], one.digest))
    first, *others = ordered
    if not others:
        return first
    for other in others:
        _check_alike(first, other)
    tables = {name: _first_of([one.tables[name] for one in ordered], name) for name in form.TABLES}
    samples = pd.concat(_renumbered([one.tables["samples"] for one in ordered]), ignore_index=True)
    study = timed_again(tables["study"], samples)
    merged = replace(
        first,
        machine={**first.machine, "measured": ordered[-1].machine["measured"]},
        tables=tables | {"study": study, "samples": samples},
        digest="+".join(one.digest for one in ordered),
    )
    return replace(merged, tables={**merged.tables, **checking.remade_tables(merged)})


def _check_alike(first: Bundle, other: Bundle) -> None:
    """Check that two bundles are of one machine, and of the same networks, settings and code."""
    machines = [(one.machine["cpu"]["model"], one.machine["target"]) for one in (first, other)]
    if machines[0] != machines[1]:
        raise StudyError(
            f"the bundles are of different machines: {machines[0][0]} and {machines[1][0]}, or of "
            "different targets; allowed: bundles of one machine, or a platform for each"
        )
    for key in ("networks", "code", "settings"):
        one, another = first.provenance[key], other.provenance[key]
        if one != another:
            names = sorted(name for name in {*one, *another} if one.get(name) != another.get(name))
            raise StudyError(
                f"the bundles differ in {key} of provenance.json: {names[0]}; "
                "allowed: the same networks, settings and code, or a platform for each"
            )


def _renumbered(samples: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """Return samples whose rounds follow each other, model by model."""
    ends: dict[tuple[str, ...], int] = {}
    found = []
    for content in samples:
        keys = list(content[MODEL].itertuples(index=False, name=None))
        start = pd.Series([ends.get(key, 0) for key in keys], content.index, int)
        content = content.assign(round=content["round"] + start)
        last = content.groupby(MODEL)["round"].max() + 1
        ends |= {key: int(end) for key, end in last.items()}
        found.append(content)
    return found


def _first_of(tables: Sequence[pd.DataFrame], name: str) -> pd.DataFrame:
    """Return each row of several tables once: the first that is measured, or the first of all."""
    every = pd.concat(tables, ignore_index=True)
    keys = {
        "study": CONFIGURATION,
        "peers": [*MODEL, "runtime"],
        "noise_floor": MODEL,
        "curves": [*NETWORK, "level"],
        "correct": [*NETWORK, "level"],
    }.get(name)
    if keys is None:
        return every
    if "status" in every:
        worse = ~every["status"].isin(status.MEASURED)
        every = every.loc[worse.sort_values(kind="stable").index]
    return every.drop_duplicates(keys).sort_values(keys).reset_index(drop=True)


def timed_again(study: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the latency of all their samples, and what is derived of it."""
    own = samples[samples["role"] == MEASURED]
    sampled = {name: some["latency_ms"] for name, some in own.groupby(CONFIGURATION)}
    found = []
    for row in study.to_dict("records"):
        there = sampled.get(tuple(row[name] for name in CONFIGURATION))
        if row["status"] in status.MEASURED and there is not None:
            before = row["latency_ms"]
            row |= dict(zip(LATENCY, statistics.median(there), strict=True))
            row |= {"repeats": len(there)}
            for name in ("gflops", "peak_fraction"):
                row[name] *= before / row["latency_ms"]
        found.append(row)
    return pd.DataFrame(found, columns=rows.STUDY_COLUMNS)


@dataclass(frozen=True)
class Terms:
    """What rows of a bundle must share with a study.

    Parameters
    ----------
    settings : mapping
        "width", and by name the "datasets", "compressions" and "checks", see
        `dlas.study.bundles.terms`.
    code : mapping of str to str
        The hash of each method's code and of the compiler's.
    same_code : bool
        Whether rows that were measured with other code are left out.
    """

    settings: Mapping[str, Any]
    code: Mapping[str, str]
    same_code: bool

    def misfit(self, row: Mapping[str, Any], bundle: Bundle) -> str | None:
        """Return why a row does not fit, None of one that does."""
        if reason := self.other_network(row, bundle) or self._other("checks", row["dtype"], bundle):
            return reason
        if self.same_code and (other := self.other_code(row, bundle)):
            return f"the code of {other} was another one"
        return None

    def other_network(self, network: Mapping[str, Any], bundle: Bundle) -> str | None:
        """Return why a network of a bundle differs from this study's; None if it does not."""
        theirs, ours = bundle.provenance["settings"]["width"], self.settings["width"]
        if theirs != ours:
            return f"models.width was {theirs}, here it is {ours}"
        return self._other("datasets", network["dataset"], bundle) or self._other(
            "compressions", network["compression"], bundle
        )

    def _other(self, kind: str, name: str, bundle: Bundle) -> str | None:
        """Return how a setting of a bundle differs from this study's."""
        before, now = (
            settings[kind].get(name) for settings in (bundle.provenance["settings"], self.settings)
        )
        if before == now:
            return None
        return f"{_SAID[kind].format(name)}: {_plain(before)}, here {_plain(now)}"

    def other_code(self, row: Mapping[str, Any], bundle: Bundle) -> str | None:
        """Return the first part of a row's code that differs from this study's, or None."""
        steps = self.settings["compressions"][row["compression"]]
        kinds = ("model", "primitive", "format", "tuning")
        parts = ["compiler", *(f"{kind} {row[kind]}" for kind in kinds)]
        parts += [f"compression {step}" for step in steps]
        theirs = bundle.provenance["code"]
        return next((part for part in parts if theirs.get(part) != self.code.get(part)), None)


_SAID = {
    "datasets": "the images of {} had another size",
    "compressions": "{} was another compression",
    "checks": "compiler.check of {} was another one",
}


def _plain(value: Any) -> str:
    return "none" if value is None else " ".join(str(value).replace("'", "").split())


def adopt(
    bundle: Bundle, asked: Sequence[Mapping[str, Any]], terms: Terms, runtimes: Sequence[str]
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Return the part of a bundle that a study asks for, and the record of its platform.

    Parameters
    ----------
    bundle : Bundle
        Its platform has the name that the study gives it.
    asked : sequence of mapping
        The study's configurations of the platform, with the "dtype" of their networks.
    runtimes : sequence of str
        The peers of the study.

    Returns
    -------
    tables : dict of str to DataFrame
        By name. Each configuration has a row: with the reason as status where the bundle lacks it
        or it does not fit.
    record : dict
        The record of the platform's probe, with "bundle": date, commit, the number of rows of other
        code, and whether the bundle has the answers of its networks.
    """
    there = {
        tuple(row[name] for name in CONFIGURATION): row
        for row in bundle.tables["study"].to_dict("records")
    }
    wrong = checking.row_problems(bundle)
    study, other_code = [], 0
    for one in asked:
        place = tuple(one[name] for name in CONFIGURATION)
        row = there.get(place)
        if row is None:
            study.append(_absent(one, bundle, "the bundle {} has no such configuration"))
        elif reason := terms.misfit(row, bundle):
            study.append(
                _refused(row, status.because(status.UNREACHABLE, f"in the bundle {reason}"))
            )
        elif place in wrong:
            study.append(
                _refused(row, status.because(status.WRONG, f"in the bundle {wrong[place]}"))
            )
        else:
            study.append(row)
            other_code += terms.other_code(row, bundle) is not None
    kept = {
        tuple(row[name] for name in CONFIGURATION) for row in study if status.ran(row["status"])
    }
    models = {tuple(one[name] for name in MODEL) for one in asked}
    networks = {
        tuple(one[name] for name in NETWORK)
        for one in asked
        if not terms.other_network(one, bundle)
    }
    tables = {**bundle.tables, **checking.remade_tables(bundle)}
    tables = {name: _of(content, MODEL, models) for name, content in tables.items()}
    peers = tables["peers"]
    tables |= {
        "study": pd.DataFrame(study, columns=rows.STUDY_COLUMNS),
        "peers": peers[peers["runtime"].isin(runtimes)],
        "samples": _sampled(tables["samples"], kept, runtimes),
        "curves": _of(tables["curves"], NETWORK, networks),
        "correct": _of(tables["correct"], NETWORK, networks),
    }
    facts = {name: bundle.machine[name] for name in ("measured", "commit")}
    facts |= {"rows": len(kept), "other_code": other_code, "answers": len(tables["correct"]) > 0}
    return tables, {**bundle.machine["probe"], "bundle": facts}


def _absent(asked: Mapping[str, Any], bundle: Bundle, reason: str) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(rows.STUDY_COLUMNS) | dict(asked)
    text = status.because(status.UNREACHABLE, reason.format(asked["platform"]))
    return row | {"threads": bundle.machine["threads"], "status": text}


def _refused(row: Mapping[str, Any], reason: str) -> dict[str, Any]:
    return {**row, **dict.fromkeys(_MEASURED), "status": reason}


def _of(
    content: pd.DataFrame, columns: Sequence[str], wanted: set[tuple[str, ...]]
) -> pd.DataFrame:
    places = pd.Series(list(content[columns].itertuples(index=False, name=None)), content.index)
    return content[places.isin(wanted)] if len(content) else content


def _sampled(
    samples: pd.DataFrame, kept: set[tuple[str, ...]], runtimes: Sequence[str]
) -> pd.DataFrame:
    """Return the samples of rows that take part, of the reference kernel and of peers."""
    places = pd.Series(
        list(samples[CONFIGURATION].itertuples(index=False, name=None)), samples.index
    )
    of_library = samples["compression"].notna()
    chosen = of_library & places.isin(kept)
    chosen |= ~of_library & samples["role"].isin([REFERENCE, *runtimes])
    return samples[chosen]
