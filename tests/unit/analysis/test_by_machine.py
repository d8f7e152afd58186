"""Each observation decided on each machine alone."""

from dataclasses import replace

import numpy as np
import pytest

from dlas.analysis import answers, by_machine, observation, pages
from tests.unit.analysis import synthetic

NUMBERS = {
    "01": "size_accuracy_latency",
    "04": "fastest_primitive",
    "07": "compression_speedup_by_platform",
}
MODULES = {number: observation.load(name) for number, name in NUMBERS.items()}
CLAIMS = {number: {"claim": name, "origin": "abstract"} for number, name in NUMBERS.items()}
MACHINES = {"local_cpu": ["local_cpu"], "laptop": ["local_cpu_avx2"]}
ALL = ["local_cpu", "local_cpu_avx2"]


def tables(platforms):
    study = synthetic.study(
        synthetic.realistic, platforms=ALL, compressions=synthetic.COMPRESSIONS, noise=0.001
    )
    study = study[study["platform"].isin(platforms)].reset_index(drop=True)
    floor = synthetic.noise_floor()
    floor = floor[floor["platform"].isin(platforms)]
    return synthetic.tables(study, floor, synthetic.curves(synthetic.holding))


def joint(found):
    return {number: observation.assess(module, found) for number, module in MODULES.items()}


@pytest.fixture(scope="module")
def rows():
    found = tables(ALL)
    return by_machine.verdicts(found, MODULES, joint(found), MACHINES, CLAIMS)


@pytest.mark.parametrize("platform", ALL)
def test_a_machine_is_judged_as_if_it_were_alone(platform):
    here = by_machine.on_platforms(tables(ALL), [platform])
    for module in MODULES.values():
        assert observation.assess(module, here) == observation.assess(module, tables([platform]))


def test_accuracy_is_that_of_the_networks_of_each_machine():
    found = tables(ALL)
    # The laptop's networks hold where others lose; nothing is known of the board's.
    harder = synthetic.tables(curves=synthetic.curves(lambda *_: 1.3))
    nothing = synthetic.tables()
    bundled = {
        name: observation.Accuracy(one.curves, one.answers)
        for name, one in (("local_cpu_avx2", harder), ("board", nothing))
    }
    found = replace(found, bundled=bundled)
    reach = observation.load("pruning_reach")
    for name, like in (("local_cpu", found), ("local_cpu_avx2", harder), ("board", nothing)):
        here = by_machine.on_platforms(found, [name])
        assert observation.assess(reach, here) == observation.assess(reach, like)
    joint = observation.assess(reach, found)
    assert joint != observation.assess(reach, harder)
    needed = observation.assess(reach, by_machine.on_platforms(found, ["board"]))
    assert needed.reason.startswith("needs the accuracy curves of both techniques")


def test_accuracies_of_a_platform_are_compared_by_its_own_answers():
    found = tables(ALL)
    pairs = observation.load("size_accuracy_latency")
    # Each network gets some more images right than the one before.
    images = np.arange(1000)
    right = {
        key: (images < 10 * number).astype(np.uint16)
        for number, key in enumerate(sorted(found.answers.answers))
    }
    labels = {name: np.ones(1000, np.uint16) for name in found.answers.labels}
    apart = observation.Accuracy(found.curves, answers.Answers(labels, right))
    assert "accuracy-latency" not in set(observation.assess(pairs, found).evidence["relation"])
    for name in ALL:
        seen = observation.assess(pairs, replace(found, bundled={name: apart})).evidence
        assert set(seen[seen["relation"] == "accuracy-latency"]["platform"]) == {name}


def test_each_observation_has_a_row_for_each_machine_and_for_all(rows):
    assert len(rows) == len(NUMBERS) * 3
    verdicts = rows.set_index(["observation", "machine"])
    assert verdicts.loc[("07", "all"), "platforms"] == "local_cpu, local_cpu_avx2"
    assert verdicts.loc[("07", "all"), "verdict"] == "supported"
    for machine in MACHINES:
        alone = verdicts.loc[("07", machine)]
        assert (alone["verdict"], alone["reason"]) == ("inconclusive", "needs a second platform")
        assert verdicts.loc[("01", machine), "verdict"] == "supported"


def test_the_only_machine_has_the_verdict_of_all():
    found = tables(ALL)
    both = {"local_cpu": ALL}
    rows = by_machine.verdicts(found, MODULES, joint(found), both, CLAIMS)
    one, other = (rows[rows["machine"] == name] for name in ("all", "local_cpu"))
    assert one["verdict"].tolist() == other["verdict"].tolist()


def test_the_page_says_where_rows_come_from(rows):
    bundle = {
        "measured": "2026-11-29",
        "commit": "abc",
        "rows": 78,
        "other_code": 3,
        "answers": False,
    }
    records = {
        "local_cpu": {"cpu_model": "Some CPU"},
        "local_cpu_avx2": {"cpu_model": "Other CPU", "bundle": bundle},
    }
    page = by_machine.page(rows, records, synthetic.LOOKS)
    assert list(page.table.columns) == ["all machines", "this CPU", "this CPU, AVX2"]
    assert "this CPU: Some CPU, measured by this study." in page.note
    assert (
        "a bundle of 2026-11-29 at commit abc; 3 of 78 rows were measured with other" in page.note
    )
    assert "does not say which images its networks get right" in page.note
    assert page.table.loc[("07", NUMBERS["07"]), "this CPU"] == (
        "inconclusive: needs a second platform"
    )
    assert "needs a second platform" in pages.html(page)
