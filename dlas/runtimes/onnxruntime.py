"""ONNX Runtime: an ONNX model on its CPU provider."""

from dlas.plugins import RuntimePlugin

PLUGIN = RuntimePlugin(label="ONNX Runtime", order=2, loads="onnx", line=(0, (1, 1)))
