"""Which configurations there are, and where their artifacts lie."""

from pathlib import Path
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlas import registry, study
from dlas.analysis import observation
from dlas.config import read, typed
from dlas.errors import StudyError
from dlas.plugins import LAYERS

ROOT = Path(__file__).parents[2]
TIMING = {"warmup": 0, "rounds": 2, "min_repeat_ms": 1}
HERE = {"target": "host", "threads": 1, "timing": TIMING}
OVERLAY = {
    "study": {
        "datasets": ["photos", "digits"],
        "models": {"digits": ["vgg16", "resnet18"], "photos": ["resnet18"]},
        "compression": ["none"],
        "primitives": ["gemm", "direct"],
        "formats": ["dense"],
        "tuning": ["untuned"],
        "platforms": ["here", "there"],
    },
    "platforms": {"here": HERE, "there": {**HERE, "models": ["resnet18"]}},
    "models": {
        "device": "cuda",
        "processes": 2,
        "training": {
            "digits": {"epochs": 6, "models": {"vgg16": {"epochs": 2}}},
            "photos": {"epochs": 7},
        },
    },
    "compression": {
        "tolerance": 1.5,
        "fine_tuning": {"digits": {"epochs": 1, "models": {"vgg16": {"epochs": 3}}}},
        "techniques": {"weight_pruning": {"levels": [0.125, 0.5, 0.80]}},
    },
    "compiler": {
        "check": {
            "tolerance": {"float32": 0.1, "float16": 0.2, "int8": 0.3},
            "top1_tolerance": {"float32": 1, "float16": 2, "int8": 3},
        }
    },
    "tuning": {"select": "all", "trials": {"autotuned": {"layer": 16, "network": 96}}},
    "recommendation": {"top1_floor": {"digits": 98, "photos": 93, "imagenet": 60}},
}


def having(**sections):
    """The config with OVERLAY on it, and these sections on that."""
    return typed(read(OVERLAY, sections))


CONFIG = having()


def test_a_path_keeps_what_is_not_chosen_as_a_wildcard():
    assert study.path("timing", dataset="digits", model="vgg16") == (
        "results/timings/digits/vgg16/{machine}.csv"
    )
    assert study.path("dataset", dataset="digits", model="vgg16") == "results/datasets/digits.npz"


def test_no_two_artifacts_share_a_path():
    assert len(set(study.PATHS.values())) == len(study.PATHS)


def test_every_wildcard_of_a_path_is_a_choice():
    known = {*study.Configuration.__dataclass_fields__, "machine", "level", "number"}
    known |= {"extension", "table", "bundle"}
    for pattern in study.PATHS.values():
        assert {field for _, field, _, _ in Formatter().parse(pattern) if field} <= known


BUNDLED = {
    "study": {"platforms": ["here", "far"]},
    "platforms": {"far": {"bundle": "bundles/far", "models": ["resnet18"]}},
}


def test_a_platform_of_a_bundle_has_rows_and_no_jobs():
    config, alone = having(**BUNDLED), having(study={"platforms": ["here"]})
    far = [one for one in study.configurations(config) if one.platform == "far"]
    assert far == study.configurations(config, platform="far")
    assert {(one.dataset, one.model) for one in far} == {
        ("digits", "resnet18"),
        ("photos", "resnet18"),
    }
    assert len(study.configurations(config)) == len(study.configurations(alone)) + len(far)
    for planned in (
        *(study.compiled, study.choices, study.timing_jobs, study.row_files, study.traced_rows),
        *(study.tuning_jobs, study.networks, study.answers, study.tunings_shown),
    ):
        assert planned(config) == planned(alone)
    assert "far" not in study.machines(config) | study.boards(config)
    assert study.peers(config, "far") == []
    asked = study.reading(config, "far")
    assert [one["primitive"] for one in asked["rows"]] == [one.primitive for one in far]
    assert asked["folders"] == ["bundles/far"] and not asked["same_code"]
    assert study.machine_platforms(config) == {"far": ["far"], "here": ["here"]}


def test_a_study_of_bundles_alone_makes_no_networks():
    config = having(**BUNDLED | {"study": {"platforms": ["far"]}})
    assert study.networks(config) == study.answers(config) == study.choices(config) == []
    assert study.prepared(config) == {}
    assert len(study.configurations(config)) == 4


