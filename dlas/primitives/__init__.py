"""Layer 4, algorithms and data formats: primitives and weight formats, one file each."""

from dlas.primitives.plugin import load, load_format, names

__all__ = ["load", "load_format", "names"]
