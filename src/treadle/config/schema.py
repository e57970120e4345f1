"""Field, Shape, Permissive, Selector, Array, Map, Enum, sources: data only

What a config schema is made of, every part resolved. Users write the same names through `sugar`, whose constructors
also read plain Python types, dicts and lists; the engine builds from here. `validate` gives the parts their meaning.
Nothing here may look at a value, at the environment (`EnvVar.get_value`, which users call, excepted) or at pydantic.
"""

from __future__ import annotations

import builtins
import enum
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from treadle.errors import CheckError, ParameterCheckError


class Absent(enum.Enum):
    """There is no value and no default; None is a value."""

    ABSENT = "ABSENT"

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent.ABSENT
#: what an optional section is filled from when it is left out; recognised by identity
EMPTY: Final[dict[str, Any]] = {}

#: processed value of a section to what is wrong with it: (path below the section, what is wrong, the value there)
Check = Callable[[Mapping[str, Any]], Sequence[tuple[tuple["str | int", ...], str, Any]]]


class ConfigType:
    """What is accepted at one place of a config. Frozen; two are equal where their `key` is."""

    __slots__ = ()

    #: which rule of `validate` applies
    kind: str
    name: str
    #: a value of exactly this Python type is accepted as it stands
    exact: type | None = None
    description: str | None = None

    @property
    def notation(self) -> str:
        """The type as messages show it: `{ a: Int b?: [String] }`."""
        return self.name

    @property
    def key(self) -> str:
        """The whole type as one line, the same in every process: equal types have equal keys."""
        return self.name

    @property
    def implied_default(self) -> Any:
        """The default of a field of this type that was given none; ABSENT where it is required."""
        return ABSENT

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, ConfigType) and self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"<config type {self.notation}>"


# -- leaves -----------------------------------------------------------------------------------------------------------


class AnyType(ConfigType):
    __slots__ = ()
    kind = "any"
    name = "Any"


class Scalar(ConfigType):
    """Int, Float, String or Bool."""

    __slots__ = ("exact", "kind", "name")

    def __init__(self, name: str, exact: type) -> None:
        self.name = name
        self.kind = name.lower()
        self.exact = exact


ANY: Final = AnyType()
INT: Final = Scalar("Int", int)
FLOAT: Final = Scalar("Float", float)
STRING: Final = Scalar("String", str)
BOOL: Final = Scalar("Bool", bool)


class EnumValue:
    """One value of an Enum: `config_value` is what config says, `python_value` what the op gets (default: the same)."""

    __slots__ = ("config_value", "description", "python_value")

    def __init__(self, config_value: str, python_value: object | None = None, description: str | None = None) -> None:
        check_argument("config_value", config_value, str)
        self.config_value: Final = config_value
        self.python_value: Final = config_value if python_value is None else python_value
        self.description: Final = description

    def __repr__(self) -> str:
        return f"EnumValue({self.config_value!r}, {self.python_value!r})"


class Enum(ConfigType):
    """One of a fixed set of strings. Two Enums of one name and different values are different types."""

    __slots__ = ("enum_values", "name", "python_values")
    kind = "enum"

    def __init__(self, name: str, enum_values: Sequence[EnumValue]) -> None:
        check_argument("name", name, str)
        for value in enum_values:
            check_argument("enum_values", value, EnumValue, each=True)
        self.name = name
        self.enum_values: Final = tuple(enum_values)
        #: config value to Python value
        self.python_values: Final = {value.config_value: value.python_value for value in self.enum_values}
        if len(self.python_values) < len(self.enum_values):
            raise ParameterCheckError(f"Enum {name!r} has the same config value twice: {self.config_values}.")

    @classmethod
    def from_python_enum(cls, enum: type[enum.Enum], name: str | None = None) -> Enum:
        """Config says a member's name, the op gets the member."""
        return cls(name or enum.__name__, [EnumValue(member.name, member) for member in enum])

    @classmethod
    def from_python_enum_direct_values(cls, enum: type[enum.Enum], name: str | None = None) -> Enum:
        """Config says a member's name, the op gets the member's value."""
        return cls(name or enum.__name__, [EnumValue(member.name, member.value) for member in enum])

    def post_process(self, value: str) -> Any:
        """The Python value that a config value stands for; KeyError for one that is none of them."""
        return self.python_values[value]

    @property
    def config_values(self) -> list[str]:
        return [value.config_value for value in self.enum_values]

    @property
    def key(self) -> str:
        values = ", ".join(f"{value.config_value!r}: {stable_text(value.python_value)}" for value in self.enum_values)
        return f"Enum.{self.name}({values})"


