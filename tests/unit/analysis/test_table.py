"""Rows of the tables from the records they are made of."""

import numpy as np
import pandas as pd
import pytest

from dlas.analysis import observation, table
from dlas.analysis.table import noise_floor_row, study_row
from dlas.errors import StudyError

CONFIGURATION = {
    "dataset": "digits", "model": "resnet18", "compression": "none", "primitive": "direct",
    "format": "dense", "tuning": "untuned", "platform": "local_cpu",
}  # fmt: skip
SUMMARY = {
    "top1": 98.75, "validation_top1": 99.0, "params": 700_000, "nonzero_params": 700_000, "macs": 35_000_000,
    "nonzero_macs": 7_000_000,
    "model_bytes": 2_800_000, "level": 0.0, "dtype": "float32", "input_shape": [1, 3, 32, 32], "classes": 10,
}  # fmt: skip
PLATFORM = {
    "status": "ok",
    "threads": 1,
    "native": {"float32": True, "float16": False, "int8": True},
    "peak_gflops": {"float32": 100.0, "int8": 400.0},
    "bandwidth_gbs": 20.0,
}
BUILD = {"library_bytes": 12345}
CHECK = {"status": "ok", "largest_relative_error": 1e-6, "top1_compiled": 98.5}


def timings(direct=2.0, twin=2.02, gemm=3.0, rounds=20):
    draw = np.random.default_rng(0)
    rows = []
    for turn in range(rounds):
        drift = 1 + 0.01 * turn
        for primitive, role, latency in (
            ("direct", "measured", direct), ("direct", "repeat", twin), ("gemm", "measured", gemm),
            ("gemm", "repeat", gemm), (None, "reference", 1.0),
        ):  # fmt: skip
            noise = np.exp(0.0005 * draw.standard_normal())
            variant = [None] * 4 if primitive is None else ["none", primitive, "dense", "untuned"]
            rows.append([*variant, role, turn, latency * drift * noise])
    return pd.DataFrame(
        rows,
        columns=["compression", "primitive", "format", "tuning", "role", "round", "latency_ms"],
    )


def test_columns_are_those_of_the_contract():
    assert ",".join(table.STUDY_COLUMNS) == (
        "dataset,model,compression,level,primitive,format,dtype,tuning,platform,params,nonzero_params,macs,model_bytes,"
        "library_bytes,tuned_layers,top1,top1_compiled,latency_ms,latency_ms_low,latency_ms_high,repeats,threads,gflops,"
        "peak_fraction,native,status"
    )


def test_a_measured_row():
    samples = timings()
    row = study_row(CONFIGURATION, SUMMARY, PLATFORM, BUILD, CHECK, samples)
    own = samples[(samples.primitive == "direct") & (samples.role == "measured")].latency_ms
    assert list(row) == table.STUDY_COLUMNS
    assert row["latency_ms"] == own.median() and row["repeats"] == 20
    assert row["latency_ms_low"] < row["latency_ms"] < row["latency_ms_high"]
    assert row["gflops"] == pytest.approx(2 * 35e6 / (own.median() * 1e-3) / 1e9)
    assert row["peak_fraction"] == pytest.approx(row["gflops"] / 100)
    assert row["status"] == "ok" and row["library_bytes"] == 12345 and row["top1_compiled"] == 98.5
    assert row["threads"] == 1 and row["top1"] == 98.75 and row["dtype"] == "float32"


def test_tuned_layers_are_those_of_the_build():
    configuration = CONFIGURATION | {"tuning": "auto_scheduled"}
    samples, build = timings().assign(tuning="auto_scheduled"), BUILD | {"tuned_layers": 0}
    row = study_row(configuration, SUMMARY, PLATFORM, build, CHECK, samples)
    assert row["tuned_layers"] == 0
    assert (
        study_row(CONFIGURATION, SUMMARY, PLATFORM, BUILD, CHECK, timings())["tuned_layers"] is None
    )


