"""A network in a primitive's own layouts: every convolution and linear layer becomes a call of that primitive.

The feature maps stay in the primitive's layout from layer to layer; weights are packed here, once. What lies between
the convolutions keeps its meaning and only changes its axes. Everything element-wise that follows a convolution
is left to TVM's operator fusion, which the primitive's schedule then finds behind its sums.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import tvm
from tvm import relax, te, topi
from tvm.relax import BlockBuilder

from dlas.compiler.network import Network
from dlas.errors import StudyError, unknown
from dlas.primitives.convolution import Convolution
from dlas.primitives.layout import NCHW, Layout, relayout
from dlas.primitives.vector import VectorUnit

# TVM's numbers for what operator fusion may do with a kernel: take in what follows; nothing.
FUSE_WHAT_FOLLOWS = 4

UNARY: dict[str, Callable[..., relax.Expr]] = {
    "relax.nn.relu": relax.op.nn.relu,
    "relax.nn.silu": relax.op.nn.silu,
    "relax.sigmoid": relax.op.sigmoid,
}
BINARY: dict[str, Callable[..., relax.Expr]] = {
    "relax.add": relax.op.add,
    "relax.subtract": relax.op.subtract,
    "relax.multiply": relax.op.multiply,
    "relax.divide": relax.op.divide,
}


@dataclass(frozen=True)
class FeatureMap:
    """A value of the lowered network: its logical shape [N, C, H, W] and how it lies in memory.

    A matrix [N, C], such as the logits, is the feature map [N, C, 1, 1].
    """

    expression: relax.Expr
    layout: Layout
    shape: tuple[int, int, int, int]


Value = FeatureMap | np.ndarray | tuple[Any, ...] | None


def lower(network: Network, primitive: ModuleType, vector: VectorUnit) -> tvm.IRModule:
    """Return the network as a Relax module `main(image)` whose weights are packed constants.

    Raises StudyError for an operator or a layer that cannot be expressed.
    """
    return _Lowering(network, primitive, vector).run()


class _Lowering:
    """One walk over the network's bindings; `values` holds what each variable has become."""

    def __init__(self, network: Network, primitive: ModuleType, vector: VectorUnit) -> None:
        self.network = network
        self.primitive = primitive
        self.vector = vector
        self.builder = BlockBuilder()
        self.values: dict[relax.Var, Value] = {}

    def run(self) -> tvm.IRModule:
        main = self.network.module["main"]
        image, *parameters = main.params
        for parameter in parameters:
            self.values[parameter] = self.network.parameters[parameter.name]
        argument = relax.Var("image", image.ty)
        with self.builder.function("main", [argument]):
            with self.builder.dataflow():
                self.values[image] = FeatureMap(argument, NCHW, self.network.input_shape)
                for block in main.body.blocks:
                    for binding in block.bindings:
                        self.values[binding.var] = self.evaluate(binding.value)
                result = self.evaluate(main.body.body)
                assert isinstance(result, FeatureMap)
                logits = self.to_layout(result, NCHW)
                shape = [int(extent) for extent in main.ret_ty.shape]
                output = self.builder.emit_output(relax.op.reshape(logits.expression, shape))
            self.builder.emit_func_output(output)
        return self.builder.finalize()

    def evaluate(self, expression: relax.Expr) -> Value:
        if isinstance(expression, relax.Var):
            return self.values[expression]
        if isinstance(expression, relax.Tuple):
            return tuple(self.evaluate(field) for field in expression.fields)
        if isinstance(expression, relax.TupleGetItem):
            return self.evaluate(expression.tuple_value)[expression.index]  # type: ignore[index]
        if isinstance(expression, relax.Call):
            return self.call(expression)
        if isinstance(expression, tvm.ir.GenericConst):
            return expression.value.numpy()
        raise StudyError(f"the network holds {type(expression).__name__}, which is not compiled")

    def call(self, call: relax.Call) -> Value:
        name = call.op.name
        if name in ("relax.zeros_like",):  # the indices of a pooling, which nothing reads
            return None
        handler = {
            "relax.nn.conv2d": self.convolution,
            "relax.matmul": self.linear,
            "relax.nn.batch_norm": self.batch_normalization,
            "relax.nn.max_pool2d": self.pooling,
            "relax.nn.avg_pool2d": self.pooling,
            "relax.nn.adaptive_avg_pool2d": self.global_average,
            "relax.mean": self.global_average,
            "relax.concat": self.concatenation,
            "relax.reshape": self.reshape,
            "relax.permute_dims": self.permutation,
            "relax.clip": self.clip,
        }.get(name)
        if handler is not None:
            return handler(call)
        operands = [self.evaluate(operand) for operand in call.args]
        if name in UNARY:
            feature = operands[0]
            return self.emitted(feature, UNARY[name](feature.expression))  # type: ignore[union-attr]
        if name in BINARY:
            return self.binary(BINARY[name], *operands)
        raise unknown("operator in the network", name, [*UNARY, *BINARY])

    def emitted(self, feature: FeatureMap, expression: relax.Expr) -> FeatureMap:
        """The value of an operator that keeps shape and layout."""
        return FeatureMap(self.builder.emit(expression), feature.layout, feature.shape)

    # Convolutions and linear layers

    def convolution(self, call: relax.Call) -> FeatureMap:
        data, weight = (self.evaluate(operand) for operand in call.args)
        attributes = call.attrs
        if [int(step) for step in attributes.dilation] != [1, 1]:
            raise StudyError(f"convolution with dilation {list(attributes.dilation)}; allowed: 1")
        batch, channels, height, width = data.shape  # type: ignore[union-attr]
        layer = Convolution(
            batch,
            channels,
            height,
            width,
            weight.shape[0],  # type: ignore[union-attr]
            kernel=_integers(weight.shape[2:]),  # type: ignore[union-attr, arg-type]
            stride=_integers(attributes.strides),  # type: ignore[arg-type]
            padding=_integers(attributes.padding),  # type: ignore[arg-type]
            groups=int(attributes.groups),
        )
        return self.apply_primitive(data, weight, layer)  # type: ignore[arg-type]

    def linear(self, call: relax.Call) -> FeatureMap:
        """A linear layer, as the 1x1 convolution of a 1x1 feature map."""
        data, matrix = (self.evaluate(operand) for operand in call.args)
        if not isinstance(matrix, np.ndarray):
            raise StudyError("matrix product of two feature maps; allowed: with constant weights")
        batch, channels, height, width = data.shape  # type: ignore[union-attr]
        layer = Convolution(batch, channels, height, width, matrix.shape[1], kernel=(1, 1))
        weight = np.ascontiguousarray(matrix.T)[:, :, None, None]
        return self.apply_primitive(data, weight, layer)  # type: ignore[arg-type]

    def apply_primitive(
        self, data: FeatureMap, weight: np.ndarray, layer: Convolution
    ) -> FeatureMap:
        data = self.to_layout(data, self.primitive.layout(layer.in_channels, self.vector))
        packing = self.primitive.packing(layer, self.vector)
        packed = self.primitive.pack_weight(weight, layer, data.layout, packing)

        def compute(data_tensor: te.Tensor, weight_tensor: te.Tensor) -> te.Tensor:
            return self.primitive.convolve(data_tensor, weight_tensor, layer, data.layout, packing)

        result = self.builder.emit_te(
            compute,
            data.expression,
            relax.const(packed),
            primfunc_name_hint="convolution",
            primfunc_attrs={"op_pattern": FUSE_WHAT_FOLLOWS},
        )
        layout = self.primitive.layout(layer.out_channels, self.vector)
        shape = (layer.batch, layer.out_channels, layer.out_height, layer.out_width)
        return FeatureMap(result, layout, shape)

    # What lies between them

    def binary(self, operator: Callable[..., relax.Expr], left: Value, right: Value) -> FeatureMap:
        feature = left if isinstance(left, FeatureMap) else right
        if isinstance(left, FeatureMap) and isinstance(right, FeatureMap):
            wide = left if math.prod(left.shape) >= math.prod(right.shape) else right
            operands = [self.to_layout(side, wide.layout).expression for side in (left, right)]
            return self.emitted(wide, operator(*operands))
        assert isinstance(feature, FeatureMap)
        operands = [
            side.expression if isinstance(side, FeatureMap) else self.constant(side, feature)
            for side in (left, right)
        ]
        return self.emitted(feature, operator(*operands))

    def constant(self, values: Value, feature: FeatureMap) -> relax.Expr:
        """A scalar or a vector over channels, shaped to broadcast against a feature map."""
        assert isinstance(values, np.ndarray)
        channels = feature.shape[1]
        if values.size == 1:
            return relax.const(values.reshape(()))
        if values.size != channels:
            raise StudyError(f"constant of shape {values.shape}; allowed: one value a channel")
        return relax.const(feature.layout.per_channel(values.reshape(channels, 1, 1)))

    def clip(self, call: relax.Call) -> FeatureMap:
        feature = self.evaluate(call.args[0])
        low, high = (relax.prim_value(bound) for bound in call.args[1:])
        return self.emitted(feature, relax.op.clip(feature.expression, low, high))  # type: ignore[union-attr, arg-type]

    def batch_normalization(self, call: relax.Call) -> tuple[FeatureMap, None, None]:
        """A normalization that no convolution could take in: one scale and one shift a channel."""
        feature, gamma, beta, mean, variance = (self.evaluate(operand) for operand in call.args)
        scale = gamma / np.sqrt(variance + call.attrs.epsilon)  # type: ignore[operator]
        shift = beta - mean * scale  # type: ignore[operator]
        scaled = self.binary(relax.op.multiply, feature, scale.astype("float32"))
        return self.binary(relax.op.add, scaled, shift.astype("float32")), None, None

    def pooling(self, call: relax.Call) -> FeatureMap:
        feature = self.evaluate(call.args[0])
        assert isinstance(feature, FeatureMap)
        attributes = call.attrs
        kind = "max" if call.op.name.endswith("max_pool2d") else "avg"

        def compute(data: te.Tensor) -> te.Tensor:
            return topi.nn.pool2d(
                data,
                _integers(attributes.pool_size),
                _integers(attributes.strides),
                _integers(attributes.dilation),
                _integers(attributes.padding),
                kind,
                bool(attributes.ceil_mode),
                feature.layout.pooling,
                bool(attributes.count_include_pad),
            )

        result = self.builder.emit_te(compute, feature.expression, primfunc_name_hint=f"{kind}_pool")
        shape = [int(extent) for extent in call.ty.shape]
        return FeatureMap(result, feature.layout, tuple(shape))  # type: ignore[arg-type]

    def global_average(self, call: relax.Call) -> FeatureMap:
        feature = self.evaluate(call.args[0])
        assert isinstance(feature, FeatureMap)
        shape = [int(extent) for extent in call.ty.shape]
        if len(shape) == 2:
            shape += [1, 1]
        if shape[:2] != list(feature.shape[:2]) or shape[2:] != [1, 1]:
            raise StudyError(f"average of {feature.shape} to {shape}; allowed: over whole planes")
        mean = relax.op.mean(feature.expression, list(feature.layout.spatial_axes), keepdims=True)
        return FeatureMap(self.builder.emit(mean), feature.layout, tuple(shape))  # type: ignore[arg-type]

    def concatenation(self, call: relax.Call) -> FeatureMap:
        (operands,) = (self.evaluate(operand) for operand in call.args)
        features: list[FeatureMap] = list(operands)  # type: ignore[arg-type]
        if int(call.attrs.axis) != 1:
            raise StudyError(f"concatenation along axis {call.attrs.axis}; allowed: channels, 1")
        batch, _, height, width = features[0].shape
        channels = sum(feature.shape[1] for feature in features)
        layout = self.primitive.layout(channels, self.vector)
        if any(feature.shape[1] % layout.block for feature in features):
            layout = NCHW  # a block would straddle two of them
        expressions = [self.to_layout(feature, layout).expression for feature in features]
        joined = self.builder.emit(relax.op.concat(expressions, axis=layout.channel_axis))
        return FeatureMap(joined, layout, (batch, channels, height, width))

    def reshape(self, call: relax.Call) -> Value:
        value = self.evaluate(call.args[0])
        shape = [int(extent) for extent in call.ty.shape]
        if isinstance(value, np.ndarray):
            return value.reshape(shape)
        assert isinstance(value, FeatureMap)
        while len(shape) > 2 and shape[-1] == 1:
            shape.pop()
        if len(shape) != 2 or shape[0] != value.shape[0]:
            raise StudyError(f"reshape of {value.shape} to {shape}; allowed: flattening to [N, C]")
        flat = (shape[0], shape[1], 1, 1)
        if value.shape == flat:
            return value
        plain = self.to_layout(value, NCHW)
        reshaped = self.builder.emit(relax.op.reshape(plain.expression, flat))
        return FeatureMap(reshaped, NCHW, flat)

    def permutation(self, call: relax.Call) -> np.ndarray:
        value = self.evaluate(call.args[0])
        if not isinstance(value, np.ndarray):
            raise StudyError("permutation of a feature map's axes; allowed: of a constant's")
        return value.transpose([int(axis) for axis in call.attrs.axes])

    def to_layout(self, feature: FeatureMap, layout: Layout) -> FeatureMap:
        """The same feature map in another layout; no work where memory is the same already."""
        if feature.layout == layout:
            return feature

        def compute(data: te.Tensor) -> te.Tensor:
            return relayout(data, feature.shape[1], feature.layout, layout)

        moved = self.builder.emit_te(compute, feature.expression, primfunc_name_hint="relayout")
        return FeatureMap(moved, layout, feature.shape)


def _integers(values: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in values)
