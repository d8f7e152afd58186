"""Which files the jobs read: those of several configurations, keyed by what tells them apart."""

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
    """Return the name of a configuration's library within its network and platform: "gemm-dense/untuned"."""
    return "{primitive}-{format}/{tuning}".format_map(configuration)


def libraries(config: Config, **wildcards: str) -> dict[str, dict[str, str]]:
    """Return the configurations of a network on a platform, by the name of each library."""
    return {library_name(one): one for one in choices(config, **wildcards)}


def slow_libraries(config: Config, **wildcards: str) -> list[str]:
    """Return the names of the libraries whose top-1 is not taken, see `dlas.plugins.TuningPlugin`."""
    slow = _slow_tunings(config, **wildcards)
    return [name for name, one in libraries(config, **wildcards).items() if one["tuning"] in slow]


def tunings(config: Config, **wildcards: str) -> dict[str, str]:
    """Return the file of what tuning found, by the name of each library of a tuning that searches."""
    return {library_name(one): path("tuning", **one) for one in tuned_choices(config, **wildcards)}


def combined_tunings(config: Config, tuning: str, **others: str) -> dict[str, str]:
    """Return the file of what each other way found that a way combines, by its name."""
    ways = registry.describe("tuning", tuning).combines
    return {way: path("tuning", tuning=way, **others) for way in ways}


def timed_platforms(config: Config, **wildcards: str) -> dict[str, dict[str, Any]]:
    """Return all that the timing of a model on a machine depends on, by platform: settings and the files to read."""
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
    """Return the slow ways to schedule of a model's libraries on a platform, see `dlas.plugins.TuningPlugin`."""
    found = {one["tuning"] for one in choices(config, **wildcards)}
    return sorted(name for name in found if registry.describe("tuning", name).slow)


def timed_files(config: Config, **wildcards: str) -> list[str]:
    """Return the files that the timing of a model on a machine reads."""
    found: dict[str, None] = {}
    for platform in timed_platforms(config, **wildcards).values():
        networks = [file for files in platform["networks"].values() for file in files.values()]
        read = [platform["target"], platform["probe"], *networks, *platform["peers"].values()]
        found |= dict.fromkeys(read)
    return list(found)


def _timed_networks(config: Config, **wildcards: str) -> dict[str, dict[str, str]]:
    """Return the files of each network of a model that is timed on a platform, by its compression."""
    names = ("libraries", "builds", "check", "reference")
    return {
        compression: {name: path(name, **wildcards, compression=compression) for name in names}
        for compression in sorted(config.study.compression)
    }


def _exported(config: Config, **wildcards: str) -> dict[str, str]:
    """Return the file that each peer of a platform loads."""
    return {
        peer: path("exported", **wildcards, extension=registry.describe("runtime", peer).loads)
        for peer in peers(config, **wildcards)
    }


def prepared(config: Config, **_: str) -> dict[str, str]:
    """Return the file of each data set that networks are made for, by its name."""
    names = sorted({network["dataset"] for network in networks(config)})
    return {name: path("dataset", dataset=name) for name in names}


def answers(config: Config, **_: str) -> list[dict[str, str]]:
    """Return each level of each network, with the file of its answers to the test images."""
    every = (
        {**network, "level": level}
        for network in networks(config)
        for level in levels(config, network["compression"])
    )
    return [one | {"file": path("answers", **one)} for one in every]


def row_files(config: Config, **_: str) -> list[dict[str, Any]]:
    """Return each configuration with the name of its library and the files that its row is made of."""
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
    """Return each configuration with the files that its row stems from.

    Those under "made" are its own, and are traced to their beginnings. Those under "shared" are of
    jobs that take many rows at once, whose inputs belong to other rows too.
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
