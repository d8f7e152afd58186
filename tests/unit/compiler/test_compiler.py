"""From a trained network to a library: import, storage, every primitive, bad input."""

import json
from functools import cache
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tvm.s_tir import Schedule
from tvm.s_tir.schedule import ScheduleError
from tvm.target import Target

from dlas import models, primitives
from dlas.compiler.build import (
    build_library,
    complete,
    fuse_operators,
    kernel_names,
    schedule_network,
)
from dlas.compiler.check import (
    check_expected,
    check_logits,
    check_outputs,
    check_top1,
    largest_relative_error,
    relative_error_in_norm,
    share_of_other_logits,
)
from dlas.compiler.importer import import_network, reference_outputs
from dlas.compiler.library import load_library
from dlas.compiler.lowering import layers, lower
from dlas.compiler.network import load_network, save_network, save_status
from dlas.errors import FailedError, StudyError, UnsupportedError, WrongError
from dlas.hardware.platforms import Platform, target
from dlas.primitives.vector import vector_unit
from tests.unit.compiler.imported import PAIRS, imported, lively
from tests.unit.primitives.layers import GENERAL

HOST = target(Platform("host", threads=1))


def one_worker(name, stem):
    """What needs a network is tested by one process, which imports it once."""
    return pytest.mark.xdist_group(f"{name}-{stem}")


def of_pairs(pairs):
    return pytest.mark.parametrize(
        "pair",
        [pytest.param(pair, marks=one_worker(*pair[:2]), id="-".join(pair[:2])) for pair in pairs],
    )


every_pair = of_pairs(PAIRS)
# DenseNet161 takes longer than all others, and has no kind of layer that they lack.
quick_pairs = of_pairs([pair for pair in PAIRS if pair[0] != "densenet161"])


@pytest.fixture(scope="session")
def networks():
    """Return a function that imports a network of the pair, with images and expected outputs."""
    return cache(imported)


@pytest.fixture(scope="session")
def small(networks):
    return networks("resnet18", "small_input", 32)


@pytest.mark.parametrize("primitive", GENERAL)
@every_pair
def test_every_network_agrees_with_its_framework_under_every_primitive(networks, pair, primitive):
    network, images, logits = networks(*pair)
    library = build_library(network, primitive, "dense", HOST)
    assert check_outputs(library.load(), images, logits, "float32", 1e-4) <= 1e-4
    assert library.record()["convolutions"] >= 5


@pytest.mark.parametrize("weight_format", ["csr", "bsr"])
@every_pair
def test_every_network_agrees_with_its_framework_in_sparse_formats(networks, pair, weight_format):
    """Whatever the share of zeros, and on as many threads as there are."""
    network, images, logits = networks(*pair)
    primitive = GENERAL[PAIRS.index(pair) % 3]
    threads = target(Platform("host", threads="all"))
    library = build_library(network, primitive, weight_format, threads)
    assert check_outputs(library.load(), images, logits, "float32", 1e-4) <= 1e-4


@quick_pairs
def test_every_pruned_and_quantized_network_is_exact_in_sparse_formats(networks, pair):
    network, images, logits = networks(*pair, "int8", sparsity=0.8)
    for number, weight_format in enumerate(("csr", "bsr")):
        primitive = GENERAL[(PAIRS.index(pair) + number) % 3]
        library = build_library(network, primitive, weight_format, HOST)
        np.testing.assert_array_equal(library.load().run(images), logits)
    assert np.ptp(logits) > 0.01


@one_worker("mobilenet_v2", "small_input")
@pytest.mark.parametrize("weight_format", ["csr", "bsr"])
def test_sparse_formats_take_float16(networks, weight_format):
    network, images, logits = networks("mobilenet_v2", "small_input", 32, "float16")
    outputs = build_library(network, "direct", weight_format, HOST).load().run(images)
    assert relative_error_in_norm(outputs, logits) < 2e-2


@pytest.mark.parametrize("primitive", GENERAL)
@every_pair
def test_every_quantized_network_is_exact_under_every_primitive(networks, pair, primitive):
    network, images, logits = networks(*pair, "int8")
    library = build_library(network, primitive, "dense", HOST)
    np.testing.assert_array_equal(library.load().run(images), logits)
    assert np.ptp(logits) > 0.01
    assert library.record()["status"] == "ok"