def test_what_is_packed_is_measured_here():
    config = having(**BUNDLED, bundle={"platform": "here"})
    packed = study.packing(config, "mine")
    assert packed["platform"] == "here" and packed["here"]
    assert packed["networks"]["digits/vgg16/none"] == study.path(
        "chosen", dataset="digits", model="vgg16", compression="none"
    )
    assert packed["settings"]["datasets"] == {"digits": 32, "photos": 64}
    with pytest.raises(StudyError, match=r"bundles/far is read as platforms\.far\.bundle"):
        study.packing(config, "far")
    with pytest.raises(StudyError, match=r"bundle.platform is 'far'; allowed: .*: here"):
        study.packing(having(**BUNDLED, bundle={"platform": "far"}), "mine")


def test_the_study_of_machines_reads_every_bundle_of_the_project():
    config = study.load(ROOT / "config/machines.yaml")
    read_here = {folder for one in study.bundles(config).values() for folder in one.folders}
    shipped = {f"bundles/{one.name}" for one in ROOT.glob("bundles/*") if one.is_dir()}
    assert read_here == shipped


def test_a_platform_may_take_part_with_some_models_only():
    assert study.timings(CONFIG) == [
        ("here", "digits", "resnet18"),
        ("here", "digits", "vgg16"),
        ("here", "photos", "resnet18"),
        ("there", "digits", "resnet18"),
        ("there", "photos", "resnet18"),
    ]
    assert len(study.configurations(CONFIG)) == 2 * len(study.timings(CONFIG))


def test_each_compression_of_a_model_is_a_network():
    config = having(study={"compression": ["none", "int8"]})
    networks = study.networks(config)
    assert len(networks) == 2 * len(study.pairs(config))
    assert networks[0] == {"dataset": "digits", "model": "resnet18", "compression": "int8"}


def test_csr_is_for_techniques_that_make_weights_zero():
    chosen = {"compression": ["none", "weight_pruning", "int8"], "formats": ["csr", "dense"]}
    config = having(study=chosen)
    found = {(one.compression, one.format) for one in study.configurations(config)}
    dense = {(compression, "dense") for compression in chosen["compression"]}
    assert found == dense | {("weight_pruning", "csr")}


def test_choices_select_configurations():
    chosen = study.configurations(CONFIG, dataset="digits", model="vgg16")
    assert chosen == [
        study.Configuration("digits", "vgg16", "none", primitive, "dense", "untuned", "here")
        for primitive in ("direct", "gemm")
    ]
    assert study.choices(CONFIG, dataset="digits", model="vgg16") == [vars(one) for one in chosen]


def tuned(select, **chosen):
    """The config, with both tunings and other choices of layers."""
    return having(study={"tuning": ["untuned", "autotuned"], **chosen}, tuning={"select": select})


def test_all_configurations_may_be_autotuned_as_well():
    config = tuned("all")
    untuned = study.configurations(config, tuning="untuned")
    assert untuned == study.configurations(CONFIG)
    autotuned = study.tuned_choices(config)
    assert [{**one, "tuning": "untuned"} for one in autotuned] == study.choices(CONFIG)
    assert len(study.configurations(config)) == 2 * len(untuned)


@pytest.mark.parametrize(
    ("select", "selected"),
    [
        ([{"dataset": "photos"}], ["photos/resnet18/direct", "photos/resnet18/gemm"]),
        ([{"model": "vgg16", "primitive": ["gemm"]}], ["digits/vgg16/gemm"]),
        (
            [{"model": "vgg16"}, {"dataset": ["digits"], "primitive": ["gemm", "direct"]}],
            [
                f"digits/{model}/{name}"
                for model in ("resnet18", "vgg16")
                for name in ("direct", "gemm")
            ],
        ),
        (
            [{"model": "vgg16", "primitive": "direct"}, {"dataset": "photos", "primitive": "gemm"}],
            ["digits/vgg16/direct", "photos/resnet18/gemm"],
        ),
        ([{"primitive": "gemm", "platform": "there"}], []),
        ([{"format": "csr"}], []),
    ],
)
def test_autotuned_is_what_is_selected(select, selected):
    config = tuned(select)
    found = study.tuned_choices(config, platform="here")
    assert all(one["tuning"] == "autotuned" and one["platform"] == "here" for one in found)
    assert ["{dataset}/{model}/{primitive}".format_map(one) for one in found] == selected
    assert study.configurations(config, tuning="untuned") == study.configurations(CONFIG)


