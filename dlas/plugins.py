"""Descriptions of plugins, which planning reads without importing the plugins.

A plugin is a file in the folder of its kind with an assignment `PLUGIN = <Kind>Plugin(...)`. The
registry evaluates only that expression, so it may use only literals and the names of this
module. Values that a job depends on (a type, a stem, a number of threads) reach the job as
parameters of its rule; jobs never read a description. So `PLUGIN` is not part of the code hash, and
a new label only redraws figures.

A setting has a type, with rules of the library annotated_types, and one line of documentation.
They define the typed config, the reference documentation and all messages.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen

__all__ = [
    "Annotated",
    "Any",
    "Ascending",
    "Choice",
    "ConnectionPlugin",
    "Count",
    "DatasetPlugin",
    "Distinct",
    "FormatPlugin",
    "Fraction",
    "Ge",
    "Gt",
    "Le",
    "Levels",
    "Literal",
    "Location",
    "Lt",
    "Mapping",
    "Matches",
    "MinLen",
    "ModelPlugin",
    "Name",
    "ObservationPlugin",
    "Pixels",
    "Plugin",
    "Points",
    "PrimitivePlugin",
    "RuntimePlugin",
    "Setting",
    "TechniquePlugin",
    "Text",
    "TuningPlugin",
]

# Order of plugins that give none: behind all others.
LAST = 1000


class Rule:
    """A rule for values that annotated_types lacks.

    The methods with underscores are pydantic's hooks. The typed config calls `check` after the
    value has its type, and the config's JSON Schema contains `json_schema`.
    """

    def check(self, value: Any) -> Any:
        """Return the value; raise ValueError with the allowed values."""
        raise NotImplementedError

    def json_schema(self) -> dict[str, Any]:
        """Return the keys of JSON Schema that express the rule, if it can be expressed."""
        return {}

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        check = {"type": "no-info", "function": self.check}
        return {"type": "function-after", "function": check, "schema": handler(source)}

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {**handler(schema), **self.json_schema()}


@dataclass(frozen=True)
class Matches(Rule):
    """The whole text matches a regular expression; `allowed` describes it in words."""

    pattern: str
    allowed: str

    def check(self, value: str) -> str:
        """Return the text; raise ValueError if it does not match."""
        if re.fullmatch(self.pattern, value):
            return value
        raise ValueError(f"allowed: {self.allowed}")

    def json_schema(self) -> dict[str, Any]:
        """Return the pattern and its description."""
        return {"pattern": f"^({self.pattern})$", "title": self.allowed}


@dataclass(frozen=True)
class Distinct(Rule):
    """A list has no element twice."""

    def check(self, value: list[Any]) -> list[Any]:
        """Return the list; raise ValueError if an element occurs twice."""
        if any(one in value[:place] for place, one in enumerate(value)):
            raise ValueError("must not name anything twice")
        return value

    def json_schema(self) -> dict[str, Any]:
        """Return the keyword for unique elements."""
        return {"uniqueItems": True}


@dataclass(frozen=True)
class Ascending(Rule):
    """Numbers ascend, and differ in the six digits that paths show."""

    def check(self, value: list[float]) -> list[float]:
        """Return the list; raise ValueError if the numbers do not ascend."""
        if value != sorted(value) or len({f"{one:g}" for one in value}) < len(value):
            raise ValueError("must ascend, in steps that six digits show")
        return value


@dataclass(frozen=True)
class Expanded(Rule):
    """A path in which `~` and environment variables are expanded."""

    def check(self, value: str) -> str:
        """Return the expanded path."""
        return os.path.expanduser(os.path.expandvars(value))  # noqa: PTH111 (keeps ./ and unknown users)


Count = Annotated[int, Ge(1)]
Pixels = Annotated[int, Ge(8)]
Fraction = Annotated[float, Gt(0), Lt(1)]
Points = Annotated[float, Ge(0), Le(100)]
Levels = Annotated[list[Fraction], MinLen(1), Ascending()]
Text = Annotated[str, MinLen(1)]
# Paths are relative to the folder in which the study runs.
Location = Annotated[str, MinLen(1), Expanded()]
# Names are parts of paths and of module names.
Name = Annotated[
    str,
    Matches(
        "[a-z][a-z0-9_]{0,99}",
        "names of lower-case letters, digits and underscores that begin with a letter, 100 at most",
    ),
]
# An alias of Literal under the name in the documentation of settings.
Choice = Literal


@dataclass(frozen=True)
class Setting:
    """One key of a plugin's section in the config.

    Attributes
    ----------
    type : type or mapping
        The type of its value, possibly `Annotated` with rules of annotated_types and of this
        module. A mapping from names to `Setting` is a nested section.
    text : str
        Its meaning, in one line without a full stop.
    required : bool
        Whether the config must have it.
    """

    type: Any
    text: str
    required: bool = True


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """The description that all kinds of plugins share.

    Attributes
    ----------
    label : str
        Its name for readers.
    order : int
        Its place in tables and figures; plugins of equal order are sorted by name.
    settings : mapping of str to Setting
        The keys of its section in the config.
    """

    label: str
    order: int = LAST
    settings: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DatasetPlugin(Plugin):
    """A data set, `dlas/datasets/<name>.py`.

    Attributes
    ----------
    stem : {"small_input", "large_input"}
        First layers of networks for images of its size.
    size : int or str
        Pixels on each side of its images, or the name of the setting for it.
    classes : int or str
        Number of classes, or the name of the setting for it.
    images : int, optional
        Number of images, if it is known before the data set is prepared.
    threads : int
        Most threads that prepare it.
    """

    stem: Literal["small_input", "large_input"]
    size: int | str
    classes: int | str
    images: int | None = None
    threads: int = 1


@dataclass(frozen=True, kw_only=True)
class ModelPlugin(Plugin):
    """A neural architecture, `dlas/models/<name>.py`.

    Attributes
    ----------
    smallest : mapping of str to int
        Pixels on each side of the smallest image that its strides allow, by stem.
    weights : str
        torchvision's name of its published weights; empty without any.
    group : {"compact", "large"}, optional
        The analysis compares two groups: architectures designed to be small (MobileNets,
        EfficientNet), and large ones (VGG-16, the ResNets).
    """

    smallest: Mapping[str, int]
    weights: str = ""
    group: Literal["compact", "large"] | None = None


@dataclass(frozen=True, kw_only=True)
class TechniquePlugin(Plugin):
    """A compression technique, `dlas/compression/<name>.py`.

    Attributes
    ----------
    dtype : {"float32", "float16", "int8"}
        The type that its networks compute in.
    sparse : bool
        Whether it creates zero weights; its networks are then compiled in sparse formats as well.
    block : int
        Neighbouring output channels whose weights become zero together.
    folds : bool
        Whether it folds batch normalizations into the previous layers (`models.folding.fold`).
    keeps_zeros : bool
        Whether zero weights stay zero. If not, no sparse technique can come before it.
    colour : str, optional
        Its colour in all figures, by default the next free one of the palette.
    """

    dtype: Literal["float32", "float16", "int8"] = "float32"
    sparse: bool = False
    block: int = 1
    folds: bool = False
    keeps_zeros: bool = True
    colour: str | None = None


@dataclass(frozen=True, kw_only=True)
class PrimitivePlugin(Plugin):
    """A convolution algorithm, `dlas/primitives/<name>.py`.

    Attributes
    ----------
    marker : str, optional
        matplotlib's name of its marker.
    """

    marker: str | None = None


@dataclass(frozen=True, kw_only=True)
class FormatPlugin(Plugin):
    """A format of the weights, `dlas/primitives/<name>.py`.

    Attributes
    ----------
    sparse : bool
        Whether it omits zeros; it is then only for networks of sparse techniques.
    block : int
        Neighbouring output channels that it stores together. The blocks of techniques must be a
        multiple of it.
    edge : str, optional
        Colour of the edges of its markers.
    """

    sparse: bool = False
    block: int = 1
    edge: str | None = None


@dataclass(frozen=True, kw_only=True)
class TuningPlugin(Plugin):
    """A way to schedule, `dlas/compiler/schedulers/<name>.py`.

    Attributes
    ----------
    searches : bool
        Whether it measures candidates on the platform.
    combines : tuple of str
        Other ways with a search, whose results are its input.
    slow : bool
        Whether its libraries are too slow for the top-1 on the test split and for A/A replicates.
    fill, line : str, optional
        matplotlib's names of the fill of its markers and the style of its curves.
    """

    searches: bool = False
    combines: tuple[str, ...] = ()
    slow: bool = False
    fill: str | None = None
    line: str | None = None


@dataclass(frozen=True, kw_only=True)
class RuntimePlugin(Plugin):
    """A peer runtime, `dlas/runtimes/<name>.py`.

    Attributes
    ----------
    loads : str
        File extension of the exported network that it loads.
    line : optional
        matplotlib's style of its lines.
    """

    loads: str
    line: Any = None


@dataclass(frozen=True, kw_only=True)
class ConnectionPlugin(Plugin):
    """A kind of connection, `dlas/hardware/connections/<name>.py`; one setting has its name."""


@dataclass(frozen=True, kw_only=True)
class ObservationPlugin(Plugin):
    """An observation, `dlas/analysis/observations/<name>.py`.

    The label is the claim: a sentence without capital and full stop.

    Attributes
    ----------
    origin : {"abstract", "formulated"}
        Whether the claim is in an abstract of the paper, or this project formulated it.
    layer : str
        Its place in the report, one of `LAYERS`.
    """

    origin: Literal["abstract", "formulated"]
    layer: str


# Sections of the report: the layers of the stack, and figures and tables across them.
LAYERS = (
    "1 Datasets",
    "2 Models",
    "3 Model optimizations",
    "4 Algorithms and data formats",
    "5 Systems software",
    "6 Hardware",
    "Across the stack",
    "Beyond the paper",
    "Tables",
)
