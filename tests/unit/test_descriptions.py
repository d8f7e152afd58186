"""What reaches jobs of the plugins' descriptions."""

import json

from dlas import registry, study
from dlas.study import descriptions

CONFIG = study.load()


def test_words_have_what_takes_part_and_survive_json():
    words = study.canonical(descriptions.words(CONFIG))
    assert words["primitive"]["gemm"] == {"label": "GEMM", "order": 2, "marker": "s"}
    assert set(words["model"]) == {name for _, name in study.pairs(CONFIG)}
    assert set(words["platform"]) == set(CONFIG.study.platforms)
    assert words["platform"]["local_cpu"] == {"label": "this CPU"}
    assert json.loads(json.dumps(words)) == words


def test_another_plugin_changes_nothing_until_it_takes_part():
    config = study.load({"study": {"primitives": ["spatial_pack"]}})
    assert set(descriptions.words(config)["primitive"]) == {"spatial_pack"}


def test_a_format_that_no_configuration_has_is_no_word():
    config = study.load({"study": {"compression": ["none", "int8"], "formats": ["dense", "csr"]}})
    assert set(descriptions.words(config)["format"]) == {"dense"}


def test_the_words_of_curves_and_of_tuning_are_those_of_their_tables():
    curves, tuning = descriptions.words_of_curves(CONFIG), descriptions.words_of_tuning(CONFIG)
    assert set(curves) == {"dataset", "model", "compression"}
    assert set(tuning["tuning"]) == {one["tuning"] for one in study.tuned_choices(CONFIG)}
    assert set(tuning) == set(descriptions.words(CONFIG)) - {"runtime"}
    assert curves["model"] == descriptions.words(CONFIG)["model"]


def test_a_method_without_a_plugin_is_there_under_its_name():
    assert descriptions.described("compression", ["pruned_then_int8"]) == {"pruned_then_int8": {}}


def test_a_platform_may_have_a_label():
    config = study.load({"platforms": {"local_cpu": {"label": "my board"}}})
    assert descriptions.words(config)["platform"]["local_cpu"] == {"label": "my board"}


def test_groups_are_those_of_the_models_that_take_part():
    groups = descriptions.groups(CONFIG)
    assert groups["mobilenet_v2"] == "compact" and groups["resnet18"] == "large"
    assert "densenet161" not in groups


def test_the_steps_are_those_of_each_compression_that_takes_part():
    config = study.load({"study": {"compression": ["none", "int8", "slim_int8"]}})
    steps = {"none": ["none"], "int8": ["int8"], "slim_int8": ["channel_pruning", "int8"]}
    assert descriptions.steps(config) == steps
    assert steps == {
        name: word["steps"] for name, word in descriptions.words(config)["compression"].items()
    }


def test_each_observation_has_its_claim():
    claims = descriptions.claims(CONFIG)
    assert set(claims) == set(CONFIG.observations)
    for number, name in CONFIG.observations.items():
        assert claims[number]["claim"] == registry.describe("observation", name).label
