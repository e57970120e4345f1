"""ResourceDefinition, @resource.

A resource is something that steps use and that is opened and closed around them: a connection, a client, a setting.
Here stand its definition, how one is opened and closed, and what a set of definitions must fulfil. Which ones a run
needs and when they are opened is decided above.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import GeneratorType
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, overload

from treadle.checks import check_optional, keys_of
from treadle.contexts import InitResourceContext
from treadle.definitions.configured import AnonymousConfigurable, ConfigContract, is_decorated_function, pick_context
from treadle.definitions.invoke import EventLoop
from treadle.errors import (
    CheckError,
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterInvariantViolationError,
    DagsterResourceFunctionError,
    ParameterCheckError,
)
from treadle.introspect import MISSING, read_docstring, read_signature
from treadle.names import nearest

T = TypeVar("T")


class ResourceParamMarker:
    """Marks an annotated parameter of an op as a resource, whose key is the parameter's name."""

    def __repr__(self) -> str:
        return "resource_param"


#: `def my_op(db: ResourceParam[Client])`: the resource `db`, any Python object
ResourceParam = Annotated[T, ResourceParamMarker()]


def is_resource_annotation(annotation: Any) -> bool:
    """True for `ResourceParam[T]` and for classes of configurable resources."""
    if get_origin(annotation) is Annotated:
        return any(isinstance(part, ResourceParamMarker) for part in get_args(annotation)[1:])
    return isinstance(annotation, type) and getattr(annotation, "__treadle_resource__", False) is True


class Opened(NamedTuple):
    """An open resource: what user code gets, and how to close it (None where there is nothing to close)."""

    value: Any
    close: Callable[[], None] | None = None


