"""Bundles of one machine put together, and the rows that a study takes of them."""

from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlas.analysis.columns import MEASURED
from dlas.bundles import checking, form, merging
from dlas.errors import StudyError
from tests.unit.bundles import small

TERMS = merging.Terms(small.SETTINGS, small.CODE, same_code=False)


def same(one, other):
    for name in form.TABLES:
        pd.testing.assert_frame_equal(
            one.tables[name], other.tables[name], check_dtype=False, check_like=True
        )
    assert one.machine == other.machine and one.provenance == other.provenance


bundles = st.lists(
    st.builds(
        small.bundle,
        seed=st.integers(0, 3),
        rounds=st.integers(2, 4),
        measured=st.sampled_from(["2026-11-28", "2026-11-29"]),
        failed=st.sampled_from([(), ("direct",), ("gemm", "direct")]),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda one: one.digest,
)


@settings(max_examples=25)
@given(bundles, st.data())
def test_neither_order_nor_copies_change_what_comes_of_a_merge(some, data):
    merged = merging.merge(some)
    same(merging.merge(data.draw(st.permutations(some))), merged)
    same(merging.merge([*some, *some]), merged)
    rounds = sum(one.tables["samples"]["round"].nunique() for one in some)
    assert merged.tables["samples"]["round"].nunique() == rounds


def test_a_merge_is_a_right_bundle_with_the_rounds_of_all(tmp_path):
    some = [small.bundle(0, 5), small.bundle(1, 4, failed=("gemm",)), small.bundle(2, 3)]
    merged = merging.merge(some)
    study = merged.tables["study"].set_index("primitive")
    assert study["repeats"].to_dict() == {"direct": 12, "gemm": 8, "spatial_pack": 12}
    assert set(study["status"]) == {"ok"}
    assert checking.problems(small.write(tmp_path / "merged", merged)) == []
    samples = merged.tables["samples"]
    assert not samples.duplicated(["primitive", "role", "round"]).any()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda one: one.provenance["networks"].update({"digits/resnet18/none": "1"}), "networks"),
        (lambda one: one.provenance["code"].update({"primitive gemm": "other"}), "primitive gemm"),
        (lambda one: one.provenance["settings"].update({"width": 1}), "settings of prov"),
        (lambda one: one.machine["cpu"].update({"model": "Other"}), "Some CPU and Other"),
        (lambda one: one.machine.update({"target": {}}), "different targets"),
    ],
)
def test_bundles_of_other_machines_networks_or_code_are_not_merged(change, line):
    other = small.bundle(1)
    provenance = {name: dict(value) for name, value in other.provenance.items()}
    other = replace(other, provenance=provenance)
    change(other)
    with pytest.raises(StudyError, match=line):
        merging.merge([small.bundle(0), other])


def asked(*primitives):
    return [
        small.MODEL
        | {"compression": "none", "primitive": name, "format": "dense", "tuning": "untuned"}
        | {"platform": "laptop", "dtype": "float32"}
        for name in primitives
    ]


def adopted(bundle, terms=TERMS, names=small.PRIMITIVES, runtimes=("onnxruntime",)):
    tables, record = merging.adopt(bundle, asked(*names), terms, runtimes)
    return tables, record, dict(zip(names, tables["study"]["status"], strict=True))


@pytest.fixture
def laptop():
    return small.bundle(platform="laptop")


def test_rows_that_fit_are_taken_as_they_are(laptop):
    tables, record, statuses = adopted(laptop)
    assert set(statuses.values()) == {"ok"}
    for name in ("study", "noise_floor", "peers", "samples"):
        assert tables[name].to_csv(index=False) == laptop.tables[name].to_csv(index=False)
    assert record["bundle"] == {
        "measured": "2026-11-29",
        "commit": "0123456789ab",
        "rows": 3,
        "other_code": 0,
        "answers": True,
    }
    assert len(tables["curves"]) == len(tables["correct"]) == 1


def test_a_configuration_that_the_bundle_lacks_is_unreachable_and_others_are_left_out(laptop):
    tables, _, statuses = adopted(laptop, names=("gemm", "winograd"), runtimes=())
    assert statuses == {
        "gemm": "ok",
        "winograd": "unreachable: the bundle laptop has no such configuration",
    }
    samples = tables["samples"]
    assert set(samples["primitive"].dropna()) == {"gemm"}
    assert set(samples["role"]) == {MEASURED, "reference"} and tables["peers"].empty


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("width", 1, "models.width was 0.25, here it is 1"),
        ("datasets", {"digits": 64}, "the images of digits had another size: 32, here 64"),
        ("compressions", {"none": ["int8"]}, "none was another compression: [none], here [int8]"),
        ("checks", {"float32": [8, 1, 1]}, "compiler.check of float32 was another one: [8, 0.0001"),
    ],
)
def test_other_settings_make_rows_unreachable_with_both_values(laptop, key, value, reason):
    terms = replace(TERMS, settings=small.SETTINGS | {key: value})
    tables, record, statuses = adopted(laptop, terms)
    assert all(one.startswith(f"unreachable: in the bundle {reason}") for one in statuses.values())
    assert tables["study"]["latency_ms"].isna().all() and record["bundle"]["rows"] == 0
    # With another check it is the same network.
    assert len(tables["curves"]) == len(tables["correct"]) == (key == "checks")
    assert set(tables["samples"]["role"]) == {"reference", "onnxruntime"}


def test_other_code_is_counted_or_refused(laptop):
    terms = replace(TERMS, code=small.CODE | {"primitive gemm": "other"})
    _, record, statuses = adopted(laptop, terms)
    assert set(statuses.values()) == {"ok"} and record["bundle"]["other_code"] == 1
    _, _, statuses = adopted(laptop, replace(terms, same_code=True))
    reason = "unreachable: in the bundle the code of primitive gemm was another one"
    assert statuses == {"direct": "ok", "gemm": reason, "spatial_pack": "ok"}
    terms = replace(TERMS, code=small.CODE | {"compiler": "other"}, same_code=True)
    assert all("the code of compiler was" in one for one in adopted(laptop, terms)[2].values())


def test_samples_that_do_not_give_the_latency_make_a_row_wrong(laptop):
    samples = laptop.tables["samples"].copy()
    chosen = (samples["primitive"] == "gemm") & (samples["role"] == MEASURED)
    samples.loc[chosen, "latency_ms"] *= 0.5
    laptop = replace(laptop, tables={**laptop.tables, "samples": samples})
    tables, _, statuses = adopted(laptop)
    assert statuses["gemm"].startswith("wrong: in the bundle its samples give latency_ms 0.")
    assert statuses["direct"] == statuses["spatial_pack"] == "ok"
    assert "gemm" not in set(tables["samples"]["primitive"])
