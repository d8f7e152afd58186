"""The logger `dlas`: one line for each finished job, and the reasons of failed ones at the end."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from snakemake_logger_plugin_dlas import Job
from tests.workflow.project import ROOT

SNAKEFILE = """
rule all:
    input: expand("{name}.txt", name=config["names"])

rule write_file:
    output: "{name}.txt"
    log: "{name}.log"
    shell: "echo 2026-11-29 ERROR {wildcards.name} has no weights > {log}; "
           "test {wildcards.name} != bad; touch {output}"
"""


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake with the logger, into a file as far as it knows."""
    command = (sys.executable, "-m", "snakemake", "--cores", "1", "--logger", "dlas", *arguments)
    (folder / "Snakefile").write_text(SNAKEFILE)
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def test_each_finished_job_is_a_plain_line_with_the_time_left(tmp_path):
    done = snakemake(tmp_path, "--config", "names=[a,b]")
    assert done.returncode == 0
    first, *jobs = done.stderr.splitlines()[-4:]
    log = re.fullmatch(r"3 jobs; full log: (.*\.snakemake\.log)", first)
    assert log and "rule write_file" in Path(log[1]).read_text()
    assert re.fullmatch(r"\[1/3\] write file [ab] \(\d s\); about \d s left", jobs[0])
    assert re.fullmatch(r"\[3/3\] all \(0 s\)", jobs[2])
    assert "\x1b" not in done.stderr and "\r" not in done.stderr
    again = snakemake(tmp_path, "--config", "names=[a,b]")
    assert again.stderr.splitlines()[-1].startswith("Nothing to be done")


def test_failed_jobs_are_listed_with_their_reasons_at_the_end(tmp_path):
    done = snakemake(tmp_path, "--keep-going", "--config", "names=[a,bad,c]")
    assert done.returncode != 0
    assert len(re.findall(r"^\[\d/4\] write file [ac] ", done.stderr, re.MULTILINE)) == 2
    assert done.stderr.splitlines()[-2:] == [
        "1 of 4 jobs failed:",
        "  write file bad: bad has no weights (bad.log)",
    ]
    assert "CalledProcessError" not in done.stderr


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("1 INFO x\n2 ERROR failed\nTraceback:\n  f()\nValueError: 3\n", "ValueError: 3 ({})"),
        ("1 INFO interrupted\n", "interrupted"),
        ("1 INFO x\n", "its log has no error: the job was killed, perhaps for want of memory ({})"),
        (None, "it wrote no log; a line above may say more"),
    ],
)
def test_the_reason_of_a_failed_job_is_the_last_error_of_its_log(tmp_path, log, reason):
    file = tmp_path / "job.log"
    if log:
        file.write_text(log)
    assert Job("rule", (), (str(file),), 0.0).reason() == reason.format(file)


def test_what_stops_a_study_before_any_job_is_said(tmp_path):
    done = snakemake(tmp_path, "--config", "names=[a]", "--", "nothing.csv")
    assert done.returncode != 0
    assert "MissingRuleException" in done.stderr and "nothing.csv" in done.stderr


def test_a_dry_run_prints_the_plan_of_snakemake(tmp_path):
    done = snakemake(tmp_path, "--dry-run", "--config", "names=[a]")
    assert "rule write_file:" in done.stderr + done.stdout
    assert "This was a dry-run" in done.stderr + done.stdout
