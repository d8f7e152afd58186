"""Check that a compiled network computes the same as its framework."""

import math
from collections.abc import Iterable

import numpy as np

from dlas.compiler.library import CompiledNetwork
from dlas.datasets import top1
from dlas.errors import FailedError, WrongError

# Tolerance in percentage points for the rounding of a share of images.
ROUNDING = 1e-9


def largest_relative_error(outputs: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference of two arrays of logits over the largest expected logit.

    It is infinite where they are not `_comparable`.
    """
    if not _comparable(outputs, expected):
        return math.inf
    difference = outputs.astype(np.float64) - expected
    return float(np.abs(difference).max() / np.abs(expected).max())


def relative_error_in_norm(outputs: np.ndarray, expected: np.ndarray) -> float:
    """Return the norm of the difference of two arrays of logits over the expected norm.

    It is infinite where they are not `_comparable`.
    """
    if not _comparable(outputs, expected):
        return math.inf
    exact = expected.astype(np.float64)
    return float(np.linalg.norm(outputs - exact) / np.linalg.norm(exact))


def share_of_other_logits(outputs: np.ndarray, expected: np.ndarray) -> float:
    """Return the share of logits, from 0 to 1, that are not equal to the expected ones.

    It is infinite where they are not `_comparable`.
    """
    if not _comparable(outputs, expected):
        return math.inf
    return float((outputs != expected).mean())


def _comparable(outputs: np.ndarray, expected: np.ndarray) -> bool:
    """Return whether two arrays are finite and of one shape, and the expected one is not all 0."""
    finite = all(np.isfinite(each).all() for each in (outputs, expected))
    return outputs.shape == expected.shape and finite and bool(expected.any())


# Error measures by the dtype of the network: the name in messages, and the function.
ERRORS = {
    "float32": ("largest relative error of a logit", largest_relative_error),
    "float16": ("relative error of the logits in norm", relative_error_in_norm),
    "int8": ("share of logits that integer arithmetic does not give", share_of_other_logits),
}


def check_outputs(
    network: CompiledNetwork,
    inputs: np.ndarray,
    expected: np.ndarray,
    dtype: str,
    tolerance: float,
) -> float:
    """Run a compiled network on images and compare its logits with `check_logits`.

    Parameters
    ----------
    network : CompiledNetwork
        The loaded network.
    inputs : ndarray of float32 [N, C, H, W]
        Images.
    expected : ndarray of float32 [N, classes]
        Logits of the framework.
    dtype : {"float32", "float16", "int8"}
        Dtype of the network.
    tolerance : float
        Largest allowed error.

    Returns
    -------
    float
        The error by the measure of `dtype`, see `ERRORS`.

    Raises
    ------
    WrongError, FailedError
        As in `check_logits`.
    """
    return check_logits(network.run(inputs), expected, dtype, tolerance)


def check_expected(expected: np.ndarray) -> None:
    """Check that a comparison with these logits [N, classes] can fail.

    Raises
    ------
    FailedError
        For logits that are not finite, all zero, or the same for several images. A library that
        ignores its input would match them.
    """
    if not np.isfinite(expected).all():
        raise FailedError("the framework's logits are not finite, so no library can be checked")
    if not expected.any():
        raise FailedError("the framework's logits are all 0, so no library can be checked")
    if len(expected) > 1 and (expected == expected[0]).all():
        raise FailedError(
            f"the framework's logits are the same for all {len(expected)} images, "
            "so no library can be checked"
        )


def check_logits(logits: np.ndarray, expected: np.ndarray, dtype: str, tolerance: float) -> float:
    """Compare logits [N, classes] with the expected ones.

    Parameters
    ----------
    logits, expected : ndarray of float32 [N, classes]
        Logits of the compiled network and of the framework.
    dtype : {"float32", "float16", "int8"}
        Dtype of the network.
    tolerance : float
        Largest allowed error.

    Returns
    -------
    float
        The error by the measure of `dtype`, see `ERRORS`.

    Raises
    ------
    WrongError
        For an error over the tolerance, or logits that are not finite.
    FailedError
        For expected logits that prove nothing, see `check_expected`.
    """
    check_expected(expected)
    if not np.isfinite(logits).all():
        # The largest float16 is 65504.
        where = ", an activation is beyond float16's range" if dtype == "float16" else ""
        raise WrongError(f"logits are not finite{where}")
    measure, error_of = ERRORS[dtype]
    error = error_of(logits, expected)
    if not error <= tolerance:
        raise WrongError(f"{measure} {error:.2g} > {tolerance:g}")
    return error


def check_top1(
    network: CompiledNetwork,
    images: Iterable[np.ndarray],
    labels: np.ndarray,
    framework: float,
    tolerance: float,
) -> float:
    """Return the compiled network's top-1 accuracy and compare it with the framework's.

    Parameters
    ----------
    network : CompiledNetwork
        The loaded network.
    images : iterable of ndarray of float32 [C, H, W]
        Images.
    labels : ndarray of int [N]
        Classes of the images.
    framework : float
        Top-1 of the framework in percent.
    tolerance : float
        Largest allowed difference in percentage points. One image is always allowed.

    Returns
    -------
    float
        Top-1 in percent.

    Raises
    ------
    WrongError
        For a larger difference, or a logit that is not finite.
    """
    compiled = top1(network.run(images), labels)
    allowed = max(tolerance, 100 / len(labels))
    if not abs(compiled - framework) <= allowed + ROUNDING:
        raise WrongError(
            f"top-1 {compiled:.2f} %, the framework's is {framework:.2f} %, "
            f"a difference over {allowed:.3g} points"
        )
    return compiled
