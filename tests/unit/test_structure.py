"""Structure of the project: layers of the stack, imports, pins, environments."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LAYERS = (
    "datasets",
    "models",
    "compression",
    "primitives",
    "compiler",
    "runtimes",
    "hardware",
    "analysis",
    "bundles",  # of whole studies: above the stack
)
SHARED = (
    "errors",
    "files",
    "download",
    "environment",
    "plugins",
    "registry",
    "status",
    "processes",
    "provenance",
    "tensor_files",
)  # below all layers
TORCH = ("dlas/models/", "dlas/compression/", "dlas/compiler/importer.py")
PEERS = ("dlas/runtimes/",)  # imports it in a process of its own
# What plans a study, and what each package of it imports; no job pays for it.
PLANNING = {"config": ("config",), "study": ("config", "study")}
LIBRARY, TESTS = (
    sorted(file.relative_to(ROOT) for file in ROOT.glob(f"{folder}/**/*.py"))
    for folder in ("dlas", "tests")
)


def imported(file: Path) -> set[str]:
    """Return the full names of the modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import hides the layer"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("file", LIBRARY, ids=str)
def test_imports_go_down_the_stack_only(file):
    layer = file.parts[1] if len(file.parts) > 2 else None
    below = PLANNING.get(layer) or LAYERS[: LAYERS.index(layer) + 1] if layer else ()
    for name in imported(file):
        package, *rest = name.split(".")
        if package == "dlas" and rest:
            assert rest[0] in (*below, *SHARED), f"{file} imports {name}"


def test_no_job_imports_what_plans_the_study():
    """Pydantic alone takes a fifth of a second, in each of hundreds of jobs."""
    for file in ROOT.glob("workflow/**/*.py"):
        names = {name.split(".")[1] for name in imported(file) if name.startswith("dlas.")}
        assert not names & PLANNING.keys(), file


@pytest.mark.parametrize("file", LIBRARY, ids=str)
def test_torch_is_used_for_training_import_and_peers_only(file):
    frameworks = {"torch", "torchvision"}
    if frameworks & {name.split(".")[0] for name in imported(file)}:
        assert file.as_posix().startswith(TORCH + PEERS), f"{file} imports torch"


def test_a_peer_is_asked_without_any_runtime():
    """And a peer's own process has its runtime alone."""
    runtimes = {"torch", "onnxruntime", "openvino", "ncnn", "MNN", "tvm"}
    loaded = f"import sys, dlas.runtimes.peer; sys.exit(bool({runtimes} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", loaded], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("file", TESTS, ids=str)
def test_tests_share_helper_modules_only_and_by_their_full_names(file):
    for name in imported(file):
        assert not re.match(r"tests\..*\b(test_|conftest)", name), f"{file} imports {name}"
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        changed = getattr(node, "targets", [getattr(node, "func", None)])
        for one in filter(None, changed):
            assert not re.match(r"sys\.path\b", ast.unparse(one)), f"{file} edits sys.path"


def test_every_layer_is_a_folder():
    assert {file.parts[1] for file in LIBRARY if len(file.parts) > 2} == {*LAYERS, *PLANNING}


@pytest.mark.parametrize("file", [one for one in LIBRARY if one.name == "__init__.py"], ids=str)
def test_a_package_has_a_docstring_and_re_exports_alone(file):
    for node in ast.parse((ROOT / file).read_text()).body:
        assert isinstance(node, ast.Expr | ast.ImportFrom) or ast.unparse(node).startswith(
            "__all__ ="
        )


def test_the_rules_of_a_layer_are_in_a_file_of_its_name():
    files = {file.stem for file in ROOT.glob("rules/*.smk")} - {"common", "looking"}
    # Primitives are compiled by the compiler's rules, runtimes are timed by the hardware's.
    assert files == set(LAYERS) - {"primitives", "runtimes"}


def test_no_command_is_a_text_for_a_shell():
    wrong = re.compile(r"shell\s*=\s*True|os\.(system|popen)\(|^\s*(shell|run):", re.MULTILINE)
    for file in [*LIBRARY, *(file.relative_to(ROOT) for file in ROOT.glob("rules/*.smk"))]:
        assert not wrong.search((ROOT / file).read_text()), file


def test_durations_are_of_a_clock_that_does_not_jump():
    """A clock that is set while something is timed or awaited must not change the result."""
    for file in LIBRARY:
        assert "time.time()" not in (ROOT / file).read_text(), file


def test_nothing_unpickles_code():
    wrong = re.compile(
        r"import (pickle|dill|joblib)|allow_pickle=True|weights_only=False"
        # So it makes tensors, numbers and texts alone.
        r"|torch\.load(?!\(path, (map_location=\"cpu\", )?weights_only=True\))"
    )
    for file in LIBRARY:
        assert not wrong.search((ROOT / file).read_text()), file


def pins(lines: list[str]) -> dict[str, str]:
    return dict(
        re.fullmatch(r"([\w.-]+)==([\w.!]+)", line.split("#")[0].strip()).groups()
        for line in lines
        if line.split("#")[0].strip() and not line.startswith("-r ")
    )


REQUIREMENTS = {
    name: pins((ROOT / f"requirements{name}.txt").read_text().splitlines())
    for name in ("", "-test")
}


def test_every_requirement_is_pinned_once():
    names = [name for part in REQUIREMENTS.values() for name in part]
    assert len(names) == len(set(names))


def test_a_board_is_given_the_versions_of_the_study():
    asked = re.findall(r"[\w-]+==[\w.]+", (ROOT / "docs/how-to/boards.md").read_text())
    assert asked and pins(asked).items() <= REQUIREMENTS[""].items()


def test_every_job_has_an_environment_that_exists():
    for rules in ROOT.glob("rules/*.smk"):
        text = rules.read_text()
        environments = re.findall(r'conda:\s+"(.*?)"', text)
        assert len(environments) == text.count("\nrule ")
        for environment in environments:
            assert (rules.parent / environment).is_file()


def test_profiles_name_rules_that_exist_and_measure_on_one_kind_of_node():
    rules = {
        name: body
        for file in ROOT.glob("rules/*.smk")
        for name, body in re.findall(
            r"^rule (\w+):\n((?:    .*\n|\n)+)", file.read_text(), re.MULTILINE
        )
    }
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    default = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    named = {entry.partition("=")[0] for entry in default["set-threads"]}
    named |= profile["set-resources"].keys() | profile["groups"].keys()
    assert named <= rules.keys()
    measuring = {name for name, body in rules.items() if "threads: workflow.cores" in body}
    exclusive = {
        name
        for name, resources in profile["set-resources"].items()
        if resources.get("slurm_partition") == "timing" and "exclusive" in resources["slurm_extra"]
    }
    assert measuring == exclusive


def test_every_script_belongs_to_the_rule_of_its_name():
    rules = "".join(file.read_text() for file in ROOT.glob("rules/*.smk"))
    named = set(re.findall(r"^rule (\w+):", rules, re.MULTILINE))
    scripts = {file.stem for file in ROOT.glob("workflow/scripts/*.py")}
    shared = {"job", "fast_imports"}
    assert named == scripts - shared == set(re.findall(r"workflow/scripts/(\w+)\.py", rules))
