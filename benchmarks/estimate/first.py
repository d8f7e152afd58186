"""The smallest job of each kind: its time is the start-up of a job, with all imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlas import datasets, registry, study

if TYPE_CHECKING:
    from dlas.compiler.network import Network

SIZE, CLASSES = 32, 10
SHAPE = (1, 3, SIZE, SIZE)


def training() -> None:
    """Train a small network for one step."""
    import numpy as np

    from dlas import models
    from dlas.models import accounting
    from dlas.models import training as trained

    pixels = np.arange(2 * SIZE * SIZE * 3, dtype=np.uint8).reshape(2, SIZE, SIZE, 3)
    split = datasets.Split(pixels, np.arange(2))
    data = datasets.assemble(split, split, split, tuple(map(str, range(CLASSES))))
    network = models.build("resnet18", CLASSES, 0.125, "small_input")
    trained.train(network, data, trained.Recipe("sgd", 1e-6, 0, 1, 2), 0, progress=False)
    accounting.summarize(network, SHAPE)


def importing() -> Network:
    """Return a small network, imported for the compiler."""
    from dlas import models
    from dlas.compiler.importer import import_network

    return import_network(models.build("resnet18", CLASSES, 0.125, "small_input").eval(), SHAPE)


def exporting() -> None:
    """Write a small network for other runtimes."""
    import tempfile
    from pathlib import Path

    import numpy as np

    from dlas import models
    from dlas.models import export

    network = models.build("resnet18", CLASSES, 0.125, "small_input").eval()
    image = np.zeros(SHAPE, np.float32)
    with tempfile.TemporaryDirectory() as folder:
        export.write_onnx(network, image, Path(folder, "network.onnx"))
        export.write_program(network, image, Path(folder, "network.pt2"))


def compiling() -> None:
    """Resolve the target, as every job that compiles does."""
    from dlas.hardware.platforms import Platform, target

    target(Platform("local_cpu"))


def tables() -> None:
    """Do nothing: the script of these jobs has imported everything."""


def analysis() -> None:
    """Load an observation."""
    from dlas.analysis import observation

    observation.load(registry.names("observation")[0])


def plots() -> None:
    """Load an observation, draw and write an empty figure."""
    import io

    from dlas.analysis import panels
    from dlas.analysis.style import Looks

    analysis()
    figure, axes = panels.columns(Looks(), [""], height=3.0)
    axes[0, 0].plot([0, 1])
    for form in study.PLOT_EXTENSIONS:
        figure.savefig(io.BytesIO(), format=form)
