"""Choose the strongest level that keeps the accuracy: the elbow of one technique on one network."""

import shutil

from job import job
from dlas.compression import elbow
from dlas.files import atomic_write, read_json, write_json, write_rows

with job(snakemake):
    files = snakemake.input
    baseline, points = read_json(files.baseline_point), [read_json(point) for point in files.points]
    curve = elbow.curve(baseline, points, snakemake.params.settings["tolerance"])
    (level,) = [row["level"] for row in curve if row["chosen"]]

    record, checkpoint = baseline | {"level": 0}, files.baseline
    for point, compressed in zip(points, files.compressed, strict=True):
        if point["level"] in (None, level):
            record, checkpoint = point, compressed

    write_rows(snakemake.output.curve, elbow.CURVE_COLUMNS, curve)
    with atomic_write(snakemake.output.chosen) as temporary:
        shutil.copyfile(checkpoint, temporary)
    write_json(snakemake.output.summary, record)