# -- around another type ----------------------------------------------------------------------------------------------


class Noneable(ConfigType):
    """None, or the inner type."""

    __slots__ = ("inner_type",)
    kind = "noneable"

    def __init__(self, inner_type: ConfigType) -> None:
        self.inner_type: Final = inner_type

    @property
    def notation(self) -> str:
        return f"{self.inner_type.notation}?"

    @property
    def key(self) -> str:
        return f"Noneable({self.inner_type.key})"

    @property
    def implied_default(self) -> Any:
        return None


class Array(ConfigType):
    """A list, each item of the inner type."""

    __slots__ = ("inner_type",)
    kind = "array"

    def __init__(self, inner_type: ConfigType) -> None:
        self.inner_type: Final = inner_type

    @property
    def notation(self) -> str:
        return f"[{self.inner_type.notation}]"

    @property
    def key(self) -> str:
        return f"Array({self.inner_type.key})"


class Map(ConfigType):
    """A mapping with keys of a scalar type that the user chooses freely, and values of the inner type."""

    __slots__ = ("inner_type", "key_label_name", "key_type")
    kind = "map"

    def __init__(self, key_type: Scalar, inner_type: ConfigType, key_label_name: str | None = None) -> None:
        self.key_type: Final = key_type
        self.inner_type: Final = inner_type
        #: what a key stands for, shown in messages
        self.key_label_name: Final = key_label_name

    @property
    def notation(self) -> str:
        label = f"{self.key_label_name}: " if self.key_label_name else ""
        return f"{{ [{label}{self.key_type.notation}]: {self.inner_type.notation} }}"

    @property
    def key(self) -> str:
        return f"Map({self.key_label_name or ''}:{self.key_type.key}, {self.inner_type.key})"


class ScalarUnion(ConfigType):
    """A scalar, or something that is no scalar."""

    __slots__ = ("exact", "non_scalar_type", "scalar_type")
    kind = "union"

    def __init__(self, scalar_type: Scalar, non_scalar_schema: ConfigType) -> None:
        self.scalar_type: Final = scalar_type
        self.non_scalar_type: Final = non_scalar_schema
        self.exact = scalar_type.exact

    @property
    def notation(self) -> str:
        return f"({self.scalar_type.notation} | {self.non_scalar_type.notation})"

    @property
    def key(self) -> str:
        return f"ScalarUnion({self.scalar_type.key}, {self.non_scalar_type.key})"


# -- sections ---------------------------------------------------------------------------------------------------------


