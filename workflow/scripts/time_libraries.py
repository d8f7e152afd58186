"""Time all libraries of one model on one platform against each other."""

import os
from functools import partial

import numpy as np

import bare_tvm  # noqa: F401
from job import job, library_name
from dlas.compiler.check import check_logits
from dlas.compiler.library import load_library
from dlas.files import read_json, write_rows
from dlas.hardware import host, peak, timing
from dlas.hardware.devices import open_device
from dlas.hardware.platforms import Platform, cpu_target, require_host
from dlas.runtimes.peer import started


def load(library, record, reference, platform, board):
    """Load a library to be timed on a real image, if it was built for this CPU or the board's."""
    if platform.connection is None:
        require_host(library, read_json(record)["target"])
    with np.load(reference) as images:
        return load_library(library, board).timer(images["inputs"][:1])


def check_peer(peer, reference, tolerance):
    """Check the logits of a peer's network; StudyError for a wrong one."""
    with np.load(reference) as arrays:
        what = " / ".join([*snakemake.wildcards, peer.name])
        check_logits(peer.logits(), arrays["outputs"], "float32", tolerance, f"{what}: the network")


# Of rounds in which a thread of TVM waits for more work: about 15 ms, not 150, before it rests and leaves its core to a
# peer. Between two kernels of a network it waits for microseconds.
os.environ["TVM_THREAD_POOL_SPIN_COUNT"] = "30000"

with job(snakemake):
    settings = snakemake.params.settings
    platform = Platform(snakemake.wildcards.platform, **settings["platform"])
    threads = read_json(snakemake.input.platform)["threads"]
    libraries = {}
    for configuration, library, record, check, reference in zip(
        settings["configurations"],
        snakemake.input.libraries,
        snakemake.input.records,
        snakemake.input.checks,
        snakemake.input.references,
        strict=True,
    ):
        if read_json(check)[library_name(configuration)]["status"] == "ok":
            variant = timing.Variant(*(configuration[name] for name in timing.Variant._fields))
            libraries[variant] = partial(load, library, record, reference, platform)
    samples = []
    if libraries:
        networks = dict(zip(settings["peers"], snakemake.input.exported, strict=True))
        with (
            open_device(platform, threads) as board,
            started(networks, snakemake.input.uncompressed, host.cores_for(threads)) as runtimes,
        ):
            for peer in runtimes.values():
                check_peer(peer, snakemake.input.uncompressed, settings["tolerance"])
            samples = timing.time_libraries(
                {variant: partial(opened, board) for variant, opened in libraries.items()},
                peak.arithmetic(cpu_target(platform), threads, board=board),
                **settings["timing"],
                seed=settings["seed"],
                peers=runtimes,
            )
    write_rows(snakemake.output.timing, timing.COLUMNS, samples)
