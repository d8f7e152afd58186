"""A code hash changes with what a script does, and with nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from dlas import closure

ROOT = Path(__file__).parents[2]

FILES = {
    "workflow/scripts/build.py": "from job import run\nimport numpy\nfrom library import core\nrun(core)\n",
    "workflow/scripts/job.py": "def run(thing): return thing\n",
    "library/__init__.py": "",
    "library/core.py": "from library.deep import helper\ndef use(): return helper.VALUE\n",
    "library/deep/__init__.py": "DEEP = 1\n",
    "library/deep/helper.py": "from . import sibling\nVALUE = 1\n",
    "library/deep/sibling.py": "from ..lazy import late\n",
    "library/lazy.py": "def late():\n    import library.last\n",
    "library/last.py": "LAST = 1\n",
    "library/methods/__init__.py": "",
    "library/methods/one.py": "ONE = 1\n",
    "library/methods/other.py": "OTHER = 1\n",
    "library/unused.py": "UNUSED = 1\n",
}
USED = sorted(set(FILES) - {"library/unused.py", "library/methods/other.py"})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return tmp_path


def code_hash(project: Path, *modules: str) -> str:
    for cached in (closure.code_hash, closure._find, closure._read):
        cached.cache_clear()
    return closure.code_hash(project, project / "workflow/scripts/build.py", modules)


@pytest.mark.parametrize("name", USED)
def test_a_statement_anywhere_in_the_closure_changes_the_hash(project, name):
    before = code_hash(project, "library.methods.one")
    (project / name).write_text(FILES[name] + "added = 1\n")
    assert code_hash(project, "library.methods.one") != before


@pytest.mark.parametrize("name", sorted(set(FILES) - set(USED)))
def test_what_is_not_imported_does_not_count(project, name):
    before = code_hash(project, "library.methods.one")
    (project / name).write_text("changed = 2\n")
    assert code_hash(project, "library.methods.one") == before


@pytest.mark.parametrize("name", USED)
def test_comments_docstrings_and_layout_do_not_count(project, name):
    before = code_hash(project, "library.methods.one")
    (project / name).write_text(f'"""Documented."""\n\n# A comment.\n{FILES[name]}\n\n')
    assert code_hash(project, "library.methods.one") == before


def test_a_docstring_within_a_function_does_not_count(project):
    before = code_hash(project)
    content = 'def run(thing):\n    """Documented."""\n    return thing  # here\n'
    (project / "workflow/scripts/job.py").write_text(content)
    assert code_hash(project) == before


def test_another_method_gives_another_hash(project):
    assert code_hash(project, "library.methods.one") != code_hash(project, "library.methods.other")


def test_a_renamed_file_gives_another_hash(project):
    before = code_hash(project, "library.methods.one")
    (project / "library/methods/one.py").rename(project / "library/methods/two.py")
    assert code_hash(project, "library.methods.two") != before


def modules_hash(project: Path, *modules: str) -> str:
    code_hash(project)  # nothing is remembered
    return closure.code_hash(project, None, modules)


@pytest.mark.parametrize("name", sorted(FILES))
def test_modules_without_a_script_count_with_all_that_they_import(project, name):
    modules = "library.deep.helper", "library.methods.one"
    before = modules_hash(project, *modules)
    (project / name).write_text(FILES[name] + "added = 1\n")
    unused = "script", "library/core", "library/unused", "library/methods/other"
    assert (modules_hash(project, *modules) == before) == any(part in name for part in unused)


def test_the_place_of_the_project_does_not_count(project, tmp_path_factory):
    before = code_hash(project)
    moved = tmp_path_factory.mktemp("elsewhere") / "project"
    project.rename(moved)
    assert code_hash(moved) == before


NAMED = {
    "study/__init__.py": "",
    "study/claim.py": """
import numpy
from study import looks, numbers
from study.shared import LIMIT, unused
from study.shared import narrow as tight
EFFECT = "size"
COLOUR = "red"
def observe(rows):
    return _judge(rows) + numbers.mean(rows) + tight(LIMIT)
