"""What is written as a table is what pandas reads."""

import math
from pathlib import Path

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from dlas.files import write_rows

COLUMNS = ("name", "level", "chosen", "milliseconds")
ROW = st.fixed_dictionaries(
    {
        "name": st.none() | st.text("ab,\"' \n", min_size=1),
        "level": st.none() | st.integers(-(2**31), 2**31),
        "chosen": st.booleans(),
        "milliseconds": st.floats(allow_infinity=False),
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
        if math.isnan(row["milliseconds"]):
            assert pd.isna(milliseconds)
        else:
            assert milliseconds == row["milliseconds"]


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    write_rows(tmp_path / "table.csv", COLUMNS, [])
    assert (tmp_path / "table.csv").read_text() == "name,level,chosen,milliseconds\n"
