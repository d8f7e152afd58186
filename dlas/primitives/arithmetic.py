"""In what numbers a convolution multiplies and adds up."""

from typing import Any

from tvm import te

# Feature maps of these types: the type of the products and of their sums. Weights of uint8 feature maps are int8.
# A CPU without float16 arithmetic widens its operands; with it, sums of hundreds of products would still want float32.
SUMS = {"float32": "float32", "float16": "float32", "uint8": "int32"}


def multiply(data: te.Tensor, element: Any, weight: Any) -> Any:
    """Return an element of `data` times an element of a weight, in the type of the sums."""
    sums = SUMS[str(data.dtype)]
    if sums == str(data.dtype):
        return element * weight
    return element.astype(sums) * weight.astype(sums)
