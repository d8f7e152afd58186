"""Whether a compiled network computes what its framework computes."""

import math

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


def check_outputs(
    network: CompiledNetwork,
    inputs: np.ndarray,
    expected: np.ndarray,
    tolerance: float,
    what: str,
) -> float:
    """Run a compiled network on `inputs` [N, C, H, W] and compare with the framework's logits [N, classes].

    Returns the largest relative error; raises StudyError, which begins with `what`, where it is over `tolerance`.
    """
    error = largest_relative_error(network.run(inputs), expected)
    if error > tolerance:
        raise StudyError(
            f"{what}: the compiled network is wrong: its outputs differ from the framework's "
            f"by {error:.2g} of the largest; allowed: {tolerance:g}"
        )
    return error


def check_top1(
    network: CompiledNetwork,
    images: np.ndarray,
    labels: np.ndarray,
    framework: float,
    tolerance: float,
    what: str,
) -> float:
    """Return the compiled network's top-1 in percent on `images` [N, C, H, W].

    Raises StudyError, which begins with `what`, where it is over `tolerance` percentage points from the framework's.
    """
    compiled = top1(network.run(images), labels)
    if abs(compiled - framework) > tolerance:
        raise StudyError(
            f"{what}: the compiled network's top-1 is {compiled:.2f} %, the framework's "
            f"{framework:.2f} %; allowed: a difference of {tolerance:g} points"
        )
    return compiled
