"""The measured properties of a network at one level of a technique."""

# Percent, counts and bytes; None for a level that could not be made.
MEASURES = ("validation_top1", "top1", "params", "nonzero_params", "macs", "model_bytes")