class Section(ConfigType):
    """A mapping with named fields: what Shape, Permissive and Selector have in common.

    `rows` is the same once more, as `validate` walks over it: for each field its name, its type with the type's `kind`
    and `exact`, whether it is required, and its default.
    """

    __slots__ = ("aliases", "all_optional", "check", "description", "field_aliases", "fields", "rows")

    def __init__(
        self,
        fields: Mapping[str, Field],
        description: str | None = None,
        field_aliases: Mapping[str, str | Sequence[str]] | None = None,
        check: Check | None = None,
    ) -> None:
        self.fields: Final = fields
        self.description = description
        #: field to its other name or names, as given
        self.field_aliases: Final = field_aliases
        #: other name to field
        self.aliases: Final = dict(alias_pairs(field_aliases)) if field_aliases else None
        #: asked once the section has been processed; a pydantic class brings its own rules along
        self.check: Final = check
        rows: list[tuple[str, ConfigType, str, type | None, bool, Any]] = []
        all_optional = True
        for name, field in fields.items():
            config_type = field.config_type
            rows.append((name, config_type, config_type.kind, config_type.exact, field.is_required, field.default))
            if field.is_required:
                all_optional = False
        self.rows: Final = rows
        self.all_optional: Final = all_optional

    @property
    def notation(self) -> str:
        if not self.fields:
            return "{ }"
        parts = (
            f"{name}{'' if field.is_required else '?'}: {field.config_type.notation}"
            for name, field in sorted(self.fields.items())
        )
        return f"{{ {' '.join(parts)} }}"

    @property
    def key(self) -> str:
        fields = ", ".join(f"{name!r}: {field.key}" for name, field in sorted(self.fields.items()))
        aliases = sorted(self.aliases.items()) if self.aliases else ""
        owner = getattr(self.check, "__self__", self.check)
        check = f"{owner.__module__}.{owner.__qualname__}" if owner else ""
        return f"{self.name}({fields}; {self.description!r}; {aliases}; {check})"

    @property
    def implied_default(self) -> Any:
        return EMPTY if self.all_optional else ABSENT

    def filled(self) -> dict[str, Any]:
        """What an empty section stands for: the defaults of its fields, as config (variables not read)."""
        return {name: field.default_value for name, field in self.fields.items() if field.default_provided}


class Shape(Section):
    """A mapping with these fields and no others. A field may have aliases: names that mean the same field."""

    __slots__ = ()
    kind = "shape"
    name = "Shape"


class Permissive(Section):
    """A mapping with these fields, and others that are taken as they are."""

    __slots__ = ()
    kind = "permissive"
    name = "Permissive"


class Selector(Section):
    """A mapping with exactly one of these fields."""

    __slots__ = ()
    kind = "selector"
    name = "Selector"

    @property
    def implied_default(self) -> Any:
        if len(self.fields) != 1:
            return ABSENT
        (field,) = self.fields.values()
        return EMPTY if field.default_provided else ABSENT


