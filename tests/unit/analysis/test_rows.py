"""Rows of the tables from the records that they are made of."""

import numpy as np
import pandas as pd
import pytest

from dlas.analysis import observation, rows, table

CONFIGURATION = {
    "dataset": "digits",
    "model": "resnet18",
    "compression": "none",
    "primitive": "direct",
    "format": "dense",
    "tuning": "untuned",
    "platform": "local_cpu",
}
SUMMARY = {
    "top1": 98.75,
    "validation_top1": 99.0,
    "params": 700_000,
    "nonzero_params": 700_000,
    "macs": 35_000_000,
    "nonzero_macs": 7_000_000,
    "model_bytes": 2_800_000,
    "level": 0.0,
    "dtype": "float32",
    "input_shape": [1, 3, 32, 32],
    "classes": 10,
}
TARGET = {"threads": 1, "native": {"float32": True, "float16": False, "int8": True}}
PLATFORM = {
    "status": "ok",
    "simulated": False,
    "peak_gflops": {"float32": 100.0, "int8": 400.0},
    "bandwidth_gbs": 20.0,
}
BUILD = {"status": "ok", "library_bytes": 12345, "scheduled_layers": None}
CHECK = {"status": "ok", "error": 1e-6, "top1_compiled": 98.5}
MEASURED_COLUMNS = "latency_ms latency_ms_low latency_ms_high repeats gflops peak_fraction".split()


def timings(direct=2.0, replicate=2.02, gemm=3.0, rounds=20):
    draw = np.random.default_rng(0)
    samples = []
    for turn in range(rounds):
        drift = 1 + 0.01 * turn
        for primitive, role, latency in (
            ("direct", "measured", direct),
            ("direct", "aa_replicate", replicate),
            ("gemm", "measured", gemm),
            ("gemm", "aa_replicate", gemm),
            (None, "reference", 1.0),
        ):
            noise = np.exp(0.0005 * draw.standard_normal())
            variant = [None] * 4 if primitive is None else ["none", primitive, "dense", "untuned"]
            samples.append([*variant, role, turn, latency * drift * noise])
    columns = ["compression", "primitive", "format", "tuning", "role", "round", "latency_ms"]
    return pd.DataFrame(samples, columns=columns)


NOTHING = timings()[:0]


def row_of(
    configuration=CONFIGURATION, summary=SUMMARY, timed="ok", samples=None, target=TARGET, **records
):
    """Return a row; `records` are differences of the platform's, the build's and the check's."""
    found = {"platform": PLATFORM, "build": BUILD, "check": CHECK}
    for name, changed in records.items():
        found[name] = found[name] | changed
    return rows.study_row(
        configuration,
        summary,
        target,
        *(found[name] for name in ("platform", "build", "check")),
        timed,
        timings() if samples is None else samples,
    )


def test_columns_are_those_of_the_contract():
    assert ",".join(rows.STUDY_COLUMNS) == (
        "dataset,model,compression,level,primitive,format,dtype,tuning,platform,params,nonzero_params,macs,model_bytes,"
        "library_bytes,scheduled_layers,primitive_layers,top1,top1_compiled,latency_ms,latency_ms_low,latency_ms_high,repeats,threads,gflops,"
        "peak_fraction,native,status"
    )


def test_a_measured_row():
    samples = timings()
    row = row_of(samples=samples)
    own = samples[(samples.primitive == "direct") & (samples.role == "measured")].latency_ms
    assert list(row) == rows.STUDY_COLUMNS
    assert row["latency_ms"] == own.median() and row["repeats"] == 20
    assert row["latency_ms_low"] < row["latency_ms"] < row["latency_ms_high"]
    assert row["gflops"] == pytest.approx(2 * 35e6 / (own.median() * 1e-3) / 1e9)
    assert row["peak_fraction"] == pytest.approx(row["gflops"] / 100)
    assert row["status"] == "ok" and row["library_bytes"] == 12345 and row["top1_compiled"] == 98.5
    assert row["threads"] == 1 and row["top1"] == 98.75 and row["dtype"] == "float32"
    assert row["scheduled_layers"] is None


def test_scheduled_layers_are_those_of_the_build():
    configuration = CONFIGURATION | {"tuning": "autotuned"}
    samples = timings().assign(tuning="autotuned")
    assert (
        row_of(configuration, samples=samples, build={"scheduled_layers": 0})["scheduled_layers"]
        == 0
    )


def test_csr_does_the_multiply_adds_of_non_zeros_alone():
    row = row_of(CONFIGURATION | {"format": "csr"}, samples=timings().assign(format="csr"))
    assert row["macs"] == 35_000_000
    assert row["gflops"] == pytest.approx(2 * 7 / row["latency_ms"])


def test_the_peak_is_that_of_the_type_of_numbers():
    row = row_of(summary=SUMMARY | {"dtype": "int8"})
    assert row["peak_fraction"] == pytest.approx(row["gflops"] / 400)


