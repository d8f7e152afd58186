"""The tables of observations in files."""

import numpy as np
import pandas as pd
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


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_a_table_with_infinity_is_not_written(tmp_path, value):
    path = tmp_path / "table.csv"
    numbers = pd.DataFrame({"name": ["a", "b", "c"], "ratio": [1.0, np.nan, value]})
    with pytest.raises(StudyError, match=r"table\.csv cannot be written: ratio is infinite in"):
        table.write_table(path, numbers)
    table.write_table(path, numbers[:2])
    assert path.read_text() == "name,ratio\na,1.0\nb,\n"


def test_unknown_observation():
    with pytest.raises(
        StudyError, match=r"unknown observation 'nothing'; allowed: .*fastest_primitive"
    ):
        observation.load("nothing")


def test_an_observation_that_lacks_a_part(monkeypatch):
    monkeypatch.delattr(observation.load("fastest_primitive"), "READING")
    with pytest.raises(StudyError, match=r"observations/fastest_primitive\.py lacks READING$"):
        observation.load("fastest_primitive")
