"""The smoke study from images to verdicts: every rule runs, and what comes out is what is
promised.
"""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from dlas import datasets, study
from dlas.analysis import answers
from dlas.analysis.rows import SAMPLES_COLUMNS
from dlas.analysis.table import read_table
from dlas.status import MEASURED, WIDENED

# Snakemake locks the folder that it runs in. The largest group is the first that a worker gets, so
# that this one makes the study while the other is at tests that do not need it.
pytestmark = pytest.mark.xdist_group("smoke")

COLUMNS = """dataset model compression level primitive format dtype tuning platform params
    nonzero_params macs model_bytes library_bytes scheduled_layers primitive_layers top1
    top1_compiled latency_ms latency_ms_low latency_ms_high repeats threads gflops peak_fraction
    native status""".split()

RECOMMENDATION = """platform dataset top1_floor model compression level primitive format tuning
    top1_compiled latency_ms latency_ms_low latency_ms_high candidates reason contribution_model
    contribution_compression contribution_primitive contribution_tuning layer_by_layer
    layer_by_layer_ms layer_by_layer_status joint_speedup joint_speedup_low
    joint_speedup_high""".split()


SMOKE = study.load(Path(__file__).parents[2] / "config/smoke.yaml")

# For what the smoke study does not use: test_downloads.py, test_weights.py, test_bundles.py,
# test_networks.py.
ELSEWHERE = {
    *("download_archive", "download_weights", "load_weights", "pack_bundle", "read_bundle"),
    *("pack_networks", "unpack_network"),
}


def test_these_tests_are_a_group_of_one_worker(request, worker_id):
    assert worker_id == "master" or request.node.nodeid.endswith("@smoke")


def test_every_rule_has_run(finished):
    rules = "".join(file.read_text() for file in finished.folder.glob("rules/*.smk"))
    named = set(re.findall(r"^rule (\w+):", rules, re.MULTILINE))
    ran = {folder.name for folder in (finished.folder / "results/benchmarks").iterdir()}
    ran |= {file.stem for file in (finished.folder / "results/benchmarks").glob("*.tsv")}
    assert {name.removesuffix(".tsv") for name in ran} == named - ELSEWHERE


def test_each_configuration_has_one_row(finished):
    table = pd.read_csv(finished.folder / "results/study.csv", keep_default_na=False)
    assert list(table.columns) == COLUMNS
    layers = list(study.Configuration.__dataclass_fields__)
    rows = [study.Configuration(*row) for row in table[layers].itertuples(index=False)]
    assert sorted(rows) == study.configurations(SMOKE)


def test_each_row_is_traced_to_the_jobs_that_made_it(finished):
    traced = json.loads((finished.folder / "results/provenance.json").read_text())
    assert all(traced["jobs"].values())  # each of them left its record
    rules = {job["rule"] for job in traced["jobs"].values()}
    for row in traced["rows"]:
        made = {traced["jobs"][job]["rule"] for job in row["made_by"]}
        tuned = study.searches(row["tuning"])
        assert made == rules - (set() if tuned else {"tune_network"})
        assert study.path("libraries", **row) in row["made_by"]


def test_each_row_is_measured_or_says_why_not(finished):
    table = pd.read_csv(finished.folder / "results/study.csv")
    usable = table.status.isin(MEASURED)
    measured = table[usable]
    assert (measured.platform == "local_cpu").any()
    assert not table[~usable].latency_ms.notna().any()
    assert set(measured[measured.status == WIDENED].dtype) <= {"float16"}
    assert (measured.latency_ms_low <= measured.latency_ms).all()
    assert (measured.latency_ms <= measured.latency_ms_high).all()
    one_image = {
        name: 100
        / len(datasets.load(finished.folder / study.path("dataset", dataset=name)).test.labels)
        for name in SMOKE.study.datasets
    }
    tolerance = measured.dtype.map(vars(SMOKE.compiler.check.top1_tolerance))
    allowed = tolerance.clip(lower=measured.dataset.map(one_image)) + 1e-9
    slow = measured.tuning == "unscheduled"
    assert slow.any() and (measured.top1_compiled.isna() == slow).all()
    assert ((measured.top1 - measured.top1_compiled).abs() <= allowed)[~slow].all()
    assert measured.peak_fraction.between(0, 1).all()
    assert (measured.repeats == 5).all()


def test_each_peer_is_timed_where_the_libraries_have_all_instructions(finished):
    peers = pd.read_csv(finished.folder / "results/peers.csv")
    rows = peers[["platform", "dataset", "model", "runtime"]].itertuples(index=False, name=None)
    places = study.pairs(SMOKE)
    assert sorted(rows) == sorted(
        ("local_cpu", *place, runtime) for place in places for runtime in SMOKE.study.peers
    )
    assert (peers.latency_ms_low <= peers.latency_ms).all()
    assert (peers.latency_ms <= peers.latency_ms_high).all()
    table = pd.read_csv(finished.folder / "results/study.csv")
    assert set(peers.threads) == set(table.threads[table.platform == "local_cpu"])


