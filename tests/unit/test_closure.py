"""A code hash changes with what a script does, and with nothing else."""

from pathlib import Path

import pytest

from dlas import closure

FILES = {
    "workflow/scripts/build.py": "from job import run\nimport numpy\nfrom library import "
    "core\nrun(core)\n",
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
    for cached in (closure.code_hash, closure._files, closure._read):
        cached.cache_clear()
    return closure.code_hash(project, project / "workflow/scripts/build.py", modules)


@pytest.mark.parametrize("name", USED)
def test_a_statement_anywhere_in_the_closure_changes_the_hash(project, name):
    before = code_hash(project, "library.methods.one")
    (project / name).write_text(FILES[name] + "added = 1\n")
    assert code_hash(project, "library.methods.one") != before


@pytest.mark.parametrize("suffix", [".csv", ".html", ".js"])
def test_a_table_or_a_part_of_a_page_beside_a_module_is_part_of_it(project, suffix):
    before = code_hash(project)
    (project / f"library/unused{suffix}").write_text("a\n1\n")
    assert code_hash(project) == before
    (project / f"library/core{suffix}").write_text("a\n1\n")
    there = code_hash(project)
    (project / f"library/core{suffix}").write_text("a\n2\n")
    assert len({before, there, code_hash(project)}) == 3


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


def test_the_description_of_a_plugin_does_not_count(project):
    before = code_hash(project, "library.methods.one")
    file = project / "library/methods/one.py"
    for words in ("one", "first"):
        described = f"from dlas.plugins import Plugin\n\nPLUGIN = Plugin(label={words!r})\n"
        file.write_text(described + FILES["library/methods/one.py"])
        assert code_hash(project, "library.methods.one") == before
    file.write_text(described + "ONE = 2\n")
    assert code_hash(project, "library.methods.one") != before


def test_the_reader_of_descriptions_does_not_count(project):
    script = project / "workflow/scripts/build.py"
    script.write_text("from dlas import registry\n" + FILES["workflow/scripts/build.py"])
    (project / "dlas").mkdir()
    for name in ("__init__", "registry", "plugins", "other"):
        (project / f"dlas/{name}.py").write_text("from dlas import plugins, other\n")
    before = code_hash(project)
    (project / "dlas/plugins.py").write_text("CHANGED = 1\n")
    (project / "dlas/registry.py").write_text("CHANGED = 1\n")
    assert code_hash(project) == before


def test_what_is_imported_for_type_checkers_does_not_count(project):
    before = code_hash(project)
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import library.unused\n"
    script = project / "workflow/scripts/build.py"
    script.write_text(typed + FILES["workflow/scripts/build.py"])
    with_types = code_hash(project)
    (project / "library/unused.py").write_text("UNUSED = 2\n")
    assert code_hash(project) == with_types != before
