"""Every plugin: its description is valid, and its module has the functions of its kind's protocol."""

import inspect

from dlas import registry
from dlas.analysis.observation import Module
from dlas.compiler.schedulers.plugin import Scheduler
from dlas.config.fields import section
from dlas.hardware.connections.plugin import Connection
from dlas.plugins import Setting
from dlas.primitives.plugin import Primitive, WeightFormat
from dlas.runtimes.plugin import Runtime

PROTOCOLS = {
    "primitive": Primitive,
    "format": WeightFormat,
    "tuning": Scheduler,
    "runtime": Runtime,
    "connection": Connection,
    "observation": Module,
}
# Functions that a plugin has, with their parameters.
REQUIRED = {
    kind: {
        name: list(inspect.signature(function).parameters)[1:]
        for name, function in vars(protocol).items()
        if inspect.isfunction(function) and not name.startswith("_")
    }
    for kind, protocol in PROTOCOLS.items()
} | {
    "dataset": {"prepare": ["settings", "seed"]},
    "model": {"build": ["classes", "width", "stem"]},
    "compression": {"compress": ["model", "level", "task"]},
}
# Functions that a plugin may have.
OPTIONAL = {
    "primitive": {"supports": ["convolution", "dtype", "vector"]},
    "format": {"supports": ["convolution", "dtype", "vector"]},
    "model": {"renamed": ["tensors"]},
    "compression": {"restore_architecture": ["model", "state"]},
}


def test_the_label_is_text_and_the_order_a_number(kind, name):
    described = registry.describe(kind, name)
    assert isinstance(described.label, str) and described.label.strip() == described.label != ""
    assert type(described.order) is int and described.order >= 0
    if kind == "observation":  # the claim, which figures and pages begin with a capital
        assert not described.label.endswith(".")


def every(settings):
    """Yield each setting, those of nested sections too."""
    for setting in settings.values():
        yield setting
        if not isinstance(setting.type, type) and hasattr(setting.type, "values"):
            yield from every(setting.type)


def test_each_setting_has_a_type_and_a_line_of_documentation(kind, name):
    settings = registry.describe(kind, name).settings
    schema = section(name, settings).model_json_schema()
    assert set(schema.get("properties", {})) == set(settings)
    for setting in every(settings):
        assert isinstance(setting, Setting)
        assert setting.text and "\n" not in setting.text and not setting.text.endswith(".")


def test_planning_and_importing_see_the_same_description(kind, name):
    assert registry.describe(kind, name) == registry.load(kind, name).PLUGIN


def test_the_module_has_the_functions_of_its_protocol(kind, name):
    module, described = registry.load(kind, name), registry.describe(kind, name)
    required = REQUIRED[kind] if kind != "tuning" or described.searches else {}
    for function, parameters in required.items():
        assert callable(getattr(module, function, None)), f"it lacks {function}()"
        assert list(inspect.signature(getattr(module, function)).parameters) == parameters, function
    for function, parameters in OPTIONAL.get(kind, {}).items():
        if hasattr(module, function):
            found = inspect.signature(getattr(module, function)).parameters
            assert list(found) == parameters, function


def test_the_module_has_a_docstring(kind, name):
    """Its first line is what readers of the folder see."""
    assert (registry.load(kind, name).__doc__ or "").strip()
