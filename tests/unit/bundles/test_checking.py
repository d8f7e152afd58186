"""The checker finds every tampering, and says in one line each which file and field it is."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlas.bundles import checking, form, machine
from dlas.errors import StudyError
from tests.unit.bundles import small

ROOT = Path(__file__).parents[3]
EVERY = sorted([*form.FILES, form.MANIFEST])


@pytest.fixture
def folder(tmp_path):
    return small.write(tmp_path / "laptop", small.bundle())


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return small.write(tmp_path_factory.mktemp("bundles") / "laptop", small.bundle())


def test_a_bundle_as_it_was_packed_has_no_problem(folder):
    assert checking.problems(folder) == []


@pytest.mark.parametrize(
    "shipped", [one for one in ROOT.glob("bundles/*") if one.is_dir()], ids=lambda one: one.name
)
def test_the_bundles_of_the_project_are_right_and_small(shipped):
    assert checking.problems(shipped) == []
    assert sum(file.stat().st_size for file in shipped.iterdir()) < 2e6


@given(st.sampled_from(EVERY), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_each_flipped_byte_is_found(original, name, place, mask):
    content = (original / name).read_bytes()
    changed = bytearray(content)
    changed[int(place * len(content))] ^= mask
    try:
        (original / name).write_bytes(changed)
        assert checking.problems(original)
    finally:
        (original / name).write_bytes(content)


@pytest.mark.parametrize("name", EVERY)
def test_each_file_that_is_missing_is_found(folder, name):
    (folder / name).unlink()
    assert f"{name} is missing" in checking.problems(folder)


def test_half_a_bundle_has_a_line_for_each_file_that_is_missing(folder):
    for name in EVERY[::2]:
        (folder / name).unlink()
    lines = checking.problems(folder)
    assert {f"{name} is missing" for name in EVERY[::2]} <= set(lines)


def test_a_foreign_file_is_found(folder):
    (folder / "weights.safetensors").touch()
    assert checking.problems(folder) == ["weights.safetensors is a foreign file"]


# (table, column, what stands in its first cell, the line); manifests are made anew
CELLS = [
    ("study", "latency_ms", "0,0361", "latency_ms is '0,0361'; allowed: a number with a decimal p"),
    ("study", "latency_ms", "36.Jan", "latency_ms is '36.Jan'; allowed: a number with a decimal p"),
    ("study", "latency_ms", "1.0", "its samples give latency_ms 1.0"),
    ("study", "latency_ms_low", "0.5", "its samples give latency_ms_low 0."),
    ("study", "repeats", "4", "it has 5 samples, not 4"),
    ("study", "gflops", "1.0", "gflops"),
    ("study", "peak_fraction", "0.9", "peak_fraction is not gflops by the peak"),
    ("study", "primitive", "2026-01-02", "primitive is '2026-01-02'; allowed: a name of lower-cas"),
    ("study", "status", "fine", "status is 'fine'; allowed: a status of docs/reference/columns.md"),
    ("study", "status", "failed: it crashed", "latency_ms is there, its status is failed"),
    (
        "study",
        "platform",
        "other_cpu",
        "has the platform 'other_cpu'; machine.json has 'local_cpu'",
    ),
    ("samples", "latency_ms", "2.0", "its samples give latency_ms"),
    ("samples", "latency_ms", "", "latency_ms is 'empty'; allowed: a number"),
    ("samples", "model", "vgg16", "it has 4 samples, not 5"),
    (
        "noise_floor",
        "ratio",
        "1.5",
        "noise_floor.csv: local_cpu/digits/resnet18: its samples give ra",
    ),
    (
        "peers",
        "latency_ms",
        "0.1",
        "peers.csv: local_cpu/digits/resnet18/onnxruntime: its samples g",
    ),
]


@pytest.mark.parametrize(("table", "column", "cell", "line"), CELLS)
def test_each_changed_cell_is_found_though_the_manifest_was_made_anew(
    folder, table, column, cell, line
):
    def change(content):
        content.loc[0, column] = cell
        return content

    small.edit_table(folder, table, change)
    found = checking.problems(folder)
    assert any(line in one for one in found), found
    assert not any("\n" in one for one in found)


@pytest.mark.parametrize("table", form.TABLES)
def test_a_foreign_column_and_one_that_is_missing_are_found(folder, table):
    small.edit_table(folder, table, lambda content: content.rename(columns={"dataset": "data"}))
    file = form.TABLES[table][0]
    lines = checking.problems(folder)
    assert f"{file} lacks the column dataset" in lines
    assert f"{file} has a foreign column 'data'" in lines


def test_a_table_with_semicolons_is_found(folder):
    file = folder / "study.csv"
    file.write_text(file.read_text().replace(",", ";"))
    assert any("study.csv lacks the column latency_ms" in one for one in checking.problems(folder))


def test_a_row_that_is_there_twice_is_found(folder):
    file = folder / "study.csv"
    file.write_text(file.read_text() + file.read_text().splitlines()[1] + "\n")
    form.write_manifest(folder)
    assert any("is there twice" in one for one in checking.problems(folder))


@pytest.mark.parametrize(
    ("name", "key", "value", "line"),
    [
        ("machine.json", "schema", 99, f"machine.json: schema is 99; allowed: 1, {form.SCHEMA}"),
        ("machine.json", "schema", None, "machine.json: schema is None; allowed: "),
        (
            "machine.json",
            "kernel",
            "/home/ada/linux",
            "kernel has '/home/ada/linux', which is priv",
        ),
        ("machine.json", "commit", "at 192.168.0.7", "commit has '192.168.0.7', which is private"),
        (
            "provenance.json",
            "networks",
            {"a": "of /Users/ada"},
            "networks.a has '/Users/ada', whic",
        ),
    ],
)
def test_other_schemas_and_private_texts_are_found(folder, name, key, value, line):
    small.edit_json(folder, name, lambda content: content.update({key: value}))
    found = checking.problems(folder)
    assert any(line in one for one in found), found


def test_names_of_this_machine_and_its_user_are_private(folder, monkeypatch):
    monkeypatch.setattr(machine.platform, "node", lambda: "ada-laptop.example.org")
    monkeypatch.setattr(machine.getpass, "getuser", lambda: "lovelace")
    text = "unreachable: ada-laptop gave lovelace no answer at 10.0.0.1:9090 in /home/lovelace/x"
    assert machine.private(text)
    assert machine.cleaned(text) == "unreachable: ... gave ... no answer at ...:9090 in ..."
    assert machine.private("the network lovelaces, on llvm 1.2.3.4.5") is None


def test_versions_that_look_like_addresses_are_not_private(folder):
    small.edit_json(
        folder, "machine.json", lambda content: content.update({"kernel": "5.15.90.1-WSL2"})
    )
    assert checking.problems(folder) == []


def test_a_key_that_is_missing_is_found(folder):
    small.edit_json(folder, "machine.json", lambda content: content.pop("probe"))
    assert "machine.json lacks probe" in checking.problems(folder)


def test_a_bundle_of_schema_1_is_converted_and_has_no_answers(folder):
    (folder / "correct.csv.gz").unlink()
    small.edit_json(folder, "machine.json", lambda content: content.update({"schema": 1}))
    assert checking.problems(folder) == []
    read = form.read(folder, "laptop")
    assert read.machine["schema"] == form.SCHEMA and read.tables["correct"].empty
    small.edit_json(folder, "machine.json", lambda content: content.update({"schema": 2}))
    assert checking.problems(folder) == ["correct.csv.gz is missing"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"correct": "ffffffffff"},
            "digits/resnet18/none/single gets 100 % of the images right, its",
        ),
        (
            {"correct": "fffffffff"},
            "correct is 'fffffffff'; allowed: two hexadecimal digits for each",
        ),
        (
            {"correct": "fffffffe"},
            "digits/resnet18/none/single does not have one bit for each of 40",
        ),
        ({"images": "39"}, "digits/resnet18/none/single gets 100 % of the images right, its top1"),
        ({"images": "0"}, "images is '0'; allowed: a number of images"),
        ({"compression": "int8"}, "digits/resnet18/int8/single has no top1 in accuracy_curves.csv"),
        ({"level": "0.8"}, "it lacks digits/resnet18/none/single"),
    ],
)
def test_answers_that_are_not_those_of_the_top1_are_found(folder, change, line):
    small.edit_table(folder, "correct", lambda content: content.assign(**change))
    found = checking.problems(folder)
    assert any(line in one for one in found), found


def test_the_program_says_each_problem_and_fails(folder):
    command = [sys.executable, "-m", "dlas.bundles.checking"]
    done = subprocess.run([*command, folder], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "complete and consistent, 3 rows" in done.stdout
    (folder / "peers.csv").unlink()
    (folder / "study.csv").write_text("a;b\n1,5;2\n")
    done = subprocess.run([*command, folder], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert all(line.startswith(f"{folder}: ") for line in done.stderr.splitlines())
    assert f"{folder}: peers.csv is missing" in done.stderr


def asked(primitives=small.PRIMITIVES, dataset="digits"):
    return [
        small.MODEL
        | {"dataset": dataset, "compression": "none", "primitive": name, "format": "dense"}
        | {"tuning": "untuned", "platform": "laptop", "dtype": "float32"}
        for name in primitives
    ]


def test_a_study_refuses_a_bundle_in_one_line_before_any_job(folder, tmp_path):
    def line(folders, wanted):
        with pytest.raises(StudyError) as error:
            checking.check_inputs({"laptop": {"folders": folders, "configurations": wanted}})
        return str(error.value)

    checking.check_inputs({"laptop": {"folders": [str(folder)], "configurations": asked()}})
    prefix = f"config: platforms.laptop.bundle: {folder}: "
    other = line([str(folder)], asked(dataset="photos"))
    assert other.startswith(f"{prefix}study.csv has no configuration of this study")
    gone = line([str(tmp_path / "gone")], asked())
    assert gone.endswith("gone: it is not a folder; allowed: what `make bundle` has packed")
    file = folder / "study.csv"
    file.write_text(file.read_text().replace("97.5", '"97,5"'))
    assert "study.csv, line 2: top1 is '97,5'; allowed: a num" in line([str(folder)], asked())
    shutil.copy(folder / "peers.csv", file)
    assert "study.csv lacks the column" in line([str(folder)], asked())
