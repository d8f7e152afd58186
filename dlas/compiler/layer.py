"""A layer as the search sees it: one convolution with its weight and its search space."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import tvm_ffi
from tvm import tirx
from tvm.s_tir import Schedule

from dlas.primitives.convolution import Convolution
from dlas.primitives.gpu import GPU
from dlas.primitives.kernel import Kernel
from dlas.primitives.knobs import Knobs, attach, attached
from dlas.primitives.layout import Layout
from dlas.primitives.plugin import Primitive, WeightFormat
from dlas.primitives.vector import VectorUnit

# A point of a layer's search space. Knobs that it leaves out have their defaults.
Chosen = Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Layer:
    """A convolution in a primitive and a weight format, with nothing fused behind it.

    Attributes
    ----------
    primitive : Primitive
        The algorithm.
    format : WeightFormat
        Format of the weight.
    weight : np.ndarray
        Weight [K, C / groups, R, S].
    convolution : Convolution
        Shape of the layer.
    data_layout : Layout
        Layout of the input.
    dtype : str
        Dtype of the input: float32, float16, uint8 or int8.
    vector : VectorUnit or GPU
        The processor.
    """

    primitive: Primitive
    format: WeightFormat
    weight: np.ndarray
    convolution: Convolution
    data_layout: Layout
    dtype: str
    vector: VectorUnit | GPU

    @property
    def name(self) -> str:
        """Kind and shape of the layer, e.g. convolution_64x64_3x3_s1_32x32."""
        shape = self.convolution
        rows, columns = shape.kernel
        size = f"{shape.in_channels}x{shape.out_channels}_{rows}x{columns}_s{shape.stride[0]}"
        return f"{shape.kind}_{size}_{shape.height}x{shape.width}"

    @property
    def macs(self) -> float:
        """Multiply-accumulate operations of one call. Sparse formats count non-zeros only."""
        if self.format.__name__.endswith(".dense"):
            return float(self.convolution.macs)
        return self.convolution.macs * np.count_nonzero(self.weight) / self.weight.size

    @cached_property
    def space(self) -> dict[str, tuple[int, ...]]:
        """Positions of each knob's options, the default first, without knobs of one option."""
        kernel, knobs = self._default
        self.format.schedule(self.primitive, Schedule(kernel.function), self.vector, knobs)
        return {name: tuple(range(options)) for name, options in knobs.space.items() if options > 1}

    @property
    def defaults(self) -> dict[str, int]:
        """The point of the default code."""
        return {name: options[0] for name, options in self.space.items()}

    def points(self) -> Iterator[dict[str, int]]:
        """Yield all points of the space, the defaults first."""
        for values in product(*self.space.values()):
            yield dict(zip(self.space, values, strict=True))

    @cached_property
    def workload(self) -> int:
        """Hash of the default code, equal for layers with the same function, in every process."""
        return int(tvm_ffi.structural_hash(self.kernel({}).function))

    @property
    def label(self) -> str:
        """Label in the names of its kernels in a network, equal for equal workloads."""
        return f"{self.name}_{self.workload:016x}"

    def kernel(self, chosen: Chosen) -> Kernel:
        """Return the unscheduled kernel of a point, annotated with the point for its schedule."""
        chosen = {name: option for name, option in chosen.items() if option}
        if not chosen:
            return self._default[0]
        kernel = self._kernel(Knobs(chosen))
        return Kernel(attach(kernel.function, chosen), kernel.constants, kernel.layout)

    def scheduled(self, kernel: Kernel) -> tirx.PrimFunc:
        """Return the scheduled function of one of its kernels, under the name "main"."""
        schedule = Schedule(kernel.function)
        self.format.schedule(self.primitive, schedule, self.vector, attached(schedule))
        return schedule.mod["main"].with_attr("global_symbol", "main")

    @cached_property
    def _default(self) -> tuple[Kernel, Knobs]:
        """The default kernel and its knobs. They are cached, as every search begins with them."""
        knobs = Knobs()
        return self._kernel(knobs), knobs

    def _kernel(self, knobs: Knobs) -> Kernel:
        return self.format.kernel(
            self.primitive,
            self.weight,
            self.convolution,
            self.data_layout,
            self.dtype,
            self.vector,
            knobs,
        )


def workload_hash(layer: Layer, target: Mapping[str, Any]) -> str:
    """Return the key of a layer's tuning records for a target."""
    rest = json.dumps([dict(target), layer.space], sort_keys=True)
    return f"{layer.workload:016x}-{hashlib.sha256(rest.encode()).hexdigest()[:16]}"