def test_nothing_is_autotuned_where_that_takes_no_part():
    assert study.tuned_choices(tuned("all", tuning=["untuned"])) == []


ALL_WAYS = ["unscheduled", "untuned", "autotuned"]


@pytest.mark.parametrize(
    ("select", "selected"),
    [
        ("all", {("unscheduled", "vgg16"), ("autotuned", "vgg16")}),
        ([{"dataset": "photos"}], set()),
        ([{"model": "vgg16"}], {("unscheduled", "vgg16"), ("autotuned", "vgg16")}),
        ([{"tuning": "unscheduled"}], {("unscheduled", "vgg16")}),
        (
            [{"tuning": "autotuned"}, {"tuning": ["unscheduled"], "model": "resnet18"}],
            {("autotuned", "vgg16")},
        ),
    ],
)
def test_every_way_but_the_default_is_for_what_is_selected(select, selected):
    config = tuned(select, tuning=ALL_WAYS)
    found = study.configurations(config, dataset="digits", model="vgg16")
    assert {(one.tuning, one.model) for one in found if one.tuning != study.UNTUNED} == selected
    assert [one for one in found if one.tuning == study.UNTUNED] == study.configurations(
        CONFIG, dataset="digits", model="vgg16"
    )


def test_a_choice_of_ways_that_take_no_part_selects_nothing():
    """So that an overlay may leave ways out without a selection of its own."""
    select = [{"tuning": "unscheduled", "model": "vgg16"}, {"tuning": "autotuned"}]
    config = tuned(select, tuning=["untuned", "autotuned"])
    study.check_combinations(config)
    assert {one.tuning for one in study.configurations(config)} == {"untuned", "autotuned"}


def test_slow_libraries_and_the_modules_behind_libraries_are_those_of_one_network():
    config = tuned([{"tuning": "unscheduled", "model": "vgg16"}], tuning=ALL_WAYS)
    bare, other = (
        {"dataset": "digits", "model": model, "compression": "none", "platform": "here"}
        for model in ("vgg16", "resnet18")
    )
    assert study.slow_libraries(config, **bare) == [
        "direct-dense/unscheduled",
        "gemm-dense/unscheduled",
    ]
    assert study.slow_libraries(config, **other) == []
    for network, slow in ((bare, ["unscheduled"]), (other, [])):
        job = {"dataset": "digits", "model": network["model"], "machine": "here"}
        assert study.timed_platforms(config, **job)["here"]["slow"] == slow
    methods = [f"dlas.primitives.{name}" for name in ("dense", "direct", "gemm")]
    schedulers = [f"dlas.compiler.schedulers.{name}" for name in ("unscheduled", "untuned")]
    assert study.library_modules(config, **bare) == [*schedulers, *methods]
    assert study.library_modules(config, **other) == [schedulers[1], *methods]


def test_how_schedules_are_found_does_not_depend_on_the_selection():
    found = study.tuning(CONFIG, dataset="digits", tuning="autotuned")
    assert study.tuning(tuned([{"model": "vgg16"}]), tuning="autotuned") == found
    assert found["trials"] == {"layer": 16, "network": 96} and "select" not in found


def test_the_order_of_a_list_in_the_config_does_not_matter():
    names = ("datasets", "primitives", "platforms")
    backwards = having(study={name: OVERLAY["study"][name][::-1] for name in names})
    assert study.configurations(backwards) == study.configurations(CONFIG)
    assert study.platforms(backwards) == study.platforms(CONFIG) == ["here", "there"]


def test_there_is_an_artifact_for_each_configuration_in_order():
    assert study.artifacts("summary", study.configurations(CONFIG, platform="here")) == [
        "results/compressed/digits/resnet18/none/summary.json",
        "results/compressed/digits/resnet18/none/summary.json",
        "results/compressed/digits/vgg16/none/summary.json",
        "results/compressed/digits/vgg16/none/summary.json",
        "results/compressed/photos/resnet18/none/summary.json",
        "results/compressed/photos/resnet18/none/summary.json",
    ]


