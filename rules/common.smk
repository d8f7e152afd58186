# Validation of the config and the helpers of the rules, nothing else.

import os
import shlex
import signal
import sys
from functools import partial
from pathlib import Path

from snakemake.utils import update_config

from dlas import closure, environment, registry
from dlas.errors import StudyError

# Jobs inherit what is left.
removed = environment.clear(os.environ)
if removed and workflow.is_main_process:
    print(f"note: set aside for all jobs: {', '.join(removed)}", file=sys.stderr)
# A closed terminal ends the study as Ctrl-C does, but under nohup.
if workflow.is_main_process and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
    signal.signal(signal.SIGHUP, signal.default_int_handler)

# Snakemake does not quote it in the commands of jobs. Of what it runs itself nothing else reads it.
if Path(sys.executable).exists():
    sys.executable = shlex.quote(sys.executable)

try:
    # Importing it reads the descriptions of all plugins.
    from dlas import study
    from dlas.config import check_file, of_command_line, read, typed

    if workflow.modifier.is_main_snakefile():
        # Jobs plan the same config once more, but do not check it again.
        if workflow.is_main_process:
            for file in workflow.configfiles:
                check_file(file)
        update_config(config, of_command_line(workflow.config_settings.config))
    else:
        # Of a module: what the other workflow says after `config:` is an overlay.
        config = read(config)
    CONFIG = typed(config)
    if workflow.is_main_process:
        study.check_combinations(CONFIG)
        if asked := study.bundle_inputs(CONFIG):
            # It takes the packages of the tables, which no other plan needs.
            from dlas.bundles.checking import check_inputs

            check_inputs(asked)
        if CONFIG.models.archive:
            from dlas.compression.archive import check

            check(CONFIG.models.archive, study.network_terms(CONFIG), study.networks(CONFIG))
except StudyError as error:
    sys.exit(str(error))


wildcard_constraints:
    dataset=registry.NAME.pattern,
    model=registry.NAME.pattern,
    compression=registry.NAME.pattern,
    level="single|[0-9][0-9.e-]*",
    primitive=registry.NAME.pattern,
    format=registry.NAME.pattern,
    tuning="|".join(registry.names("tuning")),
    platform=registry.NAME.pattern,
    machine=registry.NAME.pattern,
    bundle=registry.NAME.pattern,
    number="[0-9]{2}",
    table="|".join(study.SUMMARY_TABLES),


# The data sets whose archive is downloaded.
DOWNLOADED = "|".join(study.downloads(CONFIG)) or "(?!)"
# Models that are trained, and models whose weights are in a file. Each is a pair of a data set and
# a model, as in the paths.
FILED = "|".join(f"{dataset}/{model}" for dataset, model in study.untrained(CONFIG))
LOADED = f"(?=(?:{FILED})(?![a-z0-9_]))[a-z0-9_]+"
TRAINED = f"(?!(?:{FILED})(?![a-z0-9_]))[a-z0-9_]+"
# Networks are made here, unless an archive has them.
MADE, ARCHIVED = registry.NAME.pattern, "(?!)"
if CONFIG.models.archive:
    MADE, ARCHIVED = ARCHIVED, MADE
# The boards that each platform is reached on. Their number limits the jobs that use them at a time.
BOARDS = study.boards(CONFIG)
for name, count in study.board_counts(CONFIG).items():
    # The command line may set another number.
    if f"board_{name}" not in workflow.global_resources:
        workflow.register_resource(f"board_{name}", count)
# GPUs that one training uses. Trainings take turns unless a profile or the command line sets more.
GPUS = study.gpus(CONFIG)
if GPUS and "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", GPUS)
# Rules that measure have two forms: for this machine, which they occupy, and for boards.
MEASURED = "|".join(sorted(study.measured_platforms(CONFIG))) or "(?!)"
HERE = "|".join(sorted(study.measured_platforms(CONFIG).keys() - BOARDS.keys())) or "(?!)"
ELSEWHERE = "|".join(BOARDS) or "(?!)"
BUNDLED = "|".join(study.bundles(CONFIG)) or "(?!)"
MACHINES_HERE = "|".join(sorted({*study.machines(CONFIG).values()} - BOARDS.keys())) or "(?!)"


