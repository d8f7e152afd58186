"""The elbow is the strongest level within the tolerance on the validation split alone."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlas.compression import elbow
from dlas.files import write_rows


def record(level, validation_top1, top1=50.0):
    return {
        "status": "ok",
        "level": level,
        "dtype": "float32",
        "validation_top1": validation_top1,
        "top1": top1,
        "params": 100,
        "nonzero_params": 90,
        "macs": 80,
        "model_bytes": 70,
        "input_shape": [1, 3, 8, 8],
        "classes": 4,
    }


BASELINE = record(None, 90.0)


def curve(baseline, points, tolerance):
    """A ladder that starts from the baseline."""
    return pd.DataFrame(elbow.curve(baseline, [*points, baseline | {"level": 0}], tolerance))


def chosen(curve):
    assert curve.chosen.sum() == 1
    return float(curve.level[curve.chosen].iloc[0])


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([90, 90, 90], 0.9),
        ([90, 89, 88], 0.8),  # just within
        ([90, 88.9, 80], 0.5),
        ([80, 95, 80], 0.8),  # a weaker level that is worse does not count
        ([80, 80, 80], 0.0),
        ([99, 70, 89.5], 0.9),
    ],
)
def test_the_strongest_level_within_one_point_is_chosen(found, expected):
    points = [record(level, top1) for level, top1 in zip((0.5, 0.8, 0.9), found, strict=True)]
    ladder = curve(BASELINE, points[::-1], tolerance=1.0)
    assert list(ladder.columns) == list(elbow.CURVE_COLUMNS)
    assert ladder.level.tolist() == [0, 0.5, 0.8, 0.9]
    assert ladder.validation_top1.tolist() == [90, *found]
    assert chosen(ladder) == expected


@given(
    points=st.dictionaries(
        st.floats(0.01, 0.99), st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=1
    ),
    tolerance=st.floats(0, 20),
)
def test_the_choice_is_the_definition_and_never_looks_at_the_test_split(points, tolerance):
    one = [record(level, validation) for level, (validation, _) in points.items()]
    two = [record(level, validation, test) for level, (validation, test) in points.items()]
    within = [level for level, (top1, _) in points.items() if top1 >= 90.0 - tolerance]
    for records in (one, two):
        assert chosen(curve(BASELINE, records, tolerance)) == max(within, default=0.0)


def failed(level):
    """A level that could not be made."""
    return record(level, None, None) | {"status": "failed: training diverged"}


def test_a_level_that_could_not_be_made_is_never_chosen(tmp_path):
    both = [record(0.5, 90.0), failed(0.8)]
    assert chosen(curve(BASELINE, both, 100.0)) == 0.5
    assert chosen(curve(BASELINE, [failed(0.5), failed(0.8)], 100.0)) == 0.0
    (row,) = elbow.curve(BASELINE, [failed(None)], 1.0)
    assert row["chosen"] and row["top1"] is row["validation_top1"] is None
    write_rows(
        tmp_path / "curve.csv",
        elbow.CURVE_COLUMNS,
        elbow.curve(BASELINE, [BASELINE | {"level": 0}, *both], 1.0),
    )
    last = (tmp_path / "curve.csv").read_text().splitlines()[-1]
    assert last == "0.8,,,100,90,80,70,False,failed: training diverged"


def test_a_pair_is_compared_with_the_uncompressed_network_not_with_its_own_level_0():
    points = [record(0, 80.0), record(0.5, 89.5), record(0.8, 79.0)]
    found = pd.DataFrame(elbow.curve(BASELINE, points, 1.0))
    assert found.level.tolist() == [0, 0.5, 0.8] and chosen(found) == 0.5
    assert chosen(pd.DataFrame(elbow.curve(BASELINE, points[::2], 1.0))) == 0


def test_the_baseline_is_the_first_row():
    found = curve(record(None, 90.0, 91.0), [record(0.5, 10.0)], 1.0)
    first = found.iloc[0]
    assert (first.level, first.validation_top1, first.top1, first.params) == (0, 90, 91, 100)
    assert first.chosen


def test_a_technique_without_a_ladder_has_one_row_that_is_chosen(tmp_path):
    (row,) = elbow.curve(BASELINE, [record(None, 10.0)], tolerance=1.0)
    assert row["chosen"] and row["validation_top1"] == 10
    write_rows(tmp_path / "curve.csv", elbow.CURVE_COLUMNS, [row])
    assert (tmp_path / "curve.csv").read_text().splitlines()[1] == ",10.0,50.0,100,90,80,70,True,ok"


def test_choosing_needs_neither_torch_nor_pandas():
    code = (
        "import sys, dlas.compression.elbow; "
        "sys.exit(not sys.modules.keys().isdisjoint(('torch', 'pandas')))"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0
