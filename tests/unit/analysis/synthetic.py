"""Study tables with a known answer."""

import zlib
from itertools import product

import numpy as np
import pandas as pd

from dlas import registry, status
from dlas.analysis.answers import Answers, level_name
from dlas.analysis.columns import CONFIGURATION, LATENCY
from dlas.analysis.effects import Rounds
from dlas.analysis.observation import Tables
from dlas.analysis.style import Looks
from dlas.analysis.table import (
    CURVES_COLUMNS,
    NOISE_FLOOR_COLUMNS,
    PEERS_COLUMNS,
    STUDY_COLUMNS,
    TUNING_CURVE,
)
from dlas.study import descriptions, load

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
GROUPS = {
    name: group
    for name in registry.names("model")
    if (group := registry.describe("model", name).group)
}
PRIMITIVES = ("direct", "gemm", "spatial_pack")
PLATFORMS = ("local_cpu", "local_cpu_avx2")
IMAGES = 400
ROUNDS = 30
COMPRESSIONS = ("none", "weight_pruning", "channel_pruning", "float16", "int8")
# What goes beyond the paper.
STRUCTURED = ("n_m_sparsity", "block_sparsity")
PIPELINES = {
    "pruned_int8": ("weight_pruning", "int8"),
    "slim_float16": ("channel_pruning", "float16"),
    "slim_pruned": ("channel_pruning", "weight_pruning"),
}
EVERY_COMPRESSION = (*COMPRESSIONS, *STRUCTURED, *PIPELINES)
STEPS = {name: PIPELINES.get(name, (name,)) for name in EVERY_COMPRESSION}
# As if every plugin took part in the study.
KINDS = ("dataset", "model", "compression", "primitive", "format", "tuning", "runtime")
LABELS = {"local_cpu": {"label": "this CPU"}, "local_cpu_avx2": {"label": "this CPU, AVX2"}}
WITH_PIPELINES = load({"study": {"compression": list(EVERY_COMPRESSION)}})
COMPRESSION_WORDS = descriptions.described("compression", registry.names("compression"))
COMPRESSION_WORDS |= descriptions.words(WITH_PIPELINES)["compression"]
LOOKS = Looks(
    {kind: descriptions.described(kind, registry.names(kind)) for kind in KINDS}
    | {"platform": LABELS, "compression": COMPRESSION_WORDS}
)

SPARSE = ("weight_pruning", *STRUCTURED, "pruned_int8", "slim_pruned")
BYTES = {
    "none": 1,
    "weight_pruning": 0.3,
    "channel_pruning": 0.45,
    "float16": 0.5,
    "int8": 0.25,
    "n_m_sparsity": 0.8,
    "block_sparsity": 0.5,
}
DTYPES = {"float16": "float16", "int8": "int8", "pruned_int8": "int8", "slim_float16": "float16"}
CHOSEN = {
    "weight_pruning": 0.9,
    "channel_pruning": 0.5,
    "n_m_sparsity": 0.5,
    "block_sparsity": 0.75,
    "pruned_int8": 0.9,
    "slim_float16": 0.5,
    "slim_pruned": 0.9,
}
LADDERS = {
    "weight_pruning": (0.5, 0.8, 0.9, 0.95, 0.98),
    "channel_pruning": (0.3, 0.5, 0.7, 0.85),
}
# The ways to schedule that search.
SEARCHES = ("autotuned", "auto_scheduled")
WAYS = ("unscheduled", "untuned", "autotuned", "auto_scheduled")
COMPACT = ("mobilenet_v1", "mobilenet_v2", "efficientnet_b0")


