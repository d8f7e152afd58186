"""The findings of finished studies, from their tables."""

import json
import subprocess

import pandas as pd
import pytest

from documentation import verdicts

MACHINE = {
    "cpu_model": "A CPU",
    "cpu": "znver5",
    "cores": 2,
    "peak_gflops": {"float32": 271.9},
    "bandwidth_gbs": 43.2,
}


def observation(number, verdict, estimate, **others):
    row = {"observation": number, "claim": f"claim {number}", "origin": "abstract"}
    interval = dict(zip(("ci_low", "ci_high"), (estimate, estimate), strict=True))
    row |= {
        "verdict": verdict,
        "statistic": "a ratio",
        "estimate": estimate,
        "reason": "needs more",
    }
    row |= {"generalizes": "open", "generalizes_low": 0.5, "generalizes_high": 2.0}
    return row | interval | others


@pytest.fixture
def study(tmp_path):
    """Make the tables of a study that was measured on one machine."""
    results = tmp_path / "results"
    (results / "platforms").mkdir(parents=True)
    (results / "tables").mkdir()
    (results / "platforms/local_cpu.json").write_text(json.dumps(MACHINE))
    rows = [observation("01", "supported", 1.2), observation("02", "inconclusive", None)]
    pd.DataFrame(rows).to_csv(results / "observations.csv", index=False)
    measured = {"platform": "local_cpu", "status": ["ok", "ok", "failed: it crashed"]}
    pd.DataFrame(measured).to_csv(results / "study.csv", index=False)
    pair = {"platform": "local_cpu", "dataset": "digits", "model": "resnet18", "ratio": 0.99}
    floor = pd.DataFrame([pair | {"low": 0.98, "high": 1.0}])
    floor.to_csv(results / "noise_floor.csv", index=False)
    jobs = {"a": None}
    for rule, day in (("time_libraries", "2026-11-28"), ("draw_overview", "2026-11-30")):
        jobs[rule] = {"rule": rule, "finished": f"{day}T10:00:00+00:00"}
    (results / "provenance.json").write_text(json.dumps({"jobs": jobs, "rows": []}))
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "a"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=b", *command], cwd=tmp_path)
    return tmp_path


def test_the_page_has_every_verdict_with_machine_date_and_commit(study):
    page = verdicts.page({"config.yaml": study})
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=study, capture_output=True, text=True)
    assert "## Study of `config.yaml`" in page
    assert f"`{commit.stdout[:12]}`" in page
    assert "- measured: 2026-11-28" in page
    assert "A CPU (znver5), 2 cores" in page
    assert "272 GFLOP/s in float32, 43 GB/s" in page
    assert "- rows: 2 ok, 1 failed" in page
    assert (
        "| 01 | claim 01 | abstract | supported | 1.20 [1.20, 1.20], a ratio | open [0.50," in page
    )
    assert "| 02 | claim 02 | abstract | inconclusive | needs more |" in page
    assert "By machine" not in page


def test_several_machines_have_a_table(study):
    rows = [
        observation("01", verdict, estimate, machine=name)
        for name, verdict, estimate in (
            ("all", "supported", 1.2),
            ("one", "contradicted", 1.0),
            ("two", "inconclusive", None),
        )
    ]
    pd.DataFrame(rows).to_csv(study / "results/tables/verdicts_by_machine.csv", index=False)
    page = verdicts.page({"config.yaml": study})
    line = "| 01 | claim 01 | supported 1.20 [1.20, 1.20] | contradicted 1.00 [1.00, 1.00] |"
    assert f"{line} inconclusive |" in page


def test_the_readme_has_what_was_decided(study):
    text = verdicts.findings(study)
    assert text.startswith("A CPU (znver5), 2 cores, as `local_cpu`, 2026-11-28:\n1 supported.\n")
    assert "| claim 01 | supported | 1.20 [1.20, 1.20] |" in text
    assert "claim 02" not in text


def test_a_folder_without_a_study_is_one_line(tmp_path):
    with pytest.raises(SystemExit, match="needed: a finished study"):
        verdicts.main(f"config.yaml={tmp_path}")