def alias_pairs(field_aliases: Mapping[str, str | Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Every (alias, field) of `field_aliases`, whose values are one alias or several."""
    for name, others in field_aliases.items():
        for alias in [others] if isinstance(others, str) else others:
            yield alias, name


class Field:
    """A type with what a section says about it: whether it must be there, what stands for it if not, what it is for.

    Frozen; two are equal where their `key` is. A field is required unless it says otherwise, has a default, or its type
    implies one (None, or a section that can be filled from defaults alone).
    """

    __slots__ = ("config_type", "default", "description", "is_required", "is_secret")

    def __init__(
        self,
        config: ConfigType,
        default_value: Any = ABSENT,
        is_required: bool | None = None,
        description: str | None = None,
        is_secret: bool = False,
    ) -> None:
        if is_required is None:
            if default_value is ABSENT:
                default_value = config.implied_default
            is_required = default_value is ABSENT
        self.config_type: Final = config
        #: as config, before variables are read; a section that fills itself has an empty one
        self.default: Final = default_value
        self.is_required: Final = is_required
        self.description: Final = description
        #: messages never show the value
        self.is_secret: Final = is_secret

    @property
    def default_provided(self) -> bool:
        return self.default is not ABSENT

    @property
    def default_value(self) -> Any:
        """The default as config: filled in, variables not read. CheckError where there is none."""
        if self.default is ABSENT:
            raise CheckError("This field has no default value; ask default_provided first.")
        if self.default is EMPTY and isinstance(self.config_type, Section):
            return self.config_type.filled()
        return self.default

    def as_field(self) -> Field:
        """The field itself: a `config_schema` may be asked for its field without knowing what it is."""
        return self

    @property
    def key(self) -> str:
        default = "" if self.default is ABSENT else stable_text(self.default)
        required = "required" if self.is_required else "optional"
        secret = ", secret" if self.is_secret else ""
        return f"Field({self.config_type.key}, {required}, default={default}, {self.description!r}{secret})"

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Field) and self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        default = f", default_value={self.default_value!r}" if self.default_provided else ""
        return f"Field({self.config_type!r}{default}, is_required={self.is_required})"


# -- values from environment variables --------------------------------------------------------------------------------


class Source(ScalarUnion):
    """A scalar, or `{env: NAME}` for the value of an environment variable, read when a run starts."""

    __slots__ = ("name",)
    kind = "source"

    def __init__(self, name: str, scalar_type: Scalar) -> None:
        super().__init__(scalar_type, Selector({"env": Field(STRING)}))
        self.name = name

    @property
    def key(self) -> str:
        return self.name


StringSource: Final = Source("StringSource", STRING)
IntSource: Final = Source("IntSource", INT)
BoolSource: Final = Source("BoolSource", BOOL)


def _not_yet(variable: EnvVar | IntEnvVar) -> RuntimeError:
    return RuntimeError(
        f"Attempted to directly retrieve environment variable {variable!r}. It stands for a value that is read when a "
        f"run starts, and can only be given to a Config class or a resource. To read it now, call its get_value()."
    )


class EnvVar(str):
    """The name of an environment variable, given in place of its value to a Config class or a resource."""

    __slots__ = ()

    @classmethod
    def int(cls, name: str) -> IntEnvVar:
        """The variable for a field that is an int."""
        return IntEnvVar(name)

    @property
    def env_var_name(self) -> str:
        return str.__str__(self)

    def get_value(self, default: str | None = None) -> str | None:
        """The value that the variable has now, `default` if it is not set."""
        return os.environ.get(self, default)

    def __str__(self) -> str:
        raise _not_yet(self)

    def __format__(self, format_spec: str) -> str:
        raise _not_yet(self)

    def __repr__(self) -> str:
        return f'EnvVar("{self.env_var_name}")'

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.env_var_name,)


class IntEnvVar(builtins.int):
    """What `EnvVar.int` gives: an int for type checkers, whose value is not known yet."""

    env_var_name: str

    def __new__(cls, name: str) -> IntEnvVar:
        self = super().__new__(cls, 0)
        self.env_var_name = name
        return self

    @property
    def name(self) -> str:
        return self.env_var_name

    def get_value(self, default: builtins.int | None = None) -> builtins.int | None:
        """The value that the variable has now, `default` if it is not set; ValueError if it is no int."""
        text = os.environ.get(self.env_var_name)
        if text is None:
            return default
        try:
            return int(text)
        except ValueError:
            raise ValueError(
                f'The environment variable "{self.env_var_name}" must hold an int, which it does not.'
            ) from None

    def __int__(self) -> builtins.int:
        raise _not_yet(self)

    def __str__(self) -> str:
        raise _not_yet(self)

    def __format__(self, format_spec: str) -> str:
        raise _not_yet(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IntEnvVar) and self.env_var_name == other.env_var_name

    def __ne__(self, other: object) -> bool:  # int has its own, which compares numbers
        return not self == other

    def __hash__(self) -> builtins.int:
        return hash(self.env_var_name)

    def __repr__(self) -> str:
        return f'EnvVar.int("{self.env_var_name}")'

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.env_var_name,)


# -- arguments, text --------------------------------------------------------------------------------------------------


def check_argument(name: str, value: object, wanted: type | tuple[type, ...], *, each: bool = False) -> None:
    """Refuse a wrong argument of a public constructor, with ParameterCheckError."""
    if not isinstance(value, wanted):
        kinds = wanted if isinstance(wanted, tuple) else (wanted,)
        expected = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
        what = f'Every member of "{name}" must be' if each else f'Param "{name}" is not'
        advice = f" Write {expected}({value!r})." if each and isinstance(value, str) else ""
        raise ParameterCheckError(f"{what} a {expected}. Got {value!r} which is type {type(value)}.{advice}")


def stable_text(value: object) -> str:
    """The value as text that does not depend on the order in which mappings were filled."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(sorted(f"{stable_text(key)}: {stable_text(item)}" for key, item in value.items())) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(stable_text, value)) + "]"
    return repr(value)
