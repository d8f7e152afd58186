"""Published speedups beside the study's: what is found on studies with a known answer."""

import numpy as np
import pandas as pd
import pytest

from dlas.analysis import pages, published, summaries, table
from dlas.analysis.columns import LATENCY
from tests.unit.analysis import synthetic

SPEEDUPS = {"none": 1.0, "channel_pruning": 2.0, "weight_pruning": 0.8}
PRIMITIVE = {"direct": 3.0, "gemm": 2.0, "spatial_pack": 4.0}
FIGURES = table.read_table(published.FILE)
FIGURE = ["model", "compression"]


def known(platform, dataset, model, compression, primitive, tuning):
    """Auto-tuned code is 10 times as fast, and so is dense code after weight pruning: neither may
    count.
    """
    if compression == "weight_pruning":
        # CSR takes half of what is returned here.
        return 2 * PRIMITIVE[primitive] / SPEEDUPS[compression]
    gain = 10 if tuning == "autotuned" else 1
    return PRIMITIVE[primitive] / SPEEDUPS[compression] / gain


def made(models=synthetic.MODELS, **options):
    study = synthetic.study(
        known,
        models=models,
        compressions=tuple(SPEEDUPS),
        formats=("dense", "csr"),
        tunings=("untuned", "autotuned"),
        noise=1e-6,
        **options,
    )
    fast = (study["compression"] == "weight_pruning") & (study["format"] == "dense")
    limits = {name: study[name].where(~fast, study[name] / 20) for name in LATENCY}
    return study.assign(**limits)


def rows(study):
    return published.published_speedups(
        synthetic.tables(study, synthetic.noise_floor()), synthetic.LOOKS
    )


STUDY = made()


def test_the_figures_are_those_of_the_slides():
    assert len(FIGURES) == 6 and not FIGURES.duplicated(FIGURE).any()
    assert FIGURES["source"].str.startswith("https://").all()
    figures = FIGURES.set_index(FIGURE).filter(like="published_speedup").T
    assert list(figures["vgg16", "weight_pruning"]) == [0.6, 0.8]
    assert list(figures["resnet18", "channel_pruning"]) == [2.3, 2.9]
    assert list(figures["mobilenet_v1", "weight_pruning"]) == [1.7, 2.8]
    assert set(FIGURES["format"].where(FIGURES["compression"] == "weight_pruning").dropna()) == {
        "csr"
    }


def test_a_speedup_is_that_of_the_fastest_untuned_code_in_the_published_format():
    found = rows(STUDY)
    assert list(found.columns) == published.PUBLISHED_COLUMNS
    assert len(found) == 6 * len(synthetic.PLATFORMS)
    assert set(found["dataset"]) == {"digits"} and set(found["status"]) == {"ok"}
    assert set(found["published_dataset"]) == {"CIFAR-10"}
    for row in found.itertuples():
        assert row.speedup == pytest.approx(SPEEDUPS[row.compression], rel=1e-4)
        assert row.speedup_low < row.speedup < row.speedup_high
        assert row.level == synthetic.CHOSEN[row.compression]
        assert row.top1 == row.top1_before
    beside = found.merge(FIGURES, on=FIGURE, suffixes=("", "_in_file"))
    assert len(beside) == len(found)
    assert (
        beside["published_speedup_intel_i7"] == beside["published_speedup_intel_i7_in_file"]
    ).all()


def test_the_interval_is_that_of_paired_samples():
    """Each latency is known to 3 %, so their ratio to about the square root of two times as
    much.
    """
    wide = STUDY.assign(
        latency_ms_low=STUDY["latency_ms"] / 1.03, latency_ms_high=STUDY["latency_ms"] * 1.03
    )
    found = rows(wide)
    expected = 2 * 2**0.5 * np.log(1.03)
    width = np.log((found["speedup_high"] / found["speedup_low"]).astype(float))
    assert 0.7 * expected < width.mean() < 1.5 * expected


