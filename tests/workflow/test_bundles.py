"""A bundle of the smoke study, packed, checked, and read by studies as another platform.

There is one machine here: the second one is a copy of its own measurements under another name.
"""

import shutil

import pandas as pd
import pytest
import yaml

from dlas.bundles import checking, form
from tests.unit.bundles import simulated
from tests.unit.bundles.small import edit_json
from tests.workflow.project import Project

pytestmark = pytest.mark.xdist_group("smoke")

COPY = {
    "study": {"platforms": ["local_cpu", "local_cpu_avx2", "copy"]},
    "platforms": {"copy": {"bundle": "bundles/smoke", "label": "a copy of this CPU"}},
}
ALONE = {
    "study": {"platforms": ["copy"]},
    "platforms": COPY["platforms"],
    "tuning": {"select": "all"},
}
# What needs neither networks nor libraries.
ANALYSIS = {"read_bundle", "trace_rows", "compare_machines", "recommend", "summarize_statuses"}


@pytest.fixture(scope="module")
def packed(finished, tmp_path_factory):
    """The finished study with a bundle."""
    project = Project(tmp_path_factory.mktemp("packed") / "study")
    shutil.copytree(finished.folder, project.folder, symlinks=True)
    project.snakemake("--cores", "2", "bundles/smoke")
    return project


@pytest.fixture
def project(packed, tmp_path):
    shutil.copytree(packed.folder, tmp_path / "study", symlinks=True)
    return Project(tmp_path / "study")


def overlay(project, config):
    (project.folder / "overlay.yaml").write_text(yaml.safe_dump(config))
    return "--configfile", "config/smoke.yaml", "overlay.yaml"


def table(project, name):
    return pd.read_csv(project.folder / f"results/{name}.csv", keep_default_na=False)


def test_a_bundle_is_complete_and_has_the_rows_of_its_platform(packed):
    folder = packed.folder / "bundles/smoke"
    assert checking.problems(folder) == []
    rows = table(packed, "study")
    there = form.texts(folder / "study.csv")
    assert len(there) == (rows.platform == "local_cpu").sum()
    bundle = form.read(folder, "copy")
    networks = {"/".join(key) for key, _ in rows.groupby(["dataset", "model", "compression"])}
    assert bundle.provenance["networks"].keys() == networks
    assert {"compiler", "primitive gemm", "compression int8"} <= bundle.provenance["code"].keys()
    assert bundle.machine["cpu"]["instruction_sets"] and bundle.machine["versions"]["torch"]


def test_packing_again_is_nothing_to_do_and_another_platform_is_packed_on_demand(packed):
    assert packed.planned("bundles/smoke") == {}
    other = ("--config", "bundle={platform: local_cpu_avx2}")
    assert packed.planned("bundles/avx2", *other) == {"pack_bundle": 1}
    done = packed.attempt("bundles/avx2", "--config", "bundle={platform: hikey970_cpu}")
    assert done.returncode != 0
    assert "config: bundle.platform is 'hikey970_cpu'; allowed: platforms that" in done.stderr


def test_a_copy_is_a_platform_like_any_other(project):
    files = overlay(project, COPY)
    before = table(project, "study")
    planned = project.planned(*files, config=None)
    assert not planned.keys() & {"train_model", "build_libraries", "time_libraries", "pack_bundle"}
    project.snakemake("--cores", "2", "all", *files, config=None)
    rows = table(project, "study")
    own = rows[rows.platform == "local_cpu"]
    # The smoke study tunes on local_cpu alone.
    asked = own[own.tuning == "untuned"].drop(columns="platform")
    copied = rows[rows.platform == "copy"].drop(columns="platform")
    pd.testing.assert_frame_equal(
        copied.reset_index(drop=True), asked.reset_index(drop=True), check_dtype=False
    )
    rest = rows[rows.platform != "copy"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, before, check_dtype=False)
    for name in ("noise_floor", "peers"):
        content = table(project, name).drop(columns="platform")
        platform = table(project, name).platform
        one, other = (content[platform == each] for each in ("local_cpu", "copy"))
        assert len(one) == len(other) > 0
    samples = pd.read_csv(project.folder / "results/samples.csv.gz")
    assert set(samples[samples.platform == "copy"].machine) == {"copy"}
    verdicts = table(project, "tables/verdicts_by_machine")
    assert set(verdicts.machine) == {"all", "local_cpu", "copy"}
    assert len(verdicts) == 3 * len(table(project, "observations"))
    # Its networks are the same, and so are its answers to the test images.
    reach = verdicts[verdicts.observation == 2].set_index("machine")
    assert reach.loc["copy", "estimate"] == reach.loc["local_cpu", "estimate"] != ""
    page = (project.folder / "results/tables/verdicts_by_machine.html").read_text()
    assert "a copy of this CPU" in page and "measured with the same code" in page
    assert project.planned(*files, config=None) == {}


