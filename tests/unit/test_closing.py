"""The last lines of a finished study."""

import pytest

from dlas import study

RECOMMENDATION = """platform,dataset,top1_floor,model,compression,level,primitive,format,tuning,\
top1_compiled,latency_ms,reason,\
contribution_model,contribution_compression,contribution_primitive,contribution_tuning
local_cpu,digits,96.5,resnet18,weight_pruning,0.9,gemm,csr,untuned,96.84,1.23456,,1.0,2.5,,1.125
local_cpu,photos,93.0,,,,,,,,,none reaches the floor,,,,
"""


@pytest.fixture(autouse=True)
def finished(tmp_path, monkeypatch):
    """A folder with the tables that the last lines are made of."""
    (tmp_path / "results").mkdir()
    for name, content in {
        "status_summary": "1 of 9 rows are not ok:\n  1 wrong: nan\n",
        "observations": "observation,verdict\n01,supported\n02,inconclusive\n03,supported\n",
        "recommendation": RECOMMENDATION,
    }.items():
        (tmp_path / study.path(name)).write_text(content)
    monkeypatch.chdir(tmp_path)


def test_a_study_ends_with_statuses_verdicts_and_the_fastest_configurations():
    assert study.closing_lines(["all"]) == [
        "1 of 9 rows are not ok:",
        "  1 wrong: nan",
        "3 verdicts in results/observations.csv: 1 inconclusive, 2 supported",
        "local_cpu, digits: fastest with a top-1 of at least 96.5 %: "
        "resnet18 weight_pruning 0.9 gemm csr untuned, 1.23 ms, 96.8 %",
        "  faster than the default choices: 2.50 times by the compression, "
        "1.12 times by the tuning",
        "local_cpu, photos: none reaches the floor",
        "Every row: results/study.csv. In a browser: make explore; in one file: make report.",
    ]


def test_a_run_says_nothing_of_tables_that_it_was_not_asked_for():
    assert study.closing_lines(["plots/pareto.pdf"]) == []
    (line,) = study.closing_lines(["results/observations.csv"])
    assert line.startswith("3 verdicts in ")


def test_a_table_that_does_not_exist_is_left_out(tmp_path):
    (tmp_path / study.path("observations")).unlink()
    assert study.closing_lines(["results/observations.csv"]) == []
