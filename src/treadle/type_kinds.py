"""DagsterType and the kinds of it: scalars, classes, types made of other types.

The engine checks every value that passes from op to op: `is_any` and `fast_check` let a good value through without
making anything; only what they do not let through gets a full `type_check`, which says what is wrong. `types` finds
the type for an annotation. Frozen once made; nothing here knows contexts or definitions.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import msgspec

from treadle.checks import check_optional, check_param, name_of, show
from treadle.config import schema
from treadle.errors import (
    CheckError,
    DagsterInvalidDefinitionError,
    DagsterInvariantViolationError,
    ParameterCheckError,
)
from treadle.metadata import MetadataKind, RawMetadataValue, normalize_metadata
from treadle.outcomes import TypeCheck
from treadle.type_loaders import (
    AnyLoader,
    DagsterTypeLoader,
    ListLoader,
    MapLoader,
    OptionalLoader,
    ScalarLoader,
    SetLoader,
    TupleLoader,
)

if TYPE_CHECKING:
    import logging

#: what every check that passes returns
PASSED: typing.Final = TypeCheck(True)


class TypeCheckContext(msgspec.Struct, frozen=True):
    """What a type's check function gets besides the value."""

    run_id: str
    log: logging.Logger
    #: those that the type names in its `required_resource_keys`, as attributes
    resources: typing.Any


class DagsterTypeKind(Enum):
    """What a type is made like."""

    ANY = "ANY"
    SCALAR = "SCALAR"
    LIST = "LIST"
    NOTHING = "NOTHING"
    NULLABLE = "NULLABLE"
    REGULAR = "REGULAR"


CheckFn: TypeAlias = Callable[[TypeCheckContext, typing.Any], TypeCheck | bool]
#: says of one value, without more, whether it surely passes
FastCheck: TypeAlias = Callable[[typing.Any], bool]
#: the same of all values of a container
CheckEvery: TypeAlias = Callable[[Iterable[typing.Any]], bool]


