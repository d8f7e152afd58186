"""Auto-scheduled: a schedule for each layer, found by measuring candidates on the platform."""

from dlas.compiler.tuning.network import tune_network
from dlas.plugins import TuningPlugin

PLUGIN = TuningPlugin(label="auto-scheduled", order=2, searches=True, fill="none", line="--")

tune = tune_network
