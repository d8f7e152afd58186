"""The exponential and the logistic function, as arithmetic that compiles to vector instructions.

LLVM calls the C library once per element for its own exponential. Here the argument is reduced to
|r| <= ln(2) / 2 with exp(x) = 2^n exp(r), where n = round(x / ln 2), and ln 2 is split in two so
that n times its upper part is exact (Cody and Waite, Software Manual for the Elementary Functions,
1980, chapter 6). There exp(r) = 1 + r + r^2 q(r), where q is the polynomial of degree 4 with the
smallest largest relative error, 3.1e-9, found by the Remez exchange algorithm (Muller et al.,
Handbook of Floating-Point Arithmetic, chapter 10).

Every operation is rounded separately, so every target and the integer reference compute the same
float32.
"""

from collections.abc import Callable
from typing import Any

from tvm import te, tirx

from dlas.compiler.normalization import rounded
from dlas.compiler.quantization import ROUND

# exp is 0 below the first and infinite above the second, as 2^n is.
UNDERFLOW, OVERFLOW = -88.0, 89.0
LOG2_E = 1.44269504
LN2_UPPER, LN2_LOWER = 0.693359375, -2.12194440e-4
# Coefficients of q, the highest power first.
COEFFICIENTS = (0.00138145, 0.00836875, 0.04166839, 0.1666652, 0.49999993)
EXPONENT_BIAS, MANTISSA_BITS = 127, 23


def exp(data: te.Tensor) -> te.Tensor:
    """Return the exponential of `data`, float32 or float16, computed in float32.

    In float32 the relative error is at most 1e-7 from -87.3 to 88.3. The result is 0 below -87.7
    and infinite above 88.4.
    """
    return _elementwise(data, _exp, "exp")


def sigmoid(data: te.Tensor) -> te.Tensor:
    """Return 1 / (1 + exp(-x)) of `data`, float32 or float16, computed in float32.

    In float32 the relative error is at most 1.5e-7 above -87.3. The result is 0 below -88.4.
    """
    return _elementwise(data, lambda x: 1.0 / (1.0 + _exp(-x)), "sigmoid")


def _elementwise(data: te.Tensor, function: Callable[[Any], Any], name: str) -> te.Tensor:
    def element(*index: Any) -> Any:
        return function(data(*index).astype("float32")).astype(data.dtype)

    return te.compute(data.shape, element, name=name)


def _exp(value: Any) -> Any:
    # With the constant first, these let a NaN pass.
    clipped = tirx.Max(_float(UNDERFLOW), tirx.Min(_float(OVERFLOW), value))
    return _let("x", clipped, _exp_of_clipped)


def _exp_of_clipped(x: Any) -> Any:
    def scaled(n: Any) -> Any:
        exponent = n.astype("int32") + EXPONENT_BIAS
        power = tirx.reinterpret("float32", exponent << MANTISSA_BITS)
        remainder = x - n * LN2_UPPER - rounded(n * LN2_LOWER)
        return _let("r", remainder, _exp_of_remainder) * power

    return _let("n", tirx.call_llvm_pure_intrin("float32", ROUND, x * LOG2_E), scaled)


def _exp_of_remainder(r: Any) -> Any:
    first, *others = COEFFICIENTS
    polynomial = _float(first)
    for coefficient in others:
        polynomial = rounded(polynomial * r) + coefficient
    return rounded(polynomial * rounded(r * r)) + r + 1.0


def _let(name: str, value: Any, use: Callable[[Any], Any]) -> Any:
    """Return `use` of a value that is computed once.

    In a vectorized loop the value must be a vector, which `lowering` ensures: TVM 0.27 does not
    compile it otherwise.
    """
    variable = tirx.Var(name, "float32")
    return tirx.Let(variable, value, use(variable))


def _float(value: float) -> Any:
    return tirx.const(value, "float32")
