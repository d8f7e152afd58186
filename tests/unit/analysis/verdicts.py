"""Studies with a known effect, and the checks of a verdict on one."""

from dataclasses import replace

import numpy as np
import pytest

from dlas.analysis import observation
from dlas.analysis.effects import Rounds
from tests.unit.analysis import synthetic

COMPRESSED = ("none", "channel_pruning", "int8")
# What the two contrasts compare: with a template, and without one.
TUNINGS = ("untuned", "autotuned")
LOOPS = ("unscheduled", "auto_scheduled")
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


def on(models, latency, otherwise):
    """Return a latency that is one on these models and the other elsewhere."""
    return lambda *names: (latency if names[2] in models else otherwise)(*names)


def network_models(count, dataset="digits"):
    """Return models in the order of their size, MACs and accuracy."""
    return {
        dataset: {
            f"net{step}": (2.0**step, 10 * 2.0**step, 60 + 36 * step / count)
            for step in range(count)
        }
    }


def check_unpaired(name, tables):
    """Without samples, with those of one round and of different rounds there is no pair, and
    nothing is decided.
    """
    log = tables.rounds.log
    none = np.full_like(log, np.nan)
    once, alternating = none.copy(), log.copy()
    once[:, 3] = log[:, 3]
    alternating[::2, ::2] = alternating[1::2, 1::2] = np.nan
    counted = f"2 rounds are missing of {len(tables.study)} measured configurations"
    for one in (none, none[:, :0], once, alternating):
        unpaired = replace(tables, rounds=Rounds(one, tables.rounds.job))
        check_missing(observation.assess(observation.load(name), unpaired), counted)
    half = log.copy()
    half[0, ::2] = np.nan
    found = observation.load(name).observe(replace(tables, rounds=Rounds(half, tables.rounds.job)))
    assert found.n and not found.reason.startswith("needs")


def check_drift(name, tables, unpaired=()):
    """What slows all libraries of a job in a round changes nothing, nor do wide intervals of the
    latencies themselves.

    `unpaired` are the observations that compare some of these.
    """
    _, job = np.unique(tables.rounds.job, return_inverse=True)
    shape = (job.max() + 1, tables.rounds.log.shape[1])
    drift = np.random.default_rng(0).standard_normal(shape)[job]
    wide = {"latency_ms_low": tables.study["latency_ms"] / 9, "latency_ms_high": np.inf}
    study = tables.study if name in unpaired else tables.study.assign(**wide)
    rounds = Rounds(tables.rounds.log + drift, tables.rounds.job)
    drifted = replace(tables, study=study, rounds=rounds)
    found, other = (observation.load(name).observe(one) for one in (tables, drifted))
    assert np.isfinite(found.estimate) and found.verdict == other.verdict
    assert found.others.generalizes == other.others.generalizes
    numbers = [[one.estimate, one.ci_low, one.ci_high, *one.others[1:]] for one in (found, other)]
    assert numbers[0] == pytest.approx(numbers[1], nan_ok=True)


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


def tuned(speedup, untuned=None, searches=synthetic.SEARCHES):
    """Return a latency that these searches divide by speedup(platform, dataset, model, compression,
    primitive).
    """

    def latency(*configuration):
        before = 1.0 if untuned is None else untuned(*configuration)
        return before / (speedup(*configuration[:-1]) if configuration[-1] in searches else 1)

    return latency


def both_ways(latency, tunings=LOOPS, **options):
    return synthetic.study(latency, tunings=tunings, **options)


QUANTIZED = ("none", "float16", "int8")
AVX512 = [("float16", "local_cpu"), ("int8", "local_cpu")]
WIDENED = [("float16", "local_cpu_avx2")]


def quantized(latency, **options):
    """Return a table of a platform with arithmetic of every type, and one with float32 alone."""
    defaults = {"compressions": QUANTIZED, "native": AVX512, "widened": WIDENED}
    return synthetic.study(latency, **defaults | options)


def gaining(native, elsewhere, primitives=synthetic.PRIMITIVES, techniques=QUANTIZED):
    """Return a latency that these techniques divide by the gain of the platform, in these
    primitives.
    """

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
    """Return a study of both pruning techniques in both formats, on networks of different
    sparsity.
    """
    defaults = {"compressions": PRUNED, "formats": ("dense", "csr"), "left": synthetic.left}
    return synthetic.study(latency, **defaults | options)


def channel_share(share):
    """Return a latency at which channel pruning reaches this share of its promise, weight pruning
    0.5 in CSR.
    """

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
