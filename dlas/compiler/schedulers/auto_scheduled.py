"""Auto-scheduled: schedules from the bare loops by MetaSchedule's rules, found by measuring.

A kernel without a correct candidate, and the operators between convolutions, have the default
schedule.
"""

from dlas.compiler.schedulers import untuned
from dlas.compiler.tuning import rules
from dlas.compiler.tuning.auto_scheduling import auto_schedule
from dlas.plugins import TuningPlugin

PLUGIN = TuningPlugin(label="auto-scheduled", order=3, searches=True, fill="right", line="-.")

supports = rules.supports
tune = auto_schedule
schedule = untuned.schedule
