"""Figures beside pictures of them that were looked at: fonts come with matplotlib, so that they are
alike everywhere.

After a wanted change: `python -m pytest tests/unit/analysis/test_golden.py --golden`, and look at
the new pictures.
"""

from pathlib import Path

import pytest
from matplotlib.testing.compare import compare_images
from matplotlib.testing.exceptions import ImageComparisonFailure

from dlas.analysis.style import style
from tests.unit.analysis.drawings import BEYOND, CURVES, PROMISES, STUDY, TUNED, drawn, overview_of

pytestmark = pytest.mark.xdist_group("figures")  # which one worker has drawn already

GOLDEN = Path(__file__).parent / "golden"
DOTS_PER_INCH = 72  # small, yet each mark and word is seen
TOLERANCE = 2.0  # root mean square of the differences of pixels, of 255: rounding, no moved mark
PICTURES = {
    **{name: "full" for name in CURVES},
    **{name: "all auto-tuned" for name in STUDY},
    **{name: "auto-tuned, of different sparsity" for name in PROMISES},
    **{name: "all ways" for name in TUNED},
    **{name: "beyond the paper" for name in BEYOND},
}


def picture(name):
    return drawn(name, PICTURES[name])[2] if name in PICTURES else overview_of("some auto-tuned")


def save(figure, path):
    with style():
        figure.savefig(path, dpi=DOTS_PER_INCH)


@pytest.mark.parametrize("name", [*PICTURES, "overview"])
def test_a_figure_looks_as_it_did(name, tmp_path, request):
    golden = GOLDEN / f"{name}.png"
    if request.config.getoption("golden"):
        GOLDEN.mkdir(exist_ok=True)
        save(picture(name), golden)
    save(picture(name), tmp_path / golden.name)
    assert compare_images(golden, tmp_path / golden.name, TOLERANCE) is None


def test_a_moved_mark_is_seen(tmp_path):
    figure = drawn("fastest_primitive", "small")[2]
    save(figure, tmp_path / "before.png")
    line = next(line for line in figure.axes[0].lines if line.get_marker() in "os^")
    before = line.get_xdata()
    line.set_xdata(before * 1.2)
    save(figure, tmp_path / "after.png")
    line.set_xdata(before)
    assert compare_images(tmp_path / "before.png", tmp_path / "after.png", TOLERANCE)


def test_another_size_is_seen(tmp_path):
    for name in ("overview", "pruning_reach"):
        save(picture(name), tmp_path / f"{name}.png")
    with pytest.raises(ImageComparisonFailure):
        compare_images(tmp_path / "overview.png", tmp_path / "pruning_reach.png", TOLERANCE)
