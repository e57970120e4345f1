"""ConfigurableResource, ConfigurableIOManager: pydantic ones, loaded when first asked for.

A resource written as a class: its fields are its config, fields that are resources themselves are opened before it.
Nothing else needs to know: an object of such a class gives a ResourceDefinition, by `__resource_definition__`, and
opening that makes a fresh object with config from the run and with its nested resources open.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, NamedTuple, get_args

from pydantic import BaseModel, ValidationError, create_model
from pydantic_core import core_schema

from treadle.config.pythonic import Config, config_of, fields_of, key_of, prepare, problems_of
from treadle.config.schema import ANY, Field, Permissive, Section, Shape
from treadle.config.sugar import Field as CheckedField
from treadle.config.sugar import to_field
from treadle.contexts import InitResourceContext
from treadle.definitions.io_managers import IOManager, IOManagerDefinition
from treadle.definitions.resources import ResourceDefinition, as_context_manager
from treadle.errors import (
    CheckError,
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterInvalidPythonicConfigDefinitionError,
    DagsterInvariantViolationError,
)
from treadle.introspect import is_generator, read_docstring
from treadle.names import nearest

if TYPE_CHECKING:  # where the default counts: `class Folder(ConfigurableResource)` is a resource of any type
    from typing_extensions import TypeVar

    T_co = TypeVar("T_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    T_co = TypeVar("T_co", covariant=True)

#: where an open resource keeps its context; pydantic looks at fields only, so equal resources stay equal
_CONTEXT = "__treadle_context__"


class _DependencyMarker:
    """Marks a field that holds a resource of any kind."""


if TYPE_CHECKING:

    class ResourceDependency(Generic[T_co]):
        """A field that holds a resource that is not a ConfigurableResource: any value, or a ResourceDefinition."""

        def __get__(self, obj: Any, owner: Any) -> T_co: ...

        def __set__(self, obj: Any, value: Any) -> None: ...

else:

    class ResourceDependency:
        """A field that holds a resource that is not a ConfigurableResource: any value, or a ResourceDefinition."""

        def __class_getitem__(cls, item: Any) -> Any:
            return Annotated[Any, _DependencyMarker()]


class ConfigurableResourceFactory(Config, Generic[T_co]):
    """A resource written as a class that makes something else: `create_resource` gives what ops get.

    Construction checks values as pydantic does (ValidationError); EnvVar stands for a value that is read when a run
    starts. In `resource_defs` the values of an object are defaults, which run config may replace.
    """

    __treadle_config__: ClassVar[bool] = False
    __treadle_resource__: ClassVar[bool] = True

    def __init__(self, **data: Any) -> None:
        _parts_of(type(self))
        super().__init__(**data)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            raise DagsterInvalidInvocationError(
                f"{type(self).__name__!r} is a Pythonic resource and does not support item assignment: it is frozen. "
                f"Keep what changes in a private attribute, such as `_{name}: Any = PrivateAttr()`, set in "
                f"setup_for_execution."
            )
        super().__setattr__(name, value)

    # -- what users define

    def setup_for_execution(self, context: InitResourceContext) -> None:
        """Called before the first step that needs the resource."""

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        """Called after the last step, also if steps failed; not if `setup_for_execution` did."""

    @abstractmethod
    def create_resource(self, context: InitResourceContext) -> T_co:
        """What ops get."""

    @contextlib.contextmanager
    def yield_for_execution(self, context: InitResourceContext) -> Iterator[T_co]:
        """All of the above in one: set up, yield what ops get, tear down."""
        self.setup_for_execution(context)
        try:
            yield self.create_resource(context)
        finally:
            self.teardown_after_execution(context)

    # -- what users call

    @classmethod
    def configure_at_launch(cls, **values: Any) -> PartialResource:
        """This resource with the rest of its config to come from run config; `values` are defaults."""
        return PartialResource(cls, values)

    def process_config_and_initialize(self) -> T_co:
        """What ops would get, made outside a run: for tests and scripts.

        CheckError for a resource with something to tear down; use `process_config_and_initialize_cm` for these.
        """
        definition = _definition_of(type(self), self.__to_config__(), self.nested_resources)
        definition.refuse_teardown("`with resource.process_config_and_initialize_cm() as value:`")
        with _open_by_hand(definition) as value:
            made: T_co = value
        return made

    @contextlib.contextmanager
    def process_config_and_initialize_cm(self) -> Iterator[T_co]:
        """What ops would get, made outside a run, and torn down again."""
        with _open_by_hand(self.__resource_definition__()) as value:
            yield value

    @classmethod
    def from_resource_context(
        cls, context: InitResourceContext, nested_resources: Mapping[str, Any] | None = None
    ) -> Any:
        """What ops would get, from the config in the context of a resource function.

        CheckError for a resource with something to tear down; use `from_resource_context_cm` for these.
        """
        definition = _partial_definition(cls, nested_resources or {})
        definition.refuse_teardown("from_resource_context_cm")
        with _open_by_hand(definition, context) as value:
            return value

    @classmethod
    @contextlib.contextmanager
    def from_resource_context_cm(
        cls, context: InitResourceContext, nested_resources: Mapping[str, Any] | None = None
    ) -> Iterator[Any]:
        """What ops would get, from the config in the context of a resource function, and torn down again."""
        with _open_by_hand(_partial_definition(cls, nested_resources or {}), context) as value:
            yield value

    def get_resource_context(self) -> InitResourceContext:
        """The context that this object was opened with; CheckError before that."""
        context: InitResourceContext | None = self.__dict__.get(_CONTEXT)
        if context is None:
            raise CheckError(
                f"{type(self).__name__}: Attempted to get context before resource was initialized. A run does that, and "
                f"so does build_resources, before ops get the resource."
            )
        return context

    @property
    def nested_resources(self) -> dict[str, Any]:
        """The resources in the fields of this one."""
        return {name: getattr(self, name) for name in _parts_of(type(self)).resource_fields}

    def get_resource_definition(self) -> ResourceDefinition:
        """This resource as a definition."""
        return self.__resource_definition__()

    def __resource_definition__(self) -> ResourceDefinition:
        return _definition_of(type(self), self.__to_config__(), self.nested_resources)

    def __to_config__(self) -> dict[str, Any]:
        return config_of(self, _parts_of(type(self)).resource_fields)

    @classmethod
    def __config_field__(cls) -> Field:
        return Field(_section(cls, _parts_of(cls).fields))

    @classmethod
    def to_fields_dict(cls) -> dict[str, Field]:
        """The config fields of the class as fields of a config schema."""
        return dict(_parts_of(cls).fields)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        # Pydantic asks while it makes this very class, and later where the class is the type of a field of another.
        # There also stand resources that are not configured yet, and they are not to be validated a second time.
        if not cls.__pydantic_complete__:
            return handler(source)
        return core_schema.no_info_plain_validator_function(cls._accept)

    @classmethod
    def _accept(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return cls(**value)
        if isinstance(value, cls | ResourceDefinition):
            return value
        if isinstance(value, PartialResource) and issubclass(value.resource_cls, cls):
            return value
        raise ValueError(f"expected a {cls.__name__}, or {cls.__name__}.configure_at_launch()")


class ConfigurableResource(ConfigurableResourceFactory[T_co]):
    """A resource written as a class: ops get the object itself.

    Fields are config; override `setup_for_execution` and `teardown_after_execution`, or `yield_for_execution`, to open
    and close what the resource needs, and `create_resource` to give ops something else.
    """

    def create_resource(self, context: InitResourceContext) -> Any:
        """What ops get: this object."""
        return self


class ConfigurableIOManagerFactory(ConfigurableResourceFactory[T_co]):
    """An IO manager with config written as a class that makes it: `create_io_manager`."""

    @abstractmethod
    def create_io_manager(self, context: InitResourceContext) -> T_co:
        """The IO manager."""

    def create_resource(self, context: InitResourceContext) -> T_co:
        """The IO manager."""
        return self.create_io_manager(context)

    @classmethod
    def input_config_schema(cls) -> Any:
        """What run config may hold for an input that the manager loads."""
        return None

    @classmethod
    def output_config_schema(cls) -> Any:
        """What run config may hold for an output that the manager keeps."""
        return None


class ConfigurableIOManager(ConfigurableIOManagerFactory[Any], IOManager):
    """An IO manager written as a class: fields are config, `handle_output` and `load_input` do the work."""

    def create_io_manager(self, context: InitResourceContext) -> IOManager:
        """This object."""
        return self


class ConfigurableLegacyResourceAdapter(ConfigurableResource[Any]):
    """A class for the config of a `@resource` function: `wrapped_resource` gives its definition."""

    @property
    @abstractmethod
    def wrapped_resource(self) -> ResourceDefinition:
        """The definition; it makes what ops get."""

    @contextlib.contextmanager
    def yield_for_execution(self, context: InitResourceContext) -> Iterator[Any]:
        """Open the wrapped resource, yield it, close it."""
        with _open_wrapped(self.wrapped_resource, self, context) as value:
            yield value


class ConfigurableLegacyIOManagerAdapter(ConfigurableIOManagerFactory[Any]):
    """A class for the config of an `@io_manager` function: `wrapped_io_manager` gives its definition."""

    @property
    @abstractmethod
    def wrapped_io_manager(self) -> IOManagerDefinition:
        """The definition; it makes the IO manager."""

    def create_io_manager(self, context: InitResourceContext) -> Any:
        """The wrapped IO manager, if it has nothing to tear down."""
        with _open_wrapped(self.wrapped_io_manager, self, context) as value:
            return value

    @contextlib.contextmanager
    def yield_for_execution(self, context: InitResourceContext) -> Iterator[Any]:
        """Open the wrapped IO manager, yield it, close it."""
        with _open_wrapped(self.wrapped_io_manager, self, context) as value:
            yield value


class PartialResource:
    """A resource class some of whose config comes from run config: what `configure_at_launch` gives.

    Wherever a resource of its class may stand, it may too. In a field of another resource it means the resource that
    stands in `resource_defs` as this same object.
    """

    def __init__(self, resource_cls: type[ConfigurableResourceFactory[Any]], data: Mapping[str, Any]) -> None:
        self.resource_cls = resource_cls
        self.data = dict(data)
        self._definition = _partial_definition(resource_cls, self.data)

    def __resource_definition__(self) -> ResourceDefinition:
        return self._definition

    def get_resource_definition(self) -> ResourceDefinition:
        """This resource as a definition."""
        return self._definition

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.data.items())
        return f"{self.resource_cls.__name__}.configure_at_launch({values})"


# -- a class, taken apart ---------------------------------------------------------------------------------------------


class _Parts(NamedTuple):
    """What the fields of a resource class are."""

    #: names of those that hold resources
    resource_fields: tuple[str, ...]
    #: those that are config, by what config calls them
    fields: Mapping[str, Field]
    #: a class with the config fields alone, to turn processed config into keyword arguments
    config_class: type[BaseModel]


def _parts_of(cls: type[ConfigurableResourceFactory[Any]]) -> _Parts:
    """Read a class, once. DagsterInvalidPythonicConfigDefinitionError for a field that is neither config nor resource."""
    found: _Parts | None = cls.__dict__.get("__treadle_parts__")
    if found is not None:
        return found
    if not cls.__pydantic_complete__:
        cls.model_rebuild()
    holds_resource = {
        name: any(isinstance(note, _DependencyMarker) for note in info.metadata) or _mentions_resource(info.annotation)
        for name, info in cls.model_fields.items()
    }
    resource_fields = tuple(name for name, is_resource in holds_resource.items() if is_resource)
    try:
        fields = fields_of(cls, resource_fields)
    except DagsterInvalidPythonicConfigDefinitionError as error:
        raise DagsterInvalidPythonicConfigDefinitionError(
            f"{error} If the field is a resource, its class has to extend ConfigurableResource, or the annotation has "
            f"to be ResourceDependency[...]."
        ) from None
    config_class: type[BaseModel] = cls
    if resource_fields:
        kept = {name: (info.annotation, info) for name, info in cls.model_fields.items() if name not in resource_fields}
        config_class = create_model(f"{cls.__name__}Config", __base__=Config, **kept)  # type: ignore[call-overload]
    found = _Parts(resource_fields, fields, config_class)
    type.__setattr__(cls, "__treadle_parts__", found)
    return found


def _mentions_resource(annotation: Any) -> bool:
    if isinstance(annotation, type) and not get_args(annotation):
        return bool(getattr(annotation, "__treadle_resource__", False)) or issubclass(annotation, IOManager)
    return any(isinstance(part, _DependencyMarker) or _mentions_resource(part) for part in get_args(annotation))


def _section(cls: type[BaseModel], fields: Mapping[str, Field], check: Any = None) -> Section:
    section = Permissive if cls.model_config.get("extra") == "allow" else Shape
    return section(fields, read_docstring(cls), check=check)


def _partial_definition(
    cls: type[ConfigurableResourceFactory[Any]], data: Mapping[str, Any]
) -> ClassResourceDefinition:
    parts = _parts_of(cls)
    known = {key_of(name, info): name for name, info in cls.model_fields.items()}
    for name in data:
        if name not in known and name not in cls.model_fields and cls.model_config.get("extra") != "allow":
            raise DagsterInvalidDefinitionError(
                f"{cls.__name__}.configure_at_launch: there is no field {name!r}.{nearest(name, known)} "
                f"Fields: {', '.join(known) or 'none'}."
            )
    nested = {}
    for name in parts.resource_fields:
        info = cls.model_fields[name]
        if name in data or not info.is_required():
            nested[name] = data[name] if name in data else info.get_default(call_default_factory=True)
        elif type(None) in get_args(info.annotation):
            nested[name] = None
        else:
            raise DagsterInvalidDefinitionError(
                f"{cls.__name__}.configure_at_launch: the field {name!r} is a resource, which does not come from "
                f"config. Give it: {cls.__name__}.configure_at_launch({name}=...)."
            )
    absent = [name for key, name in known.items() if key not in data and name not in data]
    given = config_of(cls.model_construct(**data), {*parts.resource_fields, *absent})
    # What was given here has not been through pydantic: whether it fits is told now, not when a run starts.
    for key, value in given.items():
        if key in parts.fields:
            CheckedField(parts.fields[key].config_type, value)
    return _definition_of(cls, given, nested)


# -- definitions made from classes ------------------------------------------------------------------------------------


class ClassResourceDefinition(ResourceDefinition):
    """How to make a resource: its class, defaults for its config, and the resources in its fields."""

    def __init__(
        self,
        cls: type[ConfigurableResourceFactory[Any]],
        defaults: Mapping[str, Any],
        nested: Mapping[str, Any],
    ) -> None:
        parts = _parts_of(cls)

        def check(processed: Mapping[str, Any]) -> Sequence[tuple[tuple[str | int, ...], str, Any]]:
            try:
                cls(**prepare(parts.config_class, processed), **nested)
            except ValidationError as error:
                return problems_of(error)
            except Exception as error:  # noqa: BLE001 - raised by a validator, which is the user's
                return [((), f"{type(error).__name__}: {error}", processed)]
            return ()

        def make(context: InitResourceContext) -> Iterator[Any]:
            with contextlib.ExitStack() as stack:
                resource = cls(**prepare(parts.config_class, context.resource_config or {}), **nested)
                # Put in place rather than given to the constructor: what a nested resource makes may be of any type.
                for name, value in nested.items():
                    resource.__dict__[name] = _open_nested(value, f"{cls.__name__}.{name}", context, stack)
                resource.__dict__[_CONTEXT] = context
                yield stack.enter_context(as_context_manager(resource.yield_for_execution(context), context))

        make.__name__ = cls.__name__
        fields = {key: field for key, field in parts.fields.items() if key not in defaults}
        for key, value in defaults.items():
            fields[key] = _with_default(parts.fields.get(key), value)
        ResourceDefinition.__init__(self, make, Field(_section(cls, fields, check)), read_docstring(cls))
        self._resource_cls = cls
        self._nested = nested

    @property
    def has_teardown(self) -> bool:
        """True where the class, or a resource in one of its fields, has something to tear down."""
        return _has_teardown(self)

    def keys_needed(self, definitions: Mapping[str, ResourceDefinition]) -> frozenset[str]:
        """The keys of nested resources that stand among `definitions`, and what the others need."""
        keys = set(self.required_resource_keys)
        for name, value in self._nested.items():
            for leaf in _leaves(value):
                definition, key = _place(leaf, f"{self._resource_cls.__name__}.{name}", definitions)
                keys |= definition.keys_needed(definitions) if key is None else {key}
        return frozenset(keys)

    def refuse_teardown(self, instead: str) -> None:
        """Refuse what cannot be made without being torn down again: CheckError."""
        if _has_teardown(self):
            raise CheckError(
                f"{self._resource_cls.__name__}, or a resource in one of its fields, has something to tear down after "
                f"use: call {instead}, which does it."
            )


class ClassIOManagerDefinition(ClassResourceDefinition, IOManagerDefinition):
    """How to make an IO manager from its class."""

    def __init__(
        self,
        cls: type[ConfigurableIOManagerFactory[Any]],
        defaults: Mapping[str, Any],
        nested: Mapping[str, Any],
    ) -> None:
        super().__init__(cls, defaults, nested)
        for name in ("input_config_schema", "output_config_schema"):
            schema = getattr(cls, name)()
            setattr(self, name, None if schema is None else to_field(schema))


def _definition_of(
    cls: type[ConfigurableResourceFactory[Any]], defaults: Mapping[str, Any], nested: Mapping[str, Any]
) -> ClassResourceDefinition:
    if issubclass(cls, ConfigurableIOManagerFactory):
        return ClassIOManagerDefinition(cls, defaults, nested)
    return ClassResourceDefinition(cls, defaults, nested)


def _with_default(field: Field | None, value: Any) -> Field:
    if field is None:  # a value beside the fields, of a class that allows that
        return Field(ANY, value)
    return Field(field.config_type, value, None, field.description, field.is_secret)


def _has_teardown(definition: ResourceDefinition) -> bool:
    if not isinstance(definition, ClassResourceDefinition):
        return is_generator(getattr(definition.resource_fn, "__wrapped__", definition.resource_fn))
    cls, usual = definition._resource_cls, ConfigurableResourceFactory
    has_own = (
        cls.yield_for_execution is not usual.yield_for_execution
        or cls.teardown_after_execution is not usual.teardown_after_execution
    )
    return has_own or any(
        _has_teardown(leaf.__resource_definition__())
        for value in definition._nested.values()
        for leaf in _leaves(value)
    )


@contextlib.contextmanager
def _open_by_hand(definition: ResourceDefinition, context: InitResourceContext | None = None) -> Iterator[Any]:
    """What a definition makes, outside a run; raises what its code raises."""
    outer = context or InitResourceContext(resource_def=definition)
    value, close = definition.start(
        outer.replace_config(definition.process_config(outer.resource_config)), definition.kind
    )
    try:
        yield value
    finally:
        if close is not None:
            close()


def _open_wrapped(
    wrapped: ResourceDefinition, adapter: ConfigurableResourceFactory[Any], context: InitResourceContext
) -> contextlib.AbstractContextManager[Any]:
    return _open_by_hand(wrapped, context.replace_config(adapter.__to_config__() or None))


# -- resources in fields ----------------------------------------------------------------------------------------------


def _leaves(value: Any) -> Iterator[Any]:
    """The resources in the value of a field, which may hold lists and dicts of them."""
    if isinstance(value, list | tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    elif not isinstance(value, type) and hasattr(value, "__resource_definition__"):
        yield value


def _place(
    leaf: Any, where: str, definitions: Mapping[str, ResourceDefinition]
) -> tuple[ResourceDefinition, str | None]:
    """The definition of a resource in a field, and its key where it stands in `resource_defs` as this same object.

    DagsterInvariantViolationError for one that needs config from a run and does not stand there.
    """
    definition: ResourceDefinition = leaf.__resource_definition__()
    for key, each in definitions.items():
        if each is definition:
            return definition, key
    if isinstance(leaf, PartialResource) or definition.config_field.is_required:
        raise DagsterInvariantViolationError(
            f"{where} holds {leaf!r}, whose config comes from run config. For that it has to stand in resource_defs too, "
            f"as the same object, under a key of its own."
        )
    return definition, None


def _open_nested(value: Any, where: str, context: InitResourceContext, stack: contextlib.ExitStack) -> Any:
    """The value of a field with its resources open; what is opened here is closed by `stack`."""
    if isinstance(value, dict):
        return {key: _open_nested(item, where, context, stack) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_open_nested(item, where, context, stack) for item in value]
    if isinstance(value, type) or not hasattr(value, "__resource_definition__"):
        return value
    definition, key = _place(value, where, context.all_resource_defs)
    if key is not None:
        return getattr(context.resources, key)
    own = context.replace_config(definition.process_config(what=where))
    own.resource_def = definition
    opened = definition.start(own, where)
    if opened.close is not None:
        stack.callback(opened.close)
    return opened.value
