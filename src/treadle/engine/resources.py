"""Open and close what a step needs.

The in-process engine opens the resources of a whole run once, a worker those of its step. What stays open is closed in
the reverse order, whatever happens in between. Knows nothing of events: the caller tells what was opened, and how long
it took.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from time import perf_counter
from typing import Any, NoReturn

from treadle.contexts import InitResourceContext
from treadle.definitions.resources import ResourceDefinition, initialisation_order
from treadle.errors import DagsterUnknownResourceError


class Resources:
    """Open resources as attributes; DagsterUnknownResourceError for any that was not asked for."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        # Plain attributes: reading one costs nothing, and only what is not there comes to __getattr__.
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> NoReturn:
        raise DagsterUnknownResourceError(name, self.__dict__)

    def _asdict(self) -> dict[str, Any]:
        """The resources by key."""
        return dict(self.__dict__)

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