def test_every_data_set_with_the_model_has_a_row():
    both = {"digits": synthetic.MODELS["digits"], "photos": {"resnet18": (0.7, 35, 98.9)}}
    found = rows(made(both))
    resnet = found[found["model"] == "resnet18"]
    assert list(resnet["dataset"].unique()) == ["digits", "photos"]
    assert len(resnet) == 2 * 2 * len(synthetic.PLATFORMS)
    assert set(found.loc[found["model"] != "resnet18", "dataset"]) == {"digits"}


@pytest.mark.parametrize(
    ("gone", "status"),
    [
        (lambda study: study["model"] == "vgg16", published.ABSENT),
        (lambda study: study["format"] == "csr", published.ABSENT),
        (lambda study: study["tuning"] == "untuned", published.ABSENT),
        (
            lambda study: study["compression"] == "none",
            f"the uncompressed network: {published.ABSENT}",
        ),
    ],
)
def test_what_the_study_does_not_ask_for_is_said(gone, status):
    found = rows(STUDY[~gone(STUDY)])
    assert len(found) == 6 * len(synthetic.PLATFORMS)
    vgg = found[(found["model"] == "vgg16") & (found["compression"] == "weight_pruning")]
    assert set(vgg["status"]) == {status}
    assert vgg[published.LIMITS].isna().all(axis=None)
    assert vgg["published_speedup_intel_i7"].notna().all()


def test_a_study_of_other_networks_has_one_row_for_each_platform():
    found = rows(STUDY[STUDY["dataset"] == "photos"])
    assert len(found) == 6 * len(synthetic.PLATFORMS)
    assert found["dataset"].isna().all() and set(found["status"]) == {published.ABSENT}
    text = pages.html(published.published_page(found, synthetic.LOOKS))
    assert text.count(published.ABSENT) == len(found) and ">nan<" not in text


def test_a_compression_without_a_level_says_so_and_has_no_speedup():
    found = rows(made(unreached=[("digits", "vgg16", "channel_pruning")]))
    none = (found["model"] == "vgg16") & (found["compression"] == "channel_pruning")
    assert set(found.loc[none, "status"]) == {"no level within the tolerance"}
    assert found.loc[none, [*published.LIMITS, "level", "top1"]].isna().all(axis=None)
    assert set(found.loc[~none, "status"]) == {"ok"}


def test_what_was_not_measured_has_its_reason():
    gone = (STUDY["platform"] == "local_cpu_avx2") & (STUDY["compression"] == "channel_pruning")
    columns = {name: STUDY[name].mask(gone) for name in LATENCY}
    found = rows(STUDY.assign(status=STUDY["status"].mask(gone, "wrong: 1 > 0.1"), **columns))
    there = (found["platform"] == "local_cpu_avx2") & (found["compression"] == "channel_pruning")
    assert set(found.loc[there, "status"]) == {"wrong: 1 > 0.1"}
    assert set(found.loc[~there, "status"]) == {"ok"}


def test_a_study_without_any_measurement_has_the_reasons():
    empty = dict.fromkeys([*LATENCY, "top1"], float("nan"))
    found = rows(STUDY.assign(status="failed: no compiler", **empty))
    assert len(found) == 6 * len(synthetic.PLATFORMS)
    assert set(found["status"]) == {"failed: no compiler"}
    assert ">nan<" not in pages.html(published.published_page(found, synthetic.LOOKS))


def test_the_page_names_source_and_differences_and_shows_each_speedup():
    shown = summaries.SUMMARIES["published"].page(rows(STUDY), synthetic.LOOKS)
    text = pages.html(shown)
    for part in (
        "Characterising-Neural-Compression",
        "CIFAR-10",
        "What differs",
        "docs/explanation/paper.md",
    ):
        assert part in text
    assert (
        list(shown.table["speedup (x)"].str[:4])
        == ["0.80"] * 2 + ["2.00"] * 2 + (["0.80"] * 2 + ["2.00"] * 2) * 2
    )
    assert isinstance(shown.table.index, pd.MultiIndex)
