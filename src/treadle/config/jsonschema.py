"""schema to JSON Schema, and to a commented scaffold

For editors and the command line. `json_schema` accepts exactly what `validate` accepts, as far as JSON can tell values
apart: 1 and 1.0 are one number there, and no int is too large for a Float. The rules of pydantic classes beyond their
types are not in it. Must stay in step with `validate`: a property test compares the two.
"""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

from treadle.config.mistakes import example
from treadle.config.mistakes import notation as short_notation
from treadle.config.schema import (
    ABSENT,
    EMPTY,
    Array,
    ConfigType,
    Enum,
    Field,
    Map,
    Noneable,
    Scalar,
    ScalarUnion,
    Section,
    Selector,
    Source,
)

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(schema: ConfigType | Field, title: str | None = None) -> dict[str, Any]:
    """The schema as JSON Schema 2020-12. Types that occur more than once stand under `$defs`."""
    config_type = schema.config_type if isinstance(schema, Field) else schema
    definitions = _Definitions(config_type)
    root = definitions.schema_of(config_type)
    head = {"$schema": _DIALECT, **({"title": title} if title else {})}
    return {**head, **root, **({"$defs": definitions.made} if definitions.made else {})}


class _Definitions:
    """Makes the schemas of types, those of shared types once."""

    def __init__(self, root: ConfigType) -> None:
        self.made: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        seen: set[int] = set()
        pending = [root]
        for config_type in pending:  # which grows
            is_shared = id(config_type) in seen and isinstance(config_type, Section | Enum)
            if is_shared or isinstance(config_type, Source):
                self._give_name(config_type)
            if id(config_type) not in seen:
                seen.add(id(config_type))
                pending += _parts(config_type)
                if isinstance(config_type, Section) and config_type.aliases:
                    for name in config_type.aliases.values():
                        # written out below each of its names, and so on inside, it would grow without bounds
                        self._give_name(config_type.fields[name].config_type)

    def _give_name(self, config_type: ConfigType) -> None:
        name = getattr(config_type, "name", type(config_type).__name__)
        if not isinstance(config_type, Source):
            name = f"{name}-{len(self._names) + 1}"
        self._names.setdefault(id(config_type), name)

    def schema_of(self, config_type: ConfigType) -> dict[str, Any]:
        name = self._names.get(id(config_type))
        if name is None:
            return self._schema_of(config_type)
        if name not in self.made:
            self.made[name] = {}  # its place, so that a name is made once
            self.made[name] = self._schema_of(config_type)
        return {"$ref": f"#/$defs/{name}"}

    def _schema_of(self, config_type: ConfigType) -> dict[str, Any]:
        if isinstance(config_type, Scalar):
            return {"type": _JSON_TYPES[config_type.kind]}
        if isinstance(config_type, Enum):
            return {"enum": config_type.config_values}
        if isinstance(config_type, Noneable):
            return _or_null(self.schema_of(config_type.inner_type))
        if isinstance(config_type, Array):
            return {"type": "array", "items": self.schema_of(config_type.inner_type)}
        if isinstance(config_type, Map):
            return self._map(config_type)
        if isinstance(config_type, ScalarUnion):
            branches = (config_type.scalar_type, config_type.non_scalar_type)
            return {"anyOf": [self.schema_of(branch) for branch in branches]}
        if isinstance(config_type, Selector):
            return self._selector(config_type)
        if isinstance(config_type, Section):
            return self._section(config_type)
        return {}

    def _map(self, config_type: Map) -> dict[str, Any]:
        if config_type.key_type.kind != "string":
            # JSON has no other keys, and validation converts none
            return {"type": "object", "maxProperties": 0}
        made = {"type": "object", "additionalProperties": self.schema_of(config_type.inner_type)}
        if config_type.key_label_name:
            made["propertyNames"] = {"description": config_type.key_label_name}
        return made

    def _selector(self, config_type: Selector) -> dict[str, Any]:
        properties = {}
        for name, field in config_type.fields.items():
            option = self._property(field)
            inner = field.config_type
            # None stands for an empty section here, so it is accepted where that is
            properties[name] = _or_null(option) if isinstance(inner, Section) and _accepts_nothing(inner) else option
        return {
            **_description(config_type.description),
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
            "minProperties": 0 if _accepts_nothing(config_type) else 1,
            "maxProperties": 1,
        }

    def _section(self, config_type: Section) -> dict[str, Any]:
        aliases: dict[str, list[str]] = {}
        for alias, name in (config_type.aliases or {}).items():
            aliases.setdefault(name, [name]).append(alias)
        properties: dict[str, Any] = {}
        required: list[str] = []
        rules: list[dict[str, Any]] = []
        for name, field in config_type.fields.items():
            names = aliases.get(name, [name])
            properties.update((each, self._property(field)) for each in names)
            if len(names) > 1:
                rules.append(_at_most_one(names))
            if field.is_required:
                if len(names) > 1:
                    rules.append({"anyOf": [{"required": [each]} for each in names]})
                else:
                    required.append(name)
        return {
            **_description(config_type.description),
            "type": "object",
            "properties": properties,
            **({"required": required} if required else {}),
            **({"allOf": rules} if rules else {}),
            **({"additionalProperties": False} if config_type.kind == "shape" else {}),
        }

    def _property(self, field: Field) -> dict[str, Any]:
        made = {**_description(field.description), **self.schema_of(field.config_type)}
        if field.is_secret:
            made["writeOnly"] = True
        elif field.default is not EMPTY and _is_json(field.default):
            made["default"] = field.default
        return made


