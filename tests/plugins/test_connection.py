"""A connection is chosen by the setting of its name; tests/boards tests real servers."""

import pytest

from dlas import registry, study
from dlas.errors import StudyError
from dlas.hardware.connections.plugin import kind_of

KIND = "connection"


def test_one_of_its_settings_has_its_name(name):
    settings = registry.describe("connection", name).settings
    assert name in settings and settings[name].required


def test_the_setting_of_its_name_chooses_it(name):
    assert kind_of({name: "anything", "timeout_s": 60}) == name


def test_a_platform_without_its_settings_is_refused(name):
    """In one line that names the platform's key."""
    connection = {key: None for key in registry.describe("connection", name).settings}
    with pytest.raises(StudyError, match=r"platforms\.board\.connection") as error:
        study.load(
            {
                "platforms": {
                    "board": {
                        "target": {"kind": "llvm"},
                        "threads": 1,
                        "connection": connection,
                        "timing": {"warmup": 0, "rounds": 2, "min_repeat_ms": 1},
                    }
                }
            }
        )
    assert "\n" not in str(error.value)
