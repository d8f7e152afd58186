"""Kernels of this project and of PyTorch for a layer, each checked before it is timed."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import tvm
from torch.nn import functional
from tvm.target import Target

from benchmarks.interleaved import ratios_to, repeated, take_turns
from benchmarks.layers import Layer, operands, thinned, zeros_of
from benchmarks.roofline import BYTES, INDEX_BYTES, Roofline
from dlas import primitives
from dlas.compiler import layer as layers_of_networks
from dlas.compiler.check import largest_relative_error
from dlas.compiler.pipeline import compile_module
from dlas.errors import UnsupportedError
from dlas.primitives.convolution import Convolution
from dlas.primitives.layout import Layout
from dlas.primitives.plugin import unsupported
from dlas.primitives.vector import vector_unit

SPARSITIES = (0.0, 0.5, 0.6, 0.65, 0.7, 0.8, 0.9, 0.95, 0.99)
# Shares of zero blocks.
BLOCK_SPARSITIES = (0.5, 0.75, 0.9)
# The largest errors relative to the largest result: from the order of sums, and from float16.
TOLERANCES = {"float32": 1e-4, "float16": 5e-3, "int8": 0.0}
COLUMNS = [
    "layer",
    "dtype",
    "sparsity",
    "runtime",
    "primitive",
    "format",
    "latency_ms",
    "gflops",
    "ratio_to_pytorch_float32",
    "peak_gflops",
    "limit",
    "limit_ms",
]


@dataclass(frozen=True)
class Contender:
    """One way to compute a layer, with the share of zeros in the weight; `run` runs it once."""

    dtype: str
    sparsity: float
    runtime: str
    primitive: str
    format: str
    run: Callable[[], object]


def expected_of(data: np.ndarray, weight: np.ndarray, layer: Convolution) -> np.ndarray:
    """Return PyTorch's float64 result [N, K, OH, OW]; its sums of 8-bit integers are exact."""
    feature, kernel = (torch.from_numpy(values).double() for values in (data, weight))
    convolved = functional.conv2d(
        feature, kernel, stride=layer.stride, padding=layer.padding[:2], groups=layer.groups
    )
    return convolved.numpy()


def check(output: np.ndarray, expected: np.ndarray, tolerance: float, what: str) -> None:
    """Stop the benchmark if an output is wrong.

    Parameters
    ----------
    output, expected : np.ndarray
        Arrays of the same shape.
    tolerance : float
        Largest error relative to the largest expected value.
    what : str
        The contender, for the message.
    """
    error = largest_relative_error(output, expected)
    if error > tolerance:
        raise SystemExit(f"{what} is wrong by {error:.2g}; allowed: {tolerance:g}")


def own_kernels(layer: Layer, target: Target) -> Iterator[Contender]:
    """Yield every supported primitive: dense in each dtype, and sparse at each sparsity."""
    wanted = [(dtype, "dense", 0.0) for dtype in BYTES]
    wanted += [("float32", "csr", sparsity) for sparsity in SPARSITIES]
    wanted += [("float32", "bsr", sparsity) for sparsity in BLOCK_SPARSITIES]
    for dtype, weight_format, sparsity in wanted:
        data, weight = operands(layer.convolution, dtype)
        block = primitives.load_format(weight_format).PLUGIN.block
        weight = thinned(weight, sparsity, block)
        expected = expected_of(data, weight, layer.convolution)
        for primitive in primitives.names():
            try:
                run, output, layout = compiled(
                    primitive, weight_format, data, weight, layer.convolution, target
                )
            except UnsupportedError:
                continue
            run()
            result = physical(expected, layout).reshape(output.shape)
            what = f"{layer.name}: {primitive} {weight_format} {dtype} at sparsity {sparsity:g}"
            check(output.numpy(), result, TOLERANCES[dtype], what)
            yield Contender(dtype, sparsity, "dlas", primitive, weight_format, run)


def compiled(
    primitive: str,
    weight_format: str,
    data: np.ndarray,
    weight: np.ndarray,
    layer: Convolution,
    target: Target,
) -> tuple[Callable[[], object], tvm.runtime.Tensor, Layout]:
    """Compile a layer's kernel, with nothing fused behind it.

    Returns
    -------
    callable
        One run of the kernel.
    tvm.runtime.Tensor
        Its output.
    Layout
        The output's layout.
    """
    algorithm, stored = primitives.load(primitive), primitives.load_format(weight_format)
    vector = vector_unit(target, str(weight.dtype))
    if reason := unsupported(algorithm, layer, str(data.dtype), vector):
        raise UnsupportedError(reason)
    layout = stored.layout(algorithm, layer.in_channels, vector)
    one = layers_of_networks.Layer(
        algorithm, stored, weight, layer, layout, str(data.dtype), vector
    )
    kernel = one.kernel({})
    function = compile_module(tvm.IRModule({"main": one.scheduled(kernel)}), target).mod["main"]
    first, *_, last = (parameter.ty for parameter in kernel.function.params)
    feature = physical(data, layout).reshape([int(extent) for extent in first.shape])
    arguments = [tvm.runtime.tensor(array) for array in (feature, *kernel.constants)]
    shape = [int(extent) for extent in last.shape]
    output = tvm.runtime.tensor(np.empty(shape, str(last.dtype)))
    return lambda: function(*arguments, output), output, kernel.layout