def test_native_and_threads_are_those_of_the_target(tmp_path):
    target = {"threads": 7, "native": {"float32": True, "int8": False}}
    found = [row_of(summary=SUMMARY | {"dtype": each}, target=target) for each in target["native"]]
    table.write_table(tmp_path / "study.csv", table.study_table(found))
    back = table.read_table(tmp_path / "study.csv")
    assert list(back["native"]) == [True, False] and set(back["threads"]) == {7}


REASONS = {
    "platform": "unreachable: no board",
    "build": "unsupported: convolution 3x3",
    "check": "wrong: 0.03 > 0.001",
    "timed": "failed: its timing: no answer",
}


@pytest.mark.parametrize("first", range(4))
def test_the_first_reason_against_a_measurement_is_the_status(first):
    """Later stages that were left out for it may have a reason of their own."""
    given = dict(list(REASONS.items())[first:])
    timed = given.pop("timed")
    row = row_of(timed=timed, **{name: {"status": reason} for name, reason in given.items()})
    assert row["status"] == list(REASONS.values())[first]
    assert row["params"] == 700_000 and row["threads"] == 1
    assert all(row[name] is None for name in MEASURED_COLUMNS)


def test_what_a_stage_that_did_not_end_well_does_not_say_is_empty():
    row = rows.study_row(
        CONFIGURATION,
        SUMMARY,
        TARGET,
        PLATFORM | {"status": REASONS["platform"], "peak_gflops": None},
        {"status": REASONS["build"]},
        {"status": REASONS["build"]},
        "ok",
        NOTHING,
    )
    assert row["library_bytes"] is None and row["top1_compiled"] is None


def test_a_widened_library_is_measured():
    row = row_of(build={"status": "widened"})
    assert row["status"] == "widened" and row["latency_ms"] > 0
    assert len(observation.measured(table.study_table([row]))) == 1
    assert row_of(build={"status": "widened"}, timed=REASONS["timed"])["status"] == REASONS["timed"]


@pytest.mark.parametrize("built", ["ok", "widened"])
def test_a_simulated_row_has_its_latency_and_is_no_measurement(built):
    platform = {"simulated": True, "peak_gflops": None, "bandwidth_gbs": None}
    row = row_of(platform=platform, build={"status": built})
    assert row["status"] == "simulated"
    assert row["latency_ms"] > 0 and row["repeats"] == 20 and row["top1_compiled"] == 98.5
    assert row["gflops"] is None and row["peak_fraction"] is None
    assert observation.measured(table.study_table([row])).empty
    row = row_of(platform=platform, check={"status": REASONS["check"]})
    assert row["status"] == REASONS["check"] and row["latency_ms"] is None


def test_without_a_measured_peak_there_is_no_fraction_of_it():
    row = row_of(platform={"peak_gflops": None, "bandwidth_gbs": None})
    assert row["status"] == "ok" and row["gflops"] > 0 and row["peak_fraction"] is None


@pytest.mark.parametrize("samples", [NOTHING, timings()])
def test_missing_samples_are_a_status(samples):
    row = row_of(CONFIGURATION | {"primitive": "spatial_pack"}, samples=samples)
    assert row["status"] == "failed: no timing samples" and row["latency_ms"] is None


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
def test_samples_that_are_no_times_are_a_status(value):
    samples = timings()
    own = samples.index[(samples.primitive == "direct") & (samples.role == "measured")]
    samples.loc[own[3], "latency_ms"] = value
    row = row_of(samples=samples)
    assert row["status"] == "failed: timing samples that are not above 0 ms"
    assert row["latency_ms"] is None and row["repeats"] is None
    assert row_of(CONFIGURATION | {"primitive": "gemm"}, samples=samples)["status"] == "ok"


def test_a_network_that_could_not_be_made_is_the_first_reason(tmp_path):
    reason = "failed: training diverged in epoch 1"
    missing = dict.fromkeys(("top1", "validation_top1", "params", "nonzero_params", "macs"))
    summary = SUMMARY | missing | {"model_bytes": None, "level": None, "status": reason}
    row = row_of(summary=summary, build={"status": "failed: b"}, check={"status": "failed: c"})
    assert row["status"] == reason and row["top1"] is None and row["latency_ms"] is None
    table.write_table(tmp_path / "study.csv", table.study_table([row, row_of()]))
    back = table.read_table(tmp_path / "study.csv")
    assert back["top1"].isna().tolist() == back["params"].isna().tolist() == [True, False]
    assert ",700000,700000,35000000,2800000," in (tmp_path / "study.csv").read_text()


def test_noise_floor_is_the_pair_that_differs_most_without_the_drift():
    row = rows.noise_floor_row(CONFIGURATION, timings(replicate=2.0 * 1.03))
    assert list(row) == rows.NOISE_FLOOR_COLUMNS
    assert row["ratio"] == pytest.approx(1.03, abs=0.001)
    assert 1.028 < row["low"] < row["ratio"] < row["high"] < 1.032