def _judge(rows):
    from study import lazy
    draw = lambda unused: len(rows)
    return draw(rows)
def draw(rows):
    return looks.figure(rows, COLOUR)
""",
    "study/numbers.py": "SCALE = 2\ndef mean(rows): return SCALE\ndef median(rows): return 0\n",
    "study/shared.py": "LIMIT = 1\ndef narrow(x): return x\ndef unused(x): return 1\n",
    "study/looks.py": "def figure(rows, colour): return 1\n",
    "study/lazy.py": "LAZY = 1\ndef late(): return 2\n",
}
# (what is changed, in which file, whether the verdict depends on it, and whether the figure does)
PARTS = [
    ("return _judge(rows) +", "return 1 + _judge(rows) +", "study/claim.py", True, False),
    ("len(rows)\n", "2 * len(rows)\n", "study/claim.py", True, False),
    ("return looks", "return 1, looks", "study/claim.py", False, True),
    ('"red"', '"blue"', "study/claim.py", False, True),
    ('"size"', '"ratio"', "study/claim.py", True, False),
    ("import numpy", "import numpy as np", "study/claim.py", False, False),
    ("SCALE = 2", "SCALE = 3", "study/numbers.py", True, False),
    ("def median(rows): return 0", "def median(rows): return 1", "study/numbers.py", False, False),
    ("LIMIT = 1", "LIMIT = 2", "study/shared.py", True, False),
    ("return x", "return 2 * x", "study/shared.py", True, False),
    ("return 1\n", "return 5\n", "study/shared.py", False, False),
    ("return 1", "return 2", "study/looks.py", False, True),
    ("return 2", "return 3", "study/lazy.py", True, False),  # imported within a function: whole
    ("SCALE = 2\n", "SCALE = 2\nSCALE += 1\n", "study/numbers.py", True, False),
    ("SCALE = 2\n", "SCALE = 2\nprint()\n", "study/numbers.py", True, False),  # acts when loaded
]


@pytest.mark.parametrize(("before", "after", "name", "verdict", "figure"), PARTS)
def test_of_names_only_what_they_need_counts(tmp_path, before, after, name, verdict, figure):
    for file, content in NAMED.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(content)

    def hashes():
        for cached in (closure.code_hash, closure._find, closure._read):
            cached.cache_clear()
        wanted = "study.claim:observe,EFFECT", "study.claim:draw", "study.claim"
        return [closure.code_hash(tmp_path, None, (one,)) for one in wanted]

    old = hashes()
    assert before in NAMED[name]
    (tmp_path / name).write_text(NAMED[name].replace(before, after, 1))
    changed = [one != other for one, other in zip(old, hashes(), strict=True)]
    assert changed == [verdict, figure, True]


def test_a_name_that_a_module_does_not_define_stands_for_all_of_it(project):
    assert modules_hash(project, "library.core:nothing") == modules_hash(project, "library.core")


def test_hashes_are_kept_for_the_next_process_until_any_code_changes(project, tmp_path):
    (project / "library").rename(project / "dlas")
    for file in project.glob("**/*.py"):
        file.write_text(file.read_text().replace("library", "dlas"))
    script, kept = project / "workflow/scripts/build.py", tmp_path / "kept/hashes.json"
    program = (
        "import sys, pathlib\nfrom dlas import closure\nroot, script, kept = map(pathlib.Path, sys.argv[1:])\n"
        "print(closure.remembering(root, kept)(script, ('dlas.methods.one',)))\n"
        "print(closure._read.cache_info().misses)"
    )

    def found() -> tuple[str, bool]:
        command = [sys.executable, "-c", program, str(project), str(script), str(kept)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        digest, read = done.stdout.split()
        return digest, int(read) > 0

    digest, read = found()
    assert read and digest == code_hash(project, "dlas.methods.one")
    assert found() == (digest, False)
    kept.write_text(kept.read_text()[:20])
    assert found() == (digest, True)
    (project / "dlas/unused.py").write_text("UNUSED = 2\n")
    assert found() == (digest, True)
    (project / "dlas/last.py").write_text("LAST = 2\n")
    assert found()[0] != digest
