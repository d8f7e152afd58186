"""Files of an imported network: a Relax module and its parameters, or a status instead."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
import tvm
from safetensors import SafetensorError

from dlas import tensor_files
from dlas.errors import StudyError
from dlas.files import atomic_write, write_json


@dataclass(frozen=True)
class Network:
    """A network in Relax with its parameters.

    Attributes
    ----------
    module : tvm.IRModule
        Its function `main` takes the image and then the parameters, by name.
    parameters : dict of str to ndarray
        Parameters by name.
    """

    module: tvm.IRModule
    parameters: dict[str, np.ndarray]

    @property
    def dtype(self) -> str:
        """Dtype that the network computes in, by its parameters: float32, float16 or int8."""
        types = {str(values.dtype) for values in self.parameters.values()}
        return next((name for name in ("int8", "float16") if name in types), "float32")

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape [N, C, H, W] of the image."""
        batch, channels, height, width = self.module["main"].params[0].ty.shape
        return int(batch), int(channels), int(height), int(width)


def save_network(network: Network, network_path: str | Path, parameters_path: str | Path) -> None:
    """Write the module as JSON and the parameters as safetensors, both atomically."""
    with atomic_write(network_path) as temporary:
        temporary.write_text(tvm.ir.save_json(network.module))
    with atomic_write(parameters_path) as temporary:
        safetensors.numpy.save_file(network.parameters, temporary)


def save_status(status: str, network_path: str | Path, parameters_path: str | Path) -> None:
    """Write a status instead of a network: the reason why there is none."""
    write_json(network_path, {tensor_files.STATUS: status})
    tensor_files.write_status(parameters_path, status)


def load_network(network_path: str | Path, parameters_path: str | Path) -> Network:
    """Read a network that `save_network` wrote.

    Parameters
    ----------
    network_path, parameters_path : str or Path
        Paths of the module and of the parameters.

    Returns
    -------
    Network
        The network.

    Raises
    ------
    StudyError
        For a missing or damaged file.
    RowError
        With the status that `save_status` wrote.
    """
    for path in (network_path, parameters_path):
        if not Path(path).is_file():
            raise StudyError(f"network file {path} is missing; the import of the network makes it")
    try:
        parameters = tensor_files.read(parameters_path, "np")
    except SafetensorError as error:
        raise StudyError(f"parameter file {parameters_path} is damaged: {error}") from error
    try:
        module = tvm.ir.load_json(Path(network_path).read_text())
    # TVM raises several kinds of errors for JSON that is not a module.
    except Exception as error:
        raise StudyError(f"network file {network_path} is damaged: not a Relax module") from error
    missing = [p.name for p in module["main"].params[1:] if p.name not in parameters]
    if missing:
        raise StudyError(f"parameter file {parameters_path} lacks {missing[0]} of {network_path}")
    return Network(module, parameters)