def study(
    latency,
    *,
    models=MODELS,
    platforms=PLATFORMS,
    primitives=PRIMITIVES,
    compressions=("none",),
    formats=("dense",),
    tunings=("untuned",),
    noise=0.004,
    seed=0,
    top1=None,
    unreached=(),
    widened=(),
    native=(),
    left=None,
):
    """Return a study table; latency(platform, dataset, model, compression, primitive, tuning) is
    the truth in ms.

    CSR, of what makes weights zero alone, takes half of it. What is measured deviates from it by
    normal noise of this standard deviation, which the intervals describe. `unreached` are the
    (dataset, model, compression) without a level within the tolerance, `widened` the (compression,
    platform) whose arithmetic is widened, `native` those of whose type its peak is four times as
    high. left(dataset, model, compression) is the share of the MACs that a pruned network is left
    with, of weight pruning those of non-zero weights.
    """
    draw = np.random.default_rng(seed)
    low, high = np.exp(-1.96 * noise), np.exp(1.96 * noise)
    rows = []
    for dataset, nets in models.items():
        for model, (params, macs, accuracy) in nets.items():
            correct = draw.binomial(IMAGES, (top1(dataset, model) if top1 else accuracy) / 100)
            for platform in platforms:
                for compression in compressions:
                    stored_as = formats if compression in SPARSE else ("dense",)
                    for primitive, weight_format in product(primitives, stored_as):
                        for tuning in tunings:
                            true = latency(platform, dataset, model, compression, primitive, tuning)
                            true *= 0.5 if weight_format == "csr" else 1
                            measured = true * np.exp(noise * draw.standard_normal())
                            none = (dataset, model, compression) in unreached
                            pale = (compression, platform) in widened
                            peak = 118 * (4 if (compression, platform) in native else 1)
                            stored = (
                                1 if none else np.prod([BYTES[step] for step in STEPS[compression]])
                            )
                            kept = left(dataset, model, compression) if left else 1
                            narrow = "channel_pruning" in STEPS[compression]
                            own = macs * (kept if narrow else 1)
                            done = own * (kept if weight_format == "csr" else 1)
                            row = {
                                "dataset": dataset,
                                "model": model,
                                "compression": compression,
                                "level": 0.0 if none else CHOSEN.get(compression),
                                "primitive": primitive,
                                "format": weight_format,
                                "dtype": DTYPES.get(compression, "float32"),
                                "tuning": tuning,
                                "platform": platform,
                                "params": int(params * 1e6),
                                "nonzero_params": int(params * 1e6),
                                "macs": int(own * 1e6),
                                "model_bytes": int(params * 4e6 * stored),
                                "library_bytes": 10**6,
                                "scheduled_layers": 9 if tuning in SEARCHES else None,
                                "primitive_layers": 9,
                                "top1": 100 * correct / IMAGES,
                                "top1_compiled": 100 * correct / IMAGES,
                                "latency_ms": measured,
                                "latency_ms_low": measured * low,
                                "latency_ms_high": measured * high,
                                "repeats": 20,
                                "threads": 1,
                                "gflops": 2 * done / measured,
                                "peak_fraction": 2 * done / measured / peak,
                                "native": compression not in DTYPES
                                or (compression, platform) in native,
                                "status": status.WIDENED if pale else status.OK,
                            }
                            rows.append(row)
    return table(rows, STUDY_COLUMNS)


def table(rows, columns):
    """Return the table of these rows, which are alike; made column by column it is made in half the
    time.
    """
    return pd.DataFrame({name: [row[name] for row in rows] for name in columns})


def noise_floor(factor=1.01, *, models=MODELS, platforms=PLATFORMS):
    """Return a table of A/A ratios whose far limit is `factor`."""
    rows = [
        (platform, dataset, model, factor**0.5, 1 / factor**0.2, factor)
        for platform in platforms
        for dataset, nets in models.items()
        for model in nets
    ]
    return pd.DataFrame(rows, columns=NOISE_FLOOR_COLUMNS)


def peers(factors=None, *, models=MODELS, platform="local_cpu"):
    """Return a table of peers; factors are their latencies over that of direct, uncompressed."""
    rows = [
        (platform, dataset, model, runtime, latency, latency / 1.01, latency * 1.01, 1, status.OK)
        for dataset, nets in models.items()
        for model in nets
        for runtime, factor in (factors or {}).items()
        for latency in [factor * realistic(platform, dataset, model, "none", "direct", "untuned")]
    ]
    return pd.DataFrame(rows, columns=PEERS_COLUMNS)


