"""what is wrong with a value: errors as data, and the sentences that tell them

`validate` finds a mistake and asks here for its error; each function makes one. A sentence says where, what was
expected, what came, and what to do, with the nearest valid name. Nothing here decides whether a value is right.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec

from treadle.config.schema import (
    AnyType,
    Array,
    ConfigType,
    Enum,
    EnvVar,
    Field,
    IntEnvVar,
    Map,
    Noneable,
    Scalar,
    ScalarUnion,
    Section,
    Selector,
)

# -- where ------------------------------------------------------------------------------------------------------------


class FieldEntry(msgspec.Struct, frozen=True, tag=True):
    """Into a section, by the name that was given (which may be an alias of the field's)."""

    field_name: str

    def __str__(self) -> str:
        return f":{self.field_name}"


class ListItemEntry(msgspec.Struct, frozen=True, tag=True):
    """Into a list."""

    list_index: int

    def __str__(self) -> str:
        return f"[{self.list_index}]"


class MapKeyEntry(msgspec.Struct, frozen=True, tag=True):
    """To a key of a map."""

    map_key: Any

    def __str__(self) -> str:
        return f":{self.map_key!r}:key"


class MapValueEntry(msgspec.Struct, frozen=True, tag=True):
    """To the value of a map that stands at a key."""

    map_key: Any

    def __str__(self) -> str:
        return f":{self.map_key!r}:value"


PathEntry: TypeAlias = FieldEntry | ListItemEntry | MapKeyEntry | MapValueEntry


class EvaluationStack(msgspec.Struct, frozen=True):
    """The way from the root of the config to the place of an error."""

    entries: tuple[PathEntry, ...] = ()

    @property
    def levels(self) -> list[str]:
        """Names of fields, keys and indexes, as a reader of the config file follows them."""
        return [
            str(entry.field_name)
            if isinstance(entry, FieldEntry)
            else str(entry.list_index)
            if isinstance(entry, ListItemEntry)
            else str(entry.map_key)
            for entry in self.entries
        ]

    @property
    def path(self) -> str:
        return "root" + "".join(map(str, self.entries))

    def __str__(self) -> str:
        return f"at path {self.path}" if self.entries else "at the root"


class Place(NamedTuple):
    """The same way while it is being walked, innermost entry first; None is the root."""

    outer: Place | None
    entry: PathEntry
    #: values here and below are never shown
    is_secret: bool


def stack_of(place: Place | None) -> EvaluationStack:
    entries = []
    while place is not None:
        entries.append(place.entry)
        place = place.outer
    return EvaluationStack(tuple(reversed(entries)))


# -- what -------------------------------------------------------------------------------------------------------------


class DagsterEvaluationErrorReason(enum.Enum):
    """What kind of mistake an EvaluationError is."""

    RUNTIME_TYPE_MISMATCH = "RUNTIME_TYPE_MISMATCH"
    MISSING_REQUIRED_FIELD = "MISSING_REQUIRED_FIELD"
    MISSING_REQUIRED_FIELDS = "MISSING_REQUIRED_FIELDS"
    FIELD_NOT_DEFINED = "FIELD_NOT_DEFINED"
    FIELDS_NOT_DEFINED = "FIELDS_NOT_DEFINED"
    SELECTOR_FIELD_ERROR = "SELECTOR_FIELD_ERROR"
    FIELD_ALIAS_COLLISION = "FIELD_ALIAS_COLLISION"
    FAILED_POST_PROCESSING = "FAILED_POST_PROCESSING"


Reason = DagsterEvaluationErrorReason


class EvaluationErrorData(msgspec.Struct, frozen=True):
    """What an error says, for programs."""

    #: the notation of the type, or the names that may stand there
    expected: str = ""
    #: the value as text, hidden where the field is secret
    given: str = ""
    #: the entries that are missing, unexpected, or too many
    field_names: tuple[str, ...] = ()
    #: valid names near to the given ones
    did_you_mean: tuple[str, ...] = ()

    @property
    def field_name(self) -> str | None:
        return self.field_names[0] if self.field_names else None

    @property
    def incoming_fields(self) -> list[str]:
        return list(self.field_names)

    @property
    def value_rep(self) -> str:
        return self.given


class EvaluationError(msgspec.Struct, frozen=True):
    """One thing that is wrong with a config value."""

    message: str
    reason: DagsterEvaluationErrorReason
    stack: EvaluationStack = EvaluationStack()
    error_data: EvaluationErrorData = EvaluationErrorData()

    @property
    def path(self) -> str:
        """Where: `root:ops:load:config:rows[2]`."""
        return self.stack.path


# -- values of the wrong type -----------------------------------------------------------------------------------------


def _mismatch(
    stack: EvaluationStack, config_type: ConfigType, given: str, sentence: str, near: Sequence[str] = ()
) -> EvaluationError:
    data = EvaluationErrorData(notation(config_type), given, did_you_mean=tuple(near))
    return EvaluationError(f"{sentence}{_did_you_mean(near)}", Reason.RUNTIME_TYPE_MISMATCH, stack, data)


def none_given(place: Place | None, config_type: ConfigType) -> EvaluationError:
    stack = stack_of(place)
    sentence = f'Value {stack} must not be None. Expected "{_shortened(notation(config_type))}".'
    return _mismatch(stack, config_type, "None", sentence)


def not_a_dict(place: Place | None, config_type: ConfigType, value: Any) -> EvaluationError:
    stack, given = stack_of(place), _shown(place, value)
    got = f"Got {given} of type {type(value).__name__}."
    if not isinstance(config_type, Selector):
        sentence = f'Value {stack} must be dict. Expected: "{_shortened(notation(config_type))}". {got}'
        return _mismatch(stack, config_type, given, sentence)
    choices = sorted(config_type.fields)
    sentence = f"Value for selector type {stack} must be a dict with exactly one of the entries {choices}. {got}"
    if isinstance(value, str) and value in config_type.fields:
        sentence += f" Write {{{value!r}: {example(config_type.fields[value].config_type)!r}}}."
    return _mismatch(stack, config_type, given, sentence)


def not_a_list(place: Place | None, config_type: Array, value: Any) -> EvaluationError:
    stack, given = stack_of(place), _shown(place, value)
    got = f"Got {given} of type {type(value).__name__}."
    return _mismatch(
        stack, config_type, given, f'Value {stack} must be list. Expected: "{notation(config_type)}". {got}'
    )


def wrong_scalar(place: Place | None, config_type: Scalar, value: Any) -> EvaluationError:
    stack, given = stack_of(place), _shown(place, value)
    if isinstance(value, EnvVar | IntEnvVar):
        sentence = (
            f"Invalid use of environment variable wrapper {stack}. {value!r} can only be given to a Config class or a "
            f"resource. In plain config write {{'env': {value.env_var_name!r}}}, which StringSource, IntSource and "
            f"BoolSource accept."
        )
        return _mismatch(stack, config_type, given, sentence)
    text = _shown(place, value, str)
    hint = "" if place is not None and place.is_secret else _scalar_hint(config_type.kind, value)
    sentence = (
        f'Invalid scalar {stack}. Value "{text}" of type "{type(value)}" is not valid for expected type '
        f'"{config_type.name}".{hint}'
    )
    return _mismatch(stack, config_type, given, sentence)


def _scalar_hint(kind: str, value: Any) -> str:
    if isinstance(value, str):
        word = value.strip()
        digits = word.lstrip("+-")
        is_right = {
            "int": digits.isdecimal(),
            "float": digits.replace(".", "", 1).isdecimal(),
            "bool": word.lower() in {"true", "false"},
        }
        return f" Leave out the quotes: {word.lower()}." if is_right.get(kind) else ""
    if kind == "string" and isinstance(value, bool | int | float):
        return f' Put it in quotes: "{value}".'
    if kind == "int" and isinstance(value, float) and value.is_integer():
        return f" Write {value:.0f}."
    if kind == "bool" and isinstance(value, int):
        return " Write true or false."
    if kind == "float" and isinstance(value, int):
        return " It is too large for a float."
    return ""


def wrong_enum(place: Place | None, config_type: Enum, value: Any) -> EvaluationError:
    stack, given = stack_of(place), _shown(place, value)
    choices = config_type.config_values
    near = [name for name, meant in config_type.python_values.items() if _is_meant(meant, value)]
    if isinstance(value, str) and not isinstance(value, enum.Enum):
        near = near or nearest(value, choices)
        text = _shown(place, value, str)
        sentence = f"Value {stack} not in enum type {config_type.name} got {text}. Use one of {choices}."
    else:
        sentence = (
            f"Value {stack} for enum type {config_type.name} must be a string, one of {choices}. "
            f"Got {given} of type {type(value).__name__}."
        )
    return _mismatch(stack, config_type, given, sentence, near)


def _is_meant(python_value: object, value: object) -> bool:
    """True where somebody wrote a member of a Python enum, or its value, instead of its name."""
    return isinstance(python_value, enum.Enum) and (python_value is value or python_value.value == value)


# -- entries ----------------------------------------------------------------------------------------------------------


#: characters of a notation that are read at a glance
_GLANCE = 240


def _shortened(written: str) -> str:
    """A notation whose inner sections are left out where it is too long to be read at a glance."""
    if len(written) <= _GLANCE:
        return written
    kept: list[str] = []
    depth = 0
    for sign in written:
        depth -= sign == "}"
        if depth < 2:
            kept.append(sign)
        depth += sign == "{"
        if sign == "{" and depth == 2:
            kept.append(" ... ")
    return "".join(kept)


def unexpected(place: Place | None, section: Section, names: Iterable[Any], free: Collection[str]) -> EvaluationError:
    """Entries that the section does not have; `free` are the names of its fields that were not given."""
    stack = stack_of(place)
    unknown = sorted(map(str, names))
    near: list[str] = []
    hints: list[str] = []
    for name in unknown:
        found = nearest(name, free) or nearest(name, section.fields)
        if found:
            near += found
            hints.append(f'"{found[0]}"' if len(unknown) == 1 else f'"{found[0]}" for "{name}"')
    if len(unknown) == 1:
        what = f'entry "{unknown[0]}" {stack}. Expected: "{_shortened(notation(section))}".'
    else:
        what = f'entries "{unknown}" {stack}. Expected: "{sorted(section.fields)}".'
    hint = f" Did you mean {', '.join(hints)}?" if hints else ""
    return EvaluationError(
        f"Received unexpected config {what}{hint}{_belongs_deeper(section, unknown)}",
        Reason.FIELD_NOT_DEFINED if len(unknown) == 1 else Reason.FIELDS_NOT_DEFINED,
        stack,
        EvaluationErrorData(notation(section), field_names=tuple(unknown), did_you_mean=tuple(near)),
    )


def _belongs_deeper(section: Section, unknown: Sequence[str]) -> str:
    """Where an entry was written one level too far out, as when `config` was forgotten."""
    for name, field in section.fields.items():
        inner = field.config_type.inner_type if isinstance(field.config_type, Noneable) else field.config_type
        if isinstance(inner, Section) and all(entry in inner.fields for entry in unknown):
            these = f'"{unknown[0]}" belongs' if len(unknown) == 1 else f"{unknown} belong"
            return f' {these} one level deeper, below "{name}".'
    return ""


def missing(place: Place | None, section: Section, names: Iterable[str]) -> EvaluationError:
    stack = stack_of(place)
    needed = sorted(names)
    examples = {name: example(section.fields[name].config_type) for name in needed}
    if len(needed) == 1:
        what = f'entry "{needed[0]}" {stack}. You must provide this value'
    else:
        what = f"entries {needed} {stack}. You must provide these values"
    meanings = [f'"{name}": {text}' for name in needed if (text := section.fields[name].description)]
    return EvaluationError(
        f"Missing required config {what} in your run config. Example config for the missing "
        f"{'entry' if len(needed) == 1 else 'entries'}: {examples}.{' What they are: ' if meanings else ''}"
        f"{'; '.join(meanings)}",
        Reason.MISSING_REQUIRED_FIELD if len(needed) == 1 else Reason.MISSING_REQUIRED_FIELDS,
        stack,
        EvaluationErrorData(notation(section), field_names=tuple(needed)),
    )


def missing_value(field: Field) -> EvaluationError:
    """No config at all for a field that is required."""
    config_type = field.config_type
    return EvaluationError(
        f'Missing required config at the root. Expected: "{notation(config_type)}", '
        f"for example {example(config_type)!r}.",
        Reason.MISSING_REQUIRED_FIELD,
        error_data=EvaluationErrorData(notation(config_type)),
    )


def alias_collision(place: Place | None, section: Section, name: str, names: Sequence[str]) -> EvaluationError:
    """One field given under more than one of its names."""
    stack = stack_of(place)
    given = ", ".join(f'"{other}"' for other in names)
    return EvaluationError(
        f'The entries {given} {stack} all mean "{name}". Keep one of them.',
        Reason.FIELD_ALIAS_COLLISION,
        stack,
        EvaluationErrorData(notation(section), field_names=tuple(names), did_you_mean=(name,)),
    )


def not_one_choice(place: Place | None, selector: Selector, names: Iterable[Any]) -> EvaluationError:
    """None or several of the entries of a selector."""
    stack = stack_of(place)
    given = sorted(map(str, names))
    choices = sorted(selector.fields)
    if given:
        sentence = (
            f"You can only specify a single field {stack}. You specified {given}. The available fields are {choices}."
        )
    elif len(choices) == 1:
        sentence = f"Must specify the required field {stack}. Defined fields: {choices}."
    else:
        sentence = f"Must specify a field {stack} if more than one field is defined. Defined fields: {choices}."
    return EvaluationError(
        sentence,
        Reason.SELECTOR_FIELD_ERROR,
        stack,
        EvaluationErrorData(notation(selector), field_names=tuple(given)),
    )


# -- values that could not be processed -------------------------------------------------------------------------------


def failed(place: Place | None, config_type: ConfigType, value: Any, problem: str) -> EvaluationError:
    """A value of the right type that cannot be used."""
    stack = stack_of(place)
    given = _shown(place, _without_secrets(config_type, value))
    return EvaluationError(
        f"Post processing {stack} of original value {given} failed: {problem}",
        Reason.FAILED_POST_PROCESSING,
        stack,
        EvaluationErrorData(notation(config_type), given),
    )


# -- words ------------------------------------------------------------------------------------------------------------


def notation(config_type: ConfigType) -> str:
    """The type's notation, cut down where it would fill the screen."""
    try:
        text = config_type.notation
    except RecursionError:
        return "{ ... }"
    if len(text) <= _LONG or not isinstance(config_type, Section):
        return _cut(text)
    names = [f"{name}{'' if field.is_required else '?'}" for name, field in sorted(config_type.fields.items())]
    more = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return _cut(f"{{ {' '.join(f'{name}: ...' for name in names[:_MANY])}{more} }}")


def example(config_type: ConfigType, depth: int = 0) -> Any:
    """A value of the type with no more in it than it needs."""
    if isinstance(config_type, Selector):
        return "<selector>"
    if isinstance(config_type, Section):
        if depth > _DEEP:
            return {}
        return {
            name: example(field.config_type, depth + 1)
            for name, field in config_type.fields.items()
            if field.is_required
        }
    if isinstance(config_type, Scalar):
        return _EXAMPLES[config_type.kind]
    if isinstance(config_type, ScalarUnion):
        return _EXAMPLES[config_type.scalar_type.kind]
    if isinstance(config_type, Enum):
        return config_type.config_values[0] if config_type.config_values else "..."
    if isinstance(config_type, Array):
        return []
    if isinstance(config_type, Map):
        return {}
    return "..." if isinstance(config_type, AnyType) else None


def nearest(name: str, candidates: Iterable[str]) -> list[str]:
    """The candidate that a mistyped name most likely means, if there is one."""
    import difflib

    by_lower = {candidate.lower(): candidate for candidate in candidates}
    return [by_lower[found] for found in difflib.get_close_matches(name.lower(), by_lower, n=1)]


def _did_you_mean(near: Sequence[str]) -> str:
    return f' Did you mean "{near[0]}"?' if near else ""


_EXAMPLES = {"int": 0, "float": 0.0, "string": "...", "bool": True}
#: characters of a notation or value, names of fields, levels of an example that a message shows
_LONG, _MANY, _DEEP = 600, 30, 8


def _shown(place: Place | None, value: Any, text: Any = repr) -> str:
    if place is not None and place.is_secret:
        return "<hidden>"
    try:
        return _cut(text(value))
    except Exception:  # noqa: BLE001  # the value is the user's own, and so is its __repr__
        return f"<a {type(value).__name__}>"


def _without_secrets(config_type: ConfigType, value: Any) -> Any:
    if not isinstance(config_type, Section) or not isinstance(value, Mapping):
        return value
    fields = config_type.fields
    return {
        name: item
        if name not in fields
        else "<hidden>"
        if fields[name].is_secret
        else _without_secrets(fields[name].config_type, item)
        for name, item in value.items()
    }


def _cut(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."