def test_a_recipe_is_the_datasets_with_the_models_differences():
    found = {pair: study.recipe(CONFIG, *pair) for pair in study.pairs(CONFIG)}
    assert {pair: recipe["epochs"] for pair, recipe in found.items()} == {
        ("digits", "resnet18"): 6,
        ("digits", "vgg16"): 2,
        ("photos", "resnet18"): 7,
    }
    for (dataset, _), recipe in found.items():
        whole = {**CONFIG.models.training[dataset], "device": "cuda", "processes": 2}
        assert recipe.keys() == whole.keys() - {"models"}
        assert all(recipe[key] == whole[key] for key in recipe.keys() - {"epochs"})


def test_a_training_takes_a_gpu_for_each_process():
    assert study.gpus(CONFIG) == 2
    assert study.gpus(having(models={"device": "cpu"})) == 0


def test_a_level_is_named_by_its_number_and_starts_from_the_one_before():
    assert study.levels(CONFIG, "weight_pruning") == ["0.125", "0.5", "0.8"]
    steps = [study.previous(CONFIG, "weight_pruning", level) for level in ("0.125", "0.5", "0.8")]
    assert steps == [None, "0.125", "0.5"]


@pytest.mark.parametrize("compression", ["none", "float16", "int8"])
def test_a_technique_without_a_ladder_has_a_single_level(compression):
    assert study.levels(CONFIG, compression) == ["single"]
    assert study.previous(CONFIG, compression, "single") is None
    assert study.tolerance(CONFIG, compression) == 0


def test_a_level_that_does_not_exist_is_told():
    with pytest.raises(
        StudyError, match=r"level of weight_pruning '0.9'; allowed: 0.125, 0.5, 0.8"
    ):
        study.previous(CONFIG, "weight_pruning", "0.9")


def test_a_level_does_not_depend_on_the_list_of_levels():
    found = study.technique(CONFIG, "weight_pruning")
    assert found == {"score": "lamp", "exclude": ["stem", "depthwise", "classifier"]}
    assert study.technique(CONFIG, "none") == {}


def test_fine_tuning_is_the_training_with_its_own_differences():
    def epochs(compression, dataset, model):
        return study.fine_tuning(CONFIG, compression, dataset, model)["epochs"]

    assert epochs("weight_pruning", "digits", "resnet18") == 1
    assert epochs("weight_pruning", "digits", "vgg16") == 3
    recipe = study.recipe(CONFIG, "digits", "vgg16")
    assert study.fine_tuning(CONFIG, "int8", "digits", "vgg16") == recipe


def test_only_a_ladder_depends_on_the_tolerance():
    assert study.tolerance(CONFIG, "weight_pruning") == 1.5


def test_only_a_level_with_one_before_it_can_be_given_up():
    config = having(compression={"give_up": 7})
    levels = study.levels(config, "weight_pruning")
    assert [study.give_up(config, "weight_pruning", level) for level in levels] == [None, 7, 7]
    assert study.give_up(config, "int8", study.SINGLE) is None
    with pytest.raises(StudyError, match=r"unknown level of weight_pruning '0\.7'"):
        study.give_up(config, "weight_pruning", "0.7")


def test_each_level_of_each_network_has_its_answers():
    config = having(study={"compression": ["none", "weight_pruning"]})
    found = study.answers(config)
    keys = [tuple(one[name] for name in ("dataset", "model", "compression")) for one in found]
    assert len(set(keys)) == len(study.networks(config)) == 6
    assert len(found) == len({one["file"] for one in found}) == 3 * (1 + 3)
    assert {one["file"] for one in found} >= {
        "results/compressed/digits/vgg16/none/single.npy",
        "results/compressed/photos/resnet18/weight_pruning/0.8.npy",
    }
    assert study.prepared(config) == {
        name: f"results/datasets/{name}.npz" for name in ("digits", "photos")
    }


def test_a_check_is_as_close_as_the_type_of_numbers_allows():
    assert study.check(CONFIG, "weight_pruning") == {"tolerance": 0.1, "top1_tolerance": 1}
    assert study.check(CONFIG, "float16") == {"tolerance": 0.2, "top1_tolerance": 2}
    assert study.check(CONFIG, "int8") == {"tolerance": 0.3, "top1_tolerance": 3}


