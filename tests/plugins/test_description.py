"""Every plugin has a valid description, and its module the functions of its protocol."""

import inspect

from dlas import registry
from dlas.analysis.observation import Module
from dlas.compiler.schedulers.plugin import CombiningScheduler, Scheduler, SearchingScheduler
from dlas.compression.plugin import ReshapingTechnique, Technique
from dlas.config.fields import section
from dlas.datasets.plugin import DatasetModule
from dlas.hardware.connections.plugin import Connection
from dlas.models.plugin import Architecture, RenamedArchitecture
from dlas.plugins import Setting
from dlas.primitives.plugin import Primitive, WeightFormat
from dlas.runtimes.plugin import Runtime

PROTOCOLS = {
    "dataset": DatasetModule,
    "model": Architecture,
    "compression": Technique,
    "primitive": Primitive,
    "format": WeightFormat,
    "tuning": Scheduler,
    "runtime": Runtime,
    "connection": Connection,
    "observation": Module,
}
# Protocols of functions that only some plugins of a kind have.
OPTIONAL = {"model": RenamedArchitecture, "compression": ReshapingTechnique}
LAYER = {"supports": ["convolution", "dtype", "vector"]}
SUPPORTS = {
    "primitive": LAYER,
    "format": LAYER,
    "tuning": {"supports": ["weight_format", "vector"]},
}


def functions(protocol):
    """Return the parameters of each function of a protocol by name."""
    return {
        name: list(inspect.signature(function).parameters)[1:]
        for name, function in vars(protocol).items()
        if inspect.isfunction(function) and not name.startswith("_")
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
    required = functions(PROTOCOLS[kind])
    if kind == "tuning" and described.searches:
        required |= functions(CombiningScheduler if described.combines else SearchingScheduler)
    optional = SUPPORTS.get(kind, {})
    if kind in OPTIONAL:
        optional = functions(OPTIONAL[kind])
    for function, parameters in (required | optional).items():
        if function in optional and not hasattr(module, function):
            continue
        assert callable(getattr(module, function, None)), f"it lacks {function}()"
        assert list(inspect.signature(getattr(module, function)).parameters) == parameters, function


def test_the_module_has_a_docstring(kind, name):
    """Its first line is what readers of the folder see."""
    assert (registry.load(kind, name).__doc__ or "").strip()
