"""DagsterType: name, check, loader; from annotations.

`resolve_dagster_type` reads what users write for a type: a class, an annotation, a DagsterType, a generic of ours. The
definitions call it once for each input and output. The only state is the table of Python classes that were named as
types, which the API wants global. What a type is and does is in `type_kinds`; nothing here knows contexts.
"""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NoReturn, TypeAlias, TypeVar, overload

from treadle.checks import check_optional, check_param, name_of, show
from treadle.config import schema
from treadle.errors import (
    DagsterInvalidDefinitionError,
    DagsterInvariantViolationError,
    DagsterUnknownResourceError,
)
from treadle.introspect import MISSING
from treadle.outcomes import TypeCheck
from treadle.type_kinds import (
    PASSED,
    AnyType,
    DagsterType,
    DagsterTypeKind,
    ListType,
    NothingType,
    OptionalType,
    PlainType,
    PythonObjectDagsterType,
    ScalarType,
    TypeCheckContext,
    TypedDictType,
    TypedSetType,
    TypedTupleType,
    instance_check,
)
from treadle.type_loaders import DagsterTypeLoader, DictLoader, config_type_of, dagster_type_loader

__all__ = [
    "Any", "Bool", "Dict", "Float", "Int", "List", "Nothing", "Optional", "Set", "String", "Tuple",
    "DagsterType", "DagsterTypeKind", "PythonObjectDagsterType", "TypeCheckContext", "PASSED",
    "DagsterTypeLoader", "config_type_of", "dagster_type_loader",
    "check_dagster_type", "context_outside_run", "make_python_type_usable_as_dagster_type", "resolve_dagster_type",
    "usable_as_dagster_type",
    "ANY_TYPE", "BOOL_TYPE", "FLOAT_TYPE", "INT_TYPE", "NOTHING_TYPE", "STRING_TYPE",
]  # fmt: skip

T_Class = TypeVar("T_Class", bound=type)

ANY_TYPE: typing.Final = AnyType()
INT_TYPE: typing.Final = ScalarType(
    "Int", int, "a int", schema.INT
)  # as the original says it: programs look for these words
FLOAT_TYPE: typing.Final = ScalarType("Float", float, "a float", schema.FLOAT)
STRING_TYPE: typing.Final = ScalarType("String", str, "a string", schema.STRING)
BOOL_TYPE: typing.Final = ScalarType("Bool", bool, "a bool", schema.BOOL)
NOTHING_TYPE: typing.Final = NothingType()

_DICT_TYPE = PythonObjectDagsterType(
    dict, key="PythonDict", loader=DictLoader(), description="A Python dictionary, whatever is in it"
)
_TUPLE_TYPE = PythonObjectDagsterType(tuple, key="PythonTuple", description="A Python tuple, whatever is in it")
_SET_TYPE = PythonObjectDagsterType(set, key="PythonSet", description="A Python set, whatever is in it")


# -- public names -----------------------------------------------------------------------------------------------------


class GenericName:
    """`List`, `Dict` and so on: with types in brackets, `List[int]`, a DagsterType made of theirs."""

    __slots__ = ("_count", "_make", "display_name")

    def __init__(self, display_name: str, make: Callable[..., DagsterType], count: int | None) -> None:
        self.display_name = display_name
        self._make = make
        self._count = count

    def __getitem__(self, parts: typing.Any) -> DagsterType:
        parts = parts if isinstance(parts, tuple) else (parts,)
        if self._count is not None and len(parts) != self._count:
            example = f"{self.display_name}[{', '.join(['str', 'int'][-self._count :])}]"
            raise DagsterInvalidDefinitionError(
                f"{self.display_name} takes {self._count} type{'s' if self._count > 1 else ''}, as in {example}; "
                f"got {len(parts)}: {', '.join(map(_written, parts))}."
            )
        return self._make(*map(_resolve_part, parts))

    def __repr__(self) -> str:
        return f"treadle.{self.display_name}"


