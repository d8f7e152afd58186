"""Checks of libraries: a wrong result, crash or hang is a status and stops no other check."""

from dataclasses import replace

import pytest

from dlas.errors import StudyError
from dlas.hardware import checking
from dlas.hardware.checking import check_libraries
from dlas.processes import WorkerError
from tests.unit.hardware import faulty
from tests.unit.hardware.faulty import FACTS, PLATFORM

KINDS = ("right", "wrong", "infinite", "crashes", "hangs", "last")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("libraries")


@pytest.fixture(scope="module")
def builds(folder):
    return {kind: faulty.write(kind, folder) for kind in KINDS}


@pytest.fixture(scope="module")
def expected(folder):
    return faulty.expectation(folder)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Shorten the limit of the first images."""
    monkeypatch.setattr(checking, "START_TIMEOUT_S", 15.0)


def test_each_library_has_a_status_of_its_own(folder, builds, expected):
    unbuilt = {"unsupported": {"status": "unsupported: a layer", "target": FACTS["target"]}}
    checks = check_libraries(builds | unbuilt, folder, PLATFORM, expected, 1)
    assert list(checks) == [*KINDS, "unsupported"]
    for kind, begin in {
        "right": "ok",
        "wrong": "wrong: largest relative error of a logit ",
        "infinite": "wrong: logits are not finite",
        "crashes": "failed: its check: the process died of SIGABRT",
        "hangs": "failed: its check: no answer within 15 s",
        "last": "ok",
        "unsupported": "unsupported: a layer",
    }.items():
        assert checks[kind]["status"].startswith(begin), checks[kind]
        if begin == "ok":
            assert checks[kind]["error"] < 1e-4
            assert checks[kind]["top1_compiled"] == expected.top1
        else:
            assert checks[kind]["error"] is checks[kind]["top1_compiled"] is None


def test_the_top1_of_a_slow_library_is_not_taken(folder, builds, expected):
    both = {name: builds[name] for name in ("right", "wrong")}
    other = replace(expected, top1=expected.top1 - 50)
    checks = check_libraries(both, folder, PLATFORM, other, 1, slow=["right", "wrong"])
    assert checks["right"]["status"] == "ok" and checks["right"]["error"] < 1e-4
    assert checks["right"]["top1_compiled"] is None
    assert checks["wrong"]["status"].startswith("wrong: largest relative error of a logit ")


def test_another_top1_is_wrong(folder, builds, expected):
    # One of the 40 images, 2.5 points, is always allowed.
    other = replace(expected, top1=expected.top1 + 3)
    (check,) = check_libraries({"right": builds["right"]}, folder, PLATFORM, other, 1).values()
    assert check["status"].startswith(f"wrong: top-1 {expected.top1:.2f} %, the framework's is ")


def test_without_libraries_nothing_is_checked(folder, expected):
    unbuilt = {"one": {"status": "failed: the compiler"}}
    checks = check_libraries(unbuilt, folder, PLATFORM, replace(expected, dataset="none"), 1)
    assert checks["one"]["status"] == "failed: the compiler"


def test_a_library_that_cannot_be_loaded_is_a_status(folder, builds, tmp_path, expected):
    """One that needs a function which is not there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(faulty.ENDS, "lacks", "no_such_function_anywhere")
        record = faulty.write("lacks", tmp_path)
    (tmp_path / "right.so").write_bytes((folder / "right.so").read_bytes())
    both = {"lacks": record, "right": builds["right"]}
    checks = check_libraries(both, tmp_path, PLATFORM, expected, 1)
    assert checks["lacks"]["status"].startswith("failed: ")
    assert checks["right"]["status"] == "ok"


def test_what_no_library_can_help_is_no_status(folder, builds, tmp_path, expected):
    one = {"right": builds["right"]}
    with pytest.raises(StudyError, match="is missing"):
        check_libraries(one, tmp_path, PLATFORM, expected, 1)
    with pytest.raises(StudyError, match=r"none\.npz"):
        check_libraries(one, folder, PLATFORM, replace(expected, dataset="none.npz"), 1)
    with pytest.raises((StudyError, WorkerError)):
        check_libraries(one, folder, PLATFORM, replace(expected, reference="none.npz"), 1)
