"""How far pruning may go, from curves with a known answer."""

import numpy as np
import pandas as pd
import pytest

from dlas.analysis import curves, reach, table
from dlas.analysis.answers import Answers
from dlas.compression import elbow
from dlas.files import write_rows
from tests.unit.analysis import synthetic


@pytest.mark.parametrize(
    ("top1", "factor", "bound"),
    [
        ([95, 95, 94, 90], 4, False),  # the second level loses what is allowed
        ([95, 95, 95, 93], np.sqrt(4 * 8), False),  # half of the way in logarithms
        ([95, 95, 94.5, 94.1], 8, True),
        ([95, 90, 80, 10], 2**0.2, False),
        ([95, 90, 94.5, 92.5], 4 * 2**0.25, False),  # a weaker level that failed is no obstacle
        ([95, 97, 96, 95], 8, True),
    ],
)
def test_reach(top1, factor, bound):
    assert reach.reach([1, 2, 4, 8], top1) == (pytest.approx(factor), bound)


def ladders(factors, bounds):
    """Ladders of these factors, in the first resample as measured, in the second each half as far
    and known.
    """
    names = pd.DataFrame({"factor": factors, "bound": bounds})
    drawn = np.stack([factors, np.divide(factors, 2)], axis=1)
    return reach.Reaches(names, drawn, np.stack([bounds, np.zeros(len(bounds), bool)], axis=1))


def test_compressions_count_up_to_the_smallest_bound():
    counted = ladders([9.0, 4.0, 6.0, 2.0], [True, False, True, False]).counted()
    np.testing.assert_allclose(np.exp(counted.log[:, 0]), [6, 4, 6, 2])
    np.testing.assert_allclose(np.exp(counted.log[:, 1]), [6, 4, 6, 2])
    np.testing.assert_allclose(np.exp(counted.log[:, 2]), [4.5, 2, 3, 1])
    np.testing.assert_allclose(np.exp(counted.least[:, 0]), [9, 4, 6, 2])
    np.testing.assert_allclose(np.exp(counted.most[:, 0]), [np.inf, 4, np.inf, 2])
    np.testing.assert_allclose(counted.most[:, 2], counted.least[:, 2])


def test_ladders_are_chosen_by_position_and_by_mask():
    found = ladders([9.0, 4.0, 6.0], [True, False, True])
    assert list(found.of([2, 0]).table["factor"]) == [6, 9]
    assert found.of(np.array([False, True, True])).factors[:, 0].tolist() == [4, 6]


def reaches(found):
    """The table of the reaches of curves, with answers that agree with them."""
    return reach.reaches(found, synthetic.tables(curves=found).answers).table


def test_reaches_finds_what_was_put_in():
    found = reaches(synthetic.curves(lambda *_: 4.5))
    assert set(found["compression"]) == {"weight_pruning", "channel_pruning"} and len(found) == 16
    assert found["factor"].to_numpy() == pytest.approx(4.5, rel=0.15)
    assert (found["low"] <= found["factor"]).all() and (found["factor"] <= found["high"]).all()


def test_ladders_without_answers_are_left_out():
    found = synthetic.curves(lambda *_: 4.5)
    known = synthetic.tables(curves=found).answers
    some = {
        key: one for key, one in known.answers.items() if key[1:3] != ("vgg16", "weight_pruning")
    }
    table = reach.reaches(found, Answers(known.labels, some)).table
    assert len(table) == 15


def test_intervals_of_the_reach_cover_it():
    """The reach of curves drawn from few images lies about the reach of the exact curves."""
    exact = reaches(synthetic.curves(lambda *_: 3.0, images=40_000))["factor"]
    covered = []
    for seed in range(10):
        found = reaches(synthetic.curves(lambda *_: 3.0, images=2_000, seed=seed))
        covered += list((found["low"] <= exact) & (exact <= found["high"]))
    assert np.mean(covered) >= 0.9


def test_images_that_all_networks_get_right_say_nothing():
    """A level that answers as the uncompressed network does loses nothing in any resample."""
    found = synthetic.curves(lambda *_: 4.5)
    known = synthetic.tables(curves=found).answers
    same = {key: known.answers[key[0], key[1], "none", "single"] for key in known.answers}
    answers = Answers(known.labels, same)
    result = reach.reaches(found.assign(top1=95.0), answers)
    assert result.table["bound"].all() and result.bounds.all()
    assert (result.table["low"] == result.table["high"]).all()


def test_relative_curves_start_at_the_uncompressed_network():
    found = curves.relative(synthetic.curves(synthetic.holding))
    start = found[(found["compression"] == "none") | (found["level"] == 0)]
    assert (start[["change", "validation_change"]] == 0).all(axis=None) and (
        start["factor"] == 1
    ).all()
    int8 = found[found["compression"] == "int8"]
    assert int8["factor"].to_numpy() == pytest.approx(4, rel=0.01)
    assert int8["change"].to_numpy() == pytest.approx(-0.2, abs=0.02)


def test_levels_that_could_not_be_made_are_left_out():
    """The strongest level of each ladder, and all of int8."""
    whole = synthetic.curves(synthetic.holding)
    gone = (whole["level"] == 0.9) | (whole["compression"] == "int8")
    assert gone.any()
    missing = whole.assign(
        **{name: whole[name].mask(gone) for name in elbow.MEASURES},
    )
    pd.testing.assert_frame_equal(reaches(missing), reaches(whole[~gone]))
    pd.testing.assert_frame_equal(
        curves.relative(missing), curves.relative(whole[~gone]), check_dtype=False
    )
    curves.draw(missing, 1.0, synthetic.LOOKS)


def test_the_table_takes_what_the_elbow_gives(tmp_path):
    def record(level, top1, nonzero):
        sizes = {"params": 100, "nonzero_params": nonzero, "macs": 10, "model_bytes": 4 * nonzero}
        return {"level": level, "validation_top1": top1, "top1": top1, **sizes}

    baseline = record(None, 98.0, 100)
    found = {
        "none": elbow.curve(baseline, [baseline], 1.0),
        "int8": elbow.curve(baseline, [record(None, 97.5, 90)], 1.0),
        "weight_pruning": elbow.curve(
            baseline, [baseline | {"level": 0}, record(0.5, 98, 50), record(0.8, 90, 20)], 1.0
        ),
    }
    networks = [{"dataset": "digits", "model": "vgg16", "compression": name} for name in found]
    for name, curve in found.items():
        write_rows(tmp_path / name, elbow.CURVE_COLUMNS, curve)
    together = table.curves_table(networks, [table.read_table(tmp_path / name) for name in found])
    assert list(together["level"].fillna(-1)) == [-1, -1, 0, 0.5, 0.8]
    assert list(together["chosen"]) == [True, True, False, True, False]
    (reached,) = reaches(together).itertuples()
    assert reached.compression == "weight_pruning" and 2 < reached.factor < 5 and not reached.bound


def test_the_table_survives_the_file(tmp_path):
    whole = synthetic.curves(synthetic.holding)
    names = ["dataset", "model", "compression"]
    parts = {name: part.drop(columns=names) for name, part in whole.groupby(names)}
    again = table.curves_table(
        [dict(zip(names, name, strict=True)) for name in parts], [*parts.values()]
    )
    table.write_table(tmp_path / "curves.csv", again)
    back = table.read_table(tmp_path / "curves.csv")
    assert list(back) == table.CURVES_COLUMNS and back["chosen"].dtype == bool
    pd.testing.assert_frame_equal(back, again, check_dtype=False)
    assert len(back) == len(whole) and "none" in set(back["compression"])
