"""Tables with a true effect that is a claim's threshold times a factor, drawn anew for each seed:
`EFFECTS`.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
from scipy.stats import norm

from dlas.analysis import observation, reach
from dlas.analysis.answers import Answers, level_name
from dlas.analysis.observations import (
    channel_pruning_promise,
    compression_speedup_by_platform,
    gains_multiply,
    joint_choice,
    native_precision,
    sparsity_promise,
    structured_sparsity,
    tuning_speedup,
)
from dlas.analysis.winners import COUNTS
from tests.unit.analysis import synthetic
from tests.unit.analysis.verdicts import (
    COMPRESSED,
    LOOPS,
    PRUNED,
    channel_share,
    everything,
    joint,
    pruned,
    quantized,
    tuned,
)

FOUR_MODELS = {dataset: dict(list(nets.items())[:2]) for dataset, nets in synthetic.MODELS.items()}
ONE_MODEL = {
    dataset: {"mobilenet_v2": nets["mobilenet_v2"]} for dataset, nets in synthetic.MODELS.items()
}
# Sizes, MACs and accuracies in one order, far from one another.
IN_ORDER = {
    "digits": {f"net{step}": (2.0**step, 10.0 * 2**step, 18 + 20 * step) for step in range(5)}
}
DRAWS = 1000
# Of the data sets, like those of the embedded study.
IMAGES = {"digits": 2_500, "photos": 350}
# How far beyond its threshold an effect is that is not the one in question.
FAR = 3.0
EVERY_MODEL = {name: nets | IN_ORDER.get(name, {}) for name, nets in synthetic.MODELS.items()}


def alike(dataset, model):
    return 1.0


def networks(seed, spread, models=synthetic.MODELS, centred=False):
    """Return by which factor each network's effect differs from their mean, at random.

    The mean is that of all networks, or, if centred, that of the ones that are here.
    """
    names = [(dataset, model) for dataset, nets in models.items() for model in nets]
    logs = spread * np.random.default_rng(10_000 + seed).standard_normal(len(names))
    found = dict(zip(names, np.exp(logs - centred * logs.mean()), strict=True))
    return lambda dataset, model: found[dataset, model]


def in_order(latency):
    """Return tables of networks with latency(factor, size): size is 1 for the smallest, the next is
    twice as large.
    """

    def tables(factor, own, **options):
        return synthetic.study(
            lambda platform, dataset, model, *_: latency(factor, 2.0 ** int(model[-1])),
            models=IN_ORDER,
            primitives=("direct",),
            **options,
        )

    return tables


@cache
def _ends(technique):
    """Return the compressions at equal accuracy, as the rule reads them off a ladder, and where a
    point is lost.
    """
    ends = np.geomspace(1.2, 40, 300)
    one = {"digits": {"net": (100.0, 1, 99.0)}}
    found = []
    for end in ends:
        ladder = synthetic.curves(
            lambda *_, end=end: end, models=one, compressions=[technique], images=10**7
        )
        compressed = ladder["params"].iloc[0] / ladder["nonzero_params"].to_numpy(float)
        found.append(float(reach.reach(compressed, ladder["top1"])[0]))
    return np.log(found), np.log(ends)


def curves(reaches, seed, models, techniques):
    """Return curves and answers of networks whose techniques reach reaches(dataset, model,
    technique).

    Whether an image is answered correctly depends on the image, on the network, and a little on the
    level.
    """

    def holds(dataset, model, technique):
        return np.exp(np.interp(np.log(reaches(dataset, model, technique)), *_ends(technique)))

    exact = synthetic.curves(holds, models=models, compressions=("none", *techniques), images=10**7)
    draw = np.random.default_rng(seed)
    common = {name: draw.standard_normal(images) for name, images in IMAGES.items()}
    of_model, found, top1 = {}, {}, []
    for row in exact.itertuples():
        compression, level = row.compression, level_name(row.level)
        if level == "0":
            compression, level = "none", "single"
        key = (row.dataset, row.model, compression, level)
        if key not in found:
            images = IMAGES[row.dataset]
            own = of_model.setdefault(key[:2], draw.standard_normal(images))
            hardness = np.array([0.45, 0.45, 0.1]) ** 0.5 @ [
                common[row.dataset],
                own,
                draw.standard_normal(images),
            ]
            found[key] = (hardness > norm.ppf(row.top1 / 100)).astype(np.uint16)
        top1.append(100 * (1 - found[key].mean()))
    labels = {name: np.zeros(images, np.uint16) for name, images in IMAGES.items()}
    return replace(
        synthetic.tables(), curves=exact.assign(top1=top1), answers=Answers(labels, found)
    )


def further(factor, own, seed, **_):
    def reaches(dataset, model, technique):
        if technique == "channel_pruning":
            return 2.8
        return 2.8 * reach.FURTHER * factor * own(dataset, model)

    return curves(reaches, seed, synthetic.MODELS, PRUNED[1:])


def less_compact(factor, own, seed, **_):
    def reaches(dataset, model, technique):
        group = 1 if model in synthetic.COMPACT else reach.FURTHER * factor
        return 3.5 * (1.3 if dataset == "digits" else 1) * group * own(dataset, model)

    return curves(reaches, seed, synthetic.MODELS, ["weight_pruning"])


def losing(turned, factor):
    """Return a latency with which direct, the best primitive, loses the threshold times a factor in
    some conditions.

    A loss is never below 1: short of the threshold, direct is faster than the next primitive by the
    factor.
    """
    by = COUNTS * factor if factor >= 1 else factor

    def latency(*configuration):
        costs = (by, 1.0, 2.5) if turned(*configuration) else (1.0, 2.0, 2.5)
        return dict(zip(synthetic.PRIMITIVES, costs, strict=True))[configuration[4]]

    return latency


def one_loses(factor, own, **options):
    latency = losing(lambda platform, dataset, *_: dataset == "photos", factor)
    return synthetic.study(latency, models=FOUR_MODELS, **options)


def tuning_turns(factor, own, **options):
    latency = losing(lambda *configuration: configuration[-1] == "auto_scheduled", factor)
    return synthetic.study(latency, models=FOUR_MODELS, tunings=LOOPS, **options)


def precision_turns(factor, own, **options):
    latency = losing(lambda *configuration: configuration[3] == "int8", factor)
    return quantized(latency, models=FOUR_MODELS, **options)


def tuning_differs(part):
    """Return tables in which tuning gains differently: by a factor in this part of the claim, far
    so in the others.
    """

    def tables(factor, own, **options):
        by = dict.fromkeys(tuning_speedup.FACTORS, tuning_speedup.THRESHOLD * FAR)
        by[part] = tuning_speedup.THRESHOLD * factor

        def speedup(platform, dataset, model, compression, primitive):
            return own(dataset, model) ** (primitive == "gemm") * np.prod(
                [
                    by["primitives"] ** (primitive == "gemm"),
                    by["models"] ** (model in ("vgg16", "densenet161")),
                    by["platforms"] ** (platform == "local_cpu"),
                ]
            )

        return synthetic.study(tuned(speedup), tunings=LOOPS, models=FOUR_MODELS, **options)

    return tables


def hardware_differs(factor, own, **options):
    def latency(platform, dataset, model, compression, primitive, tuning):
        if compression == "none":
            return 4.0
        by = compression_speedup_by_platform.THRESHOLD * factor * own(dataset, model)
        return 2.0 if platform == "local_cpu" else 2.0 * by

    return synthetic.study(latency, compressions=COMPRESSED, models=FOUR_MODELS, **options)


def short_of_the_promise(factor, own, **options):
    """One group of primitive and platform does, the others are far from it."""

    def latency(platform, dataset, model, compression, primitive, tuning):
        if compression == "none":
            return 1.0
        closest = (platform, primitive) == ("local_cpu", "gemm")
        by = sparsity_promise.THRESHOLD * (factor if closest else FAR)
        # CSR takes half of it
        return 2 * synthetic.left(dataset, model, compression) * by * own(dataset, model)

    compressions = ("none", "weight_pruning")
    return pruned(latency, compressions=compressions, models=FOUR_MODELS, **options)


def closer_to_the_promise(factor, own, **options):
    def latency(platform, dataset, model, *rest):
        share = 0.5 * channel_pruning_promise.THRESHOLD * factor * own(dataset, model)
        return channel_share(share)(platform, dataset, model, *rest)

    return pruned(latency, models=FOUR_MODELS, **options)


def paying(part):
    """Return tables in which types pay off natively and not elsewhere: by a factor in this part,
    far in the other.
    """

    def tables(factor, own, **options):
        def latency(platform, dataset, model, compression, primitive, tuning):
            here = "native" if platform == "local_cpu" else "elsewhere"
            sign = 1 if here == "native" else -1
            gain = native_precision.THRESHOLD * (factor if here == part else FAR) ** sign
            return 1.0 if compression == "none" else 1 / (gain * own(dataset, model))

        return quantized(latency, models=FOUR_MODELS, **options)

    return tables


def orders(photos):
    """Return tables of nine configurations, each faster by a factor than the one before, on photos
    in this order.
    """

    def tables(factor, own, **options):
        def latency(platform, dataset, model, compression, primitive, tuning):
            at = COMPRESSED.index(compression) * 3 + synthetic.PRIMITIVES.index(primitive)
            return factor ** (at if dataset == "digits" else photos[at])

        return everything(latency, compressions=COMPRESSED, models=ONE_MODEL, **options)

    return tables


def better_jointly(factor, own, **options):
    def latency(platform, dataset, model, compression, primitive, tuning):
        cost = {"direct": 1.0, "gemm": 1.3, "spatial_pack": 1.3}[primitive]
        if compression == "int8":
            together = 0.5 / (joint_choice.THRESHOLD * factor * own(dataset, model))
            return 0.9 if primitive == "direct" else together
        return cost * {"none": 1, "channel_pruning": 0.5}[compression]

    return joint(latency, models=FOUR_MODELS, **options)


def multiplying(factor, own, **options):
    """Steps gain 2 and 3, and their pair the product over the threshold, times the factor."""
    gains = {"none": 1, "channel_pruning": 2, "float16": 3}

    def latency(platform, dataset, model, compression, primitive, tuning):
        pair = 6 / gains_multiply.THRESHOLD * factor * own(dataset, model)
        return 1 / gains.get(compression, pair)

    compressions = (*gains, "slim_float16")
    return synthetic.study(latency, compressions=compressions, models=FOUR_MODELS, **options)


def structured_is_faster(factor, own, **options):
    def latency(platform, dataset, model, compression, primitive, tuning):
        faster = structured_sparsity.THRESHOLD * factor * own(dataset, model)
        return 1 / faster if compression == "block_sparsity" else 1.0

    compressions = ("none", "weight_pruning", "block_sparsity", "n_m_sparsity")
    return pruned(latency, compressions=compressions, models=FOUR_MODELS, **options)


# tables(factor, own, seed, noise) in which each part of each claim has an effect of its threshold
# times `factor`, and on each network times `own`, see `networks`.
EFFECTS = {
    "pruning_reach": further,
    "compact_architectures": less_compact,
    "fastest_primitive": one_loses,
    "tuning_speedup, primitives": tuning_differs("primitives"),
    "tuning_speedup, models": tuning_differs("models"),
    "tuning_speedup, platforms": tuning_differs("platforms"),
    "tuning_changes_primitive": tuning_turns,
    "compression_speedup_by_platform": hardware_differs,
    "sparsity_promise": short_of_the_promise,
    "channel_pruning_promise": closer_to_the_promise,
    "primitive_by_precision": precision_turns,
    "native_precision, native": paying("native"),
    "native_precision, elsewhere": paying("elsewhere"),
    "joint_choice": better_jointly,
    "gains_multiply": multiplying,
    "structured_sparsity": structured_is_faster,
}


def observed(case, tables, floor):
    """Return what the observation of a case says on a study, or on tables with answers."""
    if isinstance(tables, pd.DataFrame):
        tables = synthetic.tables(tables, synthetic.noise_floor(floor, models=EVERY_MODEL))
    return observation.load(case.split(",")[0]).observe(tables)
