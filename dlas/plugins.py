"""What a plugin says of itself: one description in its file, which planning reads without importing the file.

A plugin is a file in the folder of its kind with an assignment `PLUGIN = <Kind>Plugin(...)`. The
registry evaluates that one expression alone, so it may use only the names of this module and
literals. Values that a job depends on (a type, a stem, a number of threads) reach the job as
parameters of its rule; a job never reads a description. Thus `PLUGIN` is no part of the code hash,
and a new label reruns figures and nothing else.

A setting is a type with the rules of the library annotated_types, and one line of documentation.
The typed config, the reference documentation and all messages are made of it.
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

# A place behind all plugins that name one.
LAST = 1000


class Rule:
    """A rule for values that annotated_types lacks.

    The methods with underscores are pydantic's hooks: the typed config calls `check` after the
    value has its type, and its JSON Schema contains `json_schema`.
    """

    def check(self, value: Any) -> Any:
        """Return the value; raise ValueError with what is allowed."""
        raise NotImplementedError

    def json_schema(self) -> dict[str, Any]:
        """Return the rule as JSON Schema, as far as that can say it."""
        return {}

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        check = {"type": "no-info", "function": self.check}
        return {"type": "function-after", "function": check, "schema": handler(source)}

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {**handler(schema), **self.json_schema()}


@dataclass(frozen=True)
class Matches(Rule):
    """The whole text matches a regular expression; `allowed` says so in words."""

    pattern: str
    allowed: str

    def check(self, value: str) -> str:
        if re.fullmatch(self.pattern, value):
            return value
        raise ValueError(f"allowed: {self.allowed}")

    def json_schema(self) -> dict[str, Any]:
        return {"pattern": f"^({self.pattern})$", "title": self.allowed}


@dataclass(frozen=True)
class Distinct(Rule):
    """A list names nothing twice."""

    def check(self, value: list[Any]) -> list[Any]:
        if any(one in value[:place] for place, one in enumerate(value)):
            raise ValueError("must not name anything twice")
        return value

    def json_schema(self) -> dict[str, Any]:
        return {"uniqueItems": True}


@dataclass(frozen=True)
class Ascending(Rule):
    """Numbers ascend, and have different names in paths, which show six digits."""

    def check(self, value: list[float]) -> list[float]:
        if value != sorted(value) or len({f"{one:g}" for one in value}) < len(value):
            raise ValueError("must ascend, in steps that six digits show")
        return value


@dataclass(frozen=True)
class Expanded(Rule):
    """A path as shells read it: `~` and variables stand for what they are set to."""

    def check(self, value: str) -> str:
        return os.path.expanduser(os.path.expandvars(value))  # noqa: PTH111 (keeps ./ and unknown users)


Count = Annotated[int, Ge(1)]
Pixels = Annotated[int, Ge(8)]
Fraction = Annotated[float, Gt(0), Lt(1)]
Points = Annotated[float, Ge(0), Le(100)]
Levels = Annotated[list[Fraction], MinLen(1), Ascending()]
Text = Annotated[str, MinLen(1)]
# Relative to the folder that the study runs in.
Location = Annotated[str, MinLen(1), Expanded()]
# Names are parts of paths, and of names of modules.
Name = Annotated[
    str,
    Matches(
        "[a-z][a-z0-9_]{0,99}",
        "names of lower-case letters, digits and underscores that begin with a letter, 100 at most",
    ),
]
# The same as Literal, under the name that configurations are documented with.
Choice = Literal


@dataclass(frozen=True)
class Setting:
    """One key of a plugin's section in the config.

    Parameters
    ----------
    type
        The type of its value, possibly `Annotated` with rules of annotated_types and `Matches`. A
        mapping from names to `Setting` stands for a nested section.
    text : str
        What it means, in one line without a full stop.
    required : bool
        Whether it must be given.
    """

    type: Any
    text: str
    required: bool = True


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """What every plugin says of itself.

    Parameters
    ----------
    label : str
        The name that readers know it by.
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

    Parameters
    ----------
    stem : {"small_input", "large_input"}
        The kind of first layers that networks have on images of its size.
    size : int or str
        Pixels on each side of its images, or the setting that gives them.
    classes : int or str
        How many classes it has, or the setting that gives it.
    images : int, optional
        How many images there are, where that is known before it is prepared.
    threads : int
        How many threads prepare it at most.
    """

    stem: Literal["small_input", "large_input"]
    size: int | str
    classes: int | str
    images: int | None = None
    threads: int = 1


@dataclass(frozen=True, kw_only=True)
class ModelPlugin(Plugin):
    """A neural architecture, `dlas/models/<name>.py`.

    Parameters
    ----------
    smallest : mapping of str to int
        Pixels on each side of the smallest image that its strides allow, by stem.
    weights : str
        torchvision's name of its published weights, empty where there are none.
    group : {"compact", "large"}, optional
        Which of the two groups it is in that are compared with each other: architectures designed
        to be small (MobileNets, EfficientNet), or the large ones (VGG-16, the ResNets).
    """

    smallest: Mapping[str, int]
    weights: str = ""
    group: Literal["compact", "large"] | None = None


@dataclass(frozen=True, kw_only=True)
class TechniquePlugin(Plugin):
    """A compression technique, `dlas/compression/<name>.py`.

    Parameters
    ----------
    dtype : {"float32", "float16", "int8"}
        The type that its networks compute in.
    sparse : bool
        Whether it makes weights zero, so that its networks are compiled in sparse formats as well.
    block : int
        Neighbouring output channels whose weights become zero together.
    folds : bool
        Whether it folds batch normalizations into the layers before them (`models.folding.fold`).
    keeps_zeros : bool
        Whether weights that are zero already stay so. If not, no sparse technique can come before
        it.
    colour : str, optional
        Its colour in all figures; without one it gets a colour of its own from the rest of the
        palette.
    """

    dtype: Literal["float32", "float16", "int8"] = "float32"
    sparse: bool = False
    block: int = 1
    folds: bool = False
    keeps_zeros: bool = True
    colour: str | None = None


@dataclass(frozen=True, kw_only=True)
class PrimitivePlugin(Plugin):
    """A convolution algorithm, `dlas/primitives/<name>.py`; `marker` is matplotlib's name of its mark."""

    marker: str | None = None


