"""Whether a compiled network computes what its framework computes."""

import math
from collections.abc import Iterable

import numpy as np

from dlas.compiler.library import CompiledNetwork
from dlas.datasets import top1
from dlas.errors import FailedError, WrongError

# Percentage points: a share of images is no exact number.
ROUNDING = 1e-9


def largest_relative_error(outputs: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference of two arrays of logits, relative to the largest expected logit.

    Infinite where they are not `_comparable`.
    """
    if not _comparable(outputs, expected):
        return math.inf
    difference = outputs.astype(np.float64) - expected
    return float(np.abs(difference).max() / np.abs(expected).max())


def relative_error_in_norm(outputs: np.ndarray, expected: np.ndarray) -> float:
    """Return the norm of the difference of two arrays of logits, relative to the norm of the expected ones.

    Infinite where they are not `_comparable`.
    """
    if not _comparable(outputs, expected):
        return math.inf
    exact = expected.astype(np.float64)
    return float(np.linalg.norm(outputs - exact) / np.linalg.norm(exact))


def share_of_other_logits(outputs: np.ndarray, expected: np.ndarray) -> float:
    """Return the share of logits that are not equal to the expected ones.

    Infinite where they are not `_comparable`.
    """
    if not _comparable(outputs, expected):
        return math.inf
    return float((outputs != expected).mean())


def _comparable(outputs: np.ndarray, expected: np.ndarray) -> bool:
    """Return whether two arrays have one shape and finite numbers, of which an expected one is not 0."""
    finite = all(np.isfinite(each).all() for each in (outputs, expected))
    return outputs.shape == expected.shape and finite and bool(expected.any())


# How far logits are from those that they are checked against, by the dtype of the network.
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
    """Run a compiled network on images and compare its logits with the expected ones, as `check_logits` does.

    Parameters
    ----------
    network : CompiledNetwork
        The network, loaded.
    inputs : ndarray of float32 [N, C, H, W]
        The images.
    expected : ndarray of float32 [N, classes]
        The logits that the framework computes.
    dtype : {"float32", "float16", "int8"}
        What the network computes in.
    tolerance : float
        The largest error that is allowed.
    """
    return check_logits(network.run(inputs), expected, dtype, tolerance)


def check_expected(expected: np.ndarray) -> None:
    """Check that a comparison with these logits [N, classes] can fail.

    Raises
    ------
    FailedError
        For logits that are not finite, all zero, or the same for several images: those of a network
        that ignores its input, which any library computes that ignores it too.
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
        # float16 ends at 65504.
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
    """Return the compiled network's top-1 in percent on images, each [C, H, W].

    It may differ from the framework's by `tolerance` percentage points, and always by one image.

    Raises
    ------
    WrongError
        Where it differs by more, or a logit is not finite.
    """
    compiled = top1(network.run(images), labels)
    allowed = max(tolerance, 100 / len(labels))
    if not abs(compiled - framework) <= allowed + ROUNDING:
        raise WrongError(
            f"top-1 {compiled:.2f} %, the framework's is {framework:.2f} %, "
            f"a difference over {allowed:.3g} points"
        )
    return compiled
