"""Building blocks of the config's classes: their base class, and the types of their values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self, TypeVar, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, create_model, model_validator
from pydantic_core import PydanticCustomError, core_schema

from dlas import registry
from dlas.plugins import Distinct, Rule, Setting
from dlas.registry import Kind

Positive = Annotated[float, Gt(0)]
Share = Annotated[float, Ge(0), Lt(1)]
Error = Annotated[float, Gt(0), Le(1)]
Plain = dict[str, Any]


class Section(BaseModel):
    """A mapping of the config with known keys."""

    model_config = ConfigDict(
        allow_inf_nan=False, extra="forbid", frozen=True, protected_namespaces=(), strict=True
    )

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, value: Any) -> Any:
        """Report all unknown or all missing keys in a single error, with the allowed keys."""
        if isinstance(value, dict):
            allowed = sorted(cls.model_fields)
            required = {name for name, field in cls.model_fields.items() if field.is_required()}
            unknown = sorted(value.keys() - cls.model_fields.keys())
            if unknown and cls.model_config["extra"] == "forbid":
                raise PydanticCustomError("unknown_keys", "", {"keys": unknown, "allowed": allowed})
            if missing := sorted(required - value.keys()):
                raise PydanticCustomError("missing_keys", "", {"keys": missing})
        return value

    def plain(self, *without: str) -> Plain:
        """Return the section as it stands in the files, without the named keys."""
        return self.model_dump(exclude_unset=True, exclude=set(without))


class Single(Section):
    """A mapping with exactly one of its keys."""

    @model_validator(mode="after")
    def _check_number(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("must have one key")
        return self


def section(
    name: str, settings: Mapping[str, Setting], base: type[Section] = Section
) -> type[Section]:
    """Return the class of a plugin's section.

    Parameters
    ----------
    name : str
        Name of the class.
    settings : mapping of str to Setting
        The keys of the section; a setting whose type is a mapping is a nested section.
    base : type of Section
        Base class.
    """
    fields: dict[str, Any] = {}
    for key, setting in settings.items():
        nested = isinstance(setting.type, Mapping)
        kind = section(f"{name}.{key}", setting.type) if nested else setting.type
        default = ... if setting.required else None
        fields[key] = kind, Field(default, description=setting.text)
    return create_model(name, __base__=base, **fields)


def optional(base: type[Section], name: str) -> type[Section]:
    """Return a class with the keys of another section, all of them optional.

    Parameters
    ----------
    base : type of Section
        The section.
    name : str
        Name of the class.
    """
    types = get_type_hints(base, include_extras=True)
    fields: dict[str, Any] = {
        key: (types[key], Field(None, description=field.description))
        for key, field in base.model_fields.items()
    }
    return create_model(name, __base__=Section, **fields)


def plugin_changes(kind: Kind) -> type[Section]:
    """Return the class of a mapping from one plugin of a kind to changed keys of its section."""
    fields: dict[str, Any] = {
        name: (
            optional(section(f"{kind}_{name}", plugin.settings), f"{kind}_{name}_changes"),
            Field(None, description=plugin.label),
        )
        for name, plugin in registry.all_of(kind).items()
    }
    return create_model(f"{kind}_changes", __base__=Single, **fields)


def plugin_sections(kind: Kind, base: type[Section] = Section) -> type[Section]:
    """Return the class of a mapping that may have a section for each plugin of a kind.

    Parameters
    ----------
    kind : str
        Kind of plugin, see `dlas.registry`.
    base : type of Section
        Base class of the plugins' sections.
    """
    fields: dict[str, Any] = {
        name: (
            section(f"{kind}_{name}", plugin.settings, base),
            Field(None, description=plugin.label),
        )
        for name, plugin in registry.all_of(kind).items()
    }
    return create_model(f"{kind}_sections", __base__=Section, **fields)


@dataclass(frozen=True)
class Like:
    """Mark a plain mapping that is checked against a section class made at run time."""

    section: Any

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        """Check the mapping as the section, and keep the content of the files."""
        return core_schema.no_info_after_validator_function(
            lambda checked: checked.plain(),
            handler.generate_schema(self.section),
            serialization=core_schema.simple_ser_schema("any"),
        )


@dataclass(frozen=True)
class Known(Rule):
    """A rule: the text is the name of a plugin of a kind."""

    kind: Kind

    def check(self, value: str) -> str:
        """Return the name; raise ValueError for an unknown one."""
        if value in registry.names(self.kind):
            return value
        raise ValueError(f"allowed: {', '.join(registry.names(self.kind))}")

    def json_schema(self) -> Plain:
        """Return the keys of JSON Schema that express the rule."""
        return {"enum": list(registry.names(self.kind))}


def choice(allowed: str, kind: type, *words: str) -> Discriminator:
    """Return the discriminator by which pydantic chooses between two types of a value.

    A value of `kind` has the tag <value>. A word has the tag <word>.

    Parameters
    ----------
    allowed : str
        The allowed values in words, for the error message.
    kind : type
        Type of values that are not words.
    *words : str
        The allowed words; none allows any text.
    """

    def tag(value: Any) -> str | None:
        if isinstance(value, kind | Section) and not isinstance(value, bool):
            return "<value>"
        fits = value in words if words else isinstance(value, str)
        return "<word>" if fits else None

    return Discriminator(tag, "allowed", f"allowed: {allowed}")


Dataset = Annotated[str, Known("dataset")]
Model = Annotated[str, Known("model")]
Technique = Annotated[str, Known("compression")]
Primitive = Annotated[str, Known("primitive")]
Format = Annotated[str, Known("format")]
Tuning = Annotated[str, Known("tuning")]
Peer = Annotated[str, Known("runtime")]
Observation = Annotated[str, Known("observation")]

T = TypeVar("T")
Names = Annotated[list[T], MinLen(1), Distinct()]
OneOrMore = Annotated[
    Annotated[T, Tag("<word>")] | Annotated[Names[T], Tag("<value>")],
    choice("a name, or a list of names", list),
]
