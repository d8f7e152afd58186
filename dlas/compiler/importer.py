"""Import networks from PyTorch to Relax. No other module of the compiler imports torch."""

from collections.abc import Container
from typing import Any

import numpy as np
import torch
import tvm
from torch import fx, nn
from tvm import relax
from tvm.relax.frontend.torch.fx_translator import TorchFXImporter

from dlas.compiler.check import check_expected, relative_error_in_norm
from dlas.compiler.integer_reference import integer_reference
from dlas.compiler.network import Network
from dlas.errors import UnsupportedError, WrongError
from dlas.models import accuracy
from dlas.models.folding import fold

# Maximum error of the framework's int8 logits against exact ones, in norm. A wrongly imported
# network is far beyond it.
ROUNDING = 0.1


def import_network(model: torch.nn.Module, input_shape: tuple[int, int, int, int]) -> Network:
    """Import a trained network for one input shape.

    Batch normalizations that follow a convolution are folded into it first, unless the model is
    already folded.

    Parameters
    ----------
    model : torch.nn.Module
        The network in float32, half precision or int8. It is converted to float32.
    input_shape : tuple of int
        Shape [N, C, H, W] of the input.

    Returns
    -------
    Network
        Its module computes as if in float32. Its parameters keep their dtype, which tells the
        compiler what to compute in.

    Raises
    ------
    UnsupportedError
        For an operator that TVM lacks.
    """
    half = any(parameter.dtype == torch.float16 for parameter in model.parameters())
    if not isinstance(model, fx.GraphModule):
        model = fold(model)
    importer = _Importer(model.float())
    module = importer.imported(input_shape)
    parameters = {name: tensor.detach().numpy() for name, tensor in importer.tensors.items()}
    if half:
        parameters = {name: array.astype(np.float16) for name, array in parameters.items()}
    return Network(module, parameters)


def reference_outputs(model: torch.nn.Module, network: Network, images: np.ndarray) -> np.ndarray:
    """Return the reference logits for the compiled form of a network.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    network : Network
        Its import.
    images : ndarray of float32 [N, C, H, W]
        Images.

    Returns
    -------
    ndarray of float32 [N, classes]
        For float32 the logits of the framework, for float16 those of the same half-precision
        weights evaluated in float32, and for int8 those of exact integer arithmetic.

    Raises
    ------
    WrongError
        If the exact int8 logits differ from the framework's by more than single activations that it
        rounds to the next integer.
    FailedError
        For logits that no library can be checked against.
    """
    outputs = accuracy.logits(model.float(), images)
    check_expected(outputs)
    if network.dtype != "int8":
        return outputs
    integers = integer_reference(network, images)
    error = relative_error_in_norm(integers, outputs)
    if not error <= ROUNDING:
        raise WrongError(
            "the imported int8 network is not the framework's, "
            f"the relative error of its logits in norm is {error:.2g}; allowed: {ROUNDING:g}"
        )
    return integers


class _Importer(TorchFXImporter):  # type: ignore[misc]
    """TVM's importer of graphs, with every tensor of the network as a parameter of `main`.

    TVM's own function accepts only parameters of real numbers, and makes constants of buffers.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.convert_map |= {
            nn.BatchNorm2d: self.batch_norm,
            nn.ReLU6: lambda node: self.emit(relax.op.clip(self.env[node.args[0]], 0, 6)),
            nn.SiLU: self.silu,
            "quantize_per_tensor.tensor": self.quantize,
            "dequantize_per_tensor.tensor": self.dequantize,
            "dequantize_per_channel.default": self.dequantize,
        }
        self.model = model
        self.graph = _Tracer(self.convert_map).trace(model)
        self.named_modules = dict(model.named_modules())
        used = {node.target for node in self.graph.nodes if node.op == "get_attr"}
        for node in self.graph.nodes:
            if node.op == "call_module":
                used |= {
                    f"{node.target}.{name}" for name in self.named_modules[node.target].state_dict()
                }
        # The count of batches is not an operand.
        self.tensors = {
            name: tensor
            for name, tensor in model.state_dict(keep_vars=True).items()
            if name in used and not name.endswith("num_batches_tracked")
        }

    def imported(self, input_shape: tuple[int, int, int, int]) -> tvm.IRModule:
        """Return the module whose function `main` takes the image and then all tensors by name."""
        image = relax.Var("image", relax.TensorType(input_shape, "float32"))
        for name, tensor in self.tensors.items():
            dtype = self._convert_data_type(tensor.dtype)
            self.params[tensor] = relax.Var(name, relax.TensorType(tuple(tensor.shape), dtype))
        builder = self.block_builder = relax.BlockBuilder()
        with builder.function("main", [image, *self.params.values()]):
            with builder.dataflow():
                for node in self.graph.nodes:
                    self.env[node] = image if node.op == "placeholder" else self.converted(node)
                output = builder.emit_output(self.env[node])
            builder.emit_func_output(output)
        return builder.finalize()

    def converted(self, node: fx.Node) -> Any:
        """Return the Relax value of a node; raise UnsupportedError if TVM lacks its operator."""
        if node.op == "output":
            return self.retrieve_args(node)[0]
        if node.op == "get_attr":
            return self._fetch_attr(self.model, node.target)
        target: Any = node.target
        if node.op == "call_module":
            target = type(self.named_modules[target])
        elif node.op == "call_function":
            target = target.__name__
        if target not in self.convert_map:
            raise UnsupportedError(
                f"the operator {target} of the network is not known to TVM's importer"
            )
        return self.convert_map[target](node)

    def emit(self, call: relax.Expr) -> relax.Var:
        return self.block_builder.emit(call)

    def batch_norm(self, node: fx.Node) -> relax.Var:
        module = self.named_modules[node.target]
        names = ("weight", "bias", "running_mean", "running_var")
        tensors = (self.params[getattr(module, name)] for name in names)
        data = self.env[node.args[0]]
        call = relax.op.nn.batch_norm(data, *tensors, axis=1, epsilon=module.eps, training=False)
        return self.emit(relax.TupleGetItem(self.emit(call), 0))

    def silu(self, node: fx.Node) -> relax.Var:
        data = self.env[node.args[0]]
        return self.emit(relax.op.multiply(data, self.emit(relax.op.sigmoid(data))))

    def quantize(self, node: fx.Node) -> relax.Var:
        operands = self.operands(node)
        return self.emit(relax.op.quantize(*operands, axis=1, out_dtype="uint8"))

    def dequantize(self, node: fx.Node) -> relax.Var:
        return self.emit(relax.op.dequantize(*self.operands(node), axis=0))

    def operands(self, node: fx.Node) -> tuple[relax.Var, relax.Var, relax.Var]:
        """Return integers or real numbers, scale and zero point, which Relax wants in 32 bits."""
        data, scale, zero_point = self.retrieve_args(node)[:3]
        return data, scale, self.emit(relax.op.astype(zero_point, "int32"))


class _Tracer(fx.Tracer):
    """Keep the modules that TVM knows whole, and trace all others down to their operators."""

    def __init__(self, known: Container[Any]) -> None:
        super().__init__()
        self.known = known

    def is_leaf_module(self, module: nn.Module, _: str) -> bool:
        return type(module) in self.known