def test_csr_does_the_multiply_adds_of_non_zeros_alone():
    configuration = CONFIGURATION | {"format": "csr"}
    samples = timings().assign(format="csr")
    row = study_row(configuration, SUMMARY, PLATFORM, BUILD, CHECK, samples)
    assert row["macs"] == 35_000_000
    assert row["gflops"] == pytest.approx(2 * 7 / row["latency_ms"])


def test_the_peak_is_that_of_the_type_of_numbers():
    row = study_row(CONFIGURATION, SUMMARY | {"dtype": "int8"}, PLATFORM, BUILD, CHECK, timings())
    assert row["peak_fraction"] == pytest.approx(row["gflops"] / 400)


def test_native_is_that_of_the_platform_in_the_dtype_or_empty(tmp_path):
    platform = PLATFORM | {"native": {"float32": True, "float16": None, "int8": False}}
    rows = [
        study_row(CONFIGURATION, SUMMARY | {"dtype": dtype}, platform, None, CHECK, None)
        for dtype in platform["native"]
    ]
    table.write_table(tmp_path / "study.csv", table.study_table(rows))
    back = table.read_table(tmp_path / "study.csv")["native"]
    assert list(back[[0, 2]]) == [True, False] and pd.isna(back[1])


@pytest.mark.parametrize(
    ("platform", "build", "check", "status"),
    [
        (
            PLATFORM | {"status": "unavailable: no board", "threads": 4, "peak_gflops": None},
            BUILD,
            CHECK,
            "unavailable: no board",
        ),
        (PLATFORM, {"status": "layer too large"}, CHECK, "layer too large"),
        (PLATFORM, BUILD, {"status": "error 0.1"}, "error 0.1"),
        (PLATFORM, None, CHECK, "missing"),
    ],
)
def test_what_could_not_be_measured_is_there_with_its_reason(platform, build, check, status):
    row = study_row(CONFIGURATION, SUMMARY, platform, build, check, None)
    assert row["status"] == status
    assert row["params"] == 700_000
    for name in (
        "latency_ms",
        "latency_ms_low",
        "latency_ms_high",
        "repeats",
        "gflops",
        "peak_fraction",
    ):
        assert row[name] is None


def test_widened_is_measured():
    row = study_row(
        CONFIGURATION, SUMMARY, PLATFORM, {**BUILD, "status": "widened"}, CHECK, timings()
    )
    assert row["status"] == "widened" and row["latency_ms"] > 0


def test_a_row_of_an_emulated_processor_keeps_its_latency_and_is_no_measurement():
    platform = {**PLATFORM, "emulated": True, "peak_gflops": None, "bandwidth_gbs": None}
    row = study_row(CONFIGURATION, SUMMARY, platform, BUILD, CHECK, timings())
    assert row["status"] == table.EMULATED == "emulated processor: its times mean nothing"
    assert row["latency_ms"] > 0 and row["repeats"] == 20 and row["top1_compiled"] == 98.5
    assert row["gflops"] is None and row["peak_fraction"] is None
    assert observation.measured(table.study_table([row])).empty
    reason = {**CHECK, "status": "unavailable: no such CPU"}
    row = study_row(CONFIGURATION, SUMMARY, platform, BUILD, reason, None)
    assert row["status"] == "unavailable: no such CPU"


def test_without_a_measured_peak_there_is_no_fraction_of_it():
    platform = {**PLATFORM, "peak_gflops": None, "bandwidth_gbs": None}
    row = study_row(CONFIGURATION, SUMMARY, platform, BUILD, CHECK, timings())
    assert row["status"] == "ok" and row["gflops"] > 0 and row["peak_fraction"] is None


def test_missing_samples_are_an_error():
    with pytest.raises(StudyError, match="no timing samples of digits / resnet18"):
        study_row(
            {**CONFIGURATION, "primitive": "spatial_pack"},
            SUMMARY,
            PLATFORM,
            BUILD,
            CHECK,
            timings(),
        )


def test_noise_floor_is_the_pair_that_differs_most_without_the_drift():
    row = noise_floor_row("local_cpu", "digits", "resnet18", timings(twin=2.0 * 1.03))
    assert list(row) == table.NOISE_FLOOR_COLUMNS
    assert row["ratio"] == pytest.approx(1.03, abs=0.001)
    assert 1.028 < row["low"] < row["ratio"] < row["high"] < 1.032