class DagsterType:
    """A type of values that pass from op to op, checked at run time.

    `type_check_fn(context, value)` returns a bool or a TypeCheck. A type has a `name`, unique in a job, or a `key`, or
    both. `loader` makes a value from run config; `required_resource_keys` are those that the check function uses.
    Raises CheckError for unfit arguments, DagsterInvalidDefinitionError where the function does not take two.
    """

    #: True for the type that every value passes: nothing has to be called
    is_any: ClassVar[bool] = False
    #: True for the type of outputs that carry no value
    is_nothing: ClassVar[bool] = False

    def __init__(
        self,
        type_check_fn: CheckFn,
        key: str | None = None,
        name: str | None = None,
        is_builtin: bool = False,
        description: str | None = None,
        loader: DagsterTypeLoader | None = None,
        required_resource_keys: Set[str] | None = None,
        kind: DagsterTypeKind = DagsterTypeKind.REGULAR,
        typing_type: typing.Any = typing.Any,
        metadata: Mapping[str, RawMetadataValue] | None = None,
    ) -> None:
        where = f'DagsterType "{name or key}"'
        for argument, text in (("key", key), ("name", name), ("description", description)):
            check_optional(text, str, argument, where)
        if not name and not key:
            raise CheckError("DagsterType: Must set key or name. Write DagsterType(..., name='EvenNumber').")
        check_optional(loader, DagsterTypeLoader, "loader", where, "Write @dagster_type_loader above the function.")
        check_optional(required_resource_keys, (set, frozenset), "required_resource_keys", where)
        check_param(kind, DagsterTypeKind, "kind", where)
        _check_arity(type_check_fn, where)
        self._name = name
        self.type_check_fn = type_check_fn
        #: names the type wherever types are compared: equal keys, equal types
        self.key: str = key or name or ""
        #: what messages call the type
        self.display_name: str = name or self.key
        self.description = description
        self.loader = loader
        self.required_resource_keys: frozenset[str] = frozenset(required_resource_keys or ())
        self.kind = kind
        self.is_builtin = is_builtin
        #: the nearest annotation that type checkers understand
        self.typing_type = typing_type
        self.metadata: Mapping[str, MetadataKind] = normalize_metadata(metadata)
        #: True for a value means that it surely passes; False, or no function, that `type_check` has to say
        self.fast_check: FastCheck | None = None

    @property
    def has_unique_name(self) -> bool:
        """True where the type has a name, which no other type in a job may have."""
        return self._name is not None

    @property
    def unique_name(self) -> str:
        """The name; CheckError for a type that has only a key."""
        if self._name is None:
            raise CheckError(f"unique_name: the type {self.display_name} has a key only; ask has_unique_name first.")
        return self._name

    @property
    def config_type(self) -> schema.ConfigType | None:
        """The config type of the same values, for the built-in types that have one."""
        return None

    @property
    def inner_types(self) -> list[DagsterType]:
        """The types that this one is made of, and those that they are made of."""
        return []

    @property
    def supports_fan_in(self) -> bool:
        """True where an input of this type may take several outputs, as a list."""
        return False

    def get_inner_type_for_fan_in(self) -> DagsterType:
        """The type of each output that is fanned in; CheckError where fan-in is not supported."""
        raise CheckError(
            f"The type {self.display_name} does not support fan-in: use a list type such as list[...], or no type. "
            f"Ask supports_fan_in first."
        )

    def type_check(self, context: TypeCheckContext, value: typing.Any) -> TypeCheck:
        """Say whether a value is of this type, and if not, why.

        What the check function raises is passed on. Raises DagsterInvariantViolationError where it returns neither a
        bool nor a TypeCheck.
        """
        verdict: object = self.type_check_fn(context, value)
        if verdict is True:
            return PASSED
        if isinstance(verdict, TypeCheck):
            return verdict
        if verdict is False or _is_numpy_bool(verdict):
            return PASSED if verdict else TypeCheck(False, f"{_told(value)} does not pass the check of its type.")
        raise DagsterInvariantViolationError(
            f'The check function of the type "{self.display_name}" returned {show(verdict)} (type '
            f"{name_of(type(verdict))}). It must return a bool or a TypeCheck."
            + (" Is a return statement missing?" if verdict is None else "")
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.display_name}>"


def _is_numpy_bool(verdict: object) -> bool:
    # what comparing numbers of a table gives
    return type(verdict).__module__ == "numpy" and type(verdict).__name__.startswith("bool")


def _check_arity(fn: object, where: str) -> None:
    """Refuse a check function that cannot be called with a context and a value."""
    check_param(fn, Callable, "type_check_fn", where)  # type: ignore[arg-type]
    plain = getattr(fn, "__func__", fn)
    if isinstance(plain, types.FunctionType):
        code, bound = plain.__code__, 0 if plain is fn else 1
        most = 2 if code.co_flags & 0x04 else code.co_argcount - bound  # 0x04: it has *args
        least = code.co_argcount - bound - len(plain.__defaults__ or ())
        keyword_only = code.co_kwonlyargcount - len(plain.__kwdefaults__ or {})
        if least <= 2 <= most and not keyword_only:
            return
        count = str(code.co_argcount - bound)
    else:
        import inspect

        try:
            inspect.signature(fn).bind(None, None)  # type: ignore[arg-type]
            return
        except TypeError as error:
            count = f"others ({error})"
        except ValueError:  # a function of C that does not tell what it takes
            return
    raise DagsterInvalidDefinitionError(
        f"{where}: the type_check_fn argument must take 2 arguments, received {count}. Write "
        f"def is_of_type(context, value): ..."
    )


# -- checks of built-in types -----------------------------------------------------------------------------------------


def _told(value: object) -> str:
    shown = show(value)
    if isinstance(value, str) and shown[-1] in "'\"":  # no quotes in quotes
        shown = shown[1:-1]
    return f'Value "{shown}" of python type "{name_of(type(value))}"'


def instance_check(cls: type) -> FastCheck:
    """`isinstance(value, cls)` as a function of the value, without a Python frame."""
    return types.MethodType(type(cls).__instancecheck__, cls)


