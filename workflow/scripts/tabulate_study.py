"""Put all results of each configuration in one row, and all raw samples in one table."""

from functools import cache
from operator import itemgetter

from job import job
from dlas.analysis import rows, table
from dlas.analysis.columns import CONFIGURATION
from dlas.files import read_json
from dlas.status import OK

record, read = cache(read_json), cache(table.read_table)


@cache
def timed(file, platform):
    """Return the raw samples of one platform."""
    every = read(file)
    return every[every["platform"] == platform]


with job(snakemake):
    settings = snakemake.params.settings
    study, noise_floor, peers = [], {}, {}
    for entry in settings["rows"]:
        chosen, library, files = entry["configuration"], entry["library"], entry["files"]
        summary, target, platform = (
            record(files[name]) for name in ("summary", "target", "platform")
        )
        timing = timed(files["timing"], chosen["platform"])
        statuses = record(files["statuses"])[chosen["platform"]]
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
        place = chosen["platform"], files["timing"]
        if place not in peers and not platform.get("simulated"):
            noise_floor[place] = rows.noise_floor_row(chosen, timing)
            peers[place] = rows.peer_rows(chosen, target["threads"], timing, statuses["peers"])
    noise_floor = [row for row in noise_floor.values() if row]
    peers = [row for some in peers.values() for row in some]
    every = [(place, read(place["file"])) for place in settings["samples"]]
    for files in settings["bundles"].values():
        study += read(files["study"]).to_dict("records")
        noise_floor += read(files["noise_floor"]).to_dict("records")
        peers += read(files["peers"]).to_dict("records")
        every.append(({}, read(files["samples"])))
    study.sort(key=itemgetter(*CONFIGURATION))
    table.write_table(snakemake.output.study, table.study_table(study))
    table.write_table(snakemake.output.noise_floor, table.noise_floor_table(noise_floor))
    table.write_table(snakemake.output.peers, table.peers_table(peers))
    table.write_table(snakemake.output.samples, rows.samples_table(every))
