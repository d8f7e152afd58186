"""Structure of the figures: panels, labels, marks against the data, nothing clipped, the same bytes each time."""

import pytest
import synthetic
from matplotlib.backends.backend_agg import FigureCanvasAgg

from dlas.analysis import figures, observation

COMPRESSED = ("none", "weight_pruning", "int8")
NAMES = ("size_accuracy_latency", "fastest_primitive", "compression_speedup_by_platform")
SMALL = synthetic.study(synthetic.realistic)
SMALL = SMALL[(SMALL.platform == "local_cpu") | SMALL.model.isin(["resnet18", "mobilenet_v2"])]
LARGE = synthetic.study(
    synthetic.realistic, compressions=COMPRESSED, tunings=("untuned", "auto_scheduled")
)
ONE = SMALL[SMALL.platform == "local_cpu"]
TABLES = {
    "small": SMALL,
    "large": LARGE,
    "one platform": ONE,
    "nothing measured": SMALL.assign(status="unavailable"),
}


def draw(name, study):
    module = observation.load(name)
    found = module.observe(study, synthetic.noise_floor())
    return module, found, module.draw(study, found)


def texts(figure):
    return [
        text
        for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))
        if text.get_text()
    ]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", NAMES)
def test_claim_verdict_and_rule_are_printed_and_nothing_is_clipped(name, table):
    module, found, figure = draw(name, TABLES[table])
    printed = " ".join(" ".join(text.get_text() for text in texts(figure)).split())
    assert module.CLAIM[1:] in printed
    assert found.headline in printed
    assert " ".join(module.RULE.split()) in printed
    platforms = TABLES[table]["platform"].unique()
    assert {figures.label(platform) in printed for platform in platforms} == {True}
    FigureCanvasAgg(figure).draw()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert drawn.x0 >= -0.01 and drawn.x1 <= width + 0.01
    assert drawn.y0 >= -0.01 and drawn.y1 <= height + 0.01
    for first, second in zip(figure.texts, figure.texts[1:], strict=False):
        assert not first.get_window_extent().overlaps(second.get_window_extent())


@pytest.mark.parametrize("name", NAMES)
def test_no_panel_is_empty_without_a_reason(name):
    for study in TABLES.values():
        for axis in draw(name, study)[2].axes:
            marks = axis.lines or axis.collections
            reasons = [text for text in axis.texts if "measured" in text.get_text()]
            assert marks or reasons


def markers(axis):
    return [
        line
        for line in axis.lines
        if line.get_marker() in figures.MARKERS.values() and len(line.get_xdata())
    ]


def test_one_mark_for_each_primitive_of_each_network():
    figure = draw("fastest_primitive", SMALL)[2]
    counted = {axis.get_title(): len(markers(axis)) for axis in figure.axes}
    expected = SMALL.groupby("platform").size()
    assert counted == {figures.label(platform): count for platform, count in expected.items()}


def test_one_mark_for_each_compressed_network():
    figure = draw("compression_speedup_by_platform", LARGE)[2]
    networks = 8 * 2 * 2  # models, compressions, tunings
    assert [len(markers(axis)) for axis in figure.axes] == [networks, networks]
    colours = {line.get_color() for axis in figure.axes for line in markers(axis)}
    assert colours == {figures.COLOURS["weight_pruning"], figures.COLOURS["int8"]}


def test_overview_has_every_measurement_on_a_log_scale():
    figure = figures.overview(SMALL)
    assert len(figure.axes) == 2
    for axis, platform in zip(figure.axes, ("local_cpu", "local_cpu_avx2"), strict=True):
        assert axis.get_xscale() == "log" and "ms" in axis.get_xlabel()
        own = SMALL[SMALL.platform == platform]["latency_ms"]
        drawn = sorted(float(line.get_xdata()[0]) for line in markers(axis))
        assert drawn == pytest.approx(sorted(own))
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names.count("MobileNetV2") == 2 and "VGG-16" in names


def test_colours_are_distinct_and_each_method_has_a_look():
    assert len(set(figures.COLOURS.values())) == len(figures.COLOURS)
    assert len(set(figures.MARKERS.values())) == len(figures.MARKERS)
    assert figures.colour("something new") not in figures.COLOURS.values()
    assert figures.marker("something new") not in figures.MARKERS.values()
    assert figures.label("some_board") == "some board"


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    for run in ("first", "second"):
        figure = draw("fastest_primitive", SMALL)[2]
        figures.save(
            figure, [tmp_path / run / f"plot.{suffix}" for suffix in ("pdf", "svg", "png")]
        )
    for suffix in ("pdf", "svg", "png"):
        first, second = (
            (tmp_path / run / f"plot.{suffix}").read_bytes() for run in ("first", "second")
        )
        assert first == second and len(first) > 5000
    assert (tmp_path / "first/plot.pdf").read_bytes().startswith(b"%PDF")
