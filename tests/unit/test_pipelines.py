"""The steps of a compression: its levels, dtype and formats, and each level's start."""

import pytest

from dlas import study
from dlas.config import read, typed
from dlas.errors import StudyError

PIPELINES = {
    "pruned_int8": ["weight_pruning", "int8"],
    "slim_pruned": ["channel_pruning", "weight_pruning"],
    "slim_pruned_int8": ["channel_pruning", "weight_pruning", "int8"],
    "slim_int8_trained": ["channel_pruning", {"int8": {"epochs": 2}}],
    "minmax": [{"int8": {"observer": "minmax"}}],
}
TECHNIQUES = {"weight_pruning": {"levels": [0.5, 0.9]}, "channel_pruning": {"levels": [0.3]}}
CONFIG = typed(
    read(
        {
            "study": {"compression": ["none", "int8", *PIPELINES]},
            "compression": {"techniques": TECHNIQUES, "pipelines": PIPELINES},
        }
    )
)


def test_a_technique_alone_is_a_list_of_one():
    assert study.steps(CONFIG, "int8") == ["int8"]
    assert study.parent(CONFIG, "int8") is study.parent(CONFIG, "minmax") is None
    with pytest.raises(StudyError, match=r"unknown compression 'zip'; allowed: .*slim_pruned"):
        study.steps(CONFIG, "zip")


@pytest.mark.parametrize(
    ("compression", "levels"),
    [
        ("weight_pruning", ["0.5", "0.9"]),
        ("minmax", ["single"]),
        ("pruned_int8", ["0", "0.5", "0.9"]),
        ("slim_pruned", ["0.5", "0.9"]),
        ("slim_pruned_int8", ["0", "0.5", "0.9"]),
        ("slim_int8_trained", ["0", "0.3"]),
    ],
)
def test_a_pipeline_has_the_ladder_of_its_last_step_that_has_one(compression, levels):
    assert study.levels(CONFIG, compression) == levels


@pytest.mark.parametrize(
    ("compression", "level", "artifact", "choices", "steps"),
    [
        ("weight_pruning", "0.5", "checkpoint", {}, []),
        ("weight_pruning", "0.9", "compressed", {"level": "0.5"}, ["weight_pruning"]),
        ("minmax", "single", "checkpoint", {}, []),
        # What was trained for the first step alone is shared.
        (
            "pruned_int8",
            "0.9",
            "compressed",
            {"compression": "weight_pruning"},
            ["weight_pruning"],
        ),
        ("pruned_int8", "0", "checkpoint", {}, []),
        ("slim_pruned", "0.5", "chosen", {"compression": "channel_pruning"}, ["channel_pruning"]),
        (
            "slim_pruned",
            "0.9",
            "compressed",
            {"level": "0.5"},
            ["channel_pruning", "weight_pruning"],
        ),
        (
            "slim_pruned_int8",
            "0.5",
            "compressed",
            {"compression": "slim_pruned"},
            ["channel_pruning", "weight_pruning"],
        ),
        (
            "slim_pruned_int8",
            "0",
            "chosen",
            {"compression": "channel_pruning"},
            ["channel_pruning"],
        ),
    ],
)
def test_what_each_level_starts_from(compression, level, artifact, choices, steps):
    assert study.start(CONFIG, compression, level) == (artifact, choices, steps)


def test_a_level_that_does_not_exist_has_no_start():
    with pytest.raises(StudyError, match=r"level of pruned_int8 '0.8'; allowed: 0, 0.5, 0.9"):
        study.start(CONFIG, "pruned_int8", "0.8")


def test_dtype_and_formats_fold_over_the_steps():
    names = ["none", "weight_pruning", *PIPELINES]
    dtypes = "float32 float32 int8 float32 int8 int8 int8".split()
    assert [study.dtype(CONFIG, name) for name in names] == dtypes
    sparse = [name for name in names if study.sparse(CONFIG, name)]
    assert sparse == ["weight_pruning", "pruned_int8", "slim_pruned", "slim_pruned_int8"]
    formats = {
        name: {one.format for one in study.configurations(CONFIG, compression=name)}
        for name in PIPELINES
    }
    assert formats["pruned_int8"] == {"dense", "csr"} and formats["minmax"] == {"dense"}


def test_the_code_of_a_pipeline_is_that_of_all_its_steps():
    assert study.modules(CONFIG, "pruned_int8") == [
        "dlas.compression.weight_pruning",
        "dlas.compression.int8",
    ]


def test_the_last_step_may_have_settings_of_its_own():
    common = study.technique(CONFIG, "int8")
    assert study.technique(CONFIG, "pruned_int8") == common
    assert study.technique(CONFIG, "slim_int8_trained") == common | {"epochs": 2}
    assert study.technique(CONFIG, "minmax") == common | {"observer": "minmax"}
    place = ("photos", "mobilenet_v2")
    trained = study.recipe(CONFIG, *place)
    assert study.fine_tuning(CONFIG, "pruned_int8", *place) == trained
    tuned = study.fine_tuning(CONFIG, "slim_pruned", *place)
    assert study.fine_tuning(CONFIG, "slim_int8_trained", *place) == tuned | {"epochs": 2}


def test_figures_learn_the_steps_of_a_pipeline_and_pipelines_come_last():
    found = study.descriptions.words(CONFIG)["compression"]
    assert (
        found["pruned_int8"]["label"] == "weight pruning, int8" and found["pruned_int8"]["sparse"]
    )
    assert found["slim_pruned"]["steps"] == ["channel_pruning", "weight_pruning"]
    assert found["int8"]["steps"] == ["int8"]
    ordered = sorted(found, key=lambda name: found[name]["order"])
    assert ordered == ["none", "int8", *PIPELINES]
    assert len({each["label"] for each in found.values()}) == len(found)
