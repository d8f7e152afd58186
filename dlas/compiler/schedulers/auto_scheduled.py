"""Auto-scheduled: schedules that MetaSchedule's own rules make of the bare loops, found by measuring on the platform.

A kernel for which no candidate is right, and what lies between the convolutions, has the default
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