def one_board(wildcard="platform"):
    """Return a job's resources: one board of the platform that a wildcard names."""
    return {f"board_{name}": partial(uses, name, wildcard) for name in study.board_counts(CONFIG)}


def uses(name, wildcard, wildcards):
    """Return 1 if a job uses a board of this name, else 0."""
    return int(BOARDS[wildcards[wildcard]] == name)


def settings(**keys):
    """Return an input function for the config values that a job depends on.

    Each value is named by a dotted key, which may contain wildcards, or is computed by a function
    of config and wildcards. The result has a canonical order and form: it decides about reruns.
    """

    def read(wildcards):
        return study.canonical(
            {
                name: (
                    study.value(CONFIG, key.format(**wildcards))
                    if isinstance(key, str)
                    else resolve_or_exit(key, wildcards)
                )
                for name, key in keys.items()
            }
        )

    return read


def resolve_or_exit(choose, wildcards):
    """Call a function of config and wildcards. Exit with one line on bad input."""
    try:
        return choose(CONFIG, **wildcards)
    except StudyError as error:
        sys.exit(f"error: {error}")


def code(script, *modules):
    """Return a function for the hash of a script and its imports, with `modules` found by name."""

    def read(wildcards):
        path = ROOT / f"workflow/scripts/{script}.py"
        return closure.code_hash(ROOT, path, named(modules, wildcards))

    return read


def code_of(*modules):
    """Return a function for the hash of modules and their imports. Names may contain wildcards."""

    def read(wildcards):
        return closure.code_hash(ROOT, None, named(modules, wildcards))

    return read


def code_by_name(choose):
    """Return a function for the hashes, by name, of the modules that `choose(config)` names."""

    def read(wildcards):
        return {
            name: closure.code_hash(ROOT, None, (module,))
            for name, module in choose(CONFIG).items()
        }

    return read


def named(modules, wildcards):
    """Return module names with wildcards filled in. A function may name several."""
    found = [
        name.format(**wildcards) if isinstance(name, str) else name(CONFIG, **wildcards)
        for name in modules
    ]
    return tuple(name for each in found for name in ([each] if isinstance(each, str) else each))


def provenance(name, **choices):
    """Return the path of an artifact's provenance record, which its own job writes."""
    return study.path(name, **choices).replace("results/", "results/provenance/", 1) + ".json"


def archive(wildcards):
    """Return the archive of a data set that is downloaded; none for the others."""
    downloaded = wildcards.dataset in study.downloads(CONFIG)
    return study.path("archive", **wildcards) if downloaded else []


def networks_archive(wildcards):
    """Return the archive that networks are taken from; none if they are made here."""
    return CONFIG.models.archive or []


def archived_networks(config, **_):
    """Return the hash of all that the archive of networks contains; None if networks are made here."""
    if not config.models.archive:
        return None
    from dlas.compression.archive import digest

    return digest(config.models.archive)


def answer_files(wildcards):
    """Return the answers of each level of each network; none if an archive has them."""
    return [] if CONFIG.models.archive else [one["file"] for one in study.answers(CONFIG)]


def mirrors(wildcards, output):
    """Return the mirrors of an archive.

    Snakemake ignores parameters that depend on `output` when it decides about reruns. A changed
    mirror therefore reruns nothing: the checksum identifies the archive, wherever it comes from.
    """
    return CONFIG.datasets[wildcards.dataset]["mirrors"]


def weights(wildcards):
    """Return the file with the weights of a model."""
    found = study.weights(CONFIG, **wildcards)
    if found == study.PUBLISHED:
        return study.path("weights", **wildcards)
    if not Path(found).is_file():
        key = f"models.weights.{wildcards.dataset}.{wildcards.model}"
        sys.exit(
            f"error: {key}: {found} does not exist; allowed: {study.TRAIN}, {study.PUBLISHED}, "
            "or a file"
        )
    return found


