"""From PyTorch to Relax: the one place of the compiler that imports torch."""

from typing import Any

import numpy as np
import torch
from torch import fx
from tvm import relax
from tvm.relax.frontend import detach_params
from tvm.relax.frontend.torch import from_exported_program

from dlas.compiler.check import relative_error_in_norm
from dlas.compiler.integer_reference import integer_reference
from dlas.compiler.network import Network
from dlas.errors import StudyError
from dlas.models import accuracy
from dlas.models.folding import fold

# Of the framework's int8 logits against exact ones, in norm; a network that was imported wrongly is far beyond it.
ROUNDING = 0.1


def import_network(model: torch.nn.Module, input_shape: tuple[int, int, int, int]) -> Network:
    """Import a trained network, float32, half or int8, for inputs of `input_shape` [N, C, H, W].

    Batch normalizations that follow a convolution are folded into it first, unless that has been done. The module says
    what is computed, as if in float32; parameters keep their type, by which the compiler knows in what to compute.
    """
    half = any(parameter.dtype == torch.float16 for parameter in model.parameters())
    if not isinstance(model, fx.GraphModule):
        model = fold(model)
    exported = torch.export.export(model.float(), (torch.zeros(input_shape),))
    module = from_exported_program(
        exported,
        keep_params_as_input=True,
        unwrap_unit_return_tuple=True,
        custom_convert_map={
            "quantize_per_tensor.tensor": _quantize,
            "dequantize_per_tensor.tensor": _dequantize,
            "dequantize_per_channel.default": _dequantize,
        },
    )
    module, parameters = detach_params(module)
    names = [variable.name for variable in module["main"].params[1:]]
    values = [tensor.numpy() for tensor in parameters["main"]]
    if half:
        values = [array.astype(np.float16) for array in values]
    return Network(module, dict(zip(names, values, strict=True)))


def reference_outputs(model: torch.nn.Module, network: Network, images: np.ndarray) -> np.ndarray:
    """Return what the compiled form of a network is checked against: float32 logits of images, float32 [N, C, H, W].

    For float32 they are the framework's own, for float16 those of the same half-precision weights evaluated in float32,
    and for int8 those of exact integer arithmetic. Raises StudyError where these are not what the framework computes,
    except for single activations that it rounds to the next integer.
    """
    outputs = accuracy.logits(model.float(), images)
    if network.dtype != "int8":
        return outputs
    integers = integer_reference(network, images)
    error = relative_error_in_norm(integers, outputs)
    if error > ROUNDING:
        raise StudyError(
            "the imported int8 network is not the framework's: "
            f"the relative error of its logits in norm is {error:.2g}; allowed: {ROUNDING:g}"
        )
    return integers


def _quantize(node: fx.Node, importer: Any) -> relax.Var:
    data, scale, zero_point = _operands(node, importer)
    call = relax.op.quantize(data, scale, zero_point, axis=1, out_dtype="uint8")
    return importer.block_builder.emit(call)


def _dequantize(node: fx.Node, importer: Any) -> relax.Var:
    call = relax.op.dequantize(*_operands(node, importer), axis=0)
    return importer.block_builder.emit(call)


def _operands(node: fx.Node, importer: Any) -> tuple[relax.Var, relax.Var, relax.Var]:
    """Integers or real numbers, scale and zero point; Relax has no zero points of 64 bits."""
    data, scale, zero_point = importer.retrieve_args(node)[:3]
    return data, scale, importer.block_builder.emit(relax.op.astype(zero_point, "int32"))