def _annotation(generic: typing.Any, parts: typing.Any) -> typing.Any:
    """`generic[parts]`, made at run time; as `typing` writes it, which is what users see of it."""
    return generic[parts]


class PlainType(DagsterType):
    """A type whose check is a function of the value alone; `wanted` says in words what passes."""

    def __init__(self, passes: FastCheck, wanted: str, **kwargs: typing.Any) -> None:
        super().__init__(self._explain, **kwargs)
        self.fast_check = self._passes = passes
        self._wanted = wanted

    def _explain(self, _context: TypeCheckContext, value: typing.Any) -> TypeCheck:
        if self._passes(value):
            return PASSED
        return TypeCheck(False, f"{_told(value)} must be {self._wanted}.")


class ScalarType(PlainType):
    def __init__(self, name: str, cls: type, wanted: str, scalar: schema.Scalar) -> None:
        self._scalar = scalar
        super().__init__(
            instance_check(cls),
            wanted,
            name=name,
            is_builtin=True,
            loader=ScalarLoader(scalar),
            kind=DagsterTypeKind.SCALAR,
            typing_type=cls,
        )

    @property
    def config_type(self) -> schema.ConfigType | None:
        return self._scalar


class AnyType(DagsterType):
    is_any = True

    def __init__(self) -> None:
        super().__init__(
            lambda _context, _value: PASSED,
            name="Any",
            is_builtin=True,
            loader=AnyLoader(),
            kind=DagsterTypeKind.ANY,
        )

    @property
    def config_type(self) -> schema.ConfigType | None:
        return schema.ANY

    @property
    def supports_fan_in(self) -> bool:
        return True

    def get_inner_type_for_fan_in(self) -> DagsterType:
        return self


class NothingType(PlainType):
    is_nothing = True

    def __init__(self) -> None:
        super().__init__(
            lambda value: value is None,
            "None: an output of type Nothing carries no value",
            name="Nothing",
            is_builtin=True,
            kind=DagsterTypeKind.NOTHING,
            typing_type=type(None),
        )

    @property
    def supports_fan_in(self) -> bool:
        return True

    def get_inner_type_for_fan_in(self) -> DagsterType:
        return self


class PythonObjectDagsterType(PlainType):
    """The type of the instances of a class, or of any of a tuple of classes.

    The default name is that of the class. Other keywords are those of DagsterType. Raises ParameterCheckError for
    anything but classes, such as generics of `typing`.
    """

    def __init__(
        self,
        python_type: type | tuple[type, ...],
        key: str | None = None,
        name: str | None = None,
        **kwargs: typing.Any,
    ) -> None:
        classes = python_type if isinstance(python_type, tuple) else (python_type,)
        given: tuple[object, ...] = classes
        for cls in given or (python_type,):
            if not isinstance(cls, type) or typing.get_origin(cls) is not None:
                raise ParameterCheckError(
                    f'PythonObjectDagsterType: Param "python_type" must be a class, or a tuple of classes. Got '
                    f"{show(cls)} (type {name_of(type(cls))}). Annotations such as list[int] need no such type; write "
                    f"them as they are."
                )
        default_name = classes[0].__name__
        wanted = " or ".join(name_of(cls) for cls in classes)
        passes = instance_check(classes[0])
        if isinstance(python_type, tuple):
            default_name = f"Union[{', '.join(cls.__name__ for cls in classes)}]"
            passes = lambda value: isinstance(value, classes)  # noqa: E731 - beside the other case
        #: the class or classes
        self.python_type = python_type
        super().__init__(
            passes,
            f"an instance of {wanted}",
            key=key,
            name=default_name if name is None else name,
            typing_type=_annotation(typing.Union, python_type),
            **kwargs,
        )


# -- types made of other types --------------------------------------------------------------------------------------


