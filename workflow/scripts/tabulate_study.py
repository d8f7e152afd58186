"""Put everything that is known of each configuration in one row."""

from functools import cache

from job import job
from dlas.analysis import rows, table
from dlas.files import read_json
from dlas.status import OK

with job(snakemake):
    record, samples = cache(read_json), cache(table.read_table)
    study, noise_floor, peers = [], {}, {}
    for entry in snakemake.params.settings["rows"]:
        chosen, library, files = entry["configuration"], entry["library"], entry["files"]
        summary, target, platform = (
            record(files[name]) for name in ("summary", "target", "platform")
        )
        timing, statuses = samples(files["timing"]), record(files["statuses"])
        study.append(
            rows.study_row(
                chosen,
                summary,
                target,
                platform,
                record(files["builds"])[library],
                record(files["check"])[library],
                statuses["libraries"].get(f"{chosen['compression']}/{library}", OK),
                timing,
            )
        )
        if files["timing"] not in peers and not platform.get("simulated"):
            noise_floor[files["timing"]] = rows.noise_floor_row(chosen, timing)
            peers[files["timing"]] = rows.peer_rows(
                chosen, target["threads"], timing, statuses["peers"]
            )
    table.write_table(snakemake.output.study, table.study_table(study))
    table.write_table(
        snakemake.output.noise_floor,
        table.noise_floor_table([row for row in noise_floor.values() if row]),
    )
    table.write_table(
        snakemake.output.peers, table.peers_table([row for some in peers.values() for row in some])
    )