def curves(
    holds,
    *,
    models=MODELS,
    compressions=COMPRESSIONS,
    ladders=LADDERS,
    images=2_000,
    seed=None,
    tolerance=1.0,
):
    """Return a table of accuracy curves; holds(dataset, model, technique) is where top-1 has lost
    one point.

    The loss grows with the fourth power of the logarithm of the compression. With a seed, the top-1
    of both splits is drawn from this number of images, else it is exact.
    """
    draw = None if seed is None else np.random.default_rng(seed)
    rows = []

    def measured(top1):
        share = np.clip(top1, 8, 100) / 100
        return 100 * (draw.binomial(images, share) if draw else round(share * images)) / images

    for dataset, nets in models.items():
        for model, (params, macs, accuracy) in nets.items():
            pair = measured(accuracy), measured(accuracy)
            for compression in compressions:
                own, best = [], 0
                for level in (
                    (0.0, *ladders.get(compression, ())) if compression in ladders else (None,)
                ):
                    kept = 1 - (level or 0)
                    left = 0.02 + 0.98 * kept if compression == "weight_pruning" else kept**0.8
                    loss = 0.2
                    if compression in ladders:
                        end = np.log(holds(dataset, model, compression))
                        loss = (-np.log(left) / end) ** 4
                    first = level == 0 or compression == "none"
                    tops = pair if first else (measured(accuracy - loss), measured(accuracy - loss))
                    dense = compression == "weight_pruning"
                    stored = (
                        min(1, 2 * left)
                        if dense
                        else left * BYTES.get(compression, 1) ** (level is None)
                    )
                    own.append(
                        {
                            "dataset": dataset,
                            "model": model,
                            "compression": compression,
                            "level": level,
                            "validation_top1": tops[0],
                            "top1": tops[1],
                            "params": int(params * 1e6 * (1 if dense else left)),
                            "nonzero_params": int(params * 1e6 * left),
                            "macs": int(macs * 1e6 * (1 if dense else kept)),
                            "model_bytes": int(params * 4e6 * stored),
                            "chosen": False,
                            "status": status.OK,
                        }
                    )
                    if tops[0] >= pair[0] - tolerance:
                        best = len(own) - 1
                own[best]["chosen"] = True
                rows += own
    found = table(rows, CURVES_COLUMNS)
    found.attrs["images"] = images
    return found


def with_pairs(curves, loss=0.4):
    """Return curves with those of pipelines, which lose these points more than their step with a
    ladder.

    Level 0 is the other step alone, of which a curve has a point.
    """
    parts = [curves]
    for name, (first, second) in PIPELINES.items():
        ladder, other = (second, first) if second in LADDERS else (first, second)
        own = curves[curves["compression"] == ladder].assign(compression=name)
        own["model_bytes"] = (own["model_bytes"] * BYTES[other]).astype(int)
        parts.append(own.assign(**own[["top1", "validation_top1"]] - loss))
    found = pd.concat(parts, ignore_index=True)
    found.attrs.update(curves.attrs)
    return found


def tables(study=None, floor=None, curves=None):
    """Return the tables with samples and answers that agree with them; a table that is not given is
    empty.
    """
    study = pd.DataFrame(columns=STUDY_COLUMNS) if study is None else study
    curves = pd.DataFrame(columns=CURVES_COLUMNS) if curves is None else curves
    return Tables(
        study,
        pd.DataFrame(columns=NOISE_FLOOR_COLUMNS) if floor is None else floor,
        curves,
        rounds(study),
        answers(study, curves),
        GROUPS,
        STEPS,
    )


def rounds(study):
    """Return samples around the latencies of a study, with the spread that its intervals describe.

    All platforms are one machine, so that the rows of a model are sampled in one job.
    """
    latencies = study[LATENCY].to_numpy(float)
    estimate, low, high = np.log(latencies).T
    spread = (high - low) / (2 * 1.96) * ROUNDS**0.5
    # Each row has a seed of its own, so that other rows and their order change nothing.
    keys = pd.util.hash_pandas_object(study[CONFIGURATION], index=False).to_numpy(np.uint64)
    seeds = keys ^ np.ascontiguousarray(latencies[:, 0]).view(np.uint64)
    draws = [np.random.default_rng(seed).standard_normal(ROUNDS) for seed in seeds]
    noise = np.reshape(draws, (len(study), ROUNDS))
    noise -= noise.mean(axis=1, keepdims=True)
    jobs = study.groupby(["dataset", "model"]).ngroup().to_numpy()
    return Rounds(estimate[:, None] + spread[:, None] * noise, jobs)


