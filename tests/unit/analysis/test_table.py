"""The tables of observations in files."""

import pytest

from dlas.analysis import observation, table
from dlas.errors import StudyError


def test_observation_row_and_numbers_survive_the_file(tmp_path):
    module = observation.load("fastest_primitive")
    found = observation.needs("a second platform", module.STATISTIC)
    record = table.observation_record("04", module, found)
    row = table.observation_row(record, {"claim": module.PLUGIN.label, "origin": "formulated"})
    assert (
        list(row)[:9]
        == "observation claim origin verdict statistic estimate ci_low ci_high n".split()
    )
    assert row["verdict"] == "inconclusive" and row["reason"] == "needs a second platform"
    assert "\n" not in row["rule"]
    table.write_table(tmp_path / "observations.csv", table.observations_table([row]))
    assert table.read_table(tmp_path / "observations.csv")["observation"].tolist() == ["04"]


def test_unknown_observation():
    with pytest.raises(
        StudyError, match=r"unknown observation 'nothing'; allowed: .*fastest_primitive"
    ):
        observation.load("nothing")


def test_an_observation_that_lacks_a_part(monkeypatch):
    monkeypatch.delattr(observation.load("fastest_primitive"), "READING")
    with pytest.raises(StudyError, match=r"observations/fastest_primitive\.py lacks READING$"):
        observation.load("fastest_primitive")
