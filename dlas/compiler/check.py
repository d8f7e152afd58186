"""Whether a compiled network computes what its framework computes."""

import math
from collections.abc import Iterable

import numpy as np

from dlas.compiler.library import CompiledNetwork
from dlas.datasets import top1
from dlas.errors import StudyError


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


# How far the outputs are from what they are checked against, by what the network computes in.
ERRORS = {
    "float32": ("the largest relative error of a logit", largest_relative_error),
    "float16": ("the relative error of the logits in norm", relative_error_in_norm),
    "int8": ("the share of logits that integer arithmetic does not give", share_of_other_logits),
}


def check_outputs(
    network: CompiledNetwork,
    inputs: np.ndarray,
    expected: np.ndarray,
    dtype: str,
    tolerance: float,
    what: str,
) -> float:
    """Run a compiled network on `inputs` [N, C, H, W] and compare with the expected logits [N, classes].

    Returns the error by the measure of `dtype`, float32, float16 or int8; raises StudyError, which begins with `what`,
    where it is over `tolerance`.
    """
    return check_logits(
        network.run(inputs), expected, dtype, tolerance, f"{what}: the compiled network"
    )


def check_logits(
    logits: np.ndarray, expected: np.ndarray, dtype: str, tolerance: float, what: str
) -> float:
    """Compare logits [N, classes] of `what` with the expected ones, as `check_outputs` does."""
    if not np.isfinite(logits).all():
        where = ", as activations beyond 65504 make them" if dtype == "float16" else ""
        raise StudyError(f"{what} is wrong: its logits are not finite{where}")
    measure, error_of = ERRORS[dtype]
    error = error_of(logits, expected)
    if error > tolerance:
        raise StudyError(f"{what} is wrong: {measure} is {error:.2g}; allowed: {tolerance:g}")
    return error


def check_top1(
    network: CompiledNetwork,
    images: Iterable[np.ndarray],
    labels: np.ndarray,
    framework: float,
    tolerance: float,
    what: str,
) -> float:
    """Return the compiled network's top-1 in percent on `images`, each [C, H, W].

    Raises StudyError, which begins with `what`, where it is over `tolerance` percentage points from the framework's.
    """
    compiled = top1(network.run(images), labels)
    if abs(compiled - framework) > tolerance:
        raise StudyError(
            f"{what}: the compiled network's top-1 is {compiled:.2f} %, the framework's "
            f"{framework:.2f} %; allowed: a difference of {tolerance:g} points"
        )
    return compiled
