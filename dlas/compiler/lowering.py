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


# What an expression of the network becomes; None where nothing reads it.
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
        self.joined: dict[tuple[FeatureMap, ...], FeatureMap] = {}  # what was concatenated so far
        self.handlers: dict[str, Callable[[relax.Call], Value]] = {
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
            "relax.zeros_like": lambda call: None,  # a pooling's indices, which nothing reads
            **dict.fromkeys(UNARY, self.unary),
            **dict.fromkeys(BINARY, self.binary),
        }

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
                logits = self.to_layout(self.feature(main.body.body), NCHW)
                matrix = relax.op.reshape(logits.expression, _integers(main.ret_ty.shape))
                output = self.builder.emit_output(matrix)
            self.builder.emit_func_output(output)
        return self.builder.finalize()

    def evaluate(self, expression: relax.Expr) -> Value:
        if isinstance(expression, relax.Var):
            return self.values[expression]
        if isinstance(expression, relax.Tuple):
            return tuple(self.evaluate(field) for field in expression.fields)
        if isinstance(expression, relax.TupleGetItem):
            fields = self.evaluate(expression.tuple_value)
            assert isinstance(fields, tuple)
            return fields[expression.index]
        if isinstance(expression, tvm.ir.GenericConst):
            return expression.value.numpy()
        if isinstance(expression, relax.Call):
            handler = self.handlers.get(expression.op.name)
            if handler is None:
                raise unknown("operator in the network", expression.op.name, self.handlers)
            return handler(expression)
        raise StudyError(f"the network holds {type(expression).__name__}, which is not compiled")

    def feature(self, expression: relax.Expr) -> FeatureMap:
        """The feature map that an operand stands for."""
        value = self.evaluate(expression)
        if not isinstance(value, FeatureMap):
            raise StudyError(f"{expression} is constant; allowed: a feature map")
        return value

    def array(self, expression: relax.Expr) -> np.ndarray:
        """The constant that an operand stands for."""
        value = self.evaluate(expression)
        if not isinstance(value, np.ndarray):
            raise StudyError(f"{expression} is computed; allowed: a constant of the network")
        return value

    def emitted(self, feature: FeatureMap, expression: relax.Expr) -> FeatureMap:
        """The value of an operator that keeps shape and layout."""
        return FeatureMap(self.builder.emit(expression), feature.layout, feature.shape)

    # Convolutions and linear layers

    def convolution(self, call: relax.Call) -> FeatureMap:
        data, weight = self.feature(call.args[0]), self.array(call.args[1])
        if _integers(call.attrs.dilation) != (1, 1):
            raise StudyError(f"convolution with dilation {call.attrs.dilation}; allowed: 1")
        layer = Convolution(
            *data.shape,
            out_channels=weight.shape[0],
            kernel=weight.shape[2:],
            stride=_integers(call.attrs.strides),
            padding=_integers(call.attrs.padding),
            groups=int(call.attrs.groups),
        )
        return self.apply_primitive(data, weight, layer)

    def linear(self, call: relax.Call) -> FeatureMap:
        """A linear layer, as the 1x1 convolution of a 1x1 feature map."""
        data, matrix = self.feature(call.args[0]), self.array(call.args[1])
        layer = Convolution(*data.shape, out_channels=matrix.shape[1], kernel=(1, 1))
        return self.apply_primitive(data, matrix.T[:, :, None, None], layer)

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
            primfunc_name_hint=layer.kind,
            primfunc_attrs={"op_pattern": FUSE_WHAT_FOLLOWS},
        )
        layout = self.primitive.layout(layer.out_channels, self.vector)
        shape = (layer.batch, layer.out_channels, layer.out_height, layer.out_width)
        return FeatureMap(result, layout, shape)

    # What lies between them

    def unary(self, call: relax.Call) -> FeatureMap:
        feature = self.feature(call.args[0])
        return self.emitted(feature, UNARY[call.op.name](feature.expression))

    def clip(self, call: relax.Call) -> FeatureMap:
        feature = self.feature(call.args[0])
        return self.emitted(feature, relax.op.clip(feature.expression, *call.args[1:]))

    def binary(self, call: relax.Call) -> FeatureMap:
        left, right = (self.evaluate(operand) for operand in call.args)
        return self.combine(BINARY[call.op.name], left, right)

    def combine(self, operator: Callable[..., relax.Expr], left: Value, right: Value) -> FeatureMap:
        """Apply an operator to two feature maps, or to one and a constant, which broadcast."""
        features = [side for side in (left, right) if isinstance(side, FeatureMap)]
        if not features:
            raise StudyError("arithmetic on two constants; allowed: with a feature map")
        widest = max(features, key=lambda feature: math.prod(feature.shape))

        def operand(side: Value) -> relax.Expr:
            if isinstance(side, FeatureMap):
                return self.to_layout(side, widest.layout).expression
            return self.constant(side, widest)

        return self.emitted(widest, operator(operand(left), operand(right)))

    def constant(self, values: Value, feature: FeatureMap) -> relax.Expr:
        """A scalar or a vector over channels, shaped to broadcast against a feature map."""
        channels = feature.shape[1]
        if isinstance(values, np.ndarray) and values.size == channels:
            return relax.const(feature.layout.per_channel(values.reshape(channels, 1, 1)))
        if isinstance(values, np.ndarray) and values.size == 1:
            return relax.const(values.reshape(()))
        raise StudyError(f"a constant beside {channels} channels; allowed: one value, or one each")

    def batch_normalization(self, call: relax.Call) -> tuple[FeatureMap, None, None]:
        """A normalization that no convolution could take in: one scale and one shift a channel."""
        feature = self.feature(call.args[0])
        gamma, beta, mean, variance = (self.array(operand) for operand in call.args[1:])
        scale = (gamma / np.sqrt(variance + call.attrs.epsilon)).astype(gamma.dtype)
        shift = (beta - mean * scale).astype(beta.dtype)
        scaled = self.combine(relax.op.multiply, feature, scale)
        return self.combine(relax.op.add, scaled, shift), None, None

    def pooling(self, call: relax.Call) -> FeatureMap:
        feature = self.feature(call.args[0])
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

        result = self.builder.emit_te(
            compute, feature.expression, primfunc_name_hint=f"{kind}_pool"
        )
        return FeatureMap(result, feature.layout, _integers(call.ty.shape))

    def global_average(self, call: relax.Call) -> FeatureMap:
        feature = self.feature(call.args[0])
        batch, channels = feature.shape[:2]
        averaged = (batch, channels, 1, 1)
        if _integers(call.ty.shape) not in (averaged, averaged[:2]):
            raise StudyError(
                f"average of {feature.shape} to {call.ty.shape}; allowed: over whole planes"
            )
        mean = relax.op.mean(feature.expression, list(feature.layout.spatial_axes), keepdims=True)
        return FeatureMap(self.builder.emit(mean), feature.layout, averaged)

    def concatenation(self, call: relax.Call) -> FeatureMap:
        features = self.evaluate(call.args[0])
        if not isinstance(features, tuple) or not all(isinstance(f, FeatureMap) for f in features):
            raise StudyError("concatenation of constants; allowed: of feature maps")
        if int(call.attrs.axis) != 1:
            raise StudyError(f"concatenation along axis {call.attrs.axis}; allowed: channels, 1")
        if features not in self.joined:
            self.joined[features] = self.join(features)
        return self.joined[features]

    def join(self, features: tuple[FeatureMap, ...]) -> FeatureMap:
        """Feature maps side by side in their channels."""
        batch, _, height, width = features[0].shape
        channels = sum(feature.shape[1] for feature in features)
        before = self.joined.get(features[:-1])
        if before is not None:  # a dense block adds one to those that it has joined before
            features = (before, features[-1])
        layout = self.primitive.layout(channels, self.vector)
        if any(feature.shape[1] % layout.block for feature in features):
            layout = NCHW  # a block would straddle two of them
        expressions = [self.to_layout(feature, layout).expression for feature in features]
        joined = self.builder.emit(relax.op.concat(expressions, axis=layout.channel_axis))
        return FeatureMap(joined, layout, (batch, channels, height, width))

    def reshape(self, call: relax.Call) -> Value:
        value = self.evaluate(call.args[0])
        shape = _integers(call.ty.shape)
        if isinstance(value, np.ndarray):
            return value.reshape(shape)
        feature = self.feature(call.args[0])
        flat = (feature.shape[0], math.prod(feature.shape[1:]), 1, 1)
        if shape not in (flat, flat[:2]):
            raise StudyError(f"reshape of {feature.shape} to {shape}; allowed: to one vector each")
        if feature.shape == flat:
            return feature
        plain = self.to_layout(feature, NCHW)
        reshaped = self.builder.emit(relax.op.reshape(plain.expression, flat))
        return FeatureMap(reshaped, NCHW, flat)

    def permutation(self, call: relax.Call) -> np.ndarray:
        return self.array(call.args[0]).transpose(_integers(call.attrs.axes))

    def to_layout(self, feature: FeatureMap, layout: Layout) -> FeatureMap:
        """The same feature map in another layout."""
        if feature.layout == layout:
            return feature

        def compute(data: te.Tensor) -> te.Tensor:
            return relayout(data, feature.shape[1], feature.layout, layout)

        moved = self.builder.emit_te(compute, feature.expression, primfunc_name_hint="relayout")
        return FeatureMap(moved, layout, feature.shape)


def _integers(values: Any) -> Any:
    """A tuple of integers of the length that TVM's sequence has."""
    return tuple(int(value) for value in values)