class ResourceDefinition(AnonymousConfigurable):
    """How to make a resource: a function of an InitResourceContext or of nothing, with a config schema.

    The function returns the resource, or yields it once and closes it after the yield. `required_resource_keys` names
    other resources that it uses, open before it and closed after it.
    """

    kind = "resource"

    def __init__(
        self,
        resource_fn: Callable[..., Any],
        config_schema: Any = None,
        description: str | None = None,
        required_resource_keys: Iterable[str] | None = None,
        version: str | None = None,
    ) -> None:
        if not callable(resource_fn):
            raise ParameterCheckError(
                f'{type(self).__name__}: Param "resource_fn" is not callable. Got {resource_fn!r} (a {type(resource_fn).__name__}); to use a '
                f"value as a resource give it as it is, or as ResourceDefinition.hardcoded_resource(value)."
            )
        self.resource_fn = resource_fn
        self.description = description
        self.required_resource_keys = keys_of(required_resource_keys, "required_resource_keys", "a resource")
        self.version = version
        self.takes_context = _takes_context(resource_fn)
        self._contract = ConfigContract(config_schema)
        self._is_constant = False

    @staticmethod
    def hardcoded_resource(value: Any, description: str | None = None) -> ResourceDefinition:
        """A resource that is this object, neither opened nor closed."""
        definition = ResourceDefinition(lambda _context: value, description=description)
        definition._is_constant = True
        return definition

    @staticmethod
    def none_resource(description: str | None = None) -> ResourceDefinition:
        """A resource that is None."""
        return ResourceDefinition.hardcoded_resource(None, description)

    @staticmethod
    def string_resource(description: str | None = None) -> ResourceDefinition:
        """A resource that is the str given as its config."""
        return ResourceDefinition(lambda context: context.resource_config, str, description)

    @staticmethod
    def mock_resource(description: str | None = None) -> ResourceDefinition:
        """A resource that is a fresh MagicMock."""

        def make_mock(_context: InitResourceContext) -> Any:
            from unittest.mock import MagicMock

            return MagicMock()

        return ResourceDefinition(make_mock, description=description)

    def __resource_definition__(self) -> ResourceDefinition:
        return self

    @property
    def has_teardown(self) -> bool:
        """False where closing what is open surely does nothing. A function that yields has something to tear down."""
        return True

    def keys_needed(self, definitions: Mapping[str, ResourceDefinition]) -> frozenset[str]:
        """The keys among `definitions`, all those of a job, that have to be open before this one."""
        del definitions
        return self.required_resource_keys

    def open(self, context: InitResourceContext, key: str) -> Opened:
        """Call the function; a generator or context manager is entered and left by `close`.

        Raises DagsterResourceFunctionError for whatever the function raises, with that as its cause.
        """
        try:
            return self.start(context, key)
        except DagsterResourceFunctionError:
            raise
        except Exception as error:
            raise failed_to_start(key, error) from error

    def start(self, context: InitResourceContext, key: str) -> Opened:
        """`open`, raising what the function raises."""
        result = self.resource_fn(context) if self.takes_context else self.resource_fn()
        return Opened(result) if self._is_constant else enter(result, key, context)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Make the resource in a test: call the function with a context of `build_init_resource_context`, or None.

        A resource that yields comes as a context manager. Raises DagsterInvalidConfigError for config that does not
        fit, DagsterInvalidInvocationError where a needed context is missing.
        """
        takes_context, context = pick_context("resource", self.resource_fn, args, kwargs)
        result = self.resource_fn(self._ready_context(context)) if takes_context else self.resource_fn()
        if self.has_teardown:
            return as_context_manager(result)
        value, close = enter(result, self.kind, InitResourceContext())
        if close is not None:
            close()
        return value

    def _ready_context(self, context: InitResourceContext | None) -> InitResourceContext:
        """A context given in a direct call, with its config checked and filled in."""
        check_optional(
            context,
            InitResourceContext,
            "context",
            self.kind,
            "Make one with build_init_resource_context(), or pass None.",
        )
        if context is None:
            if self.required_resource_keys or self.config_field.is_required:
                missing = "required resources" if self.required_resource_keys else "required config schema"
                raise DagsterInvalidInvocationError(
                    f"Resource has {missing}, but no context was provided. Use the `build_init_resource_context` "
                    f"function to construct a context with them."
                )
            context = InitResourceContext()
        config = self.process_config(context.resource_config)
        ready = context.replace_config(config)
        ready.resource_def = self
        if self.required_resource_keys:
            present = context.resources._asdict() if context.resources is not None else {}
            for key in sorted(self.required_resource_keys - present.keys()):
                raise DagsterInvalidDefinitionError(
                    f"resource with key '{key}' required was not provided. Give it to build_init_resource_context("
                    f"resources={{{key!r}: ...}}); given: {sorted(present) or 'none'}."
                )
        return ready

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {getattr(self.resource_fn, '__name__', self.resource_fn)}>"


@overload
def resource(
    config_schema: Callable[[InitResourceContext], Any] | Callable[[], Any],
) -> ResourceDefinition: ...
@overload
def resource(
    config_schema: Any = ...,
    description: str | None = ...,
    required_resource_keys: Iterable[str] | None = ...,
    version: str | None = ...,
) -> Callable[[Callable[..., Any]], ResourceDefinition]: ...
def resource(
    config_schema: Any = None,
    description: str | None = None,
    required_resource_keys: Iterable[str] | None = None,
    version: str | None = None,
) -> ResourceDefinition | Callable[[Callable[..., Any]], ResourceDefinition]:
    """Decorate a function that makes a resource, of `(context: InitResourceContext)` or of nothing.

    It returns the resource, or yields it once and closes it after the yield. DagsterInvalidDefinitionError where it
    takes more than one required argument.
    """

    def decorate(fn: Callable[..., Any]) -> ResourceDefinition:
        check_parameters(fn, "@resource")
        text = description or read_docstring(fn)
        definition = ResourceDefinition(fn, schema, text, required_resource_keys, version)
        definition.__doc__ = text
        return definition

    if is_decorated_function(config_schema):
        schema = None
        return decorate(config_schema)
    schema = config_schema
    return decorate


def check_parameters(fn: Callable[..., Any], decorator: str) -> None:
    """Refuse a function that takes more than one required argument, or one that has to be named."""
    try:
        signature = read_signature(fn)
    except (TypeError, ValueError):  # a callable that does not tell its parameters
        return
    required = [p for p in signature.parameters if p.default is MISSING]
    too_many = [p.name for p in required if p.is_keyword_only] + [p.name for p in required if not p.is_keyword_only][1:]
    if too_many:
        raise DagsterInvalidDefinitionError(
            f"{decorator} decorated function '{signature.name}' expects only a single positional required argument. "
            f"Got required extra params {', '.join(too_many)}. The one argument is the context."
        )


def _takes_context(fn: Callable[..., Any]) -> bool:
    try:
        signature = read_signature(fn)
    except (TypeError, ValueError):
        return True
    return signature.has_varargs or any(not p.is_keyword_only for p in signature.parameters)


class Values(dict[str, Any]):
    """Config values, by key or as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"No value {name!r} here.{nearest(name, self)}") from None


def make_values_resource(**fields: Any) -> ResourceDefinition:
    """A resource that is its config: one value for each name, `make_values_resource(city=str)`; any value without one."""

    def values(context: InitResourceContext) -> Any:
        config = context.resource_config
        return Values(config or {}) if fields or config is None or isinstance(config, Mapping) else config

    return ResourceDefinition(values, fields or None)


def to_resource_definition(key: object, value: Any) -> ResourceDefinition:
    """What stands in `resource_defs`, as a definition: any object that is not one becomes a hard-coded resource.

    Objects say how they want to be made by a method `__resource_definition__`: IO managers and configurable resources.
    """
    if not isinstance(key, str) or not key.isidentifier():
        raise CheckError(
            f"Resource key {key!r} must be a valid Python identifier, since ops ask for it as context.resources.<key>: "
            f"letters, digits and underscores."
        )
    make = None if isinstance(value, type) else getattr(value, "__resource_definition__", None)
    if make is None:
        return ResourceDefinition.hardcoded_resource(value)
    definition: ResourceDefinition = make()
    return definition


