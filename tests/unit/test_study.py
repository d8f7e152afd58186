"""Which configurations there are, and where their artifacts lie."""

from pathlib import Path
from string import Formatter

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dlas import study

ROOT = Path(__file__).parents[2]
CONFIG = {
    "study": {
        "datasets": ["photos", "digits"],
        "models": {"digits": ["vgg16", "resnet18"], "photos": ["resnet18"], "unused": ["vgg16"]},
        "compression": ["none"],
        "primitives": ["gemm", "direct"],
        "formats": ["dense"],
        "tuning": ["untuned"],
        "platforms": ["here", "there"],
    },
    "platforms": {"here": {}, "there": {"models": ["resnet18"]}},
    "models": {
        "training": {
            "digits": {"epochs": 6, "optimizer": "sgd", "models": {"vgg16": {"epochs": 2}}},
            "photos": {"epochs": 7, "optimizer": "sgd"},
        }
    },
    "observations": {"04": "fastest_primitive"},
}


def test_a_path_keeps_what_is_not_chosen_as_a_wildcard():
    assert study.path("timing", dataset="digits", model="vgg16") == (
        "results/timings/digits/vgg16/{platform}.csv"
    )
    assert study.path("dataset", dataset="digits", model="vgg16") == "results/datasets/digits.npz"


def test_no_two_artifacts_share_a_path():
    assert len(set(study.PATHS.values())) == len(study.PATHS)


def test_every_wildcard_of_a_path_is_a_choice():
    known = {*study.Configuration.__dataclass_fields__, "number", "extension"}
    for pattern in study.PATHS.values():
        assert {field for _, field, _, _ in Formatter().parse(pattern) if field} <= known


def test_a_platform_may_take_part_with_some_models_only():
    assert study.timings(CONFIG) == [
        ("here", "digits", "resnet18"),
        ("here", "digits", "vgg16"),
        ("here", "photos", "resnet18"),
        ("there", "digits", "resnet18"),
        ("there", "photos", "resnet18"),
    ]
    assert len(study.configurations(CONFIG)) == 2 * len(study.timings(CONFIG))


def test_choices_select_configurations():
    chosen = study.configurations(CONFIG, dataset="digits", model="vgg16")
    assert chosen == [
        study.Configuration("digits", "vgg16", "none", primitive, "dense", "untuned", "here")
        for primitive in ("direct", "gemm")
    ]
    assert study.choices(CONFIG, dataset="digits", model="vgg16") == [vars(one) for one in chosen]


def test_the_order_of_a_list_in_the_config_does_not_matter():
    reordered = {
        **CONFIG,
        "study": {
            **CONFIG["study"],
            **{
                name: CONFIG["study"][name][::-1]
                for name in ("datasets", "primitives", "platforms")
            },
        },
    }
    assert study.configurations(reordered) == study.configurations(CONFIG)


def test_there_is_an_artifact_for_each_configuration_in_order():
    assert study.artifacts("summary", study.configurations(CONFIG, platform="here")) == [
        "results/networks/digits/resnet18/none/summary.json",
        "results/networks/digits/resnet18/none/summary.json",
        "results/networks/digits/vgg16/none/summary.json",
        "results/networks/digits/vgg16/none/summary.json",
        "results/networks/photos/resnet18/none/summary.json",
        "results/networks/photos/resnet18/none/summary.json",
    ]


def test_a_recipe_is_the_datasets_with_the_models_differences():
    assert study.recipe(CONFIG, "digits", "vgg16") == {"epochs": 2, "optimizer": "sgd"}
    assert study.recipe(CONFIG, "digits", "resnet18") == {"epochs": 6, "optimizer": "sgd"}
    assert study.recipe(CONFIG, "photos", "resnet18") == {"epochs": 7, "optimizer": "sgd"}


def test_methods_are_the_files_that_define_the_layers_function():
    assert "resnet18" in study.methods("models")
    assert "training" not in study.methods("models")
    assert set(study.methods("datasets")) >= {"digits", "photos", "cifar10", "imagenet"}
    assert set(study.methods("primitives")) >= {"direct", "gemm", "spatial_pack"}


def test_the_paper_has_eight_pairs_of_seven_architectures():
    overlay = yaml.safe_load((ROOT / "config/paper.yaml").read_text())
    pairs = study.pairs(overlay)
    assert len(pairs) == 8
    assert len({model for _, model in pairs}) == 7
    assert {dataset for dataset, _ in pairs} == {"cifar10", "imagenet"}
    assert overlay["models"]["width"] == 1


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(values)
def test_canonical_values_are_equal_and_stable(value):
    canonical = study.canonical(value)
    assert canonical == value
    assert repr(study.canonical(canonical)) == repr(canonical)


@given(st.dictionaries(st.text(), values))
def test_the_order_of_keys_does_not_show_in_a_canonical_value(mapping):
    backwards = dict(reversed(mapping.items()))
    assert repr(study.canonical(backwards)) == repr(study.canonical(mapping))


@pytest.mark.parametrize("number", [0, 1, -3])
def test_a_whole_float_is_written_as_an_integer(number):
    assert repr(study.canonical(float(number))) == repr(number)