@pytest.mark.parametrize(
    ("chosen", "target", "expected"),
    [
        (["pytorch", "onnxruntime"], "host", ["onnxruntime", "pytorch"]),
        (["pytorch"], "host", ["pytorch"]),
        ([], "host", []),
        (["pytorch"], {"kind": "llvm", "mcpu": "x86-64-v3"}, []),
    ],
)
def test_peers_are_timed_where_the_libraries_have_all_instructions(chosen, target, expected):
    config = having(study={"peers": chosen}, platforms={"here": {"target": target}})
    assert study.peers(config, platform="here", dataset="digits", model="vgg16") == expected


def test_what_is_read_from_a_file_is_what_its_module_says():
    for name in registry.names("compression"):
        description = registry.load("compression", name).PLUGIN
        assert description == registry.describe("compression", name)
        assert study.dtype(CONFIG, name) == description.dtype
        assert study.sparse(CONFIG, name) == description.sparse
    with pytest.raises(StudyError, match="unknown compression 'zip'; allowed: block_sparsity"):
        study.dtype(CONFIG, "zip")


@pytest.mark.parametrize("name", registry.names("observation"))
def test_an_observation_has_its_place_and_name_in_the_report(name):
    config, module = having(observations={"07": name}), observation.load(name)
    assert study.observation_category(config, "07") == module.PLUGIN.layer
    assert module.PLUGIN.layer in LAYERS
    assert study.observation_label(config, "07") == f"Observation 07: {module.PLUGIN.label}"


def test_methods_are_the_files_that_define_the_layers_function():
    assert "resnet18" in registry.names("model")
    assert "training" not in registry.names("model")
    assert set(registry.names("dataset")) >= {"digits", "photos", "cifar10", "imagenet"}
    assert set(registry.names("primitive")) >= {"direct", "gemm", "spatial_pack"}


def test_the_paper_has_eight_pairs_of_seven_architectures():
    paper = study.load(ROOT / "config/paper.yaml")
    pairs = study.pairs(paper)
    assert len(pairs) == 8
    assert len({model for _, model in pairs}) == 7
    assert {dataset for dataset, _ in pairs} == {"cifar10", "imagenet"}
    assert paper.models.width == 1


def test_an_accuracy_floor_concerns_the_data_sets_that_take_part():
    assert study.top1_floors(CONFIG) == {"digits": 98, "photos": 93}


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


BOARD = {**HERE, "target": {"kind": "llvm"}}


def test_platforms_of_one_connection_share_its_boards():
    tracked = {"tracker": "a:1", "key": "rock5"}
    config = having(
        platforms={
            "gpu_of_rock5": {**BOARD, "connection": tracked | {"timeout_s": 9}},
            "cpu_of_rock5": {**BOARD, "connection": tracked, "boards": 3},
            "other": {**BOARD, "connection": {"server": "a:1"}},
        }
    )
    found = study.boards(config)
    assert "here" not in found
    mine = {name: found[name] for name in ("cpu_of_rock5", "gpu_of_rock5", "other")}
    assert mine == {
        "cpu_of_rock5": "cpu_of_rock5",
        "gpu_of_rock5": "cpu_of_rock5",
        "other": "other",
    }
    counts = study.board_counts(config)
    assert (counts["cpu_of_rock5"], counts["other"]) == (3, 1) and "gpu_of_rock5" not in counts
    kinds = "dlas.hardware.connections"
    assert study.connection(config, "cpu_of_rock5") == f"{kinds}.tracker"
    assert study.connection(config, "here") == kinds
    assert study.connection(config, dataset="digits", machine="other") == f"{kinds}.server"


AVX2 = {"kind": "llvm", "mcpu": "x86-64-v3"}


def test_platforms_of_this_cpu_are_one_machine_named_after_the_first():
    config = having(
        platforms={
            "avx2": {**HERE, "target": AVX2},
            "board": {**BOARD, "connection": {"server": "a:1"}},
            "gpu": {**HERE, "target": "cuda"},
            "mali": {**HERE, "target": {"kind": "opencl"}},
            "model": {**BOARD, "connection": {"server": "a:2"}, "simulated": True},
        }
    )
    found = study.machines(config)
    assert set(found) == set(config.platforms)
    assert {name for name, machine in found.items() if machine == "avx2"} == {
        *("avx2", "here", "there", "local_cpu", "local_cpu_avx2", "local_cpu_all_cores")
    }
    assert all(found[name] == name for name in ("board", "gpu", "mali", "model", "local_cuda"))
    assert study.machines(study.load())["local_cpu_avx2"] == "local_cpu"


