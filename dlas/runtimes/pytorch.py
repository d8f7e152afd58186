"""PyTorch: a program of `torch.export`, run eagerly."""

from dlas.plugins import RuntimePlugin

PLUGIN = RuntimePlugin(label="PyTorch", order=1, loads="pt2", line="--")
