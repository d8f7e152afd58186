"""The benchmarks' command lines: each explains itself, and the one of trainings runs."""

import re
from importlib import import_module

import pytest

from benchmarks import training
from dlas.config.files import ROOT

COMMANDS = [
    path.stem
    for path in sorted((ROOT / "benchmarks").glob("*.py"))
    if "__main__" in path.read_text()
]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmark_explains_itself_and_measures_nothing(name, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit) as stopped:
        import_module(f"benchmarks.{name}").main()
    assert stopped.value.code == 0
    assert "--help" in capsys.readouterr().out


def test_trainings_are_timed_twice_with_the_same_bits(monkeypatch, capsys):
    options = "--dataset digits_8x8 --models mobilenet_v2 --images 64 --epochs 1 --threads 1"
    config = ["--configfile", str(ROOT / "config/smoke.yaml")]
    monkeypatch.setattr("sys.argv", ["training", *config, *options.split()])
    training.main()
    header, row = capsys.readouterr().out.splitlines()[-2:]
    found = dict(zip(header.split(), row.split(), strict=True))
    assert found["model"] == "mobilenet_v2" and found["same_bits"] == "True"
    assert float(found["images_per_s"]) > 0 and re.match(r"\d", found["train_loss"])
