"""What is written as a table is what pandas reads."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlas.errors import StudyError
from dlas.files import read_json, write_json, write_rows

COLUMNS = ("name", "level", "chosen", "milliseconds")
ROW = st.fixed_dictionaries(
    {
        "name": st.none() | st.text("ab,\"' \n", min_size=1),
        "level": st.none() | st.integers(-(2**31), 2**31),
        "chosen": st.booleans(),
        "milliseconds": st.none() | st.floats(allow_nan=False, allow_infinity=False),
    }
)


@given(rows=st.lists(ROW, min_size=1))
def test_rows_are_read_again_as_they_were(rows, tmp_path_factory):
    file = tmp_path_factory.mktemp("tables") / "table.csv"
    write_rows(file, COLUMNS, rows)
    read = pd.read_csv(file, keep_default_na=False, na_values=[""])
    assert list(read.columns) == list(COLUMNS)
    for row, (name, level, chosen, milliseconds) in zip(
        rows, read.itertuples(index=False), strict=True
    ):
        assert (name == row["name"]) if row["name"] else pd.isna(name)
        assert pd.isna(level) if row["level"] is None else level == row["level"]
        assert chosen == row["chosen"]
        if row["milliseconds"] is None:
            assert pd.isna(milliseconds)
        else:
            assert milliseconds == row["milliseconds"]


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    write_rows(tmp_path / "table.csv", COLUMNS, [])
    assert (tmp_path / "table.csv").read_text() == "name,level,chosen,milliseconds\n"


NUMBERS = [math.nan, math.inf, -math.inf, np.float64("nan"), np.float32("inf")]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_that_is_not_finite_is_named_and_nothing_written(
    tmp_path: Path, number: float
) -> None:
    row = {"name": "a", "level": 1, "chosen": True, "milliseconds": 1.0}
    table, record = tmp_path / "table.csv", tmp_path / "record.json"
    with pytest.raises(StudyError) as caught:
        write_rows(table, COLUMNS, iter([row, row | {"milliseconds": number}]))
    assert str(caught.value).startswith(f"{table} cannot be written: 1.milliseconds is ")
    with pytest.raises(StudyError) as caught:
        write_json(record, {"direct": {"error": 0.0, "all": [1, None, (2, number)]}})
    assert str(caught.value).startswith(f"{record} cannot be written: direct.all.2.1 is ")
    assert list(tmp_path.iterdir()) == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(value=VALUES)
def test_finite_values_are_read_again_as_they_were(value, tmp_path_factory):
    file = tmp_path_factory.mktemp("records") / "record.json"
    write_json(file, value)
    assert read_json(file) == value
