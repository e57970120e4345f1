"""Config, PermissiveConfig, RunConfig: pydantic classes as schema; loaded when first asked for

A Config class is read into a Shape once, by its annotations; config that was validated against it becomes an instance.
`fields_of`, `prepare` and `config_of` do the same for other pydantic classes whose fields are config, such as
resources. The rest of the engine knows a Config class by `__config_field__` and never imports this module.
"""

from __future__ import annotations

import enum
import inspect
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar, Union

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from treadle.config import mistakes, schema, sugar
from treadle.config.schema import ABSENT, ANY, BOOL, FLOAT, INT, STRING, ConfigType, EnvVar, IntEnvVar
from treadle.config.validate import follow
from treadle.errors import (
    DagsterInvalidConfigError,
    DagsterInvalidDagsterTypeInPythonicConfigDefinitionError,
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterInvalidPythonicConfigDefinitionError,
)

_ConfigT = TypeVar("_ConfigT", bound="Config")


def _refuse_types_of_values(cls: type) -> None:
    """Refuse annotations that pydantic would only call unknown."""
    for field, annotation in inspect.get_annotations(cls).items():
        name = getattr(annotation, "display_name", None)
        if isinstance(name, str) and not isinstance(annotation, type):
            raise DagsterInvalidDagsterTypeInPythonicConfigDefinitionError(
                f"Error defining Dagster config class {cls!r} on field {field!r}. Its annotation {name} is a type for "
                f"inputs and outputs; annotate it with a Python type such as int, str, List[int] or a Config class."
            )