def test_without_a_replicate_there_is_no_noise_floor():
    samples = timings()
    assert rows.noise_floor_row(CONFIGURATION, samples[samples.role != "aa_replicate"]) is None
    assert rows.noise_floor_row(CONFIGURATION, NOTHING) is None


def peer(name, latency, rounds=20):
    noise = np.random.default_rng(1).uniform(0.99, 1.01, rounds)
    samples = {"role": name, "round": range(rounds), "latency_ms": latency * noise}
    return pd.DataFrame(samples)


def test_each_peer_has_a_row_and_is_nobody_elses_sample():
    beside = pd.concat([timings(), peer("pytorch", 9.0), peer("onnxruntime", 5.0)])
    found = table.peers_table(rows.peer_rows(CONFIGURATION, 2, beside, {}))
    assert list(found.columns) == rows.PEERS_COLUMNS
    assert [tuple(row)[:4] for row in found.itertuples(index=False)] == [
        ("local_cpu", "digits", "resnet18", runtime) for runtime in ("onnxruntime", "pytorch")
    ]
    assert list(found.latency_ms) == pytest.approx([5, 9], rel=0.01) and set(found.threads) == {2}
    assert (found.latency_ms_low < found.latency_ms).all()
    assert (found.latency_ms < found.latency_ms_high).all() and set(found.status) == {"ok"}
    floor = rows.noise_floor_row(CONFIGURATION, timings())
    assert rows.noise_floor_row(CONFIGURATION, beside) == floor
    assert row_of(samples=beside) == row_of()


def test_every_raw_sample_is_kept_with_its_keys(tmp_path):
    jobs = [
        {"dataset": "digits", "model": model, "machine": "local_cpu", "file": "any"}
        for model in ("resnet18", "unreachable", "vgg16")
    ]
    both = pd.concat([timings(), peer("pytorch", 9.0)], ignore_index=True)
    own = [samples.assign(platform="local_cpu_avx2") for samples in (both, NOTHING, timings())]
    for name in ("one", "two"):
        found = rows.samples_table(zip(jobs, own, strict=True))
        table.write_table(tmp_path / name / "samples.csv.gz", found)
    assert (tmp_path / "one/samples.csv.gz").read_bytes() == (
        tmp_path / "two/samples.csv.gz"
    ).read_bytes()
    back = table.read_table(tmp_path / "one/samples.csv.gz")
    assert list(back.columns) == rows.SAMPLES_COLUMNS
    assert (back.machine == "local_cpu").all() and (back.platform == "local_cpu_avx2").all()
    assert list(back.model) == ["resnet18"] * 120 + ["vgg16"] * 100
    assert list(back.latency_ms) == [*both.latency_ms, *timings().latency_ms]
    assert back["round"].dtype == int and back[back.role == "pytorch"].primitive.isna().all()


def test_a_study_without_a_sample_has_a_header_only(tmp_path):
    job = {"dataset": "digits", "model": "vgg16", "machine": "board"}
    found = rows.samples_table([(job, NOTHING.assign(platform="board"))])
    table.write_table(tmp_path / "samples.csv.gz", found)
    assert list(table.read_table(tmp_path / "samples.csv.gz").columns) == rows.SAMPLES_COLUMNS


def test_a_peer_that_was_not_timed_has_its_reason():
    reasons = {"pytorch": "failed: the peer pytorch: no answer"}
    (one, other) = rows.peer_rows(CONFIGURATION, 2, peer("onnxruntime", 5.0), reasons)
    assert one["runtime"] == "onnxruntime" and one["status"] == "ok"
    assert other == dict.fromkeys(rows.PEERS_COLUMNS) | {
        "platform": "local_cpu",
        "dataset": "digits",
        "model": "resnet18",
        "runtime": "pytorch",
        "threads": 2,
        "status": reasons["pytorch"],
    }


def test_without_peers_there_is_a_header_only(tmp_path):
    found = rows.peer_rows(CONFIGURATION, 2, timings(), {})
    table.write_table(tmp_path / "peers.csv", table.peers_table(found))
    assert (tmp_path / "peers.csv").read_text() == ",".join(rows.PEERS_COLUMNS) + "\n"
    assert list(table.read_table(tmp_path / "peers.csv").columns) == rows.PEERS_COLUMNS


def test_rows_survive_the_file(tmp_path):
    found = [row_of(build={"scheduled_layers": 3}), row_of(check={"status": REASONS["check"]})]
    table.write_table(tmp_path / "study.csv", table.study_table(found))
    back = table.read_table(tmp_path / "study.csv")
    pd.testing.assert_frame_equal(back, table.study_table(found), check_dtype=False)
    assert list(back["compression"]) == ["none", "none"]
    assert ",3," in (tmp_path / "study.csv").read_text()  # a whole number beside an empty cell
