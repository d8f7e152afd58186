"""Combine several ways to schedule: the fastest code of each layer, as it runs in the network."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dlas.compiler.build import build_library
from dlas.compiler.device import DeviceOpener
from dlas.compiler.network import Network
from dlas.compiler.tuning.confirmation import InNetwork, confirm
from dlas.compiler.tuning.measurement import CandidateError, Measurer
from dlas.compiler.tuning.settings import Outcome, Settings
from dlas.errors import UnsupportedError
from dlas.files import code_folder

LOG = logging.getLogger("dlas")
FOUND = ("decisions", "trace")

Choice = Mapping[str, Any]
# Choices of one way for one layer, by workload.
Found = dict[str, Choice]


def combine(
    network: Network,
    primitive: str,
    weight_format: str,
    target: dict[str, Any],
    settings: Settings,
    *,
    records: Path,
    seed: int,
    opener: DeviceOpener,
    kernels: Path | None = None,
    others: Mapping[str, Mapping[str, Choice]],
) -> Outcome:
    """Choose for each layer of a network the fastest of its default and of other ways' results.

    Parameters
    ----------
    network, primitive, weight_format, target, settings, opener, kernels
        As for `tuning.network.tune_network`.
    records, seed
        Unused, as nothing is searched.
    others : mapping of str to mapping
        Choices of each other way for the network.

    Returns
    -------
    Outcome
        The choices of the fastest way if it is surely faster than the default in the network, with
        its name as "way" and the newly measured "ratio". The curve is empty.

    Raises
    ------
    UnsupportedError
        If no other way has choices, as each declined the network or failed.
    """
    finalists = _by_layer(others)
    if not finalists:
        raise UnsupportedError(f"none of {', '.join(others)} found schedules for this network")
    measurer = Measurer(opener, **settings.measurement)  # type: ignore[arg-type]
    with code_folder() as folder:
        in_network = InNetwork(
            partial(build_library, network, primitive, weight_format, target, kernels=kernels),
            network.input_shape,
            list(finalists),
            measurer,
            settings.confirmation["repeats"],
            folder,
        )

        def measure(ways: Sequence[Mapping[str, Found]]) -> np.ndarray:
            return in_network([_choices(finalists, way) for way in ways])

        useful = {
            label: [each for each in found if _found(each)] for label, found in finalists.items()
        }
        try:
            confirmed = confirm(useful, measure)
        except CandidateError as error:
            LOG.warning("all layers stay as by default: %s", error)
            confirmed = confirm(dict.fromkeys(useful, ()), measure)
        finally:
            measurer.close()
    chosen = {label: outcome.chosen for label, outcome in confirmed.items() if outcome.chosen}
    choices = _choices(finalists, chosen)
    for choice in choices.values():
        choice["ratio"] = confirmed[choice["label"]].ratio
    LOG.info("of %d layers %d are not as by default", len(finalists), len(chosen))
    return Outcome(choices, [])


def _by_layer(others: Mapping[str, Mapping[str, Choice]]) -> dict[str, list[Found]]:
    """Return the choices of all ways for each layer, by its label."""
    found: dict[str, list[Found]] = {}
    for way, choices in others.items():
        own: dict[str, Found] = {}
        for workload, choice in choices.items():
            own.setdefault(choice["label"], {})[workload] = {**choice, "way": way}
        for label, layer in own.items():
            found.setdefault(label, []).append(layer)
    return found


def _found(layer: Found) -> bool:
    return any(choice.get(name) for choice in layer.values() for name in FOUND)


def _choices(
    finalists: Mapping[str, Sequence[Found]], chosen: Mapping[str, Found]
) -> dict[str, dict[str, Any]]:
    """Return the choices of a network: the chosen ones for some layers, the default for others."""
    choices: dict[str, dict[str, Any]] = {}
    for label, found in finalists.items():
        default = {
            workload: {name: value for name, value in choice.items() if name not in FOUND}
            | {"way": "untuned"}
            for workload, choice in found[0].items()
        }
        choices |= {key: dict(choice) for key, choice in chosen.get(label, default).items()}
    return choices
