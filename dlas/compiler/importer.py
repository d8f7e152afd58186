"""From PyTorch to Relax: the one place of the compiler that imports torch."""

import torch
from torch.fx.experimental.optimization import fuse
from tvm.relax.frontend import detach_params
from tvm.relax.frontend.torch import from_exported_program

from dlas.compiler.network import Network


def import_network(model: torch.nn.Module, input_shape: tuple[int, int, int, int]) -> Network:
    """Import a trained float32 model for inputs of `input_shape` [N, C, H, W].

    Batch normalizations that follow a convolution are folded into it first.
    """
    model = fuse(model.to("cpu", torch.float32).eval())
    for parameter in model.parameters():  # training leaves them in channels_last
        parameter.data = parameter.data.contiguous()
    exported = torch.export.export(model, (torch.zeros(input_shape),))
    module = from_exported_program(
        exported, keep_params_as_input=True, unwrap_unit_return_tuple=True
    )
    module, parameters = detach_params(module)
    names = [variable.name for variable in module["main"].params[1:]]
    values = [tensor.numpy() for tensor in parameters["main"]]
    return Network(module, dict(zip(names, values, strict=True)))
