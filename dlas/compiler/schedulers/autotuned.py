"""Autotuned: each primitive's schedule with the best knobs found by measuring on the platform."""

from dlas.compiler.schedulers import untuned
from dlas.compiler.tuning.network import tune_network
from dlas.plugins import TuningPlugin

PLUGIN = TuningPlugin(label="auto-tuned", order=2, searches=True, fill="none", line="--")

tune = tune_network
# A convolution carries the point that was found.
schedule = untuned.schedule
