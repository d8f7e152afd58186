"""Run the tests of each kind on all plugins of it, or on those that `--plugin` names."""

from pathlib import Path
from typing import get_args

import pytest

from dlas import registry
from dlas.config import files
from dlas.errors import StudyError, unknown

ROOT = Path(__file__).parents[2]
KINDS = get_args(registry.Kind)


def chosen(config: pytest.Config) -> list[tuple[str, str]]:
    """Return the (kind, name) of each plugin to be tested."""
    named = [tuple(each.partition("/")[::2]) for each in config.getoption("plugin")]
    return named or [(kind, name) for kind in KINDS for name in registry.names(kind)]


def pytest_configure(config):
    """Say in one line which plugins there are where one does not exist."""
    try:
        for kind, name in chosen(config):
            if kind not in KINDS:
                raise unknown("kind of plugin", kind, KINDS)
            registry.describe(kind, name)
    except StudyError as error:
        raise pytest.UsageError(str(error)) from error
    if config.getoption("plugin"):
        # Its author looks for the error, not for the logs of libraries.
        config.option.tbstyle, config.option.showcapture = "short", "no"


def pytest_ignore_collect(collection_path, config):
    """Leave out the tests of kinds of which no plugin is tested."""
    kind = collection_path.stem.removeprefix("test_")
    return kind in set(KINDS) - {kind for kind, _ in chosen(config)} or None


def pytest_generate_tests(metafunc):
    """Give a test its plugins: as `kind` and `name`, or as `name` in a module with a KIND."""
    plugins = chosen(metafunc.config)
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize(("kind", "name"), plugins)
    elif "name" in metafunc.fixturenames:
        kind = metafunc.module.KIND
        metafunc.parametrize("name", [name for each, name in plugins if each == kind])


@pytest.fixture
def settings_of(request):
    """Return a function that gives a plugin's section of the config.

    The section is that of an overlay on the command line, of config.yaml, or of an overlay in
    config/.
    """
    shipped = [[], *([file] for file in sorted(ROOT.glob("config/*.yaml")))]

    def section(name: str, *path: str) -> dict:
        for overlays in ([*request.config.getoption("overlay")], *shipped):
            found = files.read(*overlays)
            for key in path:
                found = found[key]
            if name in found:
                return found[name]
        return {}

    return section