def to_resource_definitions(values: Mapping[str, Any] | None) -> dict[str, ResourceDefinition]:
    """All of a `resource_defs` argument; dependencies are checked by `check_dependencies` once the set is complete."""
    return {key: to_resource_definition(key, value) for key, value in (values or {}).items()}


def check_dependencies(definitions: Mapping[str, ResourceDefinition]) -> None:
    """Refuse a set of definitions where one needs what is not there, or needs itself: DagsterInvariantViolationError."""
    initialisation_order(definitions, definitions)


def initialisation_order(keys: Iterable[str], definitions: Mapping[str, ResourceDefinition]) -> list[str]:
    """These keys and all that they need, in the order to open them: first what needs nothing, in the order of the
    keys, then what needs only these, and so on.

    DagsterInvariantViolationError for a missing dependency and for a cycle.
    """
    needs: dict[str, frozenset[str]] = {}
    waiting = list(keys)
    while waiting:
        key = waiting.pop()
        if key in needs:
            continue
        needs[key] = definitions[key].keys_needed(definitions)
        for needed in sorted(needs[key]):
            if needed not in definitions:
                raise DagsterInvariantViolationError(
                    f"Resource with key '{needed}' required by resource with key '{key}', but not provided."
                    f"{nearest(needed, definitions)} Resources: {', '.join(sorted(definitions))}."
                )
            waiting.append(needed)
    order: list[str] = []
    done: set[str] = set()
    while len(order) < len(needs):
        wave = sorted(key for key in needs if key not in done and needs[key] <= done)
        if not wave:
            raise _cycle_error({key: needed - done for key, needed in needs.items() if key not in done})
        order += wave
        done.update(wave)
    return order


def _cycle_error(needs: Mapping[str, frozenset[str]]) -> DagsterInvariantViolationError:
    """Name one cycle among definitions that all wait for one another."""
    path = [min(needs)]
    while path.count(path[-1]) < 2:
        path.append(min(needs[path[-1]] & needs.keys()))
    cycle = path[path.index(path[-1]) :]
    return DagsterInvariantViolationError(
        f'Resource key "{cycle[0]}" transitively depends on itself: {" needs ".join(cycle)}.'
    )


# -- opening and closing ----------------------------------------------------------------------------------------------


def enter(result: Any, key: str, context: InitResourceContext) -> Opened:
    """What a resource function returned, opened: a generator or a context manager made from one is entered."""
    if isinstance(result, GeneratorType):
        return _enter_generator(result, key)
    if isinstance(result, contextlib._GeneratorContextManager | contextlib._AsyncGeneratorContextManager):
        manager = contextlib.ExitStack()
        return Opened(manager.enter_context(as_context_manager(result, context)), manager.close)
    return Opened(result)


def _enter_generator(generator: GeneratorType[Any, Any, Any], key: str) -> Opened:
    try:
        value = next(generator)
    except StopIteration:
        raise failed_to_start(
            key, CheckError("The generator must yield one item, the resource; it ended before.")
        ) from None

    def close() -> None:
        try:
            next(generator)
        except StopIteration:
            return
        generator.close()
        raise DagsterInvariantViolationError(
            f'Resource "{key}" yielded more than once. The second value is used by nobody: yield the resource once, '
            f"and close it after the yield."
        )

    return Opened(value, close)


def failed_to_start(key: str, error: BaseException) -> DagsterResourceFunctionError:
    """The error for a resource that cannot be opened, with the cause in it."""
    return DagsterResourceFunctionError(
        f'Error executing resource_fn on ResourceDefinition {key}: the resource "{key}" failed to start, with '
        f"{type(error).__name__}: {error}",
        user_exception=error,
    )


def as_context_manager(result: Any, context: InitResourceContext | None = None) -> Any:
    """A generator as the context manager that it stands for; with a context, an async context manager as one too."""
    if isinstance(result, GeneratorType):
        return contextlib.contextmanager(lambda: result)()
    if context is None or not hasattr(result, "__aenter__") or hasattr(result, "__enter__"):
        return result
    return _on_event_loop(result, context.event_loop)


@contextlib.contextmanager
def _on_event_loop(manager: contextlib.AbstractAsyncContextManager[Any], event_loop: Any) -> Iterator[Any]:
    """Enter and leave an async context manager on the loop that the ops will run on."""
    if event_loop is None:
        raise DagsterInvariantViolationError(
            "Unable to handle resource with async def yield_for_execution outside a run without an event loop. Give the "
            "one that the op will run on: build_op_context(..., event_loop=loop)."
        )
    with EventLoop(event_loop) as loop:
        value = loop.run(manager.__aenter__())
        try:
            yield value
        finally:
            loop.run(manager.__aexit__(None, None, None))