def test_every_raw_sample_is_kept_with_its_keys(finished):
    samples = read_table(finished.folder / "results/samples.csv.gz")
    assert list(samples.columns) == SAMPLES_COLUMNS
    jobs = samples[["dataset", "model", "machine"]].drop_duplicates()
    assert jobs.to_dict("records") == study.timing_jobs(SMOKE)
    for job in study.timing_jobs(SMOKE):
        own = read_table(finished.folder / study.path("timing", **job))
        kept = samples[(samples.dataset == job["dataset"]) & (samples.model == job["model"])]
        pd.testing.assert_frame_equal(kept[own.columns].reset_index(drop=True), own)
    measured = samples[samples.role == "measured"].groupby(
        list(study.Configuration.__dataclass_fields__)
    )
    made = pd.read_csv(finished.folder / "results/study.csv", keep_default_na=False)
    timed = made[made.status.isin(MEASURED)].set_index(measured.keys)
    assert measured.latency_ms.median().to_dict() == pytest.approx(
        timed.latency_ms.astype(float).to_dict()
    )
    # Each platform of a machine has the same rounds, in which all of its libraries take turns.
    mobile = samples[samples.model == "mobilenet_v2"]
    assert set(mobile.platform) == {"local_cpu", "local_cpu_avx2"}
    turns = mobile.groupby("round").platform.apply(list)
    assert len(turns) == 5 and all(turn != sorted(turn) for turn in turns)


def test_every_observation_has_a_verdict_and_a_figure(finished):
    observations = pd.read_csv(finished.folder / "results/observations.csv", dtype=str)
    numbers = sorted(SMOKE.observations)
    assert list(observations.observation) == numbers
    assert set(observations.verdict) <= {"supported", "contradicted", "inconclusive"}
    assert set(observations.origin) <= {"abstract", "formulated"}
    for number in numbers:
        assert (finished.folder / f"results/observations/{number}.rst").is_file()
        for extension, start in (("pdf", b"%PDF"), ("svg", b"<?xml"), ("png", b"\x89PNG")):
            plot = finished.folder / f"plots/observation_{number}.{extension}"
            assert plot.read_bytes().startswith(start)


def test_the_tables_and_figures_across_the_stack_are_there(finished):
    table = pd.read_csv(finished.folder / "results/study.csv", keep_default_na=False)
    expected = {
        "accuracy_and_compression": ["dataset", "model", "compression"],
        "latency": ["platform", "dataset", "model", "compression", "format"],
        "best_configurations": ["platform", "dataset", "model"],
    }
    assert set(study.SUMMARY_TABLES) == {*expected, "published"}
    for name, keys in expected.items():
        summary = pd.read_csv(finished.folder / f"results/tables/{name}.csv", keep_default_na=False)
        places = set(table[keys].itertuples(index=False, name=None))
        assert set(summary[keys].itertuples(index=False, name=None)) == places
        page = (finished.folder / f"results/tables/{name}.html").read_text()
        assert page.startswith("<!DOCTYPE html>") and page.count("<tr>") > len(summary)
    accuracy, latency, best = (
        pd.read_csv(finished.folder / f"results/tables/{name}.csv") for name in expected
    )
    assert {"top1_change", "factor", "nonzero_params", "model_bytes"} <= set(accuracy)
    assert {"gemm_untuned_latency_ms_low", "spatial_pack_autotuned_status"} <= set(latency)
    assert latency.fastest.notna().all()
    assert (best.speedup_low <= best.speedup).all() and set(best.choice) == {
        "fastest",
        "fastest_accurate",
    }
    published = pd.read_csv(finished.folder / "results/tables/published.csv")
    assert (finished.folder / "results/tables/published.html").is_file()
    # The smoke study has one of the published networks, on one platform.
    measured = published[published.status == "ok"]
    assert list(measured.model) == ["resnet18"] * 2 and set(measured.platform) == {"local_cpu"}
    assert (measured.speedup_low <= measured.speedup).all()
    assert set(published.status) == {"ok", "not in the study"}
    for name in ("pareto", "roofline"):
        for extension, start in (("pdf", b"%PDF"), ("svg", b"<?xml"), ("png", b"\x89PNG")):
            assert (finished.folder / f"plots/{name}.{extension}").read_bytes().startswith(start)


def test_the_fastest_accurate_configuration_is_recommended(finished):
    """The smoke study asks for no accuracy, so that it is the fastest of all."""
    table = pd.read_csv(finished.folder / "results/study.csv")
    found = pd.read_csv(finished.folder / "results/recommendation.csv", keep_default_na=False)
    assert list(found.columns) == RECOMMENDATION
    assert (finished.folder / "results/tables/recommendation.html").is_file()
    lowest = table.groupby(["platform", "dataset"]).latency_ms.min()
    assert [(row.platform, row.dataset) for row in found.itertuples()] == list(lowest.index)
    for row in found.itertuples():
        assert float(row.latency_ms) == lowest[row.platform, row.dataset]
        assert row.reason == "" and row.layer_by_layer and row.candidates > 1


