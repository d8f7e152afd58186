"""Lower a network to a primitive's layouts: each layer becomes a call of that primitive.

Layers are convolutions and linear layers. Feature maps stay in the primitive's layout from layer to
layer, and weights are packed here, once. Operators between the layers keep their meaning and only
change their axes. TVM's operator fusion puts element-wise operators behind a convolution, where the
primitive's schedule finds them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm import relax, te, tirx, topi
from tvm.relax import BlockBuilder

from dlas.compiler import exponential
from dlas.compiler.interpreter import Interpreter, integers
from dlas.compiler.layer import Chosen, Layer
from dlas.compiler.network import Network
from dlas.compiler.normalization import normalize, scale_and_shift
from dlas.compiler.quantization import (
    CENTRE,
    Quantization,
    QuantizedWeight,
    dequantize_sums,
    quantize,
    zero_point_sums,
)
from dlas.errors import UnsupportedError
from dlas.primitives.convolution import Convolution
from dlas.primitives.gpu import GPU
from dlas.primitives.layout import NCHW, Layout, relayout
from dlas.primitives.plugin import Primitive, WeightFormat, unsupported
from dlas.primitives.vector import VectorUnit

# TVM's codes for operator fusion behind a kernel: fuse element-wise operators, or nothing.
FUSE_WHAT_FOLLOWS, FUSE_NOTHING = 4, 8

UNARY: dict[str, Callable[[te.Tensor], te.Tensor]] = {
    "relax.nn.relu": topi.nn.relu,
    "relax.exp": exponential.exp,
    "relax.sigmoid": exponential.sigmoid,
}
BINARY: dict[str, Callable[[te.Tensor, te.Tensor], te.Tensor]] = {
    "relax.add": topi.add,
    "relax.subtract": topi.subtract,
    "relax.multiply": topi.multiply,
    "relax.divide": topi.divide,
}


@dataclass(frozen=True)
class FeatureMap:
    """A value of the lowered network.

    A matrix [N, C], such as the logits, is the feature map [N, C, 1, 1].

    Attributes
    ----------
    expression : relax.Expr
        The value in Relax.
    layout : Layout
        Its layout in memory.
    shape : tuple of int
        Its logical shape [N, C, H, W].
    """

    expression: relax.Expr
    layout: Layout
    shape: tuple[int, int, int, int]

    @property
    def dtype(self) -> str:
        """Dtype of its elements."""
        return str(self.expression.ty.dtype)


@dataclass(frozen=True)
class Dequantized:
    """The real numbers of a uint8 feature map. No kernel computes them: layers read integers."""

    feature: FeatureMap
    quantization: Quantization


# Value of an expression of the network; None if nothing reads it.
Value = FeatureMap | np.ndarray | Dequantized | QuantizedWeight | tuple[Any, ...] | None


# Function that returns the point of a layer's search space to compile.
DecisionsOf = Callable[[Layer], Chosen]


def by_default(layer: Layer) -> Chosen:
    """Return the default point of a layer."""
    return {}


def lower(
    network: Network,
    primitive: Primitive,
    weight_format: WeightFormat,
    vector: VectorUnit | GPU,
    decisions_of: DecisionsOf = by_default,
) -> tvm.IRModule:
    """Return a network as a Relax module in the layouts of a primitive.

    Parameters
    ----------
    network : Network
        The network with its parameters.
    primitive : Primitive
        Algorithm of its layers.
    weight_format : WeightFormat
        Format of their weights.
    vector : VectorUnit or GPU
        The processor.
    decisions_of : callable
        Returns the point of a layer's search space to compile.

    Returns
    -------
    tvm.IRModule
        A function `main(image)`, whose weights are constants, and the unscheduled kernels.

    Raises
    ------
    UnsupportedError
        For an operator that cannot be expressed, and for a layer that the primitive or the format
        declines.
    """
    return _Lowering(network, primitive, weight_format, vector, decisions_of).run()


def layers(
    network: Network, primitive: Primitive, weight_format: WeightFormat, vector: VectorUnit | GPU
) -> list[tuple[Layer, int]]:
    """Return the distinct layers of a network.

    Parameters
    ----------
    network : Network
        The network with its parameters.
    primitive : Primitive
        Algorithm of its layers.
    weight_format : WeightFormat
        Format of their weights.
    vector : VectorUnit or GPU
        The processor.

    Returns
    -------
    list of (Layer, int)
        One layer for each workload, with the number of its calls in the network.
    """
    found: dict[int, tuple[Layer, int]] = {}

    def collect(layer: Layer) -> Chosen:
        first, calls = found.get(layer.workload, (layer, 0))
        found[layer.workload] = first, calls + 1
        return {}

    lower(network, primitive, weight_format, vector, collect)
    return list(found.values())


class _Lowering(Interpreter):
    """Interpreter that builds the lowered network."""

    def __init__(
        self,
        network: Network,
        primitive: Primitive,
        weight_format: WeightFormat,
        vector: VectorUnit | GPU,
        decisions_of: DecisionsOf,
    ) -> None:
        super().__init__(network)
        self.input_shape = network.input_shape
        self.primitive = primitive
        self.format = weight_format
        self.vector = vector
        self.decisions_of = decisions_of
        self.feature_dtype = "float16" if network.dtype == "float16" else "float32"
        self.builder = BlockBuilder()
        self.quantized: dict[tuple[FeatureMap, Quantization], FeatureMap] = {}
        # Concatenations so far. A dense block extends an earlier one by one feature map.
        self.joined: dict[tuple[FeatureMap, ...], FeatureMap] = {}
        self.handlers = {
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
            "relax.astype": lambda call: self.array(call.args[0]).astype(call.attrs.dtype),
            "relax.clip": self.clip,
            "relax.quantize": self.quantize,
            "relax.dequantize": self.dequantize,
            **dict.fromkeys(UNARY, self.unary),
            **dict.fromkeys(BINARY, self.binary),
        }

    def run(self) -> tvm.IRModule:
        argument = relax.Var("image", self.main.params[0].ty)
        with self.builder.function("main", [argument]):
            with self.builder.dataflow():
                image = FeatureMap(argument, NCHW, self.input_shape)
                result = self.interpret(self.cast(image, self.feature_dtype))
                logits = self.cast(self.to_layout(_feature(result), NCHW), "float32")
                matrix = relax.op.reshape(logits.expression, integers(self.main.ret_ty.shape))
                output = self.builder.emit_output(matrix)
            self.builder.emit_func_output(output)
        return self.builder.finalize()

    def feature(self, expression: relax.Expr) -> FeatureMap:
        """Return the feature map of an operand."""
        return _feature(self.evaluate(expression))

    def array(self, expression: relax.Expr) -> np.ndarray:
        """Return the constant of an operand."""
        value = self.evaluate(expression)
        if not isinstance(value, np.ndarray):
            raise UnsupportedError(f"{expression} is computed; allowed: a constant of the network")
        return value

    def emitted(self, feature: FeatureMap, expression: relax.Expr) -> FeatureMap:
        """Return the value of an operator that keeps shape and layout."""
        return FeatureMap(self.builder.emit(expression), feature.layout, feature.shape)

    def cast(self, feature: FeatureMap, dtype: str) -> FeatureMap:
        """Return a feature map in another dtype."""
        if feature.dtype == dtype:
            return feature
        return self.emitted(feature, relax.op.astype(feature.expression, dtype))

    # Handlers of convolutions and linear layers.

    def convolution(self, call: relax.Call) -> FeatureMap:
        if integers(call.attrs.dilation) != (1, 1):
            raise UnsupportedError(f"convolution with dilation {call.attrs.dilation}; allowed: 1")
        return self.layer(
            self.evaluate(call.args[0]),
            self.evaluate(call.args[1]),
            stride=integers(call.attrs.strides),
            padding=integers(call.attrs.padding),
            groups=int(call.attrs.groups),
        )

    def linear(self, call: relax.Call) -> FeatureMap:
        """Return a linear layer, computed as the 1x1 convolution of a 1x1 feature map."""
        data, matrix = (self.evaluate(operand) for operand in call.args)
        if isinstance(matrix, QuantizedWeight):
            kernel = matrix.values.T[:, :, None, None]
            return self.layer(data, QuantizedWeight(kernel, matrix.scale))
        return self.layer(data, self.array(call.args[1]).T[:, :, None, None])

    def layer(self, data: Value, weight: Value, **shape: Any) -> FeatureMap:
        """Return a convolution, quantized if both operands are."""
        if isinstance(data, FeatureMap) and isinstance(weight, np.ndarray):
            return self.cast(self.sums(data, weight, **shape), data.dtype)
        if isinstance(data, Dequantized) and isinstance(weight, QuantizedWeight):
            zero_point = self.zero_point(data.quantization)
            sums = self.sums(data.feature, weight.values, border=zero_point, **shape)
            shift = zero_point_sums(weight, zero_point)
            scale = data.quantization.scale * weight.scale
            result = self.builder.emit_te(
                dequantize_sums,
                sums.expression,
                *(
                    relax.const(sums.layout.per_channel(each[:, None, None]))
                    for each in (shift, scale)
                ),
            )
            return FeatureMap(result, sums.layout, sums.shape)
        raise UnsupportedError(
            "a layer of which one operand is quantized and the other is not, or computed from "
            "images alone; allowed: a feature map and a constant weight, both quantized or none"
        )

    def sums(self, data: FeatureMap, weight: np.ndarray, **shape: Any) -> FeatureMap:
        """Return the primitive's sums of products, in the dtype that it adds up in."""
        convolution = Convolution(
            *data.shape, out_channels=weight.shape[0], kernel=weight.shape[2:], **shape
        )
        for plugin in (self.primitive, self.format):
            if reason := unsupported(plugin, convolution, data.dtype, self.vector):
                name = plugin.__name__.rpartition(".")[2]
                raise UnsupportedError(f"{convolution} in {name}: {reason}")
        data = self.to_layout(data, self.layout(convolution.in_channels))
        layer = Layer(
            self.primitive,
            self.format,
            weight,
            convolution,
            data.layout,
            data.dtype,
            self.vector,
        )
        kernel = layer.kernel(self.decisions_of(layer))
        argument, *_, output = (parameter.ty for parameter in kernel.function.params)
        expression = data.expression
        # The kernel may see the same memory in another shape.
        if len(argument.shape) != expression.ty.ndim:
            expression = self.builder.emit(relax.op.memory.view(expression, argument.shape))
        function = kernel.function.without_attr("global_symbol")
        function = function.with_attr("op_pattern", FUSE_WHAT_FOLLOWS)
        result = self.builder.emit(
            relax.call_tir(
                self.builder.add_func(function, layer.label),
                [expression, *(relax.const(constant) for constant in kernel.constants)],
                relax.TensorType(output.shape, output.dtype),
            )
        )
        return FeatureMap(result, kernel.layout, convolution.out_shape)

    def layout(self, channels: int) -> Layout:
        """Return the layout of feature maps with that many channels."""
        return self.format.layout(self.primitive, channels, self.vector)

    # Handlers of quantization.

    def quantize(self, call: relax.Call) -> FeatureMap:
        feature = self.feature(call.args[0])
        how = self.quantization(call)
        # Layers that read the same feature map share its integers.
        if (feature, how) not in self.quantized:
            result = self.builder.emit_te(
                quantize,
                feature.expression,
                relax.const(how.inverse),
                relax.const(np.float32(self.zero_point(how))),
                dtype=self.vector.quantized,
                primfunc_name_hint="quantize",
            )
            self.quantized[feature, how] = FeatureMap(result, feature.layout, feature.shape)
        return self.quantized[feature, how]

    def zero_point(self, how: Quantization) -> int:
        """Return the zero point in the integer dtype that the processor multiplies."""
        return how.zero_point - (CENTRE if self.vector.quantized == "int8" else 0)

    def dequantize(self, call: relax.Call) -> Dequantized | QuantizedWeight:
        stored = self.evaluate(call.args[0])
        if isinstance(stored, FeatureMap):
            return Dequantized(stored, self.quantization(call))
        scale, zero_points = (self.array(operand) for operand in call.args[1:3])
        if zero_points.any():
            raise UnsupportedError(
                "a quantized weight with a zero point; allowed: symmetric weights"
            )
        return QuantizedWeight(self.array(call.args[0]), scale)

    def quantization(self, call: relax.Call) -> Quantization:
        """Return how a call's feature map is quantized."""
        scale, zero_point = (self.array(operand) for operand in call.args[1:3])
        return Quantization(np.float32(scale.item()), int(zero_point.item()))

    # Handlers of the operators between layers.

    def unary(self, call: relax.Call) -> FeatureMap:
        feature = self.feature(call.args[0])
        function = UNARY[call.op.name]
        return self.emitted(feature, self.builder.call_te(function, feature.expression))

    def clip(self, call: relax.Call) -> FeatureMap:
        feature = self.feature(call.args[0])
        return self.emitted(feature, relax.op.clip(feature.expression, *call.args[1:]))

    def binary(self, call: relax.Call) -> FeatureMap:
        left, right = (self.evaluate(operand) for operand in call.args)
        return self.combine(BINARY[call.op.name], left, right)

    def combine(
        self, operator: Callable[[te.Tensor, te.Tensor], te.Tensor], left: Value, right: Value
    ) -> FeatureMap:
        """Apply an operator to two feature maps, or to one and a constant, which broadcast.

        A smaller feature map, such as the gate of squeeze-and-excitation, is computed once, by a
        separate kernel.
        """
        features = [side for side in (left, right) if isinstance(side, FeatureMap)]
        if not features:
            raise UnsupportedError("arithmetic on two constants; allowed: with a feature map")
        widest = max(features, key=lambda feature: math.prod(feature.shape))

        def operand(side: Value) -> Any:
            if isinstance(side, FeatureMap):
                return self.to_layout(side, widest.layout).expression
            return self.constant(side, widest)

        broadcasts = any(feature.shape != widest.shape for feature in features)
        result = self.builder.call_te(
            operator,
            operand(left),
            operand(right),
            primfunc_attrs={"op_pattern": FUSE_NOTHING} if broadcasts else None,
        )
        return self.emitted(widest, result)

    def constant(self, values: Value, feature: FeatureMap) -> Any:
        """Return a scalar for the code, or a vector over channels that broadcasts."""
        channels = feature.shape[1]
        if isinstance(values, np.ndarray) and values.size in (1, channels):
            values = values.astype(feature.dtype)
            if values.size == 1:
                return tirx.const(values.item(), feature.dtype)
            return relax.const(feature.layout.per_channel(values.reshape(channels, 1, 1)))
        raise UnsupportedError(
            f"a constant beside {channels} channels; allowed: one value, or one each"
        )

    def batch_normalization(self, call: relax.Call) -> tuple[FeatureMap, None, None]:
        """Return a normalization that is not folded into a convolution, as scale and shift."""
        feature = self.feature(call.args[0])
        if call.attrs.training:
            raise UnsupportedError(
                "a batch normalization in training mode; allowed: in evaluation mode"
            )
        constants = (self.array(operand) for operand in call.args[1:])
        scale, shift = scale_and_shift(call.attrs.epsilon, *constants)
        result = self.builder.emit_te(
            normalize,
            feature.expression,
            *(
                relax.const(feature.layout.per_channel(one[:, None, None]))
                for one in (scale, shift)
            ),
        )
        return FeatureMap(result, feature.layout, feature.shape), None, None

    def pooling(self, call: relax.Call) -> FeatureMap:
        feature = self.feature(call.args[0])
        attributes = call.attrs
        kind = "max" if call.op.name.endswith("max_pool2d") else "avg"

        def compute(data: te.Tensor) -> te.Tensor:
            return topi.nn.pool2d(
                data,
                integers(attributes.pool_size),
                integers(attributes.strides),
                integers(attributes.dilation),
                integers(attributes.padding),
                kind,
                bool(attributes.ceil_mode),
                feature.layout.pooling,
                bool(attributes.count_include_pad),
            )

        result = self.builder.emit_te(
            compute, feature.expression, primfunc_name_hint=f"{kind}_pool"
        )
        return FeatureMap(result, feature.layout, integers(call.ty.shape))

    def global_average(self, call: relax.Call) -> FeatureMap:
        feature = self.feature(call.args[0])
        batch, channels = feature.shape[:2]
        averaged = (batch, channels, 1, 1)
        if integers(call.ty.shape) not in (averaged, averaged[:2]):
            raise UnsupportedError(
                f"average of {feature.shape} to {call.ty.shape}; allowed: over whole planes"
            )

        def compute(data: te.Tensor) -> te.Tensor:
            # float16 would lose precision in a sum of hundreds of numbers.
            wide = topi.cast(data, "float32")
            sums = topi.sum(wide, feature.layout.spatial_axes, keepdims=True)
            return topi.cast(topi.divide(sums, math.prod(feature.shape[2:])), data.dtype)

        mean = self.builder.emit_te(
            compute, feature.expression, primfunc_name_hint="global_average"
        )
        return FeatureMap(mean, feature.layout, averaged)

    def concatenation(self, call: relax.Call) -> FeatureMap:
        features = self.evaluate(call.args[0])
        if not isinstance(features, tuple) or not all(isinstance(f, FeatureMap) for f in features):
            raise UnsupportedError("concatenation of constants; allowed: of feature maps")
        if int(call.attrs.axis) != 1:
            raise UnsupportedError(
                f"concatenation along axis {call.attrs.axis}; allowed: channels, 1"
            )
        if features not in self.joined:
            self.joined[features] = self.join(features)
        return self.joined[features]

    def join(self, features: tuple[FeatureMap, ...]) -> FeatureMap:
        """Return the concatenation of feature maps along their channels."""
        batch, _, height, width = features[0].shape
        channels = sum(feature.shape[1] for feature in features)
        before = self.joined.get(features[:-1])
        # Extend an earlier concatenation, if there is one.
        if before is not None:
            features = (before, features[-1])
        layout = self.layout(channels)
        if any(feature.shape[1] % layout.block for feature in features):
            # A block would straddle two feature maps.
            layout = NCHW
        expressions = [self.to_layout(feature, layout).expression for feature in features]
        joined = self.builder.emit(relax.op.concat(expressions, axis=layout.channel_axis))
        return FeatureMap(joined, layout, (batch, channels, height, width))

    def reshape(self, call: relax.Call) -> Value:
        value = self.evaluate(call.args[0])
        shape = integers(call.ty.shape)
        if isinstance(value, np.ndarray):
            return value.reshape(shape)
        feature = self.feature(call.args[0])
        flat = (feature.shape[0], math.prod(feature.shape[1:]), 1, 1)
        if shape not in (flat, flat[:2]):
            raise UnsupportedError(
                f"reshape of {feature.shape} to {shape}; allowed: to one vector each"
            )
        if feature.shape == flat:
            return feature
        plain = self.to_layout(feature, NCHW)
        reshaped = self.builder.emit(relax.op.reshape(plain.expression, flat))
        return FeatureMap(reshaped, NCHW, flat)

    def permutation(self, call: relax.Call) -> np.ndarray | QuantizedWeight:
        constant, axes = self.evaluate(call.args[0]), integers(call.attrs.axes)
        if isinstance(constant, QuantizedWeight):
            return QuantizedWeight(constant.values.transpose(axes), constant.scale)
        return self.array(call.args[0]).transpose(axes)

    def to_layout(self, feature: FeatureMap, layout: Layout) -> FeatureMap:
        """Return a feature map in another layout."""
        if feature.layout == layout:
            return feature

        def compute(data: te.Tensor) -> te.Tensor:
            return relayout(data, feature.shape[1], feature.layout, layout)

        moved = self.builder.emit_te(compute, feature.expression, primfunc_name_hint="relayout")
        return FeatureMap(moved, layout, feature.shape)


def _feature(value: Value) -> FeatureMap:
    if not isinstance(value, FeatureMap):
        raise UnsupportedError(
            "a constant or quantized value is computed with; allowed: a feature map"
        )
    return value