class Config(BaseModel):
    """A config schema written as a class; an op takes it as the annotation of its parameter `config`.

    Fields are of type int, float, str, bool, Any, an Enum class (config says a member's name), a Literal of strings,
    another Config class, a union of Config classes told apart by a discriminator, or Optional, List or Dict of these. A
    field with a default may be left out, and so may an Optional one. int, str and bool may come from an environment
    variable: `{"env": NAME}` in run config, `EnvVar("NAME")` in Python. Constraints and validators are run when a run
    config is validated. Instances are frozen.
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, arbitrary_types_allowed=True, protected_namespaces=()
    )

    __treadle_config__: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _refuse_types_of_values(cls)

    def __init__(self, **data: Any) -> None:
        for key, name in _optional_keys(type(self)):
            if name not in data:
                data.setdefault(key, None)
        variables = {key: value for key, value in data.items() if _holds_variable(value)}
        if variables:
            _initialise_with_variables(self, super().__init__, data, variables)
        else:
            super().__init__(**data)

    def __setattr__(self, name: str, value: Any) -> None:
        if self.model_config.get("frozen") and not name.startswith("_"):
            raise DagsterInvalidInvocationError(
                f"{type(self).__name__!r} is a Pythonic config class and does not support item assignment: it is "
                f"frozen. For a copy with another {name!r} call model_copy(update={{{name!r}: ...}})."
            )
        super().__setattr__(name, value)

    @classmethod
    def __config_field__(cls) -> schema.Field:
        """The class as a field of a config schema."""
        field: schema.Field | None = cls.__dict__.get("__treadle_field__")
        if field is None:
            field = schema.Field(_section_of(cls, fields_of(cls), cls.__check_config__))
            type.__setattr__(cls, "__treadle_field__", field)
        return field

    @classmethod
    def __from_config__(cls: type[_ConfigT], processed: Mapping[str, Any]) -> _ConfigT:
        """An instance from config that was validated and processed.

        Raises DagsterInvalidConfigError where a constraint or a validator of the class says no.
        """
        try:
            return cls(**prepare(cls, processed))
        except ValidationError as error:
            config_type = cls.__config_field__().config_type
            found = [
                mistakes.failed(*follow(None, config_type, steps), value, problem)
                for steps, problem, value in problems_of(error)
            ]
            raise DagsterInvalidConfigError(f"Error in config for {cls.__name__}", found, processed) from error

    @classmethod
    def __check_config__(cls, processed: Mapping[str, Any]) -> Sequence[tuple[tuple[str | int, ...], str, Any]]:
        """What the constraints and validators of the class have against a processed config."""
        try:
            cls(**prepare(cls, processed))
        except ValidationError as error:
            return problems_of(error)
        except Exception as error:  # noqa: BLE001  # raised by a validator, which is the user's
            return [((), f"{type(error).__name__}: {error}", processed)]
        return ()

    def __to_config__(self) -> dict[str, Any]:
        """The instance as it would stand in run config."""
        return config_of(self)

    @classmethod
    def to_fields_dict(cls) -> dict[str, schema.Field]:
        """The fields of the class as fields of a config schema."""
        return fields_of(cls)

    @classmethod
    def to_config_schema(cls) -> schema.Field:
        """The class as a config schema, for what takes no class."""
        return cls.__config_field__()


class PermissiveConfig(Config):
    """A Config that also keeps entries for which it has no field."""

    model_config = ConfigDict(extra="allow")


def _initialise_with_variables(
    self: BaseModel, initialise: Callable[..., None], data: dict[str, Any], variables: Mapping[str, Any]
) -> None:
    """Set up an instance some of whose values are not known before a run starts; rules for these wait until then."""
    names = {key_of(name, info): name for name, info in type(self).model_fields.items()}
    waiting = {names.get(key, key): value for key, value in variables.items()}
    try:
        initialise(**data)
    except ValidationError as error:
        if any(not steps or names.get(str(steps[0]), steps[0]) not in waiting for steps, _, _ in problems_of(error)):
            raise
        unchecked = type(self).model_construct(**data)
        for slot in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"):
            object.__setattr__(self, slot, getattr(unchecked, slot))
    for name, value in waiting.items():
        if name in type(self).model_fields:
            self.__dict__[name] = value
        elif self.__pydantic_extra__ is not None:
            self.__pydantic_extra__[name] = value


def _holds_variable(value: Any) -> bool:
    if isinstance(value, list | dict):
        return any(map(_holds_variable, value.values() if isinstance(value, dict) else value))
    return isinstance(value, EnvVar | IntEnvVar)


def _optional_keys(cls: type[BaseModel]) -> tuple[tuple[str, str], ...]:
    """Key and name of each field that may be None and has no default: like others with Optional, it may be left out."""
    keys: tuple[tuple[str, str], ...] | None = cls.__dict__.get("__treadle_optional_keys__")
    if keys is None:
        keys = tuple(
            (key_of(name, info), name)
            for name, info in cls.model_fields.items()
            if info.is_required() and type(None) in typing.get_args(_bare(info.annotation))
        )
        type.__setattr__(cls, "__treadle_optional_keys__", keys)
    return keys


def problems_of(error: ValidationError) -> list[tuple[tuple[str | int, ...], str, Any]]:
    """What pydantic found: (names and indexes from the model to the value, what is wrong, the value)."""
    return [
        (
            problem["loc"],
            problem["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, "),
            problem["input"],
        )
        for problem in error.errors(include_url=False)
    ]


# -- a class as schema ------------------------------------------------------------------------------------------------


class _Member(NamedTuple):
    """A field of a class, both ways."""

    field: schema.Field
    #: processed config to what pydantic wants; None where this is the same
    to_python: Callable[[Any], Any] | None
    #: where the field holds a union of classes: the attribute that tells them apart
    discriminator: str | None
    #: pydantic's own default, ABSENT where config must always say the value
    default: Any


class _TypeReading(NamedTuple):
    config_type: ConfigType
    to_python: Callable[[Any], Any] | None = None
    discriminator: str | None = None


class _Unreadable(Exception):  # becomes an error that names the class and the field
    """A type that config cannot hold; the argument says what to do instead."""


def key_of(name: str, info: FieldInfo) -> str:
    """What config calls the field of a pydantic class."""
    alias = info.validation_alias if isinstance(info.validation_alias, str) else info.alias
    return alias or name


def fields_of(model: type[BaseModel], leave_out: Collection[str] = ()) -> dict[str, schema.Field]:
    """The fields of a pydantic class as fields of a config schema, without those that are no config.

    Raises DagsterInvalidPythonicConfigDefinitionError for a field of a type that config cannot hold.
    """
    return {key: member.field for key, member in _members_of(model, leave_out).items()}


def prepare(model: type[BaseModel], processed: Mapping[str, Any], leave_out: Collection[str] = ()) -> dict[str, Any]:
    """Keyword arguments for a pydantic class from its processed config."""
    members = _members_of(model, leave_out)
    data = {}
    for key, value in processed.items():
        member = members.get(key)
        if member is not None:
            if member.to_python is not None and value is not None:
                value = member.to_python(value)
            # pydantic takes a default as it is, but would hold the same value, given, against its constraints
            if type(value) is type(member.default) and value == member.default:
                continue
        data[key] = value
    return data


def _members_of(
    cls: type[BaseModel], leave_out: Collection[str] = (), outer: tuple[type, ...] = ()
) -> dict[str, _Member]:
    """The fields of a class by their key in config, read once."""
    readings: dict[frozenset[str], dict[str, _Member]] | None = cls.__dict__.get("__treadle_members__")
    if readings is None:
        readings = {}
        type.__setattr__(cls, "__treadle_members__", readings)
    wanted = frozenset(leave_out)
    if wanted not in readings:
        readings[wanted] = _read_members(cls, wanted, outer)
    return readings[wanted]


def _read_members(cls: type[BaseModel], leave_out: Collection[str], outer: tuple[type, ...]) -> dict[str, _Member]:
    if cls in outer:
        path = " -> ".join(each.__name__ for each in (*outer[outer.index(cls) :], cls))
        raise _Unreadable(
            f"{path}: a class that contains itself has no end, and config has one. Use Any for the field."
        )
    if not cls.__pydantic_complete__:
        cls.model_rebuild()
    members = {}
    for name, info in cls.model_fields.items():
        if name in leave_out:
            continue
        where = f"Error defining Dagster config class {cls!r} on field {name!r}."
        if isinstance(info.default, schema.Field):
            raise DagsterInvalidDefinitionError(
                f"{where} Its default is a config Field, which belongs in the dict of a config_schema. Did you mean to "
                f"use 'pydantic.Field' instead?"
            )
        try:
            reading = _read_annotation(info.annotation, info.discriminator, (*outer, cls))
            members[key_of(name, info)] = _member_of(info, reading)
        except _Unreadable as problem:
            raise DagsterInvalidPythonicConfigDefinitionError(
                f"{where} Unable to resolve config type {info.annotation!r} to a supported Dagster config type. {problem}"
            ) from None
        except DagsterInvalidConfigError as error:
            raise DagsterInvalidConfigError(f"{where} {error.preamble}", error.errors, error.config_value) from None
    return members


def _section_of(cls: type[BaseModel], fields: Mapping[str, schema.Field], check: Any = None) -> schema.Section:
    section = schema.Permissive if cls.model_config.get("extra") == "allow" else schema.Shape
    description = cls.__dict__.get("__doc__")
    return section(fields, description and inspect.cleandoc(description), check=check)


def _member_of(info: FieldInfo, reading: _TypeReading) -> _Member:
    config_type, to_python, discriminator = reading
    default: Any = ABSENT
    as_config: Any = ABSENT
    is_required = None
    if isinstance(info.default_factory, type):
        default = info.default_factory()
    elif info.default_factory is not None:
        # not called here: it may make something new each time, so pydantic calls it for each instance
        config_type, is_required = _noneable(config_type), False
    elif not info.is_required():
        default = info.default
    elif isinstance(config_type, schema.Noneable):
        is_required = False
    elif _bare(info.annotation) is dict:
        is_required = True  # pydantic asks for a value, though an empty mapping would do
    if default is None and isinstance(config_type, schema.Selector):
        # config has no way to choose nothing: what is left out is None by pydantic's own default
        default, is_required = ABSENT, False
    if isinstance(default, BaseModel) and isinstance(config_type, schema.Shape | schema.Permissive):
        config_type = _with_defaults(config_type, _plain(default))
    elif default is not ABSENT:
        as_config = _plain(default, discriminator)
        config_type = config_type if isinstance(config_type, schema.Selector) else _noneable(config_type)
    extra = info.json_schema_extra
    is_secret = isinstance(extra, dict) and bool(extra.get("dagster__is_secret"))
    field = sugar.Field(config_type, as_config, is_required, info.description, is_secret)
    return _Member(field, to_python, discriminator, ABSENT if _holds_variable(default) else default)


def _noneable(config_type: ConfigType) -> ConfigType:
    return config_type if isinstance(config_type, schema.Noneable) else schema.Noneable(config_type)


def _with_defaults(section: schema.Section, defaults: Mapping[str, Any]) -> schema.Section:
    """A section whose fields have the values of an instance for defaults."""
    fields = {
        key: schema.Field(field.config_type, defaults[key], None, field.description, field.is_secret)
        if key in defaults
        else field
        for key, field in section.fields.items()
    }
    return type(section)(fields, section.description)


# -- annotations ------------------------------------------------------------------------------------------------------

_USABLE = (
    "Use int, float, str, bool, Any, an Enum class, a Literal of strings, another Config class, a union of Config "
    "classes with a discriminator, or Optional, List or Dict[str, ...] of these."
)
_LISTS_ONLY = "Config has lists only: use List[...], and convert the list where it is used."
_PLAIN: dict[Any, ConfigType] = {
    Any: ANY,
    bool: schema.BoolSource,
    dict: sugar.Permissive(),
    float: FLOAT,
    int: schema.IntSource,
    list: schema.Array(ANY),
    str: schema.StringSource,
}
_KEYS = {str: STRING, int: INT, float: FLOAT, bool: BOOL}


def _read_annotation(annotation: Any, discriminator: Any, outer: tuple[type, ...]) -> _TypeReading:
    if typing.get_origin(annotation) is Annotated:
        inner, *notes = typing.get_args(annotation)
        found = [note.discriminator for note in notes if isinstance(note, FieldInfo) and note.discriminator]
        return _read_annotation(inner, found[0] if found else discriminator, outer)
    annotation = _bare(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is None and annotation in _PLAIN:
        return _TypeReading(_PLAIN[annotation])
    if isinstance(annotation, type) and origin is None:
        return _read_class(annotation, outer)
    if origin is Literal:
        return _read_literal(arguments)
    if origin is Union or origin is types.UnionType:
        return _read_union(arguments, discriminator, outer)
    if origin in {list, Sequence}:
        return _read_list(arguments, discriminator, outer)
    if origin in {dict, Mapping}:
        return _read_dict(arguments, discriminator, outer)
    raise _Unreadable(_LISTS_ONLY if origin in {tuple, set, frozenset} else _USABLE)


def _bare(annotation: Any) -> Any:
    """An annotation without the names that were given to it."""
    while True:
        if hasattr(annotation, "__supertype__"):  # NewType
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        elif annotation is typing.List or annotation is typing.Dict:  # noqa: UP006  # as users still write
            annotation = typing.get_origin(annotation)
        else:
            return annotation


def _read_class(cls: type, outer: tuple[type, ...]) -> _TypeReading:
    if issubclass(cls, enum.Enum):
        return _TypeReading(schema.Enum.from_python_enum(cls))
    if _is_config(cls) and issubclass(cls, BaseModel):
        fields = {key: member.field for key, member in _members_of(cls, (), outer).items()}
        return _TypeReading(_section_of(cls, fields), lambda processed: prepare(cls, processed))
    if issubclass(cls, BaseModel):
        raise _Unreadable(f"Derive {cls.__name__} from Config instead of pydantic's BaseModel.")
    raise _Unreadable(_LISTS_ONLY if issubclass(cls, tuple | set | frozenset) else _USABLE)


def _read_literal(values: tuple[Any, ...]) -> _TypeReading:
    words = [value for value in values if value is not None]
    if not all(isinstance(word, str | enum.Enum) for word in words):
        raise _Unreadable("A Literal in config has strings and members of enums only.")
    choices = [schema.EnumValue(word.name if isinstance(word, enum.Enum) else word, word) for word in words]
    config_type = schema.Enum("Literal", choices)
    return _TypeReading(config_type if len(words) == len(values) else schema.Noneable(config_type))


def _read_list(arguments: tuple[Any, ...], discriminator: Any, outer: tuple[type, ...]) -> _TypeReading:
    inner = _read_annotation(arguments[0], discriminator, outer)
    convert = inner.to_python
    to_python = None if convert is None else lambda items: [convert(item) for item in items]
    return _TypeReading(schema.Array(inner.config_type), to_python, inner.discriminator)


def _read_dict(arguments: tuple[Any, ...], discriminator: Any, outer: tuple[type, ...]) -> _TypeReading:
    key_type = _KEYS.get(_bare(arguments[0]))
    if key_type is None:
        raise _Unreadable("The keys of a Dict in config are str, int, float or bool.")
    inner = _read_annotation(arguments[1], discriminator, outer)
    convert = inner.to_python
    to_python = None if convert is None else lambda items: {key: convert(item) for key, item in items.items()}
    return _TypeReading(schema.Map(key_type, inner.config_type), to_python, inner.discriminator)


def _read_union(arguments: tuple[Any, ...], discriminator: Any, outer: tuple[type, ...]) -> _TypeReading:
    members = [each for each in arguments if each is not type(None)]
    if len(members) == 1:
        inner = _read_annotation(members[0], discriminator, outer)
    elif isinstance(discriminator, str):
        inner = _read_choice(members, discriminator, outer)
    elif all(map(_is_config, members)):
        raise _Unreadable(
            "A union of Config classes needs a discriminator: give each class a field with a Literal of its own, such as "
            "kind: Literal['a'], and the union Field(discriminator='kind')."
        )
    else:
        raise _Unreadable(f"Config cannot tell the members of this union apart. {_USABLE}")
    if len(members) == len(arguments):
        return inner
    convert = inner.to_python
    to_python = None if convert is None else lambda value: None if value is None else convert(value)
    return _TypeReading(_noneable(inner.config_type), to_python, inner.discriminator)


def _is_config(annotation: Any) -> bool:
    return isinstance(annotation, type) and getattr(annotation, "__treadle_config__", False) is True


def _read_choice(members: Sequence[Any], discriminator: str, outer: tuple[type, ...]) -> _TypeReading:
    """A union of classes as a Selector: the value of the discriminator names the option."""
    options: dict[str, schema.Field] = {}
    choices: dict[str, tuple[type[BaseModel], str, Any]] = {}
    for cls in members:
        if not _is_config(cls):
            raise _Unreadable(f"A discriminator chooses among Config classes, but {cls!r} is none.")
        info = cls.model_fields[discriminator]
        key = key_of(discriminator, info)
        inner = {name: member.field for name, member in _members_of(cls, (), outer).items() if name != key}
        section = _section_of(cls, inner)
        for value in typing.get_args(info.annotation):
            option = _choice_text(value)
            options[option] = schema.Field(section)
            choices[option] = (cls, key, value)

    def to_python(selected: Mapping[str, Any]) -> dict[str, Any]:
        ((option, processed),) = selected.items()
        cls, key, value = choices[option]
        return {**prepare(cls, processed), key: value}

    return _TypeReading(schema.Selector(options), to_python, discriminator)


def _choice_text(value: Any) -> str:
    return str(value.value if isinstance(value, enum.Enum) else value)


# -- values as config -------------------------------------------------------------------------------------------------


def config_of(model: BaseModel, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """A pydantic instance as it would stand in run config: names of enum members, `{"env": NAME}`, nested dicts.

    A field that is None, and None by default, is left out.
    """
    members = _members_of(type(model), leave_out)
    data = {}
    for name, info in type(model).model_fields.items():
        if name in leave_out:
            continue
        value = getattr(model, name)
        if value is not None or info.is_required() or info.default is not None or info.default_factory is not None:
            key = key_of(name, info)
            data[key] = _plain(value, members[key].discriminator)
    data.update((key, _plain(value)) for key, value in (model.__pydantic_extra__ or {}).items())
    return data


def _plain(value: Any, discriminator: str | None = None) -> Any:
    """A Python value as config."""
    if isinstance(value, EnvVar | IntEnvVar):
        return {"env": value.env_var_name}
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, discriminator) for item in value]
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item, discriminator) for key, item in value.items()}
    to_config = getattr(value, "__to_config__", None)
    if to_config is None:
        return value
    data = to_config()
    if discriminator is None:
        return data
    info = type(value).model_fields[discriminator]
    data.pop(key_of(discriminator, info))
    return {_choice_text(getattr(value, discriminator)): data}


class RunConfig:
    """A run config built of Config and resource objects; accepted wherever a run config is.

    `ops`, `resources` and `loggers` map a name to an object or to the dict that run config would have there;
    `execution` is that dict itself.
    """

    __slots__ = ("execution", "loggers", "ops", "resources")

    def __init__(
        self,
        ops: Mapping[str, Any] | None = None,
        resources: Mapping[str, Any] | None = None,
        loggers: Mapping[str, Any] | None = None,
        execution: Mapping[str, Any] | None = None,
    ) -> None:
        self.ops = _section_argument("ops", ops)
        self.resources = _section_argument("resources", resources)
        self.loggers = _section_argument("loggers", loggers)
        self.execution = _section_argument("execution", execution)

    def to_config_dict(self) -> dict[str, Any]:
        """The run config as plain data."""
        return {
            "loggers": _entries(self.loggers),
            "resources": _entries(self.resources),
            "ops": _entries(self.ops),
            "execution": _plain(self.execution),
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunConfig) and self.to_config_dict() == other.to_config_dict()

    __hash__ = None  # type: ignore[assignment]  # its parts are dicts

    def __repr__(self) -> str:
        return (
            f"RunConfig(ops={self.ops}, resources={self.resources}, loggers={self.loggers}, execution={self.execution})"
        )


def _section_argument(name: str, section: Mapping[str, Any] | None) -> Mapping[str, Any]:
    schema.check_argument(name, section, (Mapping, types.NoneType))
    return {} if section is None else section


def _entries(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _entry(value) for key, value in section.items()}


def _entry(value: Any) -> Any:
    if hasattr(value, "__to_config__"):
        return {"config": _plain(value)}
    if isinstance(value, Mapping):
        return {
            key: _entries(item) if key in _NESTED and isinstance(item, Mapping) else _plain(item)
            for key, item in value.items()
        }
    return value


#: the keys under which run config for a graph has entries for the ops inside
_NESTED = {"ops", "graph", "solids"}
