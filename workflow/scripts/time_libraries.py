"""Time all libraries of one model on one platform against each other."""

from functools import partial
from pathlib import Path

from fast_imports import tvm  # noqa: F401
from job import job
from dlas import status
from dlas.files import read_json, write_json, write_rows
from dlas.hardware import contenders, host, timing
from dlas.hardware.platforms import Platform, require_host, resolved
from dlas.runtimes.peer import started


def right_libraries(worker, platform, networks):
    """Return how each library is loaded that passed its check, by its variant."""
    found = {}
    for compression, files in networks.items():
        checks = read_json(files["check"])
        for name, build in read_json(files["builds"]).items():
            if not status.ran(checks[name]["status"]):
                continue
            library = Path(files["libraries"], f"{name}.so")
            if platform.connection is None:
                require_host(str(library), build["target"])
            variant = timing.Variant(compression, *build["variant"])
            found[variant] = partial(contenders.library, worker, library, files["reference"])
    return found


with job(snakemake):
    settings, files = snakemake.params.settings, snakemake.input
    facts, probe = read_json(files.target), read_json(files.platform)
    platform = resolved(
        Platform(snakemake.wildcards.platform, **settings["platform"]), facts, probe
    )
    samples, libraries, peers = [], {}, {}
    if status.ran(probe["status"]):
        cores = host.cores_for(facts["threads"])
        with (
            contenders.opened(platform) as worker,
            started(settings["peers"], files.uncompressed, cores) as runtimes,
        ):
            right, peers = contenders.checked_peers(
                worker, runtimes, files.uncompressed, settings["tolerance"]
            )
            samples, failed = timing.time_libraries(
                right_libraries(worker, platform, settings["networks"]),
                contenders.reference_kernel(worker),
                **settings["timing"],
                seed=settings["seed"],
                peers=right,
                interruptions=contenders.interruptions(platform),
            )
            peers |= {name: failed.pop(name) for name in right if name in failed}
            libraries = {contenders.name_of(variant): why for variant, why in failed.items()}
    else:
        peers = dict.fromkeys(settings["peers"], probe["status"])
    write_rows(snakemake.output.timing, timing.COLUMNS, samples)
    write_json(snakemake.output.statuses, {"libraries": libraries, "peers": peers})