def levels(name):
    """Return a function for the artifacts `name` of all levels of a technique."""

    def files(wildcards):
        chosen = resolve_or_exit(study.levels, wildcards)
        return [study.path(name, **wildcards, level=level) for level in chosen]

    return files


def start(wildcards):
    """Return the network that a level starts from."""
    found = resolve_or_exit(study.start, wildcards)
    return study.path(found.artifact, **{**wildcards, **found.choices})


def level_zero(single, chosen):
    """Return a function for a ladder's level 0: `chosen` of the steps before, or the baseline."""

    def files(wildcards):
        if not resolve_or_exit(study.has_ladder, wildcards):
            return []
        before = study.parent(CONFIG, wildcards.compression)
        if before:
            return [study.path(chosen, **{**wildcards, "compression": before})]
        baseline = {"compression": study.BASELINE, "level": study.SINGLE}
        return [study.path(single, **{**wildcards, **baseline})]

    return files


def previous_point(wildcards):
    """Return the measurements of the level before; none for the first level."""
    level = resolve_or_exit(study.previous, wildcards)
    return [] if level is None else study.path("point", **{**wildcards, "level": level})


def baseline_point(wildcards):
    """Return the measurements of the uncompressed network, the reference of the level before."""
    baseline = {"compression": study.BASELINE, "level": study.SINGLE}
    return study.path("point", **{**wildcards, **baseline}) if previous_point(wildcards) else []


def files(choose):
    """Return a function for the files that `choose` returns by name."""
    return lambda wildcards: list(resolve_or_exit(choose, wildcards).values())


def every(name):
    """Return the artifacts `name` of the whole study."""
    return list(dict.fromkeys(study.artifacts(name, study.compiled(CONFIG))))


def every_timing(name):
    """Return the artifacts `name` of all timing jobs."""
    return [study.path(name, **job) for job in study.timing_jobs(CONFIG)]


def every_provenance(wildcards):
    """Return the provenance records of all jobs behind the rows of the study."""
    chosen = [vars(one) for one in study.compiled(CONFIG)]
    downloaded = study.downloads(CONFIG)
    names = "dataset curve network target builds check platform".split()
    found = {name: chosen for name in names} | {
        "timing": study.timing_jobs(CONFIG),
        "archive": [one for one in chosen if one["dataset"] in downloaded],
        "tuning": [one for one in chosen if study.searches(one["tuning"])],
    }
    if not CONFIG.models.archive:
        found |= {
            "checkpoint": chosen,
            "weights": [one for one in chosen if study.from_torchvision(CONFIG, **one)],
            "compressed": [
                {**network, "level": level}
                for network in study.networks(CONFIG)
                for level in study.levels(CONFIG, network["compression"])
            ],
        }
    return sorted({provenance(name, **one) for name, ones in found.items() for one in ones})


def every_tuning(name):
    """Return the artifacts `name` of all auto-tuned configurations that are shown."""
    return [study.path(name, **chosen) for chosen in study.tunings_shown(CONFIG)]


def networks(name):
    """Return the artifacts `name` of all networks."""
    return [study.path(name, **network) for network in study.networks(CONFIG)]


def bundled(name):
    """Return the tables `name` of all bundled platforms."""
    return [study.path(name, platform=platform) for platform in study.bundles(CONFIG)]


def packed(name, wildcards):
    """Return the artifact `name` of the platform that a bundle packs."""
    return study.path(name, platform=resolve_or_exit(study.packing, wildcards)["platform"])


def bundle_files(wildcards):
    """Return the files of a platform's bundles, not the folders: no job makes these again."""
    from dlas.bundles import form

    folders = resolve_or_exit(study.reading, wildcards)["folders"]
    return [
        f"{folder}/{name}" for folder in folders for name in (*form.files(folder), form.MANIFEST)
    ]


def observations(name, **choices):
    """Return the artifacts `name` of all observations."""
    return expand(study.path(name), number=sorted(CONFIG.observations), **choices)
