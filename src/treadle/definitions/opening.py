"""Open and close a set of resources, build_resources.

The in-process engine opens the resources of a whole run once, a worker those of its step, a context built by hand those
that it was given. What is open is closed in the reverse order, whatever happens in between. Knows nothing of events:
the caller tells what was opened, and how long it took.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import perf_counter
from typing import Any, NoReturn

from treadle.checks import check_optional, check_param
from treadle.config.schema import Field, Shape
from treadle.config.validate import process
from treadle.contexts import InitResourceContext
from treadle.definitions.resources import ResourceDefinition, initialisation_order, to_resource_definitions
from treadle.errors import DagsterInvariantViolationError, DagsterUnknownResourceError
from treadle.instance import DagsterInstance
from treadle.logs import DagsterLogManager
from treadle.runs import DagsterRun


class IAttachDifferentObjectToOpContext:
    """A resource of which contexts show another object; a parameter that is the resource still gets the resource."""

    def get_object_to_set_on_execution_context(self) -> Any:
        """What `context.resources.<key>` gives."""
        raise NotImplementedError(f"{type(self).__name__} has to define get_object_to_set_on_execution_context().")


class Resources:
    """Open resources as attributes; DagsterUnknownResourceError for any that was not asked for."""

    __slots__ = ("__dict__", "_given")

    def __init__(self, values: Mapping[str, Any]) -> None:
        # Plain attributes: reading one costs nothing, and only what is not there comes to __getattr__.
        self.__dict__.update(values)
        self._given = values
        for key, value in values.items():
            if isinstance(value, IAttachDifferentObjectToOpContext):
                self.__dict__[key] = value.get_object_to_set_on_execution_context()

    def __getattr__(self, name: str) -> NoReturn:
        raise DagsterUnknownResourceError(name, self.__dict__)

    def _asdict(self) -> dict[str, Any]:
        """The resources by key, as they were opened."""
        return dict(self._given)

    def __repr__(self) -> str:
        return f"Resources({', '.join(f'{key}={value!r}' for key, value in self.__dict__.items())})"


class OpenResources:
    """Resources that are open, and how to close them.

    `make_context(key=, resource_config=, resource_def=, resources=, all_resource_defs=)` gives the context for one
    resource; `configs` holds final config by key, a resource that is not in it gets its defaults.
    """

    def __init__(
        self,
        definitions: Mapping[str, ResourceDefinition],
        configs: Mapping[str, Any],
        make_context: Callable[..., InitResourceContext],
    ) -> None:
        self.values: dict[str, Any] = {}
        #: milliseconds that each one took to open
        self.init_times: dict[str, float] = {}
        self._definitions = definitions
        self._configs = configs
        self._make_context = make_context
        self._closers: list[tuple[str, Callable[[], None]]] = []
        self._selections: dict[frozenset[str], Resources] = {}

    def open(self, keys: Iterable[str]) -> None:
        """Open these and what they need, dependencies first. After an exception call `close` for what is open.

        Raises DagsterResourceFunctionError naming the key, with what the resource raised as its cause.
        """
        for key in initialisation_order(keys, self._definitions):
            if key in self.values:
                continue
            definition = self._definitions[key]
            context = self._make_context(
                key=key,
                resource_config=self._config(key, definition),
                resource_def=definition,
                resources=self.select(definition.keys_needed(self._definitions)),
                all_resource_defs=self._definitions,
            )
            started = perf_counter()
            value, close = definition.open(context, key)
            self.init_times[key] = (perf_counter() - started) * 1000
            self.values[key] = value
            if close is not None:
                self._closers.append((key, close))

    def select(self, keys: frozenset[str]) -> Resources:
        """Some of the open resources as attributes; the same object for the same keys."""
        found = self._selections.get(keys)
        if found is None:
            found = self._selections[keys] = Resources({key: self.values[key] for key in sorted(keys)})
        return found

    def has_teardown(self, key: str, definition: ResourceDefinition) -> bool:
        """True where closing this one may do something."""
        return definition.has_teardown and any(key == each for each, _ in self._closers)

    def close(self) -> list[tuple[str, Exception]]:
        """Close what is open, last opened first; returns what went wrong, by key. What is closed stays closed.

        An interrupt in between waits until all are closed.
        """
        problems: list[tuple[str, Exception]] = []
        interrupt: BaseException | None = None
        while self._closers:
            key, close = self._closers.pop()
            try:
                close()
            except Exception as error:  # noqa: BLE001 - a resource's own; the others are still to be closed
                problems.append((key, error))
            except BaseException as error:  # noqa: BLE001
                interrupt = interrupt or error
        if interrupt is not None:
            raise interrupt
        return problems

    def _config(self, key: str, definition: ResourceDefinition) -> Any:
        if key in self._configs:
            return self._configs[key]
        return definition.process_config(what=f"resource {key}")


def open_resources(
    keys: Iterable[str],
    definitions: Mapping[str, ResourceDefinition],
    configs: Mapping[str, Any],
    make_context: Callable[..., InitResourceContext],
) -> OpenResources:
    """Open these resources and what they need; if one fails to start, those that are open are closed again.

    Raises DagsterResourceFunctionError naming the key, with what the resource raised as its cause.
    """
    resources = OpenResources(definitions, configs, make_context)
    try:
        resources.open(keys)
    except BaseException:
        resources.close()
        raise
    return resources


# -- by hand ----------------------------------------------------------------------------------------------------------


class ResourceScope:
    """The resources of a context that is built by hand: open from its making to the end of its `with` block.

    Where none of them has anything to tear down, no `with` is needed. Those that were never given back are closed when
    the scope is dropped. `like` is the context for each of them, but for what is its own; where it has no instance they
    get one that ends with the scope.
    """

    def __init__(
        self,
        given: Mapping[str, Any] | None,
        configs: Mapping[str, Any] | None,
        like: InitResourceContext,
        builder: str,
    ) -> None:
        check_optional(given, Mapping, "resources", builder)
        self._definitions = to_resource_definitions(given)
        self._like = like
        self._own_instance = DagsterInstance.ephemeral() if like.instance is None else None
        #: the instance that the resources see
        self.instance: DagsterInstance = self._own_instance or like.instance
        #: the event loop that async ops will run on, if there is one
        self.event_loop: Any = like.event_loop
        instance, run, event_loop = self.instance, like.run, self.event_loop
        self._builder = builder
        self._is_entered = False

        def make_context(*, key: str, **own: Any) -> InitResourceContext:
            # Nothing in here holds the scope itself: it is closed at once when its context is dropped.
            del key
            return InitResourceContext(log=like.log, instance=instance, run=run, event_loop=event_loop, **own)

        resolved = resolve_configs(self._definitions, configs)
        self._open = open_resources(self._definitions, self._definitions, resolved, make_context)

    @property
    def keys(self) -> frozenset[str]:
        """What there is."""
        return frozenset(self._definitions)

    @property
    def opened(self) -> Mapping[str, Any]:
        """The resources by key, whether or not the `with` block has been entered."""
        return self._open.values

    @property
    def values(self) -> Resources:
        """The resources as attributes; DagsterInvariantViolationError where they need a `with` block and have none."""
        if not self._is_entered:
            needing = [key for key, definition in self._definitions.items() if self._open.has_teardown(key, definition)]
            if needing:
                raise DagsterInvariantViolationError(
                    "At least one provided resource is a generator, but attempting to access resources outside of "
                    "context manager scope. You can use the following syntax to open a context manager: "
                    f"`with {self._builder}(...) as context:`. To be torn down after use: {', '.join(needing)}."
                )
        return self._open.select(self.keys)

    def __enter__(self) -> ResourceScope:
        self._is_entered = True
        return self

    def __exit__(self, *_exc: object) -> None:
        self._is_entered = False
        self.close()

    def close(self) -> None:
        """Close what is open; what goes wrong is logged, as in a run."""
        for key, error in self._open.close():
            self._like.log.error(
                f'Teardown of resource "{key}" failed: {type(error).__name__}: {error}', exc_info=error
            )
        if self._own_instance is not None:
            self._own_instance.dispose()

    def __del__(self) -> None:
        if hasattr(self, "_open"):  # else it could not be opened, and has been closed
            self.close()


def resolve_configs(definitions: Mapping[str, ResourceDefinition], configs: Mapping[str, Any] | None) -> dict[str, Any]:
    """What each resource sees of `{key: {"config": ...}}`; DagsterInvalidConfigError with every mistake in it."""
    if not configs and not any(definition.config_field.is_required for definition in definitions.values()):
        return {}
    schema = Shape({key: Field(Shape({"config": each.config_field})) for key, each in definitions.items()})
    processed = process(schema, configs or {}, "Error in config for resources")
    return {
        key: definition.resolve_config((processed.get(key) or {}).get("config"), f"resource {key}")
        for key, definition in definitions.items()
    }


@contextlib.contextmanager
def build_resources(
    resources: Mapping[str, Any],
    instance: DagsterInstance | None = None,
    resource_config: Mapping[str, Any] | None = None,
    dagster_run: DagsterRun | None = None,
    log_manager: DagsterLogManager | None = None,
    event_loop: Any = None,
) -> Iterator[Any]:
    """Open resources outside a run, for the length of a `with` block, as attributes of what it gives.

    Values may be definitions, configurable resources, IO managers or plain objects. `resource_config` holds
    `{key: {"config": ...}}`. What is open is closed at the end of the block.

    Raises DagsterInvalidConfigError for config that does not fit, DagsterResourceFunctionError for a resource that
    fails to start.
    """
    check_param(resources, Mapping, "resources", "build_resources")
    check_optional(instance, DagsterInstance, "instance", "build_resources")
    like = InitResourceContext(log=log_manager, instance=instance, run=dagster_run, event_loop=event_loop)
    with ResourceScope(resources, resource_config, like, "build_resources") as scope:
        yield scope.values
