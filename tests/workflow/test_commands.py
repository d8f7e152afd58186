"""Every shell command of the documentation: planned, or run as far as that changes nothing."""

import importlib.util
import json
import re
import subprocess
import sys

import pytest

from tests.markdown import PAGES, ROOT, Command, commands
from tests.workflow.project import copy

PLANNER = ROOT / "tests/workflow/plan_commands.py"
MAKEFILE = (ROOT / "Makefile").read_text()
VARIABLES = set(re.findall(r"^(\w+) *[?:]?=", MAKEFILE, re.MULTILINE))
# They change the shell that they run in alone.
SHELL = ("cd", ".", "source", "export")


def found(program: str) -> list[Command]:
    """Return all commands of a program, the environment's or not."""
    every = [command for page in PAGES for command in commands(page)]
    return [one for one in every if _program(one) == program]


def _program(command: Command) -> str:
    return command.words[0].removeprefix(".venv/bin/")


def test_every_block_of_commands_can_be_tested_or_says_what_it_needs():
    tested = ("make", "snakemake", "python", *SHELL)
    every = [command for page in PAGES for command in commands(page)]
    wrong = [str(one) for one in every if _program(one) not in tested]
    assert every and not wrong, "put `<!-- needs: ... -->` above the block"


def test_every_make_command_has_a_target_and_variables_that_exist():
    wrong = []
    for command in found("make"):
        named = {word.partition("=")[0] for word in command.words[1:] if "=" in word}
        dry = ["make", "--dry-run", *command.words[1:]]
        done = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True)
        if done.returncode or not named <= VARIABLES:
            wrong.append(f"{command}: {done.stderr or named - VARIABLES}")
    assert not wrong


def test_every_snakemake_command_can_be_planned(tmp_path):
    project = copy(ROOT, tmp_path / "dlas")
    (project.folder / "bundles").symlink_to(ROOT / "bundles")
    asked = found("snakemake")
    unknown = ("no_such_file",)
    lines = list(dict.fromkeys([*(command.words[1:] for command in asked), unknown]))
    (project.folder / "lines.json").write_text(json.dumps(lines))
    planner = [sys.executable, str(PLANNER), "lines.json"]
    done = subprocess.run(planner, cwd=project.folder, capture_output=True, text=True)
    answers = dict(zip(lines, json.loads(done.stdout), strict=True))
    assert "no_such_file" in answers.pop(unknown)
    wrong = [f"{one}: {why[-500:]}" for one in asked if (why := answers[one.words[1:]]) is not None]
    assert asked and not wrong


def test_every_module_that_a_command_runs_exists():
    for command in found("python"):
        assert command.words[1] == "-m", f"{command}: put `<!-- needs: ... -->` above the block"
        assert importlib.util.find_spec(command.words[2]), command


@pytest.mark.parametrize(
    "block",
    ["```sh\nmake a\n```\n", "    make a\n", "<!-- needed: x -->\n```sh\nmake a # b\n```\n"],
)
def test_a_command_is_found(block, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.markdown.ROOT", tmp_path)
    (tmp_path / "a.md").write_text(block)
    assert [one.words for one in commands(tmp_path / "a.md")] == [("make", "a")]


def test_a_command_that_needs_something_is_left_out(tmp_path):
    (tmp_path / "a.md").write_text(
        "- a\n\n  <!-- needs: a board -->\n  ```sh\n  ssh board\n  ```\n"
    )
    assert not [*commands(tmp_path / "a.md")]