@every_pair
def test_every_network_in_half_precision_agrees_with_its_weights_in_float32(networks, pair):
    network, images, logits = networks(*pair, "float16")
    primitive = GENERAL[PAIRS.index(pair) % 3]
    library = build_library(network, primitive, "dense", HOST)
    assert 1e-5 < relative_error_in_norm(library.load().run(images), logits) < 2e-2


@one_worker("vgg16", "small_input")
def test_float16_is_widened_where_the_target_has_no_arithmetic_on_it(networks):
    network, _, _ = networks("vgg16", "small_input", 32, "float16")
    for cpu, status in (("x86-64-v3", "widened"), ("sapphirerapids", "ok")):
        described = target(Platform("any", {"kind": "llvm", "mcpu": cpu}, threads=1))
        assert build_library(network, "direct", "dense", described).record()["status"] == status


def described(cpu):
    """Return a target that need not be this host: code for it is made, not run."""
    return Target({"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": cpu, "opt-level": 2})


def operand_types(schedule, name):
    """Return a block's inputs besides its sums, and the sums' type; None without the block."""
    try:
        block = schedule.get(schedule.get_sblock(name))
    except ScheduleError:
        return None
    (sums,) = block.writes
    reads = [region.source for region in block.reads]
    operands = {str(buffer.dtype) for buffer in reads if not buffer.same_as(sums.source)}
    return operands, str(sums.source.dtype)


def convolution_kernels(network, primitive, cpu):
    """Return the blocks of each convolution that add up in scheduled code, in their order."""
    names = ("products_update", "convolution_update", "convolution_update_o")
    module = schedule_network(network, primitive, "dense", described(cpu))
    schedules = [Schedule(module[name]) for name in kernel_names(module) if "convolution" in name]
    found = [[operand_types(schedule, name) for name in names] for schedule in schedules]
    return [[block for block in blocks if block] for blocks in found]


@one_worker("mobilenet_v2", "large_input")
@pytest.mark.parametrize("primitive", GENERAL)
@pytest.mark.parametrize(
    ("technique", "cpu", "blocks"),
    [
        ("none", "sapphirerapids", [({"float32"}, "float32")]),
        ("float16", "x86-64-v3", [({"float16"}, "float32")]),
        (
            "float16",
            "sapphirerapids",
            [({"float16"}, "float16"), ({"float16"}, "float32")],
        ),
        ("int8", "x86-64-v3", [({"uint8", "int8"}, "int32")]),
        ("int8", "sapphirerapids", [({"uint8", "int8"}, "int32")]),
    ],
)
def test_the_lowered_code_multiplies_what_the_technique_says(
    networks, primitive, technique, cpu, blocks
):
    network, _, _ = networks("mobilenet_v2", "large_input", 64, technique)
    kernels = convolution_kernels(network, primitive, cpu)
    assert len(kernels) > 10
    assert all(kernel == blocks for kernel in kernels)


@one_worker("resnet18", "small_input")
def test_half_precision_runs_from_end_to_end(networks):
    network, _, _ = networks("resnet18", "small_input", 32, "float16")
    assert {str(values.dtype) for values in network.parameters.values()} == {"float16"}
    main = fuse_operators(
        lower(
            network,
            primitives.load("gemm"),
            primitives.load_format("dense"),
            vector_unit(Target(HOST), network.dtype),
        )
    )["main"]
    kinds = [str(binding.var.ty.dtype) for block in main.body.blocks for binding in block.bindings]
    assert set(kinds[:-2]) == {"float16"}  # the logits leave in float32
    assert kinds[-1] == "float32"


def test_a_network_is_stored_without_pickles_and_read_back(small, tmp_path):
    network, _, _ = small
    files = tmp_path / "network.json", tmp_path / "parameters.safetensors"
    save_network(network, *files)
    json.loads(files[0].read_text())
    again = load_network(*files)
    assert again.input_shape == (1, 3, 32, 32)
    assert again.parameters.keys() == network.parameters.keys()
    for name, values in network.parameters.items():
        np.testing.assert_array_equal(again.parameters[name], values)


