"""The files that jobs read; files of several configurations have keys."""

from collections.abc import Iterable, Mapping
from typing import Any

from dlas import registry
from dlas.config import Config
from dlas.study import settings
from dlas.study.grid import (
    Configuration,
    choices,
    machines,
    networks,
    peers,
    searches,
    timed_together,
    timing_jobs,
    tuned_choices,
)
from dlas.study.paths import path
from dlas.study.pipelines import levels


def artifacts(name: str, configurations: Iterable[Configuration]) -> list[str]:
    """Return the path of one kind of artifact for each configuration, in their order."""
    return [path(name, **vars(one)) for one in configurations]


def library_name(configuration: Mapping[str, str]) -> str:
    """Return the library's key within its network and platform, e.g. "gemm-dense/untuned"."""
    return "{primitive}-{format}/{tuning}".format_map(configuration)


def libraries(config: Config, **wildcards: str) -> dict[str, dict[str, str]]:
    """Return the configurations of a network on a platform, by the name of each library."""
    return {library_name(one): one for one in choices(config, **wildcards)}


def slow_libraries(config: Config, **wildcards: str) -> list[str]:
    """Return the names of the libraries whose top-1 is skipped, see `dlas.plugins.TuningPlugin`."""
    slow = _slow_tunings(config, **wildcards)
    return [name for name, one in libraries(config, **wildcards).items() if one["tuning"] in slow]


def tunings(config: Config, **wildcards: str) -> dict[str, str]:
    """Return the tuning results' file of each library with a search, by the library's name."""
    return {library_name(one): path("tuning", **one) for one in tuned_choices(config, **wildcards)}


def combined_tunings(config: Config, tuning: str, **others: str) -> dict[str, str]:
    """Return the tuning results' file of each way that a way to schedule combines, by name."""
    ways = registry.describe("tuning", tuning).combines
    return {way: path("tuning", tuning=way, **others) for way in ways}


def timed_platforms(config: Config, **wildcards: str) -> dict[str, dict[str, Any]]:
    """Return the settings and input files of a model's timing on a machine, by platform."""
    place = {name: wildcards[name] for name in ("dataset", "model")}
    return {
        name: {
            "platform": settings.platform(config, name),
            "timing": settings.value(config, f"platforms.{name}.timing"),
            "slow": _slow_tunings(config, **place, platform=name),
            "target": path("target", platform=name),
            "probe": path("platform", platform=name),
            "networks": _timed_networks(config, **place, platform=name),
            "peers": _exported(config, **place, platform=name),
        }
        for name in timed_together(config, **wildcards)
    }


def _slow_tunings(config: Config, **wildcards: str) -> list[str]:
    """Return the slow ways to schedule of a model's libraries on a platform."""
    found = {one["tuning"] for one in choices(config, **wildcards)}
    return sorted(name for name in found if registry.describe("tuning", name).slow)


def timed_files(config: Config, **wildcards: str) -> list[str]:
    """Return the input files of a model's timing on a machine."""
    found: dict[str, None] = {}
    for platform in timed_platforms(config, **wildcards).values():
        networks = [file for files in platform["networks"].values() for file in files.values()]
        read = [platform["target"], platform["probe"], *networks, *platform["peers"].values()]
        found |= dict.fromkeys(read)
    return list(found)


def _timed_networks(config: Config, **wildcards: str) -> dict[str, dict[str, str]]:
    """Return the files of each timed network of a model on a platform, by its compression."""
    names = ("libraries", "builds", "check", "reference")
    return {
        compression: {name: path(name, **wildcards, compression=compression) for name in names}
        for compression in sorted(config.study.compression)
    }


def _exported(config: Config, **wildcards: str) -> dict[str, str]:
    """Return the exported network of each peer of a platform."""
    return {
        peer: path("exported", **wildcards, extension=registry.describe("runtime", peer).loads)
        for peer in peers(config, **wildcards)
    }


def prepared(config: Config, **_: str) -> dict[str, str]:
    """Return the file of each data set with networks, by its name."""
    names = sorted({network["dataset"] for network in networks(config)})
    return {name: path("dataset", dataset=name) for name in names}


def answers(config: Config, **_: str) -> list[dict[str, str]]:
    """Return each level of each network, with the file of its predictions for the test images."""
    every = (
        {**network, "level": level}
        for network in networks(config)
        for level in levels(config, network["compression"])
    )
    return [one | {"file": path("answers", **one)} for one in every]


def network_files(config: Config, **_: str) -> dict[str, dict[str, str]]:
    """Return the files of each network that an archive has, by "dataset/model/compression"."""
    names = ("chosen", "summary", "curve")
    return {
        "/".join(network.values()): {name: path(name, **network) for name in names}
        for network in networks(config)
    }


def row_files(config: Config, **_: str) -> list[dict[str, Any]]:
    """Return each configuration with the name of its library and the input files of its row."""
    names = ("summary", "target", "platform", "builds", "check", "timing", "statuses")
    machine = machines(config)
    return [
        {
            "configuration": one,
            "library": library_name(one),
            "files": {name: path(name, **one, machine=machine[one["platform"]]) for name in names},
        }
        for one in choices(config)
    ]


def sample_files(config: Config, **_: str) -> list[dict[str, str]]:
    """Return each dataset, model and machine with the "file" of its raw samples."""
    return [one | {"file": path("timing", **one)} for one in timing_jobs(config)]


def traced_rows(config: Config, **_: str) -> list[dict[str, Any]]:
    """Return each configuration with the files behind its row.

    Files under "made" belong to the row, and are traced back to their origins. Files under "shared"
    come from jobs for many rows, whose inputs belong to other rows too.
    """
    shared = ("target", "platform", "builds", "check", "timing")
    machine = machines(config)
    return [
        one
        | {
            "made": [path(name, **one) for name in ("summary", "network")]
            + ([path("tuning", **one)] if searches(one["tuning"]) else []),
            "shared": [path(name, **one, machine=machine[one["platform"]]) for name in shared],
        }
        for one in choices(config)
    ]
