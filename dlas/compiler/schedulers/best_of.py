"""Best of all: for each layer, the fastest of the default schedule and of other ways' results.

The candidates are measured in the network.
"""

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
