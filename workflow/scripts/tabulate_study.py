"""Put everything that is known of each configuration in one row."""

from functools import cache

from job import job, library_name
from dlas.analysis import table
from dlas.files import read_json

with job(snakemake):
    record, samples = cache(read_json), cache(table.read_table)
    study, noise_floor, peers = [], {}, []
    for configuration, summary, platform, build, check, timing in zip(
        snakemake.params.settings["configurations"],
        snakemake.input.summaries,
        snakemake.input.platforms,
        snakemake.input.records,
        snakemake.input.checks,
        snakemake.input.timings,
        strict=True,
    ):
        study.append(
            table.study_row(
                configuration,
                record(summary),
                record(platform),
                record(build),
                record(check)[library_name(configuration)],
                samples(timing),
            )
        )
        if record(platform).get("emulated"):
            continue
        if timing not in noise_floor and not samples(timing).empty:
            place = [configuration[layer] for layer in ("platform", "dataset", "model")]
            noise_floor[timing] = table.noise_floor_row(*place, samples(timing))
            threads = record(platform)["threads"]
            peers += table.peer_rows(*place, threads, samples(timing))
    table.write_table(snakemake.output.study, table.study_table(study))
    table.write_table(
        snakemake.output.noise_floor, table.noise_floor_table(list(noise_floor.values()))
    )
    table.write_table(snakemake.output.peers, table.peers_table(peers))
