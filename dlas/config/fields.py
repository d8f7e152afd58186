"""What the sections of the config are made of: the base of their classes, and types of their values."""

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
    """A mapping of the config whose keys are known."""

    model_config = ConfigDict(
        allow_inf_nan=False, extra="forbid", frozen=True, protected_namespaces=(), strict=True
    )

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, value: Any) -> Any:
        """Say of all unknown keys and of all missing ones in one error each, with the keys that are allowed."""
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
        """Return the section as it stands in the files, some keys left out."""
        return self.model_dump(exclude_unset=True, exclude=set(without))


class Single(Section):
    """A mapping with one of its keys."""

    @model_validator(mode="after")
    def _check_number(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("must have one key")
        return self


def section(
    name: str, settings: Mapping[str, Setting], base: type[Section] = Section
) -> type[Section]:
    """Return the class of a plugin's section."""
    fields: dict[str, Any] = {}
    for key, setting in settings.items():
        nested = isinstance(setting.type, Mapping)
        kind = section(f"{name}.{key}", setting.type) if nested else setting.type
        default = ... if setting.required else None
        fields[key] = kind, Field(default, description=setting.text)
    return create_model(name, __base__=base, **fields)


def optional(base: type[Section], name: str) -> type[Section]:
    """Return the class of a section that may lack any key of another one."""
    types = get_type_hints(base, include_extras=True)
    fields: dict[str, Any] = {
        key: (types[key], Field(None, description=field.description))
        for key, field in base.model_fields.items()
    }
    return create_model(name, __base__=Section, **fields)


def plugin_changes(kind: Kind) -> type[Section]:
    """Return the class of a mapping that has, for one plugin of a kind, keys of its section that differ."""
    fields: dict[str, Any] = {
        name: (
            optional(section(f"{kind}_{name}", plugin.settings), f"{kind}_{name}_changes"),
            Field(None, description=plugin.label),
        )
        for name, plugin in registry.all_of(kind).items()
    }
    return create_model(f"{kind}_changes", __base__=Single, **fields)


def plugin_sections(kind: Kind, base: type[Section] = Section) -> type[Section]:
    """Return the class of a mapping that may have a section for each plugin of a kind."""
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
    """Mark a plain mapping that must be like a section of a class made at run time."""

    section: Any

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        """Check the mapping as the section, and keep what is in the files."""
        return core_schema.no_info_after_validator_function(
            lambda checked: checked.plain(),
            handler.generate_schema(self.section),
            serialization=core_schema.simple_ser_schema("any"),
        )


@dataclass(frozen=True)
class Known(Rule):
    """The text is the name of a plugin of a kind."""

    kind: Kind

    def check(self, value: str) -> str:
        if value in registry.names(self.kind):
            return value
        raise ValueError(f"allowed: {', '.join(registry.names(self.kind))}")

    def json_schema(self) -> Plain:
        return {"enum": list(registry.names(self.kind))}


def choice(allowed: str, kind: type, *words: str) -> Discriminator:
    """Return how pydantic chooses between two types of a value, and what it says where none fits.

    A value of `kind` has the tag <value>; one of the words, any text if there are none, has the tag
    <word>.
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
