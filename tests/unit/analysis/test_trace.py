"""From rows back to jobs."""

from dlas import study
from dlas.analysis import trace

LAYERS = {
    "dataset": "digits",
    "model": "resnet18",
    "compression": "none",
    "primitive": "gemm",
    "format": "dense",
    "tuning": "untuned",
    "platform": "local_cpu",
}
OTHER = LAYERS | {"primitive": "direct"}


def path(name, **more):
    return study.path(name, **(LAYERS | more))


def made(rule, inputs, outputs):
    return {"rule": rule, "inputs": inputs, "outputs": outputs}


JOBS = [
    made("prepare_dataset", [], [path("dataset")]),
    made("train_model", [path("dataset")], [path("checkpoint"), path("history")]),
    made("choose_level", [path("checkpoint")], [path("curve"), path("chosen"), path("summary")]),
    made(
        "import_network", [path("chosen"), path("dataset")], [path("network"), path("parameters")]
    ),
    made("build_library", [path("network"), path("parameters")], [path("library"), path("record")]),
    made(
        "build_library",
        [path("network"), path("parameters")],
        [study.path(name, **OTHER) for name in ("library", "record")],
    ),
    made(
        "check_libraries",
        [path("library"), study.path("library", **OTHER), path("summary")],
        [path("check")],
    ),
    made("probe_platform", [], [path("platform")]),
    made("train_model", [path("dataset")], [path("checkpoint", model="vgg16")]),
]


def traced():
    made = [path(name) for name in ("summary", "record")]
    measured = [path(name) for name in ("check", "timing", "platform")]
    return trace.trace_rows(JOBS, [LAYERS], [made], [measured])


def test_a_row_is_traced_to_all_that_made_it_and_to_nothing_else():
    found = traced()
    (row,) = found["rows"]
    assert {layer: row[layer] for layer in LAYERS} == LAYERS
    assert row["made_by"] == sorted(
        [
            *(path("dataset"), path("checkpoint"), path("curve"), path("network")),
            *(path("library"), path("check"), path("platform"), path("timing")),
        ]
    )
    assert found["jobs"][path("checkpoint")] == JOBS[1]
    assert path("checkpoint", model="vgg16") not in found["jobs"]


def test_an_artifact_without_a_record_is_named_as_unknown():
    found = traced()
    assert found["jobs"][path("timing")] is None
    assert all(found["jobs"][job] for job in found["jobs"] if job != path("timing"))
