"""The variables that change measurements, and those that jobs need."""

import os
import subprocess
import sys

from dlas import environment
from dlas.processes import environment as of_a_new_interpreter

CHANGES = {
    "OMP_PROC_BIND": "close",
    "KMP_AFFINITY": "compact",
    "GOMP_CPU_AFFINITY": "0",
    "MKL_NUM_THREADS": "1",
    "TVM_NUM_THREADS": "1",
    "TVM_BIND_THREADS": "0",
    "NVIDIA_TF32_OVERRIDE": "1",
    "LD_PRELOAD": "",
    "PYTHONPATH": "/elsewhere",
    "PYTHONOPTIMIZE": "1",
}
NEEDED = {"PATH": "/bin", "HOME": "/root", "CUDA_VISIBLE_DEVICES": "1", "HTTPS_PROXY": "http://a"}


def test_what_changes_measurements_is_removed_and_named():
    found = CHANGES | NEEDED
    assert environment.clear(found) == sorted(CHANGES)
    assert found == NEEDED and environment.clear(found) == []


def test_what_is_left_and_can_matter_is_recorded():
    found = environment.relevant({"OMP_NUM_THREADS": "2"} | NEEDED)
    assert found == {"CUDA_VISIBLE_DEVICES": "1", "OMP_NUM_THREADS": "2"}


def test_a_new_interpreter_gets_nothing_of_it(monkeypatch):
    for name, value in CHANGES.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-c", "import dlas, os; print(*os.environ)"]
    done = subprocess.run(
        command, env=of_a_new_interpreter(), cwd=os.sep, capture_output=True, text=True, check=True
    )
    assert not (CHANGES.keys() - {"PYTHONPATH"}) & set(done.stdout.split())
