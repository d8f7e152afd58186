"""Untuned: each primitive's hand-written default schedule."""

from dlas.plugins import TuningPlugin

PLUGIN = TuningPlugin(label="untuned", order=1, fill="full", line="-")