def test_a_machine_has_a_timing_job_for_each_model_of_any_of_its_platforms():
    config = having(
        study={"platforms": ["here", "there", "gpu"]},
        platforms={"gpu": {**HERE, "target": "cuda", "models": ["resnet18"]}},
    )
    jobs = [("digits", "resnet18"), ("digits", "vgg16"), ("photos", "resnet18")]
    expected = {(*job, "here") for job in jobs}
    expected |= {(dataset, "resnet18", "gpu") for dataset in ("digits", "photos")}
    assert [tuple(job.values()) for job in study.timing_jobs(config)] == sorted(expected)
    for job in study.timing_jobs(config):
        both = job["machine"] == "here" and job["model"] == "resnet18"
        expected = ["here", "there"] if both else [job["machine"]]
        assert list(study.timed_platforms(config, **job)) == expected


def test_a_timing_depends_on_its_own_platforms_alone():
    vgg16, resnet18 = (
        {"dataset": "digits", "model": model, "machine": "here"} for model in ("vgg16", "resnet18")
    )
    changed = having(platforms={"there": {"timing": {**TIMING, "rounds": 9}}})
    assert study.timed_platforms(changed, **vgg16) == study.timed_platforms(CONFIG, **vgg16)
    before, after = (study.timed_platforms(one, **resnet18) for one in (CONFIG, changed))
    assert before["here"] == after["here"] and after["there"]["timing"]["rounds"] == 9
    files = study.timed_files(CONFIG, **resnet18)
    assert len(files) == len(set(files))
    assert {"results/targets/here.json", "results/platforms/there.json"} < set(files)
    assert "results/checks/digits/resnet18/none/there.json" in files
    assert not any("vgg16" in file for file in files)


def test_a_timing_of_nothing_is_told():
    with pytest.raises(StudyError, match="vgg16 on photos is not timed on here; allowed: "):
        study.timed_platforms(CONFIG, dataset="photos", model="vgg16", machine="here")


def test_a_timing_depends_on_the_runtimes_of_its_platforms():
    config = study.load({"study": {"peers": ["pytorch", "onnxruntime"]}})
    job = {"dataset": "digits", "model": "resnet18", "machine": "local_cpu"}
    modules = ["dlas.runtimes.onnxruntime", "dlas.runtimes.pytorch"]
    assert study.runtimes(config, **job) == modules
    alone = study.load({"study": {"platforms": ["local_cpu_avx2"]}, "tuning": {"select": "all"}})
    assert study.runtimes(alone, **job) == []


def test_each_row_names_the_timing_of_its_machine():
    for entry in study.row_files(CONFIG):
        place = entry["configuration"]
        file = "results/timings/{dataset}/{model}/here.csv".format_map(place)
        assert entry["files"]["timing"] == file
    jobs = study.sample_files(CONFIG)
    assert {one["file"] for one in jobs} == {
        entry["files"]["timing"] for entry in study.row_files(CONFIG)
    }
    assert all(
        file in one["shared"]
        for one in study.traced_rows(CONFIG)
        for file in ["results/timings/{dataset}/{model}/here.csv".format_map(one)]
    )


def test_code_depends_on_the_target_alone_and_measurements_on_the_way_too():
    entry = BOARD | {"linker": ["ld"], "connection": {"server": "a:1"}, "models": ["vgg16"]}
    config = having(platforms={"one": entry})
    code = {"target": {"kind": "llvm"}, "threads": 1}
    assert study.compiled_for(config, "one") == code
    way = {"linker": study.linker(config, "one"), "connection": {"server": "a:1"}}
    assert study.platform(config, "one") == code | way
    assert study.linker(config, "here") == []
    assert study.value(config, "platforms.one.timing") == TIMING
    assert study.value(config, "datasets.digits.size") == 32


def test_only_some_data_sets_are_prepared_by_more_threads_than_one():
    threads = {name: study.preparing_threads(name) for name in registry.names("dataset")}
    assert threads.pop("imagenet") > 1
    assert threads == {"cifar10": 1, "digits": 1, "digits_8x8": 1, "photos": 1}
