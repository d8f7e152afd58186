"""Generate config/schema.json and the tables of docs/reference/configuration.md.

Both describe the pydantic classes of the config. `make docs-reference` writes them.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from dlas.config.files import ROOT
from dlas.config.sections import Config

SCHEMA = ROOT / "config/schema.json"
PAGE = ROOT / "docs/reference/configuration.md"
# A table lies between two marker lines; the first has the dotted key of its section.
TABLE = re.compile(r"(<!-- keys of (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}

Schema = dict[str, Any]


class _Generator(GenerateJsonSchema):
    """Describe a config file: an overlay may have any part of the keys, and no key is null."""

    def nullable_schema(self, schema: Any) -> Schema:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> Schema:
        empty = schema.get("default") is None
        return self.generate_inner(schema["schema"]) if empty else super().default_schema(schema)

    def field_is_required(self, field: Any, total: bool) -> bool:
        return False

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema() -> Schema:
    """Return the JSON Schema of config.yaml and its overlays, for editors."""
    dialect = {"$schema": GenerateJsonSchema.schema_dialect}
    return dialect | Config.model_json_schema(schema_generator=_Generator)


def page(text: str) -> str:
    """Return the text of a page with new tables between its markers."""
    root = schema()
    return TABLE.sub(
        lambda found: found[1] + "\n".join(_table(root, found[2])) + "\n" + found[3], text
    )


def _table(root: Schema, key: str) -> Iterator[str]:
    """Yield the lines of a section's table; * in the key stands for any name."""
    part = root
    for name in key.split("."):
        part = _resolved(root, part)
        named = {"*": part.get("additionalProperties") or _of_pattern(part)}
        part = (named | part.get("properties", {}))[name]
    yield "| key | value | meaning |"
    yield "|---|---|---|"
    yield from _rows(root, _resolved(root, part), "")


def _of_pattern(part: Schema) -> Schema:
    """Return the section of all names that match the single pattern of a schema."""
    return next(iter(part.get("patternProperties", {}).values()), {})


def _rows(root: Schema, part: Schema, place: str) -> Iterator[str]:
    for name, found in part["properties"].items():
        inner = _resolved(root, found)
        if "properties" in inner and inner.get("additionalProperties") is False:
            yield from _rows(root, inner, f"{place}{name}.")
        else:
            default = f", by default {json.dumps(found['default'])}" if found.get("default") else ""
            meaning = found["description"].replace("<", "&lt;")
            yield f"| `{place}{name}` | {_value(root, found)}{default} | {meaning} |"


def _resolved(root: Schema, part: Schema) -> Schema:
    """Resolve references in a part of the schema, and merge the keys of alternative sections."""
    if "$ref" in part:
        return _resolved(root, root["$defs"][part["$ref"].rpartition("/")[2]])
    kinds = [_resolved(root, kind) for kind in part.get("oneOf", [])]
    if kinds and all("properties" in kind for kind in kinds):
        properties = {name: one for kind in kinds for name, one in kind["properties"].items()}
        return kinds[0] | {"properties": properties}
    return part


def _value(root: Schema, part: Schema) -> str:
    """Describe the allowed values of a key in words."""
    part = _resolved(root, part)
    if "oneOf" in part:
        return " or ".join(_value(root, kind) for kind in part["oneOf"])
    if "enum" in part or "const" in part:
        return ", ".join(f"`{name}`" for name in part.get("enum", [part.get("const")]))
    if "title" in part and "pattern" in part:
        return str(part["title"])
    if part["type"] == "array":
        return f"list: {_value(root, part['items'])}"
    words = {"boolean": "`true`, `false`", "string": "text", "object": "section"}
    bounds = [f"{sign} {part[name]:g}" for name, sign in BOUNDS.items() if name in part]
    return f"{words.get(part['type'], part['type'])} {', '.join(bounds)}".strip()