def test_batch_normalizations_are_folded_into_convolutions(small):
    assert "batch_norm" not in small[0].module.script()


def test_an_exported_library_runs_from_disk_and_can_be_timed(small, tmp_path):
    network, images, logits = small
    library = build_library(network, "spatial_pack", "dense", HOST)
    path = tmp_path / "network.so"
    library.export(path)
    loaded = load_library(path)
    assert largest_relative_error(loaded.run(images), logits) < 1e-4
    (seconds,) = loaded.timer(images[:1]).time(3)
    assert 1e-6 < seconds < 1
    assert library.record()["target"] == HOST


def test_the_kernels_of_each_layer_are_timed_in_the_network(small):
    network = small[0]
    image = np.zeros(network.input_shape, "float32")
    loaded = build_library(network, "direct", "dense", HOST).load()
    kernels = loaded.kernel_seconds(image, 3)
    vector = vector_unit(complete(HOST), network.dtype)
    found = layers(network, primitives.load("direct"), primitives.load_format("dense"), vector)
    for layer, _ in found:
        assert any(layer.label in name for name in kernels), layer.label
    convolutions = [seconds for name, seconds in kernels.items() if "convolution" in name]
    assert len(convolutions) >= len(found)
    assert 0 < sum(convolutions) < 1


def test_two_builds_give_the_same_library(small, tmp_path):
    for name in ("first.so", "second.so"):
        build_library(small[0], "direct", "dense", HOST).export(tmp_path / name)
    assert (tmp_path / "first.so").read_bytes() == (tmp_path / "second.so").read_bytes()


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated"])
def test_a_library_that_is_none_is_named(small, tmp_path, damage):
    path = tmp_path / "network.so"
    if damage != "missing":
        build_library(small[0], "direct", "dense", HOST).export(path)
        whole = path.read_bytes()
        path.write_bytes(b"" if damage == "empty" else whole[: len(whole) // 3])
    with pytest.raises(StudyError, match=r"network\.so is (missing|damaged)"):
        load_library(path)


@pytest.mark.parametrize("name", ["network.json", "parameters.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_damaged_network_is_named(small, tmp_path, name, damage):
    files = tmp_path / "network.json", tmp_path / "parameters.safetensors"
    save_network(small[0], *files)
    broken = tmp_path / name
    if damage == "missing":
        broken.unlink()
    else:
        broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(StudyError, match=rf"{name} is (missing|damaged)"):
        load_network(*files)


@one_worker("vgg16", "small_input")
def test_parameters_of_another_network_are_refused(small, networks, tmp_path):
    files = tmp_path / "network.json", tmp_path / "parameters.safetensors"
    save_network(networks("vgg16", "small_input", 32)[0], tmp_path / "other.json", files[1])
    save_network(small[0], files[0], tmp_path / "other.safetensors")
    with pytest.raises(StudyError, match="lacks"):
        load_network(*files)


def test_a_status_in_place_of_a_network_is_raised(tmp_path):
    files = tmp_path / "network.json", tmp_path / "parameters.safetensors"
    error = FailedError("training diverged in epoch 1: the loss is nan")
    save_status(error.status, *files)
    with pytest.raises(FailedError, match=r"^training diverged in epoch 1: the loss is nan$"):
        load_network(*files)


class Dilated(torch.nn.Module):
    """A network with a layer that the study's primitives do not compute."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 4, 3, dilation=2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images).mean((2, 3))


class Sine(torch.nn.Module):
    """A network with an operator that the compiler does not know."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.sin().mean((2, 3))


def declining(module, supports):
    """A primitive or a format like `module` that declines some layers."""
    one = ModuleType("dlas.primitives.picky")
    vars(one).update({name: each for name, each in vars(module).items() if name[0] != "_"})
    one.supports = supports
    return one


def test_a_layer_that_a_primitive_or_a_format_declines_is_named_with_the_reason():
    asked = []

    def supports(convolution, dtype, vector):
        asked.append((dtype, vector))
        rows, columns = convolution.kernel
        return None if (rows, columns) == (3, 3) else f"kernel {rows}x{columns}; allowed: 3x3"

    direct, dense = primitives.load("direct"), primitives.load_format("dense")
    vector = vector_unit(complete(HOST), "float32")
    layers_3x3 = torch.nn.Conv2d(3, 8, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    one_kind = import_network(torch.nn.Sequential(*layers_3x3).eval(), (1, 3, 8, 8))
    two_kinds = import_network(
        torch.nn.Sequential(*layers_3x3, torch.nn.Linear(8, 4)).eval(), (1, 3, 8, 8)
    )
    for methods in ((declining(direct, supports), dense), (direct, declining(dense, supports))):
        asked.clear()
        assert lower(one_kind, *methods, vector) is not None
        assert asked == [("float32", vector)]
        with pytest.raises(UnsupportedError) as caught:
            lower(two_kinds, *methods, vector)
        assert str(caught.value) == (
            "convolution 1x1 stride 1x1, 8 to 4 channels in 1 groups at 1x1 in picky: "
            "kernel 1x1; allowed: 3x3"
        )
    assert lower(two_kinds, direct, dense, vector) is not None


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Dilated(), "dilation .*; allowed: 1"),
        (Sine(), "unknown operator in the network 'relax.sin'; allowed: .*relax.add"),
    ],
)
def test_a_network_that_cannot_be_expressed_is_refused_in_one_line(model, message):
    network = import_network(model, (1, 3, 16, 16))
    with pytest.raises(UnsupportedError, match=message) as caught:
        build_library(network, "direct", "dense", HOST)
    assert "\n" not in str(caught.value)


def test_an_unknown_format_is_named(small):
    with pytest.raises(StudyError, match="unknown format 'coo'; allowed: bsr, csr, dense"):
        build_library(small[0], "direct", "coo", HOST)


def test_a_wrong_network_is_never_let_through(small):
    network, images, logits = small
    broken = {name: values.copy() for name, values in network.parameters.items()}
    broken["conv1.weight"][0] += 1
    library = build_library(type(network)(network.module, broken), "gemm", "dense", HOST).load()
    with pytest.raises(WrongError, match=r"^largest relative error of a logit .+ > 0\.0001$"):
        check_outputs(library, images, logits, "float32", 1e-4)
    worst = logits.argmin(axis=1)
    with pytest.raises(WrongError, match=r"^top-1 0\.00 %, the framework's is 100\.00 %"):
        check_top1(library, images, worst, 100.0, 0.5)


class Answering:
    """A compiled network that gives the logits of some classes."""

    def __init__(self, *classes):
        self.logits = np.eye(10, dtype=np.float32)[list(classes)]

    def run(self, images):
        return self.logits


@pytest.mark.parametrize("count", [1, 3, 7, 90, 198])
@pytest.mark.parametrize("tolerance", [0.0, 0.5, 1.1])
def test_one_image_is_always_allowed_and_two_are_if_the_tolerance_says_so(count, tolerance):
    labels = np.zeros(count, np.int64)
    for others in range(min(3, count)):
        network, framework = Answering(*[1] * others, *[0] * (count - others)), 100.0
        if others < 2 or 100 * others / count <= tolerance:
            check_top1(network, [], labels, framework, tolerance)
        else:
            with pytest.raises(WrongError, match=r"^top-1 .* a difference over "):
                check_top1(network, [], labels, framework, tolerance)


def test_top1_of_or_against_what_is_no_number_is_wrong():
    with pytest.raises(WrongError, match="top-1"):
        check_top1(Answering(0, 0), [], np.array([0, 0]), float("nan"), 100.0)
    network = Answering(0, 0)
    network.logits[1, 3] = np.nan
    with pytest.raises(WrongError, match="logits are not finite"):
        check_top1(network, [], np.array([0, 0]), 100.0, 100.0)


def test_activations_beyond_float16_are_wrong():
    convolution = torch.nn.Conv2d(3, 8, 3, padding=1)
    torch.nn.init.constant_(convolution.weight, 1e4)
    model = torch.nn.Sequential(convolution, torch.nn.Flatten()).to(torch.float16)
    network = import_network(model, (1, 3, 16, 16))
    images = np.ones((1, 3, 16, 16), np.float32)
    logits = reference_outputs(model, network, images)
    assert np.isfinite(logits).all()
    library = build_library(network, "direct", "dense", HOST).load()
    with pytest.raises(
        WrongError, match="not finite, an activation is beyond float16's range"
    ) as error:
        check_outputs(library, images, logits, "float16", 2e-2)
    assert error.value.status.startswith("wrong: logits are not finite")


@one_worker("vgg16", "small_input")
def test_integers_of_another_network_are_no_reference(networks):
    network, images, _ = networks("vgg16", "small_input", 32, "int8")
    other = lively(models.build("vgg16", 10, 0.125, "small_input", seed=1))
    with pytest.raises(WrongError, match=r"int8 network is not the framework's, .*; allowed: 0\.1"):
        reference_outputs(other, network, images)


@one_worker("vgg16", "small_input")
@pytest.mark.parametrize("technique", ["none", "float16", "int8"])
@pytest.mark.parametrize(
    ("bias", "said"), [(0.0, "all 0"), (1.0, "the same for all 2 images"), (np.nan, "not finite")]
)
def test_a_classifier_of_zeros_is_no_reference(networks, technique, bias, said):
    network, images, _ = networks("vgg16", "small_input", 32, technique)
    other = models.build("vgg16", 10, 0.125, "small_input").eval()
    classifier = [each for each in other.modules() if isinstance(each, torch.nn.Linear)][-1]
    classifier.weight.data.zero_()
    classifier.bias.data.fill_(bias)
    with pytest.raises(FailedError, match=said):
        reference_outputs(other, network, images)


def test_one_logit_in_a_thousand_that_integers_do_not_give_is_seen():
    expected = np.arange(1000, dtype=np.float32).reshape(100, 10)
    outputs = expected.copy()
    outputs[3, 4] = np.nextafter(outputs[3, 4], np.float32(np.inf))
    assert share_of_other_logits(outputs, expected) == 1e-3
    assert share_of_other_logits(np.full_like(expected, np.nan), expected) == float("inf")
    assert share_of_other_logits(outputs[:1], expected) == float("inf")
    assert relative_error_in_norm(1.5 * expected, expected) == pytest.approx(0.5)
    assert relative_error_in_norm(np.full_like(expected, np.nan), expected) == float("inf")


@given(arrays.arrays("float32", (2, 5), elements=st.floats(1, 1000, width=32)))
def test_the_relative_error_is_zero_of_itself_and_infinite_of_nothing(logits):
    assert largest_relative_error(logits, logits) == 0
    assert largest_relative_error(np.full_like(logits, np.nan), logits) == float("inf")
    assert largest_relative_error(logits[:1], logits) == float("inf")
    assert largest_relative_error(2 * logits, logits) == pytest.approx(1)


MEASURES = [largest_relative_error, relative_error_in_norm, share_of_other_logits]
NOT_FINITE = [float("nan"), float("inf"), float("-inf")]
GOOD = np.arange(1, 11, dtype=np.float32).reshape(2, 5)


def spoiled(value):
    logits = GOOD.copy()
    logits[1, 2] = value
    return logits


@pytest.mark.parametrize("error_of", MEASURES)
@pytest.mark.parametrize("value", NOT_FINITE)
def test_nothing_agrees_with_what_is_no_number(error_of, value):
    pairs = [(spoiled(value), GOOD), (GOOD, spoiled(value)), (spoiled(value), spoiled(value))]
    assert [error_of(*pair) for pair in pairs] == [float("inf")] * 3
    assert error_of(0 * GOOD, 0 * GOOD) == error_of(GOOD[:0], GOOD[:0]) == float("inf")
    assert error_of(np.float32(1e30) * GOOD, np.float32(1e30) * GOOD) == 0


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize(
    ("expected", "said"),
    [
        *[(spoiled(value), "are not finite") for value in NOT_FINITE],
        (0 * GOOD, "are all 0"),
        (GOOD[:0], "are all 0"),
        (GOOD[[1, 1, 1]], "are the same for all 3 images"),
    ],
)
def test_a_check_that_cannot_fail_is_a_failure(dtype, expected, said):
    with pytest.raises(FailedError, match=f"^the framework's logits {said}"):
        check_logits(expected, expected, dtype, 1.0)
    for right in (GOOD, GOOD[:1], 0 * GOOD + [[0], [1e-30]]):
        check_expected(right)