def test_every_library_was_checked_before_it_was_timed(finished):
    for configuration in study.configurations(SMOKE):
        check = finished.folder / study.path("check", **vars(configuration))
        machine = study.machines(SMOKE)[configuration.platform]
        timing = finished.folder / study.path("timing", **vars(configuration), machine=machine)
        name = f"{configuration.primitive}-{configuration.format}/{configuration.tuning}"
        assert json.loads(check.read_text())[name]["status"]
        assert check.stat().st_mtime_ns <= timing.stat().st_mtime_ns


def test_each_row_is_of_the_chosen_level(finished):
    table = pd.read_csv(finished.folder / "results/study.csv")
    for (dataset, model, compression), rows in table.groupby(["dataset", "model", "compression"]):
        folder = finished.folder / "results/compressed" / dataset / model / compression
        curve = pd.read_csv(folder / "curve.csv")
        (marked,) = curve[curve.chosen].to_dict("records")
        for column in ("level", "top1", "params", "nonzero_params", "macs", "model_bytes"):
            same = (rows[column] == marked[column]) | rows[column].isna() & pd.isna(marked[column])
            assert same.all(), (compression, column)


def test_the_answers_to_the_test_images_are_those_behind_each_top1(finished):
    found = answers.read(finished.folder / study.path("answers_table"))
    for dataset, labels in found.labels.items():
        prepared = datasets.load(finished.folder / study.path("dataset", dataset=dataset))
        assert labels.tolist() == prepared.test.labels.tolist()
    levels = [{name: one[name] for name in one if name != "file"} for one in study.answers(SMOKE)]
    assert set(found.labels) == set(SMOKE.study.datasets)
    assert set(found.answers) == {tuple(one.values()) for one in levels}
    for one in levels:
        point = json.loads((finished.folder / study.path("point", **one)).read_text())
        assert 100 * found.correct(**one).mean() == pytest.approx(point["top1"])


def test_a_ladder_is_climbed_to_its_chosen_level(finished):
    """The smoke study accepts any accuracy, so that the strongest level is chosen."""
    for dataset, model in study.pairs(SMOKE):
        folder = finished.folder / "results/compressed" / dataset / model
        for compression, level in (("weight_pruning", "0.8"), ("channel_pruning", "0.3")):
            chosen = folder / compression / "chosen.safetensors"
            strongest = folder / compression / f"{level}.safetensors"
            assert chosen.read_bytes() == strongest.read_bytes()
        baseline = json.loads((folder / "none/summary.json").read_text())
        sparse = json.loads((folder / "weight_pruning/summary.json").read_text())
        assert sparse["nonzero_params"] < 0.5 * sparse["params"] == 0.5 * baseline["params"]
        narrow = json.loads((folder / "channel_pruning/summary.json").read_text())
        assert narrow["macs"] <= 0.7 * baseline["macs"]


def test_what_is_searched_tells_its_layers_and_its_trials(finished):
    table = pd.read_csv(finished.folder / "results/study.csv")
    searched = table.tuning.map(study.searches)
    assert searched.sum() == len(study.tuned_choices(SMOKE)) == 8
    counted = searched & table.status.isin(MEASURED)
    assert (table.scheduled_layers.notna() == counted).all()
    found = table[searched].set_index(["tuning", "primitive", "compression", "format"])
    # So many kernels were tried, of which some run more than once.
    assert found.scheduled_layers["auto_scheduled", "direct", "none", "dense"] >= 6
    declined = found.status["auto_scheduled", "direct", "weight_pruning", "csr"]
    assert declined.startswith("unsupported: auto-scheduling of csr weights")
    layers = pd.read_csv(finished.folder / "results/tuning_layers.csv")
    assert set(layers.tuning) == {"autotuned", "auto_scheduled", "best_of"}
    assert (layers.ratio[layers.tuning == "best_of"] <= 1).all()
    curves = pd.read_csv(finished.folder / "results/tuning_curves.csv")
    curves = curves[curves.tuning == "autotuned"]
    best = curves.groupby(["primitive", "compression", "format"])["network_ms"]
    assert len(best) == 4
    assert (best.last() <= best.first() * (1 + 1e-9)).all()
    logs = finished.folder / "results/logs/tune_network"
    searches = [*logs.glob("**/autotuned.log"), *logs.glob("**/*-dense/auto_scheduled.log")]
    assert len(searches) == 6
    for one in searches:
        assert re.search(r"\d+ trials saved, in .* candidates per second; search", one.read_text())


def test_a_second_run_does_nothing(finished):
    before = finished.artifacts()
    output = finished.snakemake("--cores", "2", "all")
    assert "Nothing to be done" in output
    assert finished.artifacts() == before


def test_each_log_tells_the_job_and_its_time(finished):
    logs = [*(finished.folder / "results/logs").glob("**/*.log")]
    assert logs
    for log in logs:
        assert re.search(r"finished in \d+\.\d s", log.read_text()), log
