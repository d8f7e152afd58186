# Validation of the config and the helpers of the rules, nothing else.

import os
import sys
from functools import partial
from pathlib import Path

import yaml

from dlas import closure, descriptions, registry, study, validation
from dlas.errors import StudyError

ROOT = Path(workflow.basedir)

try:
    validation.validate(config, yaml.safe_load((ROOT / "config/schema.yaml").read_text()))
except StudyError as error:
    sys.exit(str(error))


wildcard_constraints:
    dataset="[a-z0-9_]+",
    model="[a-z0-9_]+",
    compression="[a-z0-9_]+",
    level="single|[0-9][0-9.e-]*",
    primitive="[a-z0-9_]+",
    format="[a-z]+",
    tuning="|".join(registry.names("tuning")),
    platform="[a-z0-9_]+",
    number="[0-9]{2}",
    table="|".join(study.SUMMARY_TABLES),


# The data sets whose archive is downloaded.
DOWNLOADED = "|".join(study.downloads(config)) or "(?!)"
# Which models are trained and which have their weights in a file: pairs of a data set and a model, as they stand in paths.
FILED = "|".join(f"{dataset}/{model}" for dataset, model in study.untrained(config))
LOADED = f"(?=(?:{FILED})(?![a-z0-9_]))[a-z0-9_]+"
TRAINED = f"(?!(?:{FILED})(?![a-z0-9_]))[a-z0-9_]+"
# Which boards a platform is reached on, and how many there are: so many jobs use them at a time.
BOARDS = study.boards(config)
for name, count in study.board_counts(config).items():
    if f"board_{name}" not in workflow.global_resources:  # unless the command line says so
        workflow.register_resource(f"board_{name}", count)
# GPUs of a training. Where it runs on this machine, trainings take turns unless the command line says that there are more.
GPUS = study.gpus(config)
if GPUS and workflow.local_exec and "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", GPUS)
# Rules that measure come in two forms: for this machine, which is then their own, and for boards.
HERE = "|".join(sorted(set(config["platforms"]) - BOARDS.keys())) or "(?!)"
ELSEWHERE = "|".join(BOARDS) or "(?!)"


def one_board():
    """The resources of a job on a board: one of its platform's, none of any other."""
    return {f"board_{name}": partial(uses, name) for name in study.board_counts(config)}


def uses(name, wildcards):
    """How many of the boards of this name a job takes."""
    return int(BOARDS[wildcards.platform] == name)


def settings(**keys):
    """The values of the config that a job depends on: each a dotted key, or a function of config and wildcards.

    A dotted key may hold wildcards. What comes out is in a canonical order and form, because a rerun is decided by it.
    """

    def read(wildcards):
        return study.canonical(
            {
                name: (
                    study.value(config, key.format(**wildcards))
                    if isinstance(key, str)
                    else told(key, wildcards)
                )
                for name, key in keys.items()
            }
        )

    return read


def told(choose, wildcards):
    """What a function of config and wildcards gives; bad input, such as a wrong path asked for, ends in one line."""
    try:
        return choose(config, **wildcards)
    except StudyError as error:
        sys.exit(f"error: {error}")


def code(script, *modules):
    """The content of a script and of all it imports; `modules` are those found by name, and may hold wildcards."""

    def read(wildcards):
        path = ROOT / f"workflow/scripts/{script}.py"
        return closure.code_hash(ROOT, path, named(modules, wildcards))

    return read


def code_of(*modules):
    """The content of modules and of all that they import; their names may hold wildcards."""

    def read(wildcards):
        return closure.code_hash(ROOT, None, named(modules, wildcards))

    return read


def named(modules, wildcards):
    """The names of modules, wildcards filled in; a function of config and wildcards gives one or several."""
    found = [
        name.format(**wildcards) if isinstance(name, str) else name(config, **wildcards)
        for name in modules
    ]
    return tuple(name for each in found for name in ([each] if isinstance(each, str) else each))


def provenance(name, **choices):
    """The record of what made an artifact, which the job itself writes: an output of its rule."""
    return study.path(name, **choices).replace("results/", "results/provenance/", 1) + ".json"


def archive(wildcards):
    """The archive of a data set that is downloaded; nothing of one that is not."""
    downloaded = wildcards.dataset in study.downloads(config)
    return study.path("archive", **wildcards) if downloaded else []


def mirrors(wildcards, output):
    """Where an archive can be downloaded.

    Snakemake decides about reruns without the parameters that are made of `output`. So a change of the mirrors runs no
    job again: the checksum says what the archive is, wherever it comes from.
    """
    return config["datasets"][wildcards.dataset]["mirrors"]


def weights(wildcards):
    """The file that the weights of a model are in."""
    found = study.weights(config, **wildcards)
    if found == study.PUBLISHED:
        return study.path("weights", **wildcards)
    if not Path(found).is_file():
        key = f"models.weights.{wildcards.dataset}.{wildcards.model}"
        sys.exit(
            f"error: {key}: {found} does not exist; allowed: {study.TRAIN}, {study.PUBLISHED}, or a file"
        )
    return found


def levels(name):
    """The artifacts `name` of all levels of a technique."""

    def files(wildcards):
        chosen = study.levels(config, wildcards.compression)
        return [study.path(name, **wildcards, level=level) for level in chosen]

    return files


def previous(wildcards):
    """The network that a level starts from."""
    level = told(study.previous, wildcards)
    if level is None:
        return study.path("checkpoint", **wildcards)
    return study.path("compressed", **{**wildcards, "level": level})


def files(choose):
    """The files that a function of config and wildcards gives by name."""
    return lambda wildcards: list(told(choose, wildcards).values())


def every_file(choose):
    """The files that a function of config and wildcards gives by two names."""
    return lambda wildcards: [
        file for some in told(choose, wildcards).values() for file in some.values()
    ]


def every(name):
    """The artifacts `name` of the whole study."""
    return list(dict.fromkeys(study.artifacts(name, study.configurations(config))))


def every_provenance(wildcards):
    """The records of all jobs that the rows of the study stem from."""
    chosen = [vars(one) for one in study.configurations(config)]
    downloaded = study.downloads(config)
    names = "dataset checkpoint curve network target builds check timing platform".split()
    found = {name: chosen for name in names} | {
        "archive": [one for one in chosen if one["dataset"] in downloaded],
        "weights": [one for one in chosen if study.from_torchvision(config, **one)],
        "compressed": [
            {**network, "level": level}
            for network in study.networks(config)
            for level in study.levels(config, network["compression"])
        ],
        "tuning": [one for one in chosen if study.searches(one["tuning"])],
    }
    return sorted({provenance(name, **one) for name, ones in found.items() for one in ones})


def every_tuning(name):
    """The artifacts `name` of all auto-scheduled configurations that are shown."""
    return [study.path(name, **chosen) for chosen in study.tunings_shown(config)]


def networks(name):
    """The artifacts `name` of all networks."""
    return [study.path(name, **network) for network in study.networks(config)]


def observations(name, **choices):
    """The artifacts `name` of all observations."""
    return expand(study.path(name), number=sorted(config["observations"]), **choices)
