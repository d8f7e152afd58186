"""MetaSchedule's rules for the design space of a target.

Schedule rules tile loops, inline blocks, vectorize, unroll and bind threads, and leave parameters
open. Mutators change one parameter of a candidate. Postprocessors complete a candidate, or reject
code that the target cannot run.

CPUs and GPUs get MetaSchedule's own rules. A processor with a dot product of int8 also gets a
tiling rule for it: LLVM rejects the calls of MetaSchedule's own rule for CPUs.
"""

from typing import Any

from tvm.ir.utils import derived_object
from tvm.s_tir import Schedule
from tvm.s_tir.schedule import ScheduleError
from tvm.target import Target

from dlas.compiler.tuning.metaschedule import meta_schedule as ms
from dlas.compiler.workload import dot_products
from dlas.primitives.gpu import GPU
from dlas.primitives.plugin import WeightFormat
from dlas.primitives.vector import VectorUnit

# Kinds of targets for which MetaSchedule has rules.
KINDS = ("llvm", "cuda")
# Parameters of MetaSchedule's tiling rules: the order of the loops over the output (S) and over the
# reduction (R), the threads that run them, the largest innermost extent, and where operands and
# sums are cached. For GPUs the defaults also load 3, 8 and 16 numbers at once, which CUDA's
# compiler rejects in most dtypes.
TILING: dict[str, dict[str, Any]] = {
    "llvm": {
        "structure": "SSRSRS",
        "max_innermost_factor": 64,
        "reuse_write": ms.schedule_rule.ReuseType("may", [1, 2], "global"),
    },
    "cuda": {
        "structure": "SSSRRSRS",
        "tile_binds": ["blockIdx.x", "vthread.x", "threadIdx.x"],
        "max_innermost_factor": 64,
        "vector_load_lens": [1, 2, 4],
        "reuse_read": ms.schedule_rule.ReuseType("must", [4], "shared"),
        "reuse_write": ms.schedule_rule.ReuseType("must", [3], "local"),
    },
}
# Annotation of a block that was tiled for an instruction: its name. It is empty for a block that
# sets the sums to zero.
TENSORIZE = "meta_schedule.auto_tensorize"


def supports(weight_format: WeightFormat, vector: VectorUnit | GPU) -> str | None:
    """Decline sparse formats, and processors without rules."""
    if weight_format.PLUGIN.sparse:
        name = weight_format.__name__.rpartition(".")[2]
        return f"auto-scheduling of {name} weights, whose loops depend on data; allowed: dense"
    kind = vector.kind if isinstance(vector, GPU) else "llvm"
    if kind not in KINDS:
        return f"auto-scheduling for {kind}; allowed: targets of the kinds {', '.join(KINDS)}"
    return None


def design_space(target: Target) -> Any:
    """Return MetaSchedule's space generator with the rules for a target of one of `KINDS`."""
    kind = target.kind.name
    rules: list[Any] = []
    for rule in ms.schedule_rule.ScheduleRule.create(kind):
        if isinstance(rule, ms.schedule_rule.MultiLevelTiling):
            rules += _tiling(target)
        # This rule may bind loops that multi-level tiling has already bound, which ends the search
        # with an error.
        elif not isinstance(rule, ms.schedule_rule.CrossThreadReduction):
            rules.append(rule)
    return ms.space_generator.PostOrderApply(
        sch_rules=rules,
        postprocs=[*ms.postproc.Postproc.create(kind), _UseInstruction()],
        mutator_probs=ms.mutator.Mutator.create(kind),
    )


def _tiling(target: Target) -> list[Any]:
    """Return the tiling rules of a target, first for its int8 dot products, the widest first.

    The first rule that matches a block tiles it.
    """
    tiling = TILING[target.kind.name]
    return [
        *(
            ms.schedule_rule.MultiLevelTilingWithIntrin(name, **tiling)
            for name in dot_products(target)
        ),
        ms.schedule_rule.MultiLevelTiling(**tiling),
    ]


@derived_object
class _UseInstruction(ms.postproc.PyPostproc):
    """Postprocessor that uses the instruction for which a block was tiled.

    MetaSchedule's own postprocessor keeps the bare loops where the instruction does not match, for
    example where they compute the padding themselves. Such code is many times slower and is not
    worth a measurement.
    """

    def _initialize_with_tune_context(self, context: Any) -> None:
        pass

    def apply(self, schedule: Schedule) -> bool:
        """Return False for a candidate to reject."""
        for block in schedule.get_child_blocks(schedule.get_sblock("root")):
            annotations = schedule.get(block).annotations
            if TENSORIZE not in annotations:
                continue
            schedule.unannotate(block, TENSORIZE)
            if not annotations[TENSORIZE]:
                for zeros in schedule.get_child_blocks(block):
                    for loop in schedule.get_loops(zeros):
                        schedule.vectorize(loop)
                continue
            try:
                schedule.tensorize(block, str(annotations[TENSORIZE]))
            except ScheduleError:
                return False
        return True

    def clone(self) -> Any:
        return _UseInstruction()
