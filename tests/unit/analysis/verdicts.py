"""Studies with a known effect, and the checks of a verdict on one."""

import numpy as np

from dlas.analysis import observation
from tests.unit.analysis import synthetic

COMPRESSED = ("none", "channel_pruning", "int8")
TUNINGS = ("untuned", "auto_scheduled")
PRUNED = ("none", "weight_pruning", "channel_pruning")
FLOOR = synthetic.noise_floor()


def observe(name, study=None, floor=FLOOR, curves=None):
    return observation.load(name).observe(synthetic.tables(study, floor, curves))


def check(found, verdict):
    assert found.verdict == verdict, found
    assert found.n > 0 and found.reason
    if np.isfinite(found.ci_low):
        assert found.ci_low <= found.estimate <= found.ci_high


def check_missing(found, needs):
    assert found.verdict == "inconclusive"
    assert found.headline.startswith("inconclusive: needs") and needs in found.headline
    assert np.isnan(found.estimate)


def unmeasured(study):
    return study.assign(
        status="unavailable: no such board",
        latency_ms=None,
        latency_ms_low=None,
        latency_ms_high=None,
        gflops=None,
    )


def direct_wins(platform, dataset, model, compression, primitive, tuning):
    return 1.0 if primitive == "direct" else 1.3


def twice(*_):
    return 2.0


def tuned(speedup, untuned=None):
    """Return a latency that auto-scheduling divides by speedup(platform, dataset, model, compression, primitive)."""

    def latency(*configuration):
        before = 1.0 if untuned is None else untuned(*configuration)
        return before / (speedup(*configuration[:-1]) if configuration[-1] != "untuned" else 1)

    return latency


def both_tunings(latency, **options):
    return synthetic.study(latency, tunings=TUNINGS, **options)


QUANTIZED = ("none", "float16", "int8")
AVX512 = [("float16", "local_cpu"), ("int8", "local_cpu")]
WIDENED = [("float16", "local_cpu_avx2")]


def quantized(latency, **options):
    """Return a table of a platform with arithmetic of every type, and one with float32 alone."""
    defaults = {"compressions": QUANTIZED, "native": AVX512, "widened": WIDENED}
    return synthetic.study(latency, **defaults | options)


def gaining(native, elsewhere, primitives=synthetic.PRIMITIVES, techniques=QUANTIZED):
    """Return a latency that these techniques divide by the gain of the platform, in these primitives."""

    def latency(platform, dataset, model, compression, primitive, tuning):
        if compression == "none":
            return 1.0
        gain = native if platform == "local_cpu" else elsewhere
        return 1 / gain if primitive in primitives and compression in techniques else 1.25

    return latency


def rank(compression, primitive):
    return synthetic.COMPRESSIONS.index(compression) + 5 * synthetic.PRIMITIVES.index(primitive)


def everything(latency, **options):
    return synthetic.study(latency, **{"compressions": synthetic.COMPRESSIONS} | options)


def pruned(latency, **options):
    """Return a study of both pruning techniques in both formats, on networks of different sparsity."""
    defaults = {"compressions": PRUNED, "formats": ("dense", "csr"), "left": synthetic.left}
    return synthetic.study(latency, **defaults | options)


def channel_share(share):
    """Return a latency at which channel pruning reaches this share of its promise, weight pruning 0.5 in CSR."""

    def latency(platform, dataset, model, compression, primitive, tuning):
        before = synthetic.realistic(platform, dataset, model, "none", primitive, tuning)
        kept = synthetic.left(dataset, model, compression)
        return before * {
            "none": 1,
            "channel_pruning": kept / share,
            "weight_pruning": 2 * kept / 0.5,  # CSR takes half of it
        }.get(compression, 1)

    return latency


def joint(latency, **options):
    return synthetic.study(latency, **{"compressions": COMPRESSED} | options)
