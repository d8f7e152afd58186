"""Default schedules for the operators between convolutions.

They are pooling, concatenation and element-wise arithmetic.
"""

from tvm.s_tir import Schedule

from dlas.primitives import thread_blocks, tiling
from dlas.primitives.gpu import GPU
from dlas.primitives.vector import VectorUnit


def schedule_between(function: Schedule, vector: VectorUnit | GPU) -> None:
    """Inline element-wise operators, and run the rest in parallel and vectorized.

    On a GPU a thread computes one element.
    """
    names = tiling.block_names(function)
    joins = any("concat" in name for name in names)
    for name in names[:-1]:
        block = function.get_sblock(name)
        # A sum or a maximum keeps its own loops.
        if function.get(block).init is None:
            function.compute_inline(block)
    for name in tiling.block_names(function):
        if isinstance(vector, GPU):
            thread_blocks.make_elements(function, function.get_sblock(name), vector)
        else:
            _schedule_block(function, name, vector, joins)


def _schedule_block(function: Schedule, name: str, vector: VectorUnit, joins: bool) -> None:
    block = function.get_sblock(name)
    loops = function.get_loops(block)
    if not loops:
        return
    spatial, reduced = tiling.by_kind(function, block, loops)
    # Averages of whole planes end in loops of one turn, so a vector holds several planes.
    *outer, last = sorted(spatial, key=lambda loop: tiling.extents(function, [loop]) != [1])
    lanes = tiling.divisors(tiling.extents(function, [last])[0], vector.lanes)[-1]
    last, lane = function.split(last, [None, lanes])
    function.reorder(*outer, last, *reduced, lane)
    if joins and not reduced:
        tiling.parallelize(function, outer, vector)
        # One loop for each joined feature map avoids a branch at each step.
        function.annotate(last, "pragma_loop_partition_hint", 1)
    else:
        tiling.parallelize(function, [*outer, last], vector)
    if lanes > 1:
        function.vectorize(lane)
    if reduced:
        function.decompose_reduction(block, reduced[0])