_JSON_TYPES: dict[str, Any] = {
    "int": "integer",
    "float": ["number", "boolean"],  # True is 1.0
    "string": "string",
    "bool": "boolean",
}


_NOTES = {"description", "default", "writeOnly"}


def _parts(config_type: ConfigType) -> list[ConfigType]:
    if isinstance(config_type, Section):
        return [field.config_type for field in config_type.fields.values()]
    if isinstance(config_type, ScalarUnion):
        return [config_type.non_scalar_type]
    return [config_type.inner_type] if isinstance(config_type, Noneable | Array | Map) else []


def _or_null(made: dict[str, Any]) -> dict[str, Any]:
    # `default` and `description` say something about a property: they stay beside the choice
    notes = {key: value for key, value in made.items() if key in _NOTES}
    inner = {key: value for key, value in made.items() if key not in _NOTES}
    return {**notes, "anyOf": [{"type": "null"}, inner]}


def _at_most_one(names: list[str]) -> dict[str, Any]:
    return {"not": {"anyOf": [{"required": list(pair)} for pair in combinations(names, 2)]}}


def _accepts_nothing(section: Section) -> bool:
    """True where `{}` is a value of the section."""
    return section.implied_default is EMPTY


def _description(text: str | None) -> dict[str, Any]:
    return {"description": text} if text else {}


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


# -- a commented scaffold ---------------------------------------------------------------------------------------------


def scaffold(schema: ConfigType | Field, title: str | None = None) -> str:
    """A YAML file to start from: what is required with example values, the rest as comments with its defaults.

    As it stands it is valid config. To change what is a comment, take away the first `# ` of each of its lines.
    """
    config_type = schema.config_type if isinstance(schema, Field) else schema
    lines = [f"# {line}" for line in (title or "").splitlines()]
    if isinstance(config_type, Section) and config_type.fields:
        entries = _entries(config_type)
        lines += _commented(entries) if _accepts_nothing(config_type) else entries
    else:
        lines.append(_flow(example(config_type)))
    return "\n".join(lines) + "\n"


def _entries(section: Section) -> list[str]:
    """The lines of a section's fields: the required ones, or all if none is, and the others as comments."""
    fields = section.fields
    if isinstance(section, Selector):
        active = [next(iter(fields))]
        lines = [f"# one of: {', '.join(fields)}"] if len(fields) > 1 else []
    else:
        active = [name for name, field in fields.items() if field.is_required] or list(fields)
        lines = []
    for name, field in fields.items():
        block = _entry(name, field)
        lines += block if name in active else _commented(block)
    return lines


def _entry(name: str, field: Field) -> list[str]:
    """The lines of one field."""
    lines = [f"# {line}" for line in (field.description or "").splitlines()]
    key = name if _PLAIN_KEY.fullmatch(name) and name.lower() not in _YAML_WORDS else json.dumps(name)
    inner = field.config_type.inner_type if isinstance(field.config_type, Noneable) else field.config_type
    default = ABSENT if field.is_secret or not _is_json(field.default) else field.default
    if isinstance(inner, Section) and inner.fields and (default is ABSENT or not default):
        return [*lines, f"{key}:", *(f"  {line}" for line in _entries(inner))]
    value = example(inner) if default is ABSENT else default
    return [*lines, f"{key}: {_flow(value)}  # {_kind(field.config_type)}"]


def _kind(config_type: ConfigType) -> str:
    inner = config_type.inner_type if isinstance(config_type, Noneable) else config_type
    if isinstance(inner, Enum):
        return " | ".join([*inner.config_values, *(["null"] if inner is not config_type else [])])
    return short_notation(config_type)


def _commented(lines: list[str]) -> list[str]:
    return [f"# {line}" for line in lines]


def _flow(value: Any) -> str:
    """A value as YAML on one line: JSON, except where YAML reads that as something else."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_flow(str(key))}: {_flow(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_flow, value))}]"
    text = json.dumps(value, ensure_ascii=not str(value).isprintable())
    if isinstance(value, float) and "." not in text:
        return text.replace("e", ".0e")  # 1e-05 is a string in YAML 1.1
    return text


_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: words that YAML reads as something else than text
_YAML_WORDS = {"yes", "no", "on", "off", "true", "false", "null"}