def peer(name, latency, rounds=20):
    noise = np.random.default_rng(1).uniform(0.99, 1.01, rounds)
    samples = {"role": name, "round": range(rounds), "latency_ms": latency * noise}
    return pd.DataFrame(samples)


def test_each_peer_has_a_row_and_is_nobody_elses_sample(tmp_path):
    beside = pd.concat([timings(), peer("pytorch", 9.0), peer("onnxruntime", 5.0)])
    rows = table.peer_rows("local_cpu", "digits", "resnet18", 2, beside)
    found = table.peers_table(rows)
    assert (
        list(found.columns)
        == (
            "platform dataset model runtime latency_ms latency_ms_low latency_ms_high threads"
        ).split()
    )
    assert [tuple(row)[:4] for row in found.itertuples(index=False)] == [
        ("local_cpu", "digits", "resnet18", runtime) for runtime in ("onnxruntime", "pytorch")
    ]
    assert list(found.latency_ms) == pytest.approx([5, 9], rel=0.01) and set(found.threads) == {2}
    assert (found.latency_ms_low < found.latency_ms).all()
    assert (found.latency_ms < found.latency_ms_high).all()
    place = "local_cpu", "digits", "resnet18"
    assert noise_floor_row(*place, beside) == noise_floor_row(*place, timings())
    records = CONFIGURATION, SUMMARY, PLATFORM, BUILD, CHECK
    assert study_row(*records, beside) == study_row(*records, timings())


def test_without_peers_there_is_a_header_only(tmp_path):
    rows = table.peer_rows("local_cpu", "digits", "resnet18", 2, timings())
    table.write_table(tmp_path / "peers.csv", table.peers_table(rows))
    assert (tmp_path / "peers.csv").read_text() == ",".join(table.PEERS_COLUMNS) + "\n"
    assert list(table.read_table(tmp_path / "peers.csv").columns) == table.PEERS_COLUMNS


def test_noise_floor_needs_a_twin():
    samples = timings()
    with pytest.raises(StudyError, match="at least one twin"):
        noise_floor_row("local_cpu", "digits", "resnet18", samples[samples.role != "repeat"])


def test_tables_survive_the_file(tmp_path):
    build = BUILD | {"tuned_layers": 3}
    rows = [study_row(CONFIGURATION, SUMMARY, PLATFORM, build, CHECK, timings())]
    rows.append(study_row(CONFIGURATION, SUMMARY, PLATFORM, None, None, None))
    table.write_table(tmp_path / "study.csv", table.study_table(rows))
    back = table.read_table(tmp_path / "study.csv")
    pd.testing.assert_frame_equal(back, table.study_table(rows), check_dtype=False)
    assert list(back["compression"]) == ["none", "none"]
    assert ",3," in (tmp_path / "study.csv").read_text()  # a whole number beside an empty cell


def test_observation_row_and_numbers_survive_the_file(tmp_path):
    module = observation.load("fastest_primitive")
    found = observation.needs("a second platform", module.STATISTIC)
    record = table.observation_record("04", module, found)
    row = table.observation_row(record, {"claim": module.PLUGIN.label, "origin": "formulated"})
    assert (
        list(row)[:9]
        == "observation claim origin verdict statistic estimate ci_low ci_high n".split()
    )
    assert row["verdict"] == "inconclusive" and row["reason"] == "needs a second platform"
    assert "\n" not in row["rule"]
    table.write_table(tmp_path / "observations.csv", table.observations_table([row]))
    assert table.read_table(tmp_path / "observations.csv")["observation"].tolist() == ["04"]


def test_unknown_observation():
    with pytest.raises(
        StudyError, match=r"unknown observation 'nothing'; allowed: .*fastest_primitive"
    ):
        observation.load("nothing")


def test_an_observation_that_lacks_a_part(monkeypatch):
    monkeypatch.delattr(observation.load("fastest_primitive"), "READING")
    with pytest.raises(StudyError, match=r"observations/fastest_primitive\.py lacks READING$"):
        observation.load("fastest_primitive")
