"""Best of all: for each layer the fastest of the default schedule and of what the other ways found, in the network."""

from dlas.compiler.schedulers import untuned
from dlas.compiler.tuning.combination import combine
from dlas.plugins import TuningPlugin

PLUGIN = TuningPlugin(
    label="best of all",
    order=4,
    searches=True,
    combines=("autotuned", "auto_scheduled"),
    fill="top",
)

tune = combine
schedule = untuned.schedule