_LIST = GenericName("List", ListType, 1)
_DICT = GenericName("Dict", TypedDictType, 2)
_TUPLE = GenericName("Tuple", TypedTupleType, None)
_SET = GenericName("Set", TypedSetType, 1)
_OPTIONAL = GenericName("Optional", OptionalType, 1)

# The public names are the Python types that they mean, so that they may stand in annotations and in config schemas.
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Set, Tuple  # noqa: UP035

    Int: TypeAlias = int
    Float: TypeAlias = float
    String: TypeAlias = str
    Bool: TypeAlias = bool
    Nothing: TypeAlias = None
else:
    Any, Int, Float, String, Bool, Nothing = typing.Any, int, float, str, bool, type(None)
    List, Dict, Tuple, Set, Optional = _LIST, _DICT, _TUPLE, _SET, _OPTIONAL


# -- from what users write ----------------------------------------------------------------------------------------------

_LIST_OF_ANY = ListType(ANY_TYPE)

#: what has a type of its own
_BUILTIN: dict[object, DagsterType] = {
    None: ANY_TYPE,
    MISSING: ANY_TYPE,
    typing.Any: ANY_TYPE,
    int: INT_TYPE,
    float: FLOAT_TYPE,
    str: STRING_TYPE,
    bool: BOOL_TYPE,
    type(None): NOTHING_TYPE,
    **dict.fromkeys((list, typing.List, typing.Sequence, _LIST), _LIST_OF_ANY),  # noqa: UP006
    **dict.fromkeys((dict, typing.Dict, typing.Mapping, _DICT), _DICT_TYPE),  # noqa: UP006
    **dict.fromkeys((tuple, typing.Tuple, _TUPLE), _TUPLE_TYPE),  # noqa: UP006
    **dict.fromkeys((set, typing.Set, _SET), _SET_TYPE),  # noqa: UP006
}

_GENERICS: dict[object, GenericName] = {
    list: _LIST,
    collections.abc.Sequence: _LIST,
    dict: _DICT,
    collections.abc.Mapping: _DICT,
    tuple: _TUPLE,
    set: _SET,
}

#: classes that users gave a type
_REGISTERED: dict[type, DagsterType] = {}
#: the types made for other classes, and for generics, when they were first met
_INFERRED: dict[object, DagsterType] = {}


def resolve_dagster_type(annotation: typing.Any) -> DagsterType:
    """The type that an annotation, or an argument `dagster_type`, means; None, for nothing given, means Any.

    Annotations come as objects, not as text. Raises DagsterInvalidDefinitionError, saying what to write instead, for
    what has no type at run time: unions (but for Optional), Callable, Literal, iterators, ...
    """
    if isinstance(annotation, DagsterType):
        return annotation
    try:
        known = _BUILTIN.get(annotation) or _REGISTERED.get(annotation) or _INFERRED.get(annotation)
    except TypeError:  # unhashable: not one of these
        return _resolve_generic(annotation, typing.get_origin(annotation))
    if known is not None:
        return known
    origin = typing.get_origin(annotation)
    if origin is not None:
        return _INFERRED.setdefault(annotation, _resolve_generic(annotation, origin))
    if isinstance(annotation, type):
        return _INFERRED.setdefault(annotation, _infer(annotation))
    # NewType, and the `type` statement
    meant = getattr(annotation, "__supertype__", None) or getattr(annotation, "__value__", None)
    if meant is not None and type(annotation).__module__.startswith("typing"):
        return resolve_dagster_type(meant)
    raise _refusal(annotation)


def _resolve_part(annotation: typing.Any) -> DagsterType:
    return NOTHING_TYPE if annotation is None else resolve_dagster_type(annotation)


def _resolve_generic(annotation: typing.Any, origin: typing.Any) -> DagsterType:
    parts = typing.get_args(annotation)
    if origin is typing.Annotated:
        # Annotated[int, EvenNumber]: an int for type checkers, an EvenNumber at run time
        return next((part for part in parts[1:] if isinstance(part, DagsterType)), None) or _resolve_part(parts[0])
    if origin is typing.Union or origin is types.UnionType:
        others = [part for part in parts if part is not type(None)]
        if len(others) == 1 < len(parts):
            return OptionalType(resolve_dagster_type(others[0]))
    elif origin in _GENERICS and Ellipsis not in parts and parts:
        return _GENERICS[origin][parts]
    raise _refusal(annotation, origin)


