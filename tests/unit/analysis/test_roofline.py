"""The roofline: intensities by hand, ceilings, and every network below them."""

import numpy as np
import pytest

from dlas.analysis import roofline
from tests.unit.analysis import synthetic
from tests.unit.analysis.drawings import LOOKS, axis_labels_overlap, markers, nothing_is_clipped

PEAK = {"float32": 300.0, "float16": 300.0, "int8": 1200.0}


def platform(status="ok"):
    return {
        "status": status,
        "peak_gflops": PEAK if status == "ok" else None,
        "bandwidth_gbs": 30.0 if status == "ok" else None,
    }


PLATFORMS = {name: platform() for name in synthetic.PLATFORMS}
STUDY = synthetic.study(
    synthetic.realistic,
    compressions=synthetic.COMPRESSIONS,
    formats=("dense", "csr"),
    tunings=("untuned", "autotuned"),
    widened=[("float16", "local_cpu_avx2")],
    left=synthetic.left,
)
STUDY["nonzero_params"] = np.where(
    STUDY["compression"] == "weight_pruning", STUDY["params"] // 5, STUDY["params"]
)
STUDIES = {
    "full": STUDY,
    "uncompressed": STUDY[STUDY.compression == "none"],
    "one platform": STUDY.assign(
        status=STUDY["status"].mask(STUDY["platform"] == "local_cpu_avx2", "no such CPU")
    ),
}


def test_intensity_is_operations_by_the_bytes_of_the_weights():
    """ResNet18 of the synthetic study: 0.7 million parameters, 35 million MACs."""
    found = roofline.networks(STUDY)
    resnet = found[(found["model"] == "resnet18") & (found["platform"] == "local_cpu")]
    by = resnet.set_index("compression")["intensity"]
    assert by["none"] == pytest.approx(2 * 35 / (4 * 0.7))
    assert by["float16"] == pytest.approx(2 * by["none"])
    assert by["int8"] == pytest.approx(4 * by["none"])
    kept = synthetic.left("digits", "resnet18", "weight_pruning")
    assert (resnet.set_index("compression")["format"] == "csr")["weight_pruning"]
    assert by["weight_pruning"] == pytest.approx(2 * 35 * kept / (8 * 0.7 / 5))


def test_pruned_weights_in_a_dense_format_are_all_read():
    dense = STUDY[STUDY["format"] == "dense"]
    found = roofline.networks(dense).set_index(["platform", "dataset", "model", "compression"])
    both = found["intensity"].unstack("compression")
    assert np.allclose(both["weight_pruning"], both["none"])


@pytest.mark.parametrize(("intensity", "rate"), [(0.5, 15.0), (118 / 30, 118.0), (1000.0, 118.0)])
def test_the_ceiling_is_the_lower_of_peak_and_bandwidth(intensity, rate):
    assert roofline.ceiling(np.array([intensity]), 118.0, 30.0) == pytest.approx([rate])


@pytest.mark.parametrize("name", STUDIES)
def test_every_network_is_below_the_ceilings_of_its_panel(name):
    study = STUDIES[name]
    records = dict(PLATFORMS)
    if name == "one platform":
        records["local_cpu_avx2"] = platform("no such CPU")
    found, figure = roofline.networks(study), roofline.draw(study, records, LOOKS)
    assert nothing_is_clipped(figure) and not axis_labels_overlap(figure)
    dtypes = [dtype for dtype in roofline.DTYPES if dtype in set(found["dtype"])]
    panels = [(dtype, name) for dtype in dtypes for name in records]
    assert len(figure.axes) == len(panels)
    for axis, (dtype, platform_name) in zip(figure.axes, panels, strict=True):
        assert axis.get_title() == f"{LOOKS.label(platform_name)}, {dtype}"
        here = found[(found["dtype"] == dtype) & (found["platform"] == platform_name)]
        if here.empty:
            assert axis.texts[0].get_text().split() == ["not", "measured:", "no", "such", "CPU"]
            continue
        assert axis.get_xscale() == axis.get_yscale() == "log"
        drawn = sorted((*line.get_xdata(), *line.get_ydata()) for line in markers(axis))
        assert np.allclose(drawn, sorted(zip(here["intensity"], here["gflops"], strict=True)))
        assert axis.get_ylim()[1] > PEAK[dtype] > here["gflops"].max()
        (roof,) = [line for line in axis.lines if len(line.get_xdata()) == 3]
        assert roof.get_ydata().max() == PEAK[dtype]
        # the lines stand where their labels say
        lines = [line.get_ydata()[0] for line in axis.lines if list(line.get_xdata()) == [0, 1]]
        shares = [text.get_text() for text in axis.texts if text.get_text().endswith("%")]
        assert len(lines) == len(shares) > 1
        for height, text in zip(lines, shares, strict=True):
            assert height == pytest.approx(float(text.removesuffix(" %")) / 100 * PEAK[dtype])
        names = [text.get_text() for text in axis.texts]
        assert f"peak {PEAK[dtype]:,.0f}" in names and "memory 30 GB/s" in names
        assert len(names) == 2 + len(shares) + (
            8 if dtype != "float32" else (here["compression"] == "none").sum()
        )


def test_widened_arithmetic_is_pale_and_sparse_weights_have_a_black_edge():
    figure = roofline.draw(STUDY, PLATFORMS, LOOKS)
    panels = {axis.get_title(): markers(axis) for axis in figure.axes}
    half = panels[f"{LOOKS.label('local_cpu_avx2')}, float16"]
    assert all(line.get_markeredgecolor() != line.get_color() for line in half)
    sparse = [
        line
        for line in panels[f"{LOOKS.label('local_cpu')}, float32"]
        if line.get_markeredgecolor() == LOOKS.edge("csr")["markeredgecolor"]
    ]
    assert len(sparse) == 8
    entries = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"measured ceiling", "widened arithmetic", "CSR"} <= entries
