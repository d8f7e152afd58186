"""Plugins are found by their descriptions, and a description that cannot be one is named."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dlas import registry
from dlas.errors import StudyError

ROOT = Path(__file__).parents[2]
PRIMITIVE = "from dlas.plugins import PrimitivePlugin\n\nPLUGIN = PrimitivePlugin({})\n"


def test_plugins_are_the_described_files_of_their_folder_in_their_order():
    assert registry.names("primitive") == ("direct", "gemm", "spatial_pack", "winograd")
    assert registry.names("format") == ("dense", "csr", "bsr")
    assert "training" not in registry.names("model")
    assert registry.ordered("primitive", ["new", "gemm", "a", "direct"]) == [
        "direct",
        "gemm",
        "a",
        "new",
    ]


def test_an_unknown_plugin_is_answered_with_the_known_ones():
    with pytest.raises(StudyError, match="unknown format 'coo'; allowed: bsr, csr, dense"):
        registry.describe("format", "coo")


def test_descriptions_are_read_without_the_frameworks():
    code = (
        "import sys; from dlas import registry; from typing import get_args;"
        "[registry.all_of(kind) for kind in get_args(registry.Kind)];"
        "sys.exit(bool({'torch', 'tvm', 'pydantic', 'numpy'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize(
    ("name", "arguments", "line"),
    [
        ("fast", 'label="direct"', "the primitive plugins direct, fast have one label, 'direct'"),
        ("Fast", 'label="fast"', "dlas/primitives/Fast.py cannot be a plugin"),
        ("fast", "label=open('x')", "fast.py: PLUGIN cannot be evaluated"),
    ],
)
def test_a_file_that_cannot_be_a_plugin_is_named(tmp_path, name, arguments, line):
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "dlas", tmp_path / "dlas", ignore=ignored)
    (tmp_path / f"dlas/primitives/{name}.py").write_text(PRIMITIVE.format(arguments))
    code = "from dlas import registry; registry.names('primitive')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode != 0 and line in done.stderr