def _infer(cls: type) -> DagsterType:
    """Make the type for a class that has none: its instances pass."""
    full_name = f"{cls.__module__}.{cls.__qualname__}"
    passes, wanted = instance_check(cls), f"an instance of {name_of(cls)}"
    if typing.is_typeddict(cls):
        keys: frozenset[str] = cls.__required_keys__  # type: ignore[attr-defined]
        passes = lambda value: isinstance(value, dict) and keys <= value.keys()  # noqa: E731 - beside the other case
        wanted = f"a dict with the keys {sorted(keys)}"
    elif getattr(cls, "_is_protocol", False) and not getattr(cls, "_is_runtime_protocol", False):
        raise DagsterInvalidDefinitionError(
            f"The protocol {full_name} cannot be used as a type: values cannot be checked against it. Write "
            f"@typing.runtime_checkable above it."
        )
    made = PlainType(
        passes,
        wanted,
        key=f"_TypeHintInferred[{full_name}]",
        description=f"An instance of {full_name}, from an annotation",
        typing_type=cls,
    )
    made.display_name = cls.__name__
    return made


def _written(annotation: object) -> str:
    """An annotation as the user wrote it."""
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return name_of(annotation)
    if isinstance(annotation, typing.ForwardRef):
        return repr(annotation.__forward_arg__)
    if isinstance(annotation, tuple):
        return _written_tuple(annotation)
    return show(annotation)


def _written_tuple(annotations: Iterable[object]) -> str:
    written = [*map(_written, annotations)]
    return f"({', '.join(written)}{',' if len(written) == 1 else ''})"


def _refusal(annotation: typing.Any, origin: typing.Any = None) -> DagsterInvalidDefinitionError:
    return DagsterInvalidDefinitionError(
        f"Problem using type {_written(annotation)}: it must be an instance of DagsterType or a Python type. "
        f"{_advice(annotation, origin)}"
    )


def _advice(annotation: typing.Any, origin: typing.Any) -> str:
    """What to write instead."""
    parts = typing.get_args(annotation)
    if origin is typing.Union or origin is types.UnionType:
        classes = [part for part in parts if isinstance(part, type) and typing.get_origin(part) is None]
        some = _written_tuple([cls for cls in classes if cls is not type(None)] or [int, str])
        write = (
            f"Optional[PythonObjectDagsterType({some})]" if type(None) in parts else f"PythonObjectDagsterType({some})"
        )
        return f"Of unions only T | None has a type. Write In(dagster_type={write}), or Out(...), for the classes of a union."
    if origin is typing.Literal:
        return f"Write DagsterType(lambda _, value: value in {parts}, name=...)."
    if origin is collections.abc.Callable:
        return "Write DagsterType(lambda _, value: callable(value), name='Callable'), or Any, for a callable."
    if annotation is typing.Optional or annotation is typing.Union or annotation is _OPTIONAL:
        return "Write Optional[T] for T or None."
    if origin is tuple or annotation is Ellipsis:
        return "Write list[T] for any number of values of one type, or tuple without parameters."
    if isinstance(origin, type):
        return _advice_for_generic(origin, [_written(part) for part in parts])
    if isinstance(annotation, (str, typing.ForwardRef)):
        return "The text does not name anything: define or import what it names above, not only under TYPE_CHECKING."
    if isinstance(annotation, (schema.ConfigType, schema.Field)):
        return "It is a type for config; give it as config_schema."
    if isinstance(annotation, list):
        return "Write list[T] for a list of values of one type."
    if isinstance(annotation, tuple):
        return f"Write PythonObjectDagsterType({_written_tuple(annotation)}) for any of several classes."
    if isinstance(annotation, TypeVar) or type(annotation).__module__.startswith("typing"):
        return "Write a class, or Any."
    return f"It is an object of type {name_of(type(annotation))}; give a class."


