"""Simulate machines for tests: copies of a bundle with noise. No machine has these numbers.

`python -m tests.unit.bundles.simulated 10 bundles/amd_epyc_znver5 FOLDER` writes ten of them, and
FOLDER/study.yaml, the config of a study that merges them.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dlas.bundles import checking, form, merging
from dlas.bundles.form import Bundle


def copy(bundle: Bundle, seed: int, name: str) -> Bundle:
    """Return a bundle whose latencies differ by up to 20 % by configuration, and by round."""
    draw = np.random.default_rng(seed)
    samples = bundle.tables["samples"]
    keys = [
        key for key in samples if key not in ("machine", "platform", "role", "round", "latency_ms")
    ]
    numbers = samples.groupby(keys, dropna=False).ngroup()
    factors = draw.uniform(0.8, 1.2, numbers.max() + 1)[numbers]
    latency = samples["latency_ms"] * factors * draw.normal(1, 0.005, len(samples))
    named = {"machine": name, "platform": name}
    tables = {
        key: content.assign(**{column: name for column in named if column in content})
        for key, content in bundle.tables.items()
    }
    tables["samples"] = tables["samples"].assign(latency_ms=latency)
    tables["study"] = merging.timed_again(tables["study"], tables["samples"])
    made = replace(bundle, machine={**bundle.machine, "platform": name}, tables=tables)
    return replace(made, tables=tables | checking.remade_tables(made))


def write(count: int, original: Path, folder: Path, select: str | list[dict[str, Any]]) -> None:
    """Write copies of a bundle as simulated_0 and so on, and the config that merges them."""
    names = [f"simulated_{number}" for number in range(count)]
    for seed, name in enumerate(names):
        made = copy(form.read(original, name), seed, name)
        form.write(
            folder / name,
            {form.MACHINE: made.machine, form.PROVENANCE: made.provenance},
            made.tables,
        )
    config = {
        "study": {"platforms": names},
        "tuning": {
            "select": select
            if isinstance(select, str)
            else [one | {"platform": names} for one in select]
        },
        "platforms": {
            name: {"bundle": str(folder / name), "label": f"simulated {number}"}
            for number, name in enumerate(names)
        },
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


if __name__ == "__main__":
    selected = yaml.safe_load(Path("config.yaml").read_text())["tuning"]["select"]
    write(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), selected)