@dataclass(frozen=True, kw_only=True)
class FormatPlugin(Plugin):
    """A format of the weights, `dlas/primitives/<name>.py`.

    Parameters
    ----------
    sparse : bool
        Whether it leaves out zeros, so that it is for networks of sparse techniques alone.
    block : int
        Neighbouring output channels that it stores together. It is for techniques whose blocks are
        a multiple of it.
    edge : str, optional
        Colour of the edges of its marks.
    """

    sparse: bool = False
    block: int = 1
    edge: str | None = None


@dataclass(frozen=True, kw_only=True)
class TuningPlugin(Plugin):
    """A way to schedule, `dlas/compiler/schedulers/<name>.py`.

    Parameters
    ----------
    searches : bool
        Whether it measures candidates on the platform first.
    combines : tuple of str
        Other ways that search, whose choices it is given.
    slow : bool
        Whether its libraries are so slow that their top-1 on the test split is not taken, and that
        none is timed twice.
    fill, line : str, optional
        matplotlib's names of the fill of its marks and the style of its curves.
    """

    searches: bool = False
    combines: tuple[str, ...] = ()
    slow: bool = False
    fill: str | None = None
    line: str | None = None


@dataclass(frozen=True, kw_only=True)
class RuntimePlugin(Plugin):
    """A peer runtime, `dlas/runtimes/<name>.py`.

    `loads` is the extension of the exported network that it loads, `line` the style of its lines.
    """

    loads: str
    line: Any = None


@dataclass(frozen=True, kw_only=True)
class ConnectionPlugin(Plugin):
    """A way to reach a device, `dlas/hardware/connections/<name>.py`; one of its settings has its name."""


@dataclass(frozen=True, kw_only=True)
class ObservationPlugin(Plugin):
    """An observation, `dlas/analysis/observations/<name>.py`.

    Parameters
    ----------
    origin : {"abstract", "formulated"}
        Whether an abstract of the paper attests the claim or this project formulated it.
    layer : str
        Its place in the report, one of `LAYERS`.

    The label is the claim: a sentence without capital and full stop.
    """

    origin: Literal["abstract", "formulated"]
    layer: str


# The places of figures in the report: the layers of the stack, and what belongs to none of them.
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