class _GenericType(DagsterType):
    """A type with a part for each of `inners`. Two are equal where they are made alike."""

    def __init__(
        self,
        key: str,
        display_name: str,
        inners: Sequence[DagsterType],
        loader: DagsterTypeLoader | None,
        kind: DagsterTypeKind,
        typing_type: typing.Any,
    ) -> None:
        keys = frozenset[str]().union(*(inner.required_resource_keys for inner in inners))
        super().__init__(
            self._explain, key, loader=loader, required_resource_keys=keys, kind=kind, typing_type=typing_type
        )
        self.display_name = display_name
        self._inners = tuple(inners)
        if all(inner.is_any or inner.fast_check for inner in inners):
            self.fast_check = self._fast_check(*map(_every, inners))

    @property
    def inner_types(self) -> list[DagsterType]:
        return [each for inner in self._inners for each in (inner, *inner.inner_types)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _GenericType) and type(other) is type(self) and self._inners == other._inners

    def __hash__(self) -> int:
        return hash(self.key)

    def _fast_check(self, *every: CheckEvery) -> FastCheck:
        """A check of the whole value, from one for each inner type."""
        raise NotImplementedError

    def _explain(self, context: TypeCheckContext, value: typing.Any) -> TypeCheck:
        """The full check: says which part is wrong."""
        raise NotImplementedError


def _every(inner: DagsterType) -> CheckEvery:
    passes = inner.fast_check
    return (lambda _values: True) if passes is None else (lambda values: all(map(passes, values)))


def _first_misfit(
    context: TypeCheckContext, parts: Iterable[tuple[DagsterType, typing.Any, str, typing.Any]]
) -> TypeCheck:
    """Check the parts of a value: (its type, it, what it is, its place); the first that fails says what is wrong."""
    for inner, part, what, place in parts:
        if inner.is_any or (inner.fast_check is not None and inner.fast_check(part)):
            continue
        check = inner.type_check(context, part)
        if not check.success:
            reason = check.description or f"{_told(part)} is not of type {inner.display_name}."
            return TypeCheck(False, f"{what} {show(place)}: {reason}", check.metadata)
    return PASSED


class ListType(_GenericType):
    def __init__(self, inner: DagsterType) -> None:
        _refuse_nothing(inner)
        self.inner_type = inner
        super().__init__(
            f"List.{inner.key}",
            f"[{inner.display_name}]",
            [inner],
            ListLoader(inner.loader) if inner.loader else None,
            DagsterTypeKind.LIST,
            _annotation(typing.List, inner.typing_type),  # noqa: UP006
        )

    def _fast_check(self, *every: CheckEvery) -> FastCheck:
        (elements_pass,) = every
        if self.inner_type.is_any:
            return instance_check(list)
        return lambda value: isinstance(value, list) and elements_pass(value)

    def _explain(self, context: TypeCheckContext, value: typing.Any) -> TypeCheck:
        if not isinstance(value, list):
            return TypeCheck(False, f"{_told(value)} must be a list.")
        return _first_misfit(context, ((self.inner_type, each, "Element", i) for i, each in enumerate(value)))

    @property
    def supports_fan_in(self) -> bool:
        return True

    def get_inner_type_for_fan_in(self) -> DagsterType:
        return self.inner_type


class OptionalType(_GenericType):
    def __init__(self, inner: DagsterType) -> None:
        _refuse_nothing(inner)
        self.inner_type = inner
        super().__init__(
            f"Optional.{inner.key}",
            f"{inner.display_name}?",
            [inner],
            OptionalLoader(inner.loader) if inner.loader else None,
            DagsterTypeKind.NULLABLE,
            _annotation(typing.Optional, inner.typing_type),
        )

    def _fast_check(self, *every: CheckEvery) -> FastCheck:
        inner = self.inner_type.fast_check or (lambda _value: True)
        return lambda value: value is None or inner(value)

    def _explain(self, context: TypeCheckContext, value: typing.Any) -> TypeCheck:
        return PASSED if value is None else self.inner_type.type_check(context, value)

    @property
    def supports_fan_in(self) -> bool:
        return self.inner_type.supports_fan_in

    def get_inner_type_for_fan_in(self) -> DagsterType:
        return self.inner_type.get_inner_type_for_fan_in()


