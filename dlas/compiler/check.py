"""Whether a compiled network computes what its framework computes."""

import math
from collections.abc import Iterable

import numpy as np

from dlas.compiler.library import CompiledNetwork
from dlas.datasets import top1
from dlas.errors import WrongError


def largest_relative_error(outputs: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference of two arrays of logits, relative to the largest expected logit.

    Infinite where a logit is not a number or the shapes differ.
    """
    if outputs.shape != expected.shape or not np.isfinite(outputs).all():
        return math.inf
    return float(np.abs(outputs - expected).max() / np.abs(expected).max())


def relative_error_in_norm(outputs: np.ndarray, expected: np.ndarray) -> float:
    """Return the norm of the difference of two arrays of logits, relative to the norm of the expected ones.

    Infinite where a logit is not a number or the shapes differ.
    """
    if outputs.shape != expected.shape or not np.isfinite(outputs).all():
        return math.inf
    return float(np.linalg.norm(outputs - expected) / np.linalg.norm(expected))


def share_of_other_logits(outputs: np.ndarray, expected: np.ndarray) -> float:
    """Return the share of logits that are not equal to the expected ones, bit by bit."""
    if outputs.shape != expected.shape:
        return math.inf
    return float((outputs != expected).mean())


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
    """
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

    Raises
    ------
    WrongError
        Where it is over `tolerance` percentage points from the framework's.
    """
    compiled = top1(network.run(images), labels)
    if not abs(compiled - framework) <= tolerance:
        raise WrongError(
            f"top-1 {compiled:.2f} %, the framework's is {framework:.2f} %, "
            f"a difference over {tolerance:g} points"
        )
    return compiled