def answers(study, curves):
    """Return answers of as many images right as the top-1 of each network says, at random and
    independent.
    """
    images = curves.attrs.get("images", IMAGES)
    networks = pd.concat(
        [table[["dataset", "model", "compression", "level", "top1"]] for table in (study, curves)]
    ).drop_duplicates(["dataset", "model", "compression", "level"])
    found = {}
    for row in networks.dropna(subset=["top1"]).itertuples():
        key = (row.dataset, row.model, row.compression, level_name(row.level))
        draw = np.random.default_rng(zlib.crc32(f"{key} {row.top1}".encode()))
        wrong = np.ones(images, np.uint16)
        wrong[draw.permutation(images)[: round(row.top1 * images / 100)]] = 0
        found[key] = wrong
    labels = {name: np.zeros(images, np.uint16) for name in networks["dataset"].unique()}
    return Answers(labels, found)


def holding(dataset, model, technique):
    """Return where a technique loses a point, like those of the embedded study."""
    reach = {"weight_pruning": 18, "channel_pruning": 4.5}[technique]
    reach *= 0.4 if model in COMPACT else 1
    reach *= 0.5 if dataset == "photos" else 1
    return max(reach, 1.3)


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
    gains = {
        "none": 1,
        "weight_pruning": 0.8,
        "channel_pruning": 2.1,
        "float16": 0.9,
        "int8": 3.6 if platform == "local_cpu" else 1.9,
        "n_m_sparsity": 0.75,
        "block_sparsity": 1.3,
    }
    gain = np.prod([gains[step] for step in STEPS[compression]])
    return cost / gain / speed(tuning, primitive)


def speed(tuning, primitive):
    """Return how fast a way to schedule is over the default schedule; of bare loops, GEMM's are
    least slow.
    """
    if tuning == "unscheduled":
        return {"direct": 1 / 30, "gemm": 1 / 15, "spatial_pack": 1 / 60}.get(primitive, 1 / 30)
    return {"untuned": 1, "autotuned": 1.6, "auto_scheduled": 0.8, "best_of": 1.7}[tuning]


def left(dataset, model, technique):
    """Return the share of the MACs that pruning leaves; compact networks keep more, as in the
    embedded study.
    """
    if technique != "weight_pruning":
        return 0.5
    share = 0.15 + 0.03 * (len(model) - 5)  # another one for each model
    return share + (0.15 if dataset == "photos" else 0)


def break_even_differs(platform, primitive, tuning):
    """Return a line of relative latency over density that primitive, tuning and platform change."""
    slope = 1.5 + 0.5 * (platform == "local_cpu_avx2") + 0.5 * (tuning == "autotuned")
    return 0.3 if primitive == "gemm" else 0.1, slope


def sparse(platform, dataset, model, compression, primitive, tuning, line=break_even_differs):
    """Return the latency of `realistic`, of weight pruning by its density.

    In CSR it takes start + slope * density of the uncompressed network's; line(platform, primitive,
    tuning) is the two.
    """
    if compression != "weight_pruning":
        return realistic(platform, dataset, model, compression, primitive, tuning)
    start, slope = line(platform, primitive, tuning)
    before = realistic(platform, dataset, model, "none", primitive, tuning)
    return 2 * before * (start + slope * left(dataset, model, compression))  # CSR takes half of it


def tuning_curve(gain, *, start=1.0, layers=5, trials=40, failing=0.1, unfinished=False, seed=0):
    """Return the curve of one search that makes the network this many times faster; each layer is
    called twice.

    The layers take turns. Their first candidates have `start` times the speed of their default
    schedules: with 1 they are these. This share of the candidates fails. Where the search is
    unfinished the last layer has no time.
    """
    draw = np.random.default_rng(seed)
    default = 0.1 * (1 + np.arange(layers))
    best, rows = np.full(layers, np.nan), []
    for trial in range(trials):
        layer = trial % layers
        late = trial // layers / max(1, (trials - 1) // layers)
        found = default[layer] / start * (gain / start) ** -late
        found *= np.exp(0.1 * abs(draw.standard_normal()) * (late > 0))
        if (late > 0 and draw.random() < failing) or (unfinished and layer == layers - 1):
            found = np.nan
        best[layer] = np.nanmin([best[layer], found]) if found == found else best[layer]
        networks = 2 * best.sum(), 2 * default.sum()
        rows.append((trial + 1, f"layer{layer}", found, best[layer], default[layer], *networks))
    return pd.DataFrame(rows, columns=TUNING_CURVE)