def test_a_study_of_bundles_alone_is_analysis_alone(packed, fresh):
    shutil.copytree(packed.folder / "bundles", fresh.folder / "bundles")
    files = overlay(fresh, ALONE)
    planned = fresh.planned(*files, config=None).keys() - ANALYSIS
    assert all(rule.startswith(("tabulate_", "assess_", "draw_")) for rule in planned)
    observed = "results/observations.csv"
    fresh.snakemake("--cores", "2", observed, *files, config=None)
    rows = table(fresh, "study")
    before = table(packed, "study")
    before = before[before.platform == "local_cpu"]
    # As it asks for more ways to schedule than the smoke study.
    lacking = rows.status == "unreachable: the bundle copy has no such configuration"
    assert sorted(rows[~lacking].status) == sorted(before.status) and lacking.any()
    assert len(table(fresh, "accuracy_curves"))
    # With the networks of the bundle.
    found, own = (table(one, "observations").set_index("observation") for one in (fresh, packed))
    assert found.loc[2].reason == own.loc[2].reason
    assert found.loc[2].reason.startswith("weight pruning compresses")


def test_ten_machines_are_one_study(packed, fresh):
    """The machines are simulated: copies of this one with noise."""
    simulated.write(10, packed.folder / "bundles/smoke", fresh.folder / "simulated", "all")
    files = ("--configfile", "config/smoke.yaml", "simulated/study.yaml")
    fresh.snakemake("--cores", "2", "results/study.csv", "plots/latency.png", *files, config=None)
    rows = table(fresh, "study")
    measured = rows[rows.status == "ok"].groupby("platform")
    assert len(measured) == 10 and measured.size().nunique() == 1
    assert measured["latency_ms"].first().nunique() == 10


def stops(project, config, *said):
    done = project.attempt("--cores", "1", "all", *overlay(project, config), config=None)
    assert done.returncode != 0
    line = [one for one in done.stderr.splitlines() if all(part in one for part in said)]
    assert len(line) == 1, done.stderr
    assert "Traceback" not in done.stderr and not (project.folder / "results").exists()


def test_a_wrong_bundle_stops_before_any_job(packed, fresh):
    folder = fresh.folder / "bundles/smoke"
    prefix = "config: platforms.copy.bundle: bundles/smoke: "
    stops(fresh, COPY, prefix, "it is not a folder; allowed: what `make bundle` has packed")
    shutil.copytree(packed.folder / "bundles", fresh.folder / "bundles", dirs_exist_ok=True)
    original = (folder / "study.csv").read_text()
    # As a spreadsheet program in another language saves it.
    (folder / "study.csv").write_text(original.replace(",", ";").replace(".", ","))
    stops(fresh, COPY, prefix, "study.csv lacks the column dataset")
    cells = original.splitlines()
    column = cells[0].split(",").index("latency_ms")
    first = next(number for number, line in enumerate(cells) if line.endswith(",ok"))
    values = cells[first].split(",")
    cells[first] = ",".join([*values[:column], "2026-01-02", *values[column + 1 :]])
    (folder / "study.csv").write_text("\n".join(cells) + "\n")
    stops(fresh, COPY, prefix, f"study.csv, line {first + 1}: latency_ms is '2026-01-02'; allowed")
    (folder / "study.csv").write_text(original)
    other = COPY | {"study": COPY["study"] | {"datasets": ["digits"]}}
    stops(fresh, other, prefix, "study.csv has no configuration of this study")
    (folder / "samples.csv.gz").unlink()
    stops(fresh, COPY, prefix, "samples.csv.gz is missing")


def test_the_wrong_name_for_a_bundle(packed, fresh):
    twice = COPY["platforms"] | {"other": {"bundle": "./bundles/smoke"}}
    names = {"platforms": ["copy", "other"]}
    stops(
        fresh, {"study": names, "platforms": twice}, "bundle of platforms.copy already; allowed: "
    )
    (fresh.folder / "twice.yaml").write_text(
        "platforms:\n  copy: {bundle: a}\n  copy: {bundle: b}\n"
    )
    done = fresh.attempt("-n", config="twice.yaml")
    assert "has the key platforms.copy twice, in lines 2 and 3" in done.stderr


def test_rows_of_another_width_are_unreachable_and_the_rest_goes_on(packed, fresh):
    shutil.copytree(packed.folder / "bundles", fresh.folder / "bundles")
    edit_json(
        fresh.folder / "bundles/smoke",
        form.PROVENANCE,
        lambda value: value["settings"].update({"width": 1}),
    )
    fresh.snakemake("--cores", "1", "results/study.csv", *overlay(fresh, ALONE), config=None)
    reason = "unreachable: in the bundle models.width was 1, here it is 0.125"
    lacking = "unreachable: the bundle copy has no such configuration"
    assert set(table(fresh, "study").status) == {reason, lacking}
