"""One rule for both questions: beyond the threshold, short of it, or neither."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlas.analysis import judging
from dlas.analysis.judging import Generalization

BEYOND, SHORT, AROUND, UNKNOWN = (1.2, 1.3), (1.0, 1.05), (1.05, 1.2), (np.nan, np.nan)


@pytest.mark.parametrize(
    ("limits", "some", "every"),
    [
        ([BEYOND], "supported", "supported"),
        ([SHORT], "contradicted", "contradicted"),
        ([AROUND], "inconclusive", "inconclusive"),
        ([UNKNOWN], "inconclusive", "inconclusive"),
        ([BEYOND, SHORT], "supported", "contradicted"),
        ([BEYOND, AROUND], "supported", "inconclusive"),
        ([SHORT, AROUND], "inconclusive", "contradicted"),
        ([BEYOND, UNKNOWN], "supported", "inconclusive"),
        ([], "inconclusive", "inconclusive"),
    ],
)
def test_of_several_effects(limits, some, every):
    low, high = np.reshape(limits, (-1, 2)).T
    assert judging.any_beyond(low, high, 1.1) == some
    assert judging.all_beyond(low, high, 1.1) == every


def test_a_claim_holds_where_each_part_does():
    assert judging.every(["supported", "supported"]) == "supported"
    assert judging.every(["supported", "inconclusive"]) == "inconclusive"
    assert judging.every(["inconclusive", "contradicted"]) == "contradicted"
    assert judging.every([]) == "inconclusive"


def test_others_have_the_same_rule_in_other_words():
    assert str(judging.for_others("supported", 1.2, 1.3)) == "yes [1.20, 1.30]"
    assert str(judging.for_others("contradicted", 1.0, 1.05)) == "no [1.00, 1.05]"
    assert str(judging.for_others("inconclusive", np.nan, np.nan)) == "open"


@given(st.integers(0, 40), st.integers(0, 40))
def test_a_share_of_networks_is_common_or_not(count, more):
    found = judging.for_others_by_share(count, count + more)
    if found.generalizes == "yes":
        assert count / (count + more) > judging.COMMON
    if found.generalizes == "no":
        assert count / (count + more) < judging.COMMON
    assert judging.for_others_by_share(0, 0).generalizes == "open"


def test_eight_networks_can_decide():
    assert judging.for_others_by_share(6, 8).generalizes == "yes"
    assert judging.for_others_by_share(2, 8).generalizes == "open"
    assert judging.for_others_by_share(0, 12).generalizes == "open"
    assert judging.for_others_by_share(0, 13).generalizes == "no"


def test_an_interval_of_many_digits_is_short():
    assert str(Generalization("open", 0.741, 4.49)) == "open [0.74, 4.49]"
    assert str(Generalization("open", 0.0, 32585105176.99)) == "open [0.00, 3e+10]"
    assert str(Generalization()) == "open"
