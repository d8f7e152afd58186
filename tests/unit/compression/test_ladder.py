"""A level is made unless the one before it could not be, or lost more than is allowed."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlas.compression import ladder
from dlas.errors import RowError, UnsupportedError

BASELINE = {"status": "ok", "level": None, "validation_top1": 98.0}
POINTS = st.floats(0, 100)


def point(top1, status="ok", level=0.9):
    return {"status": status, "level": level, "validation_top1": top1}


@given(baseline=POINTS, top1=POINTS, give_up=POINTS)
def test_a_level_is_made_unless_the_one_before_it_lost_more(baseline, top1, give_up):
    record = BASELINE | {"validation_top1": baseline}
    if baseline - top1 > give_up:
        with pytest.raises(UnsupportedError):
            ladder.check_previous(record, point(top1), give_up)
    else:
        ladder.check_previous(record, point(top1), give_up)


def test_the_reason_has_the_level_the_loss_and_the_key():
    with pytest.raises(UnsupportedError) as caught:
        ladder.check_previous(BASELINE, point(56.8), 20)
    assert caught.value.status == (
        "unsupported: the level 0.9 before it lost 41.2 points of validation top-1, more than "
        "compression.give_up: 20"
    )


@pytest.mark.parametrize("kind", ["unsupported", "failed", "wrong"])
def test_all_further_levels_have_the_same_reason(kind):
    status = f"{kind}: a reason: with a colon"
    with pytest.raises(RowError) as caught:
        ladder.check_previous(BASELINE, point(None, status), 100)
    assert caught.value.status == status


def test_it_needs_no_torch():
    code = "import sys, dlas.compression.ladder; sys.exit('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3]).returncode == 0
    )