class TypedDictType(_GenericType):
    def __init__(self, key: DagsterType, value: DagsterType) -> None:
        self.key_type, self.value_type = key, value
        # config has maps only from scalars
        label = key.config_type
        can_load = isinstance(label, schema.Scalar) and value.loader is not None
        super().__init__(
            f"TypedPythonDict.{key.key}.{value.key}",
            f"Dict[{key.display_name},{value.display_name}]",
            [key, value],
            MapLoader(label, value.loader) if can_load else None,  # type: ignore[arg-type]
            DagsterTypeKind.REGULAR,
            _annotation(typing.Dict, (key.typing_type, value.typing_type)),  # noqa: UP006
        )

    def _fast_check(self, *every: CheckEvery) -> FastCheck:
        keys_pass, values_pass = every
        return lambda value: isinstance(value, dict) and keys_pass(value) and values_pass(value.values())

    def _explain(self, context: TypeCheckContext, value: typing.Any) -> TypeCheck:
        if not isinstance(value, dict):
            return TypeCheck(False, f"{_told(value)} must be a dict.")
        keys = _first_misfit(context, ((self.key_type, key, "Key", key) for key in value))
        if not keys.success:
            return keys
        return _first_misfit(context, ((self.value_type, each, "Value of key", key) for key, each in value.items()))


class TypedTupleType(_GenericType):
    def __init__(self, *members: DagsterType) -> None:
        self.member_types = members
        loaders = [member.loader for member in members if member.loader is not None]
        super().__init__(
            "TypedPythonTuple" + ".".join(member.key for member in members),
            f"Tuple[{','.join(member.display_name for member in members)}]",
            members,
            TupleLoader(*loaders) if len(loaders) == len(members) else None,
            DagsterTypeKind.REGULAR,
            _annotation(typing.Tuple, tuple(member.typing_type for member in members)),  # noqa: UP006
        )

    def _fast_check(self, *every: CheckEvery) -> FastCheck:
        members = [(i, inner.fast_check) for i, inner in enumerate(self._inners) if inner.fast_check is not None]
        count = len(self._inners)

        def passes(value: typing.Any) -> bool:
            if not isinstance(value, tuple) or len(value) != count:
                return False
            for i, member_passes in members:  # noqa: SIM110 - a generator would be made for each value
                if not member_passes(value[i]):
                    return False
            return True

        return passes

    def _explain(self, context: TypeCheckContext, value: typing.Any) -> TypeCheck:
        if not isinstance(value, tuple):
            return TypeCheck(False, f"{_told(value)} must be a tuple.")
        if len(value) != len(self._inners):
            return TypeCheck(
                False,
                f"{_told(value)} must be a tuple of {len(self._inners)} members, {self.display_name}; it has "
                f"{len(value)}.",
            )
        members = enumerate(zip(self._inners, value, strict=True))
        return _first_misfit(context, ((inner, each, "Member", i) for i, (inner, each) in members))


class TypedSetType(_GenericType):
    def __init__(self, item: DagsterType) -> None:
        self.item_type = item
        super().__init__(
            f"TypedPythonSet.{item.key}",
            f"Set[{item.display_name}]",
            [item],
            SetLoader(item.loader) if item.loader else None,
            DagsterTypeKind.REGULAR,
            _annotation(typing.Set, item.typing_type),  # noqa: UP006
        )

    def _fast_check(self, *every: CheckEvery) -> FastCheck:
        (items_pass,) = every
        return lambda value: isinstance(value, set) and items_pass(value)

    def _explain(self, context: TypeCheckContext, value: typing.Any) -> TypeCheck:
        if not isinstance(value, set):
            return TypeCheck(False, f"{_told(value)} must be a set.")
        return _first_misfit(context, ((self.item_type, each, "Item", each) for each in value))


def _refuse_nothing(inner: DagsterType) -> None:
    if inner.is_nothing:
        raise DagsterInvalidDefinitionError(
            "Type Nothing can not be wrapped in List or Optional: it carries no value. Use Nothing alone for an order "
            "without data; an input of type Nothing may depend on several outputs."
        )
