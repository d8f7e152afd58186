"""Search over the decisions of a layer, with MetaSchedule's search strategies."""

import itertools
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm.ir.utils import derived_object
from tvm.s_tir.schedule import Trace

from dlas.compiler.tuning.metaschedule import meta_schedule as ms
from dlas.compiler.tuning.records import Records, decisions_of
from dlas.errors import unknown

# MetaSchedule's own 512 take longer to evolve than the candidates to measure.
POPULATION = 32
# Batches in which a strategy may find nothing new.
TRIES = 5
# Ridge regression: as if each value of a decision had been seen this many times, with no effect.
SHRINKAGE = 1.0
# Weight of a trial of another layer relative to one of the layer itself.
OTHER_LAYER_WEIGHT = 0.3
# The strategies count trials too, but only the records count here.
ENDLESS = 1 << 30

# The strategies' log is not of interest.
QUIET = logging.getLogger("dlas.search")
QUIET.setLevel(logging.CRITICAL)


class Search:
    """The search of one layer. It learns from records alone, so it can be resumed at any time.

    Parameters
    ----------
    records : Records
        The layer's records.
    network : sequence of Records
        Records of all layers of the network, which guide the search while the layer has few.
    strategy : str
        "evolutionary" or "replay-trace", which is random.
    batch : int
        Maximum number of candidates that are proposed together.
    seed : int
        Seed of the search.

    Raises
    ------
    StudyError
        For an unknown strategy.
    """

    def __init__(
        self, records: Records, network: Sequence[Records], strategy: str, batch: int, seed: int
    ) -> None:
        self.records = records
        strategies = {
            "evolutionary": lambda: ms.search_strategy.EvolutionarySearch(
                population_size=POPULATION,
                init_measured_ratio=0.5,
                init_min_unmeasured=POPULATION // 4,
                genetic_num_iters=2,
                eps_greedy=0.1,
            ),
            "replay-trace": lambda: ms.search_strategy.ReplayTrace(),
        }
        if strategy not in strategies:
            raise unknown("search strategy", strategy, strategies)
        self.random = np.random.default_rng(seed)
        self.context = ms.TuneContext(
            records.module,
            target=records.target,
            space_generator=ms.space_generator.ScheduleFn(
                lambda schedule: records.sample(schedule),
                sch_rules=[],
                postprocs=[],
                mutator_probs={_Change(self.random): 1.0},
            ),
            search_strategy=strategies[strategy](),
            num_threads=1,
            rand_state=1 + seed % (2**31 - 2),
            logger=QUIET,
        )
        self.context.pre_tuning(
            ENDLESS,
            batch,
            database=records.database,
            cost_model=_Effects(records, network, self.random),
        )

    def propose(self, count: int) -> list[dict[str, int]]:
        """Return up to `count` decisions that are not in the records."""
        found: list[dict[str, int]] = []
        for _ in range(TRIES):
            candidates = self.context.generate_measure_candidates()
            if candidates is None:
                break
            for candidate in candidates:
                decisions = decisions_of(candidate.sch.trace)
                if decisions not in found and self.records.known(decisions) is None:
                    found.append(decisions)
            # Both strategies only count results: they learn from the database.
            nothing = [ms.runner.RunnerResult(None, "not measured yet") for _ in candidates]
            self.context.notify_runner_results(candidates, nothing)
            if found:
                return found[:count]
        # The space is nearly exhausted, so the rest is enumerated.
        left = (each for each in self.records.layer.points() if self.records.known(each) is None)
        return list(itertools.islice(left, count))

    def close(self) -> None:
        """End the search."""
        self.context.post_tuning()


@derived_object
class _Change(ms.mutator.PyMutator):
    """Mutator that changes one or two decisions."""

    def __init__(self, random: np.random.Generator) -> None:
        super().__init__()
        self.random = random

    def _initialize_with_tune_context(self, context: Any) -> None:
        pass

    def apply(self, trace: Trace, _: Any) -> Trace | None:
        open_ones = [
            instruction
            for instruction in trace.insts
            if instruction.kind.name == "SampleCategorical" and len(instruction.attrs[0]) > 1
        ]
        if not open_ones:
            return None
        count = min(len(open_ones), 1 + int(self.random.integers(2)))
        for index in self.random.choice(len(open_ones), count, replace=False):
            instruction = open_ones[index]
            now, values = int(trace.decisions[instruction]), len(instruction.attrs[0])
            other = (now + 1 + int(self.random.integers(values - 1))) % values
            trace = trace.with_decision(instruction, other, remove_postproc=True)
        return trace

    def clone(self) -> Any:
        return _Change(self.random)


@derived_object
class _Effects(ms.cost_model.PyCostModel):
    """Cost model in which each value of each decision multiplies the speed by one factor."""

    def __init__(
        self, records: Records, network: Sequence[Records], random: np.random.Generator
    ) -> None:
        super().__init__()
        self.records, self.network, self.random = records, network, random
        self.columns = [(name, value) for name, values in records.space.items() for value in values]

    def load(self, path: str) -> None:
        raise NotImplementedError("the model is made of the records")

    def save(self, path: str) -> None:
        raise NotImplementedError("the model is made of the records")

    def update(self, context: Any, candidates: Any, results: Any) -> None:
        pass

    def predict(self, context: Any, candidates: Sequence[Any]) -> np.ndarray:
        """Return scores, larger ones for faster code. Noise lets equal candidates take turns."""
        asked = self.features([decisions_of(candidate.sch.trace) for candidate in candidates])
        noise = self.random.normal(scale=0.05, size=len(candidates))
        scores: np.ndarray = np.exp(asked @ self.effects() + noise)
        return scores

    def features(self, all_decisions: Sequence[dict[str, int]]) -> np.ndarray:
        return np.array(
            [
                [float(decisions.get(name) == value) for name, value in self.columns]
                for decisions in all_decisions
            ]
        )

    def effects(self) -> np.ndarray:
        """Return the log speed of each value relative to the default, by ridge regression."""
        seen, speeds = [], []
        for records in self.network:
            worked = [trial for trial in records.trials if not trial.failed]
            slowest = max(trial.seconds for trial in worked)
            weight = 1.0 if records is self.records else OTHER_LAYER_WEIGHT
            for trial in records.trials:
                seconds = slowest if trial.failed else trial.seconds
                seen.append(weight * self.features([trial.decisions])[0])
                speeds.append(weight * np.log(worked[0].seconds / seconds))
        rows = np.array(seen)
        squares = rows.T @ rows + SHRINKAGE * np.eye(len(self.columns))
        effects: np.ndarray = np.linalg.solve(squares, rows.T @ np.array(speeds))
        return effects
