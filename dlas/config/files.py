"""Read config files and values of the command line, before they have types."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from snakemake.utils import update_config

from dlas.errors import StudyError

ROOT = Path(__file__).parents[2]


def read(*overlays: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of config.yaml with overlays on it, merged as Snakemake merges them.

    Parameters
    ----------
    *overlays : str, Path or mapping
        Files, or the content of files, in the order of merging.

    Raises
    ------
    StudyError
        For a file that is missing, not YAML, or that has a key twice.
    """
    config: dict[str, Any] = {}
    for each in (ROOT / "config.yaml", *overlays):
        update_config(config, each if isinstance(each, Mapping) else check_file(each))
    return config


def check_file(file: str | Path) -> dict[str, Any]:
    """Return the content of a config file.

    YAML and Snakemake silently let the last of equal keys win; this function rejects them.

    Raises
    ------
    StudyError
        For a file that is missing, not YAML, or that has a key twice.
    """
    try:
        loader = yaml.SafeLoader(Path(file).read_text(encoding="utf-8"))
        node = loader.get_single_node()
        _check_keys(node, str(file), "")
        content = loader.construct_document(node) if node else None
    except OSError as error:
        raise StudyError(f"config: {file} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise StudyError(f"config: {file} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise StudyError(f"config: {file} holds no keys; allowed: those of config.yaml")
    return content


def _check_keys(node: yaml.Node | None, file: str, place: str) -> None:
    """Check that no mapping below a node has a key twice."""
    if isinstance(node, yaml.SequenceNode):
        for each in node.value:
            _check_keys(each, file, place)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        name, line = f"{place}{key.value}", key.start_mark.line + 1
        if name in lines:
            raise StudyError(
                f"config: {file} has the key {name} twice, in lines {lines[name]} and {line}; "
                "allowed: once"
            )
        lines[name] = line
        _check_keys(value, file, f"{name}.")


def of_command_line(value: Any) -> Any:
    """Return a value of --config as a file would give it.

    Snakemake leaves the values in a mapping or list as text: {width: 0.5} is {"width": "0.5"}.
    """
    if isinstance(value, Mapping):
        return {key: of_command_line(each) for key, each in value.items()}
    if isinstance(value, str):
        loader = yaml.SafeLoader("")
        tag = loader.resolve(yaml.ScalarNode, value, (True, False))
        return loader.construct_object(yaml.ScalarNode(tag, value))
    return [of_command_line(each) for each in value] if isinstance(value, list) else value