def _advice_for_generic(origin: type, parts: list[str]) -> str:
    bare = f"{name_of(origin)} without parameters"
    if origin.__module__ == "collections.abc" and issubclass(origin, collections.abc.Mapping):
        return f"Write dict[{', '.join(parts) or 'K, V'}], or {bare}."
    if origin.__module__ == "collections.abc" and issubclass(origin, collections.abc.Iterable):
        choice = f"Write list[{parts[0] if len(parts) == 1 else 'T'}], and give a list"
        return f"{choice}." if issubclass(origin, collections.abc.Iterator) else f"{choice}; or {bare}."
    return f"Write {bare}."


# -- classes that bring a type of their own -----------------------------------------------------------------------------


@overload
def usable_as_dagster_type(name: T_Class) -> T_Class: ...


@overload
def usable_as_dagster_type(
    name: str | None = None, description: str | None = None, loader: DagsterTypeLoader | None = None
) -> Callable[[T_Class], T_Class]: ...


def usable_as_dagster_type(
    name: str | type | None = None, description: str | None = None, loader: DagsterTypeLoader | None = None
) -> typing.Any:
    """Give a class a type of its own, with a name, a description and a loader; with or without parentheses.

    Returns the class. Raises DagsterInvalidDefinitionError where the class has a type already.
    """
    if isinstance(name, type):
        return usable_as_dagster_type()(name)
    check_optional(name, str, "name", "usable_as_dagster_type")

    def decorate(cls: T_Class) -> T_Class:
        made = PythonObjectDagsterType(cls, name=name, description=description, loader=loader)
        make_python_type_usable_as_dagster_type(cls, made)
        return cls

    return decorate


def make_python_type_usable_as_dagster_type(python_type: type, dagster_type: DagsterType) -> None:
    """Let a class mean this type wherever it is named, from now on, in the whole process.

    Raises DagsterInvalidDefinitionError where the class means another type already.
    """
    where = "make_python_type_usable_as_dagster_type"
    check_param(python_type, type, "python_type", where)
    check_param(dagster_type, DagsterType, "dagster_type", where)
    known = _BUILTIN.get(python_type) or _REGISTERED.get(python_type) or _INFERRED.get(python_type)
    if known is None:
        _REGISTERED[python_type] = dagster_type
    elif known is not dagster_type:
        if python_type in _INFERRED:
            reason = "it was used as an annotation before, and got a type then. Register it above its first use."
        elif python_type in _REGISTERED:
            reason = f"it was registered as {known.display_name} before, and a class can mean one type only."
        else:
            reason = (
                f"it means the built-in type {known.display_name}. Use In(dagster_type=...) where you need another."
            )
        raise DagsterInvalidDefinitionError(f"A type has already been registered for {name_of(python_type)}: {reason}")


# -- asking by hand -----------------------------------------------------------------------------------------------------


class _NoResources:
    """The resources of a check outside a run: none."""

    def __getattr__(self, name: str) -> NoReturn:
        raise DagsterUnknownResourceError(name)


def check_dagster_type(dagster_type: typing.Any, value: typing.Any) -> TypeCheck:
    """Check a value outside a run, in a test. What the type's check function raises is passed on.

    Takes DagsterTypes, classes, and generics of this package (`List[int]`); DagsterInvariantViolationError for those
    of Python, which mean a type only as the annotation of an op.
    """
    if typing.get_origin(dagster_type) is not None:
        raise DagsterInvariantViolationError(
            f"check_dagster_type must be given a class, a DagsterType or a generic of this package. Got "
            f"{_written(dagster_type)}, which is part of Python's typing module; write for example List[int] with "
            f"List imported from treadle."
        )
    return resolve_dagster_type(dagster_type).type_check(context_outside_run(), value)


def context_outside_run() -> TypeCheckContext:
    """What a check function gets where there is no run: in a test, for a default value, in a direct call of an op."""
    import logging
    import uuid

    return TypeCheckContext(str(uuid.uuid4()), logging.getLogger("treadle"), _NoResources())
