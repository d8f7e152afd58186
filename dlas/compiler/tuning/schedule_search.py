"""Search a schedule of a workload from its bare loops, by the rules for its target.

Evolutionary search proposes points of the design space, which a cost model ranks: gradient-boosted
trees on features of the scheduled loops (Shao et al., "Tensor Program Optimization with
Probabilistic Programs", NeurIPS 2022).
"""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import tvm_ffi
from tvm.s_tir import Schedule

from dlas.compiler.tuning.database import Measured
from dlas.compiler.tuning.metaschedule import meta_schedule as ms
from dlas.compiler.tuning.rules import design_space
from dlas.compiler.tuning.workloads import Workload
from dlas.compiler.workload import apply_trace

# Schedules that evolve for each proposed one. MetaSchedule's own population of 512 in four
# generations takes longer to evolve than its candidates to measure.
POPULATION, GENERATIONS = 4, 2
# Batches without anything new after which the space counts as exhausted.
TRIES = 3
# The strategy counts trials too, but only the task scheduler's budget applies.
ENDLESS = 1 << 30
# Trials that the cost model learns from before it ranks candidates. Until then it ranks them at
# random.
WARM_UP = 16

# The strategy's log is not of interest.
QUIET = logging.getLogger("dlas.schedule_search")
QUIET.setLevel(logging.CRITICAL)


def cost_model(seed: int) -> Any:
    """Return a cost model that the searches of a network share, to learn across kernels."""
    # Before WARM_UP trials the model ranks candidates with NumPy's global generator.
    np.random.seed(seed % 2**32)
    config = ms.cost_model.xgb_model.XGBConfig(nthread=1, seed=seed)
    return ms.cost_model.XGBModel(config=config, num_warmup_samples=WARM_UP)


class ScheduleSearch:
    """The search of one workload, which continues from its records.

    Parameters
    ----------
    workload : Workload
        The workload.
    model : CostModel
        The network's `cost_model`.
    batch : int
        Maximum number of candidates that are proposed together.
    seed : int
        Seed of the search.
    """

    def __init__(self, workload: Workload, model: Any, batch: int, seed: int) -> None:
        self.workload, self.model = workload, model
        records = workload.records
        self.context = ms.TuneContext(
            records.module,
            target=records.target,
            space_generator=design_space(records.target),
            search_strategy=ms.search_strategy.EvolutionarySearch(
                population_size=POPULATION * batch,
                init_measured_ratio=0.5,
                init_min_unmeasured=1,
                genetic_num_iters=GENERATIONS,
                eps_greedy=0.1,
            ),
            num_threads=1,
            rand_state=1 + seed % (2**31 - 2),
            logger=QUIET,
        )
        self.context.pre_tuning(ENDLESS, batch, database=records.database, cost_model=model)
        schedules = [
            apply_trace(workload.function, trial.trace, workload.target) for trial in records.trials
        ]
        self.known = {_content(schedule) for schedule in schedules}
        self.learn(schedules, records.trials)

    def propose(self, count: int) -> list[Schedule]:
        """Return up to `count` schedules that are not in the records."""
        found: list[Schedule] = []
        misses = 0
        while len(found) < count and misses < TRIES:
            before = len(found)
            for candidate in self.context.generate_measure_candidates() or ():
                content = _content(candidate.sch)
                if content not in self.known and len(found) < count:
                    self.known.add(content)
                    found.append(candidate.sch)
            misses = misses + 1 if len(found) == before else 0
        return found

    def learn(self, schedules: Sequence[Schedule], trials: Sequence[Measured]) -> None:
        """Update the cost model with schedules and their trials."""
        candidates = [ms.search_strategy.MeasureCandidate(each, []) for each in schedules]
        self.model.update(
            self.context,
            candidates,
            [
                ms.runner.RunnerResult(None, "failed")
                if trial.failed
                else ms.runner.RunnerResult([trial.seconds], None)
                for trial in trials
            ],
        )

    def close(self) -> None:
        """End the search."""
        self.context.post_tuning()


def _content(schedule: Schedule) -> int:
    return int(tvm_ffi.structural_hash(schedule.mod["main"]))