def physical(values: np.ndarray, layout: Layout) -> np.ndarray:
    """Return a feature map [N, C, H, W] in the memory order of a layout."""
    return np.concatenate([layout.per_channel(image) for image in values])


def pytorch(layer: Layer) -> Iterator[Contender]:
    """Yield the dense convolution, and at each sparsity a CSR matrix times ready-made patches."""
    shape = layer.convolution
    data, dense = operands(shape, "float32")
    feature, kernel = torch.from_numpy(data), torch.from_numpy(dense)
    padding = shape.padding[:2]

    @torch.inference_mode()
    def convolve() -> torch.Tensor:
        return functional.conv2d(
            feature, kernel, stride=shape.stride, padding=padding, groups=shape.groups
        )

    expected = expected_of(data, dense, shape)
    check(convolve().numpy(), expected, TOLERANCES["float32"], f"{layer.name}: PyTorch")
    yield Contender("float32", 0.0, "pytorch", "", "dense", convolve)

    unfolded = functional.unfold(feature, shape.kernel, padding=padding, stride=shape.stride)
    patches = list(unfolded)
    for sparsity in SPARSITIES:
        weight = thinned(dense, sparsity)
        multiply = csr_product(weight.reshape(shape.out_channels, -1), patches)
        expected = expected_of(data, weight, shape)
        what = f"{layer.name}: the product of a CSR matrix at sparsity {sparsity:g}"
        output = torch.stack(multiply()).numpy().reshape(expected.shape)
        check(output, expected, TOLERANCES["float32"], what)
        yield Contender("float32", sparsity, "pytorch", "", "csr", multiply)


def csr_product(
    matrix: np.ndarray, patches: list[torch.Tensor]
) -> Callable[[], list[torch.Tensor]]:
    """Return a function that multiplies a CSR matrix with the patches of each image.

    PyTorch calls MKL on x86. The images are multiplied one by one, as MKL is slower on longer rows.

    Parameters
    ----------
    matrix : np.ndarray
        float32 [K, C * R * S].
    patches : list of Tensor
        float32 [C * R * S, OH * OW] of each image.
    """
    with warnings.catch_warnings():
        # PyTorch warns that its CSR support is in beta.
        warnings.simplefilter("ignore")
        stored = torch.from_numpy(matrix).to_sparse_csr()
        index = (stored.crow_indices().int(), stored.col_indices().int())
        stored = torch.sparse_csr_tensor(*index, stored.values(), stored.shape)

    @torch.inference_mode()
    def multiply() -> list[torch.Tensor]:
        return [stored @ image for image in patches]

    return multiply


def measure(
    layer: Layer,
    contenders: Sequence[Contender],
    roofline: Roofline,
    turns: Iterable[int],
    seconds: float,
) -> pd.DataFrame:
    """Time the contenders of a layer in turns.

    Parameters
    ----------
    layer : Layer
        The layer.
    contenders : sequence of Contender
        Its contenders; one must be PyTorch's dense float32.
    roofline : Roofline
        The machine's limits.
    turns : iterable of int
        The turns.
    seconds : float
        Length of a sample.

    Returns
    -------
    pd.DataFrame
        A row for each contender, with the columns COLUMNS.
    """
    samplers = [repeated(contender.run) for contender in contenders]
    samples = take_turns(samplers, turns, seconds)
    keys = [(one.runtime, one.format, one.dtype) for one in contenders]
    table = pd.DataFrame([vars(contender) for contender in contenders]).drop(columns="run")
    table["layer"] = layer.name
    table["latency_ms"] = np.median(samples, axis=0)
    peer = keys.index(("pytorch", "dense", "float32"))
    table["ratio_to_pytorch_float32"] = ratios_to(samples, peer)
    costs = [cost(layer.convolution, contender) for contender in contenders]
    table["gflops"] = [
        1e-6 * operations / latency
        for (operations, _), latency in zip(costs, table["latency_ms"], strict=True)
    ]
    table["peak_gflops"] = [roofline.gflops[one.dtype] for one in contenders]
    limits = [roofline.limit(*each, one.dtype) for each, one in zip(costs, contenders, strict=True)]
    table["limit"] = [name for name, _ in limits]
    table["limit_ms"] = [milliseconds for _, milliseconds in limits]
    measured = COLUMNS[COLUMNS.index("latency_ms") :]
    numbers = table[measured].select_dtypes("number").map(lambda value: float(f"{value:.4g}"))
    return table.assign(**numbers)[COLUMNS]


def cost(layer: Convolution, contender: Contender) -> tuple[float, float]:
    """Return the operations and the bytes of input, weight and output.

    In sparse formats only nonzero weights count, with the bytes of their indices.
    """
    size = int(np.prod(layer.weight_shape))
    nonzeros = size - zeros_of(size, contender.sparsity)
    width = BYTES[contender.dtype]
    entry = width + INDEX_BYTES[contender.format]
    inputs = layer.in_channels * layer.height * layer.width
    outputs = layer.out_channels * layer.out_height * layer.out_width
    moved = width * layer.batch * (inputs + outputs) + entry * nonzeros
    return 2 * layer.macs * nonzeros / size, moved
