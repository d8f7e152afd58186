"""Time all libraries of one model on the platforms of one machine against each other."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from fast_imports import tvm  # noqa: F401
from job import job
from dlas import status
from dlas.files import read_json, write_json, write_rows
from dlas.hardware import contenders, host, timing
from dlas.hardware.platforms import Platform, require_host, resolved
from dlas.runtimes.peer import started


def right_libraries(bench, platform, networks):
    """Return a loader for each library that passed its check, by variant."""
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
            found[variant] = partial(contenders.library, bench, library, files["reference"])
    return found


with job(snakemake), ExitStack() as stack:
    settings, uncompressed = snakemake.params.settings, snakemake.input.uncompressed
    machine, timed, statuses = contenders.Machine(), {}, {}
    for name, chosen in settings["platforms"].items():
        facts, probe = read_json(chosen["target"]), read_json(chosen["probe"])
        if not status.ran(probe["status"]):
            unreachable = dict.fromkeys(chosen["peers"], probe["status"])
            statuses[name] = {"libraries": {}, "peers": unreachable}
            continue
        platform = resolved(Platform(name, **chosen["platform"]), facts, probe)
        bench = stack.enter_context(contenders.opened(platform, machine))
        cores = host.cores_for(facts["threads"])
        peers = stack.enter_context(started(chosen["peers"], uncompressed, cores))
        right, wrong = contenders.checked_peers(machine, peers, uncompressed, settings["tolerance"])
        statuses[name] = {"libraries": {}, "peers": wrong}
        timed[name] = timing.Contenders(
            right_libraries(bench, platform, chosen["networks"]),
            contenders.reference_kernel(bench),
            **chosen["timing"],
            unreplicated=chosen["slow"],
            peers=right,
            interruptions=contenders.interruptions(platform),
        )
    samples, failed = timing.time_libraries(timed, seed=settings["seed"])
    for name, reasons in failed.items():
        for one, reason in reasons.items():
            if isinstance(one, timing.Variant):
                statuses[name]["libraries"][contenders.name_of(one)] = reason
            else:
                statuses[name]["peers"][one] = reason
    write_rows(snakemake.output.timing, timing.COLUMNS, samples)
    write_json(snakemake.output.statuses, statuses)
