"""What a job says of itself."""

import json
import platform

import numpy as np

from dlas import provenance


def test_a_record_names_what_made_an_artifact():
    params = {"settings": {"seed": 1}, "code": "abc"}
    found = provenance.record("train_model", ["a.npz"], ["b.safetensors"], params, 1.23456)
    assert json.loads(json.dumps(found)) == found
    assert (found["rule"], found["inputs"], found["outputs"]) == (
        "train_model",
        ["a.npz"],
        ["b.safetensors"],
    )
    assert found["params"] == params and found["seconds"] == 1.235
    assert found["versions"]["python"] == platform.python_version()
    assert found["versions"]["numpy"] == np.__version__
    assert "json" not in found["versions"]
    assert found["machine"]["cores"] >= 1 and found["machine"]["processor"]
