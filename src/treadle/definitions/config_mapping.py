"""ConfigMapping and @config_mapping: config of another shape, turned into the config of a graph or job.

A mapping has a schema of its own and a function from config of that schema to the config of what is below it: of a
graph's nodes by name, or a whole run config. Here it is made and called; `run_config` checks what goes in and comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, overload

from treadle.config.schema import Array, ConfigType, Field, Map, Noneable, Section
from treadle.config.sugar import to_field
from treadle.definitions.configured import (
    ANYTHING,
    as_config,
    as_instance,
    check_single_parameter,
    read_config_parameter,
)
from treadle.errors import ParameterCheckError


class ConfigMapping:
    """A function from config of `config_schema` to the config of a graph or job.

    For `@graph(config=...)` the function returns `{"node": {"config": ...}, ...}`; for `@job(config=...)` and `to_job` a
    whole run config, as a dict or a RunConfig. A parameter annotated with a Config class stands for `config_schema`.

    `receive_processed_config_values`: the function gets its config with enums and environment variables resolved
    (the default), or, with False, as it was written; defaults are filled in either way.
    """

    #: True where there is no function: the graph's config is this constant, and run config has no say
    is_fixed = False

    def __init__(
        self,
        config_fn: Callable[[Any], Any],
        config_schema: Any = None,
        receive_processed_config_values: bool | None = None,
    ) -> None:
        if not callable(config_fn):
            raise ParameterCheckError(
                f'ConfigMapping: Param "config_fn" is not callable. Got {config_fn!r} (a {type(config_fn).__name__}).'
            )
        if not isinstance(receive_processed_config_values, bool | None):
            raise ParameterCheckError(
                f'ConfigMapping: Param "receive_processed_config_values" is not a bool. '
                f"Got {receive_processed_config_values!r}."
            )
        schema, self._config_class = read_config_parameter(config_fn, config_schema, "config mapping")
        self.config_fn = config_fn
        #: what the function's config must look like
        self.config_schema: Field = ANYTHING if schema is None else to_field(schema)
        self.receive_processed_config_values = receive_processed_config_values

    def call(self, processed: Any, given: Any) -> Any:
        """What the function makes of config that was validated, as plain config.

        `given` is the same config before it was processed. Raises what the function raises.
        """
        if self.receive_processed_config_values is False and self._config_class is None:
            return as_config(self.config_fn(fill_in(self.config_schema.config_type, given)))
        return as_config(self.config_fn(as_instance(self._config_class, processed)))

    def __repr__(self) -> str:
        return f"ConfigMapping({getattr(self.config_fn, '__name__', self.config_fn)})"


class FixedConfig(ConfigMapping):
    """The mapping of a graph whose config is a constant: `@graph(config={"node": {"config": ...}})`."""

    is_fixed = True

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(lambda _nothing: config)
        self.config = config


def read_graph_config(config: Any, what: str) -> ConfigMapping | None:
    """A `config` argument of a graph: a ConfigMapping, a dict of its nodes' config, or None."""
    if config is None or isinstance(config, ConfigMapping):
        return config
    if isinstance(config, Mapping):
        return FixedConfig(config)
    raise ParameterCheckError(
        f'{what}: Param "config" is not a ConfigMapping or a dict. Got {config!r} (a {type(config).__name__}). Give a '
        f"ConfigMapping, or the config of its nodes by name: {{'my_op': {{'config': ...}}}}."
    )


@overload
def config_mapping(config_fn: Callable[..., Any]) -> ConfigMapping: ...
@overload
def config_mapping(
    config_fn: None = ...,
    *,
    config_schema: Any = ...,
    receive_processed_config_values: bool | None = ...,
) -> Callable[[Callable[..., Any]], ConfigMapping]: ...
def config_mapping(
    config_fn: Callable[..., Any] | None = None,
    *,
    config_schema: Any = None,
    receive_processed_config_values: bool | None = None,
) -> Any:
    """Make a ConfigMapping of a function of one parameter, the config; with or without parentheses.

    The schema is `config_schema`, or the Config class that the parameter is annotated with. CheckError for both, and
    for a function with other parameters.
    """

    def make(fn: Callable[..., Any]) -> ConfigMapping:
        check_single_parameter(fn, "Config mapping")
        return ConfigMapping(fn, config_schema, receive_processed_config_values)

    return make(config_fn) if config_fn is not None else make


def fill_in(config_type: ConfigType, value: Any) -> Any:
    """A value that fits a type, with the defaults of its sections filled in; variables and enums stay as written."""
    if isinstance(config_type, Noneable):
        return None if value is None else fill_in(config_type.inner_type, value)
    if isinstance(config_type, Array):
        return [fill_in(config_type.inner_type, item) for item in value]
    if isinstance(config_type, Map):
        return {key: fill_in(config_type.inner_type, item) for key, item in value.items()}
    if not isinstance(config_type, Section):
        return value
    aliases = config_type.aliases or {}
    given = {aliases.get(name, name): item for name, item in value.items()}
    fields = config_type.fields
    filled = {name: fill_in(fields[name].config_type, item) if name in fields else item for name, item in given.items()}
    if config_type.kind == "selector" and filled:
        return filled
    return {**config_type.filled(), **filled}


__all__ = ["ConfigMapping", "config_mapping"]
