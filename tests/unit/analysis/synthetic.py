"""Study tables with a known answer."""

import numpy as np
import pandas as pd

from dlas.analysis.table import NOISE_FLOOR_COLUMNS, STUDY_COLUMNS

# parameters (millions), MACs (millions) and top-1 of networks like those of the embedded study
MODELS = {
    "digits": {
        "resnet18": (0.7, 35, 98.9),
        "vgg16": (0.93, 20, 98.6),
        "mobilenet_v1": (0.22, 3.1, 97.8),
        "mobilenet_v2": (0.25, 7.0, 98.3),
    },
    "photos": {
        "resnet50": (1.5, 21, 94.2),
        "densenet161": (1.7, 45, 96.0),
        "efficientnet_b0": (0.4, 3.0, 92.1),
        "mobilenet_v2": (0.26, 2.5, 91.4),
    },
}
PRIMITIVES = ("direct", "gemm", "spatial_pack")
PLATFORMS = ("local_cpu", "local_cpu_avx2")
IMAGES = 400
BYTES = {"none": 1, "weight_pruning": 0.3, "channel_pruning": 0.45, "float16": 0.5, "int8": 0.25}


def study(
    latency,
    *,
    models=MODELS,
    platforms=PLATFORMS,
    primitives=PRIMITIVES,
    compressions=("none",),
    tunings=("untuned",),
    noise=0.004,
    seed=0,
    top1=None,
):
    """Return a study table; latency(platform, dataset, model, compression, primitive, tuning) is the truth in ms.

    What is measured deviates from it by normal noise of this standard deviation, which the intervals describe.
    """
    draw = np.random.default_rng(seed)
    rows = []
    for dataset, nets in models.items():
        for model, (params, macs, accuracy) in nets.items():
            correct = draw.binomial(IMAGES, (top1(dataset, model) if top1 else accuracy) / 100)
            for platform in platforms:
                for compression in compressions:
                    for primitive in primitives:
                        for tuning in tunings:
                            true = latency(platform, dataset, model, compression, primitive, tuning)
                            row = dict.fromkeys(STUDY_COLUMNS)
                            measured = true * np.exp(noise * draw.standard_normal())
                            row |= {
                                "dataset": dataset,
                                "model": model,
                                "compression": compression,
                                "level": 0.0,
                                "primitive": primitive,
                                "format": "dense",
                                "dtype": "float32",
                                "tuning": tuning,
                                "platform": platform,
                                "params": int(params * 1e6),
                                "nonzero_params": int(params * 1e6),
                                "macs": int(macs * 1e6),
                                "model_bytes": int(params * 4e6 * BYTES[compression]),
                                "library_bytes": 10**6,
                                "top1": 100 * correct / IMAGES,
                                "top1_compiled": 100 * correct / IMAGES,
                                "latency_ms": measured,
                                "latency_ms_low": measured * np.exp(-1.96 * noise),
                                "latency_ms_high": measured * np.exp(1.96 * noise),
                                "repeats": 20,
                                "threads": 1,
                                "gflops": 2 * macs / measured,
                                "peak_fraction": 2 * macs / measured / 118,
                                "status": "ok",
                            }
                            rows.append(row)
    return pd.DataFrame(rows, columns=STUDY_COLUMNS)


def noise_floor(factor=1.01, *, models=MODELS, platforms=PLATFORMS):
    """Return a table of A/A ratios whose far limit is `factor`."""
    rows = [
        (platform, dataset, model, factor**0.5, 1 / factor**0.2, factor)
        for platform in platforms
        for dataset, nets in models.items()
        for model in nets
    ]
    return pd.DataFrame(rows, columns=NOISE_FLOOR_COLUMNS)


def realistic(platform, dataset, model, compression, primitive, tuning):
    """Return a latency like those of the embedded study."""
    _, macs, _ = MODELS[dataset][model]
    depthwise = "mobilenet" in model or "efficientnet" in model
    primitive_cost = {
        "direct": 1.0,
        "gemm": 3.1 if depthwise else 1.25,
        "spatial_pack": 1.15 if depthwise else 0.8,
    }
    cost = 2 * macs / 60 * primitive_cost[primitive] + 0.03
    cost *= {"local_cpu": 1.0, "local_cpu_avx2": 1.25 if primitive == "gemm" else 1.45}[platform]
    gain = {"none": 1, "weight_pruning": 0.8, "channel_pruning": 2.1, "float16": 0.9, "int8": 1.9}[
        compression
    ]
    if compression == "int8" and platform == "local_cpu":
        gain = 3.6
    return cost / gain / (1.6 if tuning == "auto_scheduled" else 1)
