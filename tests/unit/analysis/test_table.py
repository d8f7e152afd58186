"""The tables of observations in files."""

import gzip

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


def test_equal_tables_are_equal_files_compressed_or_not(tmp_path):
    numbers = pd.DataFrame({"name": ["none", "b"], "ratio": [0.1 + 0.2, np.nan]})
    for name in ("one.csv", "two.csv", "one.csv.gz", "other/two.csv.gz"):
        table.write_table(tmp_path / name, numbers)
        pd.testing.assert_frame_equal(table.read_table(tmp_path / name), numbers, check_exact=True)
    packed = (tmp_path / "one.csv.gz").read_bytes()
    assert packed == (tmp_path / "other/two.csv.gz").read_bytes()
    # RFC 1952: no flags, so no name, and no time.
    assert packed[:8] == b"\x1f\x8b\x08" + bytes(5)
    assert gzip.decompress(packed) == (tmp_path / "one.csv").read_bytes()
    assert not list(tmp_path.glob("**/.*"))


def test_unknown_observation():
    with pytest.raises(
        StudyError, match=r"unknown observation 'nothing'; allowed: .*fastest_primitive"
    ):
        observation.load("nothing")


def test_an_observation_that_lacks_a_part(monkeypatch):
    monkeypatch.delattr(observation.load("fastest_primitive"), "READING")
    with pytest.raises(StudyError, match=r"observations/fastest_primitive\.py lacks READING$"):
        observation.load("fastest_primitive")
