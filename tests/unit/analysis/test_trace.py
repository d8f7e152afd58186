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
    "platform": "local_cpu_avx2",
}


def path(name, **more):
    return study.path(name, **(LAYERS | {"machine": "local_cpu"} | more))


def made(rule, inputs, outputs):
    return {"rule": rule, "inputs": inputs, "outputs": outputs}


JOBS = [
    made("prepare_dataset", [], [path("dataset")]),
    made("train_model", [path("dataset")], [path("checkpoint"), path("history")]),
    made("choose_level", [path("checkpoint")], [path("curve"), path("chosen"), path("summary")]),
    made(
        "import_network", [path("chosen"), path("dataset")], [path("network"), path("parameters")]
    ),
    # It also takes and builds the libraries of other rows.
    made(
        "build_libraries",
        [path("network"), path("network", compression="int8")],
        [path("libraries"), path("builds")],
    ),
    made("import_network", [], [path("network", compression="int8")]),
    made("check_libraries", [path("libraries"), path("summary")], [path("check")]),
    made("probe_platform", [], [path("platform")]),
    made("train_model", [path("dataset")], [path("checkpoint", model="vgg16")]),
]


def traced():
    shared = [path(name) for name in ("builds", "check", "timing", "platform")]
    row = LAYERS | {"made": [path("summary"), path("network")], "shared": shared}
    return trace.trace_rows(JOBS, [row])


def test_a_row_is_traced_to_all_that_made_it_and_to_nothing_else():
    found = traced()
    (row,) = found["rows"]
    assert row.items() >= LAYERS.items()
    assert row["made_by"] == sorted(
        [
            *(path("dataset"), path("checkpoint"), path("curve"), path("network")),
            *(path("libraries"), path("check"), path("platform"), path("timing")),
        ]
    )
    assert found["jobs"][path("checkpoint")] == JOBS[1]
    assert path("network", compression="int8") not in found["jobs"]
    assert path("checkpoint", model="vgg16") not in found["jobs"]


def test_an_artifact_without_a_record_is_named_as_unknown():
    found = traced()
    assert found["jobs"][path("timing")] is None
    assert all(found["jobs"][job] for job in found["jobs"] if job != path("timing"))
