"""Choose the strongest level of one compression that keeps the accuracy: the elbow."""

import shutil

from job import job
from dlas.compression import elbow
from dlas.files import atomic_write, read_json, write_json, write_rows

with job(snakemake):
    files = snakemake.input
    # Level 0 of a ladder is the network that the ladder starts from.
    starts = [read_json(point) | {"level": 0} for point in files.start_point]
    points = [*starts, *map(read_json, files.points)]
    checkpoints = [*files.start, *files.compressed]
    tolerance = snakemake.params.settings["tolerance"]
    curve = elbow.curve(read_json(files.baseline_point), points, tolerance)
    (level,) = [row["level"] for row in curve if row["chosen"]]
    place = [point["level"] for point in points].index(level)

    write_rows(snakemake.output.curve, elbow.CURVE_COLUMNS, curve)
    with atomic_write(snakemake.output.chosen) as temporary:
        shutil.copyfile(checkpoints[place], temporary)
    write_json(snakemake.output.summary, points[place])
