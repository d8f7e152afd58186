"""What is missing or inconsistent in a bundle: `python -m dlas.bundles.checking bundles/NAME`."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dlas import status
from dlas.analysis import rows, statistics
from dlas.analysis.answers import level_name
from dlas.analysis.columns import CONFIGURATION, LATENCY, MEASURED, MODEL, NETWORK
from dlas.bundles import form, machine
from dlas.bundles.form import Bundle
from dlas.errors import StudyError

# What rounding in a file can change.
CLOSE = 1e-9


def problems(folder: str | Path) -> list[str]:
    """Return everything that is missing or inconsistent in a bundle, in one line each."""
    folder = Path(folder)
    if found := form_problems(folder) or [*_private_problems(folder)]:
        return found
    platform = json.loads((folder / form.MACHINE).read_text())["platform"]
    bundle = form.read(folder, platform)
    answered = form.TABLES["correct"][0] in form.files(folder)
    return [*_value_problems(bundle), *(_answer_problems(bundle) if answered else ())]


def form_problems(folder: Path) -> list[str]:
    """Return the problems of the files: missing, changed, another schema, unknown cells."""
    if not folder.is_dir():
        return ["it is not a folder; allowed: what `make bundle` has packed"]
    files = form.files(folder)
    found = [
        f"{name} is missing" for name in (*files, form.MANIFEST) if not (folder / name).is_file()
    ]
    # Snakemake dates a folder by a file in it.
    known = {*files, form.MANIFEST, ".snakemake_timestamp"}
    found += [
        f"{file.name} is a foreign file"
        for file in sorted(folder.iterdir())
        if file.name not in known
    ]
    jsons: dict[str, Any] = {}
    for name in (form.MACHINE, form.PROVENANCE, form.MANIFEST):
        if (folder / name).is_file():
            try:
                jsons[name] = json.loads((folder / name).read_text())
            except ValueError as error:
                found.append(f"{name} is not JSON: {error}")
    for name, value in jsons.items():
        if not isinstance(value, dict):
            return [*found, f"{name} has no keys"]
    schema = jsons.get(form.MACHINE, {}).get("schema", form.SCHEMA)
    if schema != form.SCHEMA and schema not in form.CONVERSIONS:
        return [*found, f"{form.MACHINE}: schema is {schema!r}; allowed: {_schemas()}"]
    if {form.MACHINE, form.PROVENANCE} <= jsons.keys():
        newest = form.converted(jsons[form.MACHINE], jsons[form.PROVENANCE])
        jsons |= dict(zip((form.MACHINE, form.PROVENANCE), newest, strict=True))
    for name, value in jsons.items():
        found += [f"{name} lacks {key}" for key in form.KEYS.get(name, ()) if not _has(value, key)]
    there = [name for name in files if (folder / name).is_file()]
    for name, (file, _) in form.TABLES.items():
        if file in there:
            found += _table_problems(
                folder / file, name, jsons.get(form.MACHINE, {}).get("platform")
            )
    return found + [
        f"{name} was changed after it was packed: {form.MANIFEST} has another hash"
        for name in _changed(folder, there, jsons.get(form.MANIFEST, {}))
    ]


def _has(value: Any, key: str) -> bool:
    """Return whether a JSON value has a dotted key."""
    first, _, rest = key.partition(".")
    there = isinstance(value, Mapping) and first in value
    return there and (not rest or _has(value[first], rest))


def _changed(folder: Path, there: Sequence[str], manifest: Mapping[str, Any]) -> list[str]:
    """Return the files with another hash than in the manifest, or the manifest if it differs."""
    found = [name for name in there if manifest.get(name) != form.sha256(folder / name)]
    if not found and (folder / form.MANIFEST).is_file():
        same = (folder / form.MANIFEST).read_bytes() == form.manifest(folder).encode()
        return [] if same else [form.MANIFEST]
    return found


def _schemas() -> str:
    return ", ".join(map(str, [*sorted(form.CONVERSIONS), form.SCHEMA]))


def _table_problems(file: Path, name: str, platform: Any) -> Iterator[str]:
    try:
        content = form.texts(file)
    except StudyError:
        yield f"{file.name} is damaged: it cannot be read as a table"
        return
    yield from form.cell_problems(name, content)
    if "platform" in content and len(others := set(content["platform"]) - {platform}):
        yield f"{file.name} has the platform {min(others)!r}; {form.MACHINE} has {platform!r}"


def _private_problems(folder: Path) -> Iterator[str]:
    """Yield the texts that must not be published."""
    for name in (form.MACHINE, form.PROVENANCE):
        for key, part in machine.private_leaves(json.loads((folder / name).read_text())):
            yield f"{name}: {key} has {part!r}, which is private"
    for file, columns in form.TABLES.values():
        if "status" in columns:
            for text in form.texts(folder / file)["status"].unique():
                if found := machine.private(text):
                    yield f"{file}: status has {found!r}, which is private"


def _value_problems(bundle: Bundle) -> Iterator[str]:
    study, samples = (bundle.tables[name] for name in ("study", "samples"))
    for line in np.flatnonzero(study.duplicated(CONFIGURATION)):
        yield f"study.csv, line {line + 2}: {_name(study.iloc[line])} is there twice"
    for place, reason in row_problems(bundle).items():
        yield f"study.csv: {'/'.join(place)}: {reason}"
    for name, remade in remade_tables(bundle).items():
        keys = [key for key in ("platform", "dataset", "model", "runtime") if key in remade]
        yield from _differences(form.TABLES[name][0], bundle.tables[name], remade, keys)
    known = set(study[MODEL].itertuples(index=False, name=None))
    for place in sorted(set(samples[MODEL].itertuples(index=False, name=None)) - known):
        yield f"samples.csv.gz has samples of {'/'.join(place)}, which study.csv lacks"


def _answer_problems(bundle: Bundle) -> Iterator[str]:
    """Yield which networks do not get as many images right as their top-1 says."""
    correct, curves = bundle.tables["correct"], bundle.tables["curves"]
    measured = curves[curves["top1"].notna()].to_dict("records")
    top1 = {_network(row): row["top1"] for row in measured}
    seen = set()
    for row in correct.to_dict("records"):
        place = _network(row)
        name = f"{form.TABLES['correct'][0]}: {'/'.join(place)}"
        unused = 4 * len(row["correct"]) - row["images"]
        bits = int(row["correct"], 16)
        share = 100 * bits.bit_count() / row["images"]
        if place in seen:
            yield f"{name} is there twice"
        elif not 0 <= unused < 8 or bits % 2**unused:
            yield f"{name} does not have one bit for each of {row['images']} images"
        elif place not in top1:
            yield f"{name} has no top1 in accuracy_curves.csv"
        elif not _close(share, top1[place]):
            yield f"{name} gets {share:.6g} % of the images right, its top1 is {top1[place]:.6g}"
        seen.add(place)
    # Level 0 of a ladder is a network that has a line of its own.
    for row in measured:
        if row["level"] != 0 and _network(row) not in seen:
            yield f"{form.TABLES['correct'][0]}: it lacks {'/'.join(_network(row))}"


def _network(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (*(row[name] for name in NETWORK), level_name(row["level"]))


def row_problems(bundle: Bundle) -> dict[tuple[str, ...], str]:
    """Return why samples contradict the latencies of rows, by configuration."""
    study, samples = (bundle.tables[name] for name in ("study", "samples"))
    own = samples[samples["role"] == MEASURED]
    sampled = {name: some["latency_ms"] for name, some in own.groupby(CONFIGURATION)}
    found = {}
    for row in study.to_dict("records"):
        place = tuple(row[name] for name in CONFIGURATION)
        there = sampled.pop(place, None)
        if reason := _row_problem(row, there, bundle.machine["probe"]):
            found[place] = reason
    found |= {place: "there are samples, but no row in study.csv" for place in sampled}
    return found


def _row_problem(row: Mapping[str, Any], samples: Any, probe: Mapping[str, Any]) -> str | None:
    if row["status"] not in status.MEASURED:
        there = not pd.isna(row["latency_ms"])
        return f"latency_ms is there, its status is {row['status']}" if there else None
    if samples is None:
        return "it has no samples"
    if len(samples) != row["repeats"]:
        return f"it has {len(samples)} samples, not {row['repeats']:g}"
    if not (samples > 0).all():
        return "it has samples that are not above 0 ms"
    for name, value in zip(LATENCY, statistics.median(samples), strict=True):
        if not _close(value, row[name]):
            return f"its samples give {name} {value:.6g}, not {row[name]:.6g}"
    peak = (probe["peak_gflops"] or {}).get(row["dtype"])
    if peak and not _close(row["gflops"] / peak, row["peak_fraction"]):
        return "peak_fraction is not gflops by the peak"
    done = 2 * row["macs"] / row["latency_ms"] / 1e6
    if row["format"] == "dense" and not _close(done, row["gflops"]):
        return "gflops is not 2 x macs / latency_ms"
    return None


def _close(value: float, other: float) -> bool:
    return bool(np.isclose(value, other, rtol=CLOSE, atol=0, equal_nan=True))


def remade_tables(bundle: Bundle) -> dict[str, pd.DataFrame]:
    """Compute noise_floor.csv and peers.csv again from the samples; statuses stay."""
    samples, before = bundle.tables["samples"], bundle.tables["peers"]
    wrong = before[before["status"] != status.OK]
    platform = bundle.tables["study"]["platform"].iloc[0]
    floor, peers = [], []
    for (dataset, model), own in samples.groupby(MODEL):
        place = {"platform": platform, "dataset": dataset, "model": model}
        floor.append(rows.noise_floor_row(place, own))
        here = wrong[(wrong["dataset"] == dataset) & (wrong["model"] == model)]
        reasons = dict(zip(here["runtime"], here["status"], strict=True))
        peers += rows.peer_rows(place, bundle.machine["threads"], own, reasons)
    return {
        "noise_floor": pd.DataFrame(
            [row for row in floor if row], columns=rows.NOISE_FLOOR_COLUMNS
        ),
        "peers": pd.DataFrame(peers, columns=rows.PEERS_COLUMNS),
    }


def _differences(
    name: str, there: pd.DataFrame, remade: pd.DataFrame, keys: Sequence[str]
) -> Iterator[str]:
    """Yield where a table differs from what the samples give."""
    both = there.merge(remade, on=list(keys), how="outer", suffixes=("", "_made"), indicator="side")
    for row in both.to_dict("records"):
        place = "/".join(str(row[key]) for key in keys)
        if row["side"] != "both":
            lacks = name if row["side"] == "right_only" else "samples.csv.gz"
            yield f"{name}: {place}: {lacks} lacks it"
            continue
        for column in remade.columns.difference(keys).difference(["status"]):
            if not _close(row[column], row[f"{column}_made"]):
                yield (
                    f"{name}: {place}: its samples give {column} {row[f'{column}_made']:.6g}, "
                    f"not {row[column]:.6g}"
                )


def _name(row: Mapping[str, Any] | pd.Series) -> str:
    return "/".join(str(row[name]) for name in CONFIGURATION)


def check_inputs(asked: Mapping[str, Mapping[str, Any]]) -> None:
    """Check the bundles that a study reads before any job.

    Parameters
    ----------
    asked : mapping
        For each platform of a bundle its "folders", and the "configurations" of the study's grid.

    Raises
    ------
    StudyError
        For a bundle that is not there, incomplete, changed, of another schema or of another study.
    """
    for platform, one in asked.items():
        for folder in map(Path, one["folders"]):
            key = f"config: platforms.{platform}.bundle: {folder}"
            if found := form_problems(folder):
                raise StudyError(f"{key}: {found[0]}")
            keys = [name for name in CONFIGURATION if name != "platform"]
            there = set(form.texts(folder / "study.csv")[keys].itertuples(index=False, name=None))
            if not there & {tuple(each[name] for name in keys) for each in one["configurations"]}:
                raise StudyError(
                    f"{key}: study.csv has no configuration of this study; "
                    "allowed: a bundle of the same data sets and models"
                )


def main(folders: Sequence[str]) -> int:
    """Print all problems of bundles, and return the exit status."""
    if not folders:
        print("error: no bundle is named; allowed: folders of bundles", file=sys.stderr)
        return 1
    wrong = 0
    for folder in folders:
        found = problems(folder)
        wrong += bool(found)
        for line in found:
            print(f"{folder}: {line}", file=sys.stderr)
        if not found:
            count = len(form.texts(Path(folder) / "study.csv"))
            print(f"{folder}: complete and consistent, {count} rows")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
