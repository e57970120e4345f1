"""What takes config, and config filled in beforehand.

Resources, IO managers, loggers, executors, ops and graphs all are "a function with a config schema and a description".
What they share lives here: the contract between the config that is given and the config that the function sees, and
`configured`. Run config is validated by `config_field`; `resolve_config` then gives what the function sees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar, overload

from treadle.checks import show
from treadle.config.schema import ConfigType, Field, Shape
from treadle.config.sugar import to_field
from treadle.config.validate import process
from treadle.errors import (
    CheckError,
    DagsterConfigMappingFunctionError,
    DagsterInvalidInvocationError,
)
from treadle.introspect import read_signature
from treadle.names import check_name

_Definition = TypeVar("_Definition", bound="ConfigurableDefinition")


#: any config or none: the field of what declares no schema
ANYTHING = to_field(None)


class _Layer(NamedTuple):
    """One `configured` layer: a constant or a function from its config to the config of the layer below it."""

    source: Any
    #: what the result must fit
    inner_field: Field
    #: the Config class that the function's parameter is annotated with, if any
    config_class: Any


class ConfigContract:
    """What a definition takes as config, and how this becomes what its function sees.

    `field` is what users give. Without a schema it takes anything or nothing.
    """

    __slots__ = ("_entry", "_layers", "field", "has_schema")

    def __init__(self, config_schema: Any = None, layers: tuple[_Layer, ...] = ()) -> None:
        self.has_schema = config_schema is not None
        self.field = ANYTHING if config_schema is None else to_field(config_schema)
        self._layers = layers
        self._entry: Field | None = None

    @property
    def entry(self) -> Field:
        """What stands in run config for a definition that takes nothing but config: `{config: ...}`."""
        if self._entry is None:
            self._entry = Field(Shape({"config": self.field}))
        return self._entry

    @property
    def is_configured(self) -> bool:
        """True where `configured` was called: what the function sees is not what was given."""
        return bool(self._layers)

    def fill_in(self, config_or_config_fn: Any, config_schema: Any) -> ConfigContract:
        """A contract with one layer more: a constant, or a function of config of `config_schema`."""
        if not callable(config_or_config_fn):
            # Config given for what is filled in by a constant is taken and ignored: config files are shared between
            # jobs that differ in exactly this.
            return ConfigContract(None, (_Layer(config_or_config_fn, self.field, None), *self._layers))
        schema, config_class = read_config_parameter(config_or_config_fn, config_schema, "@configured function")
        return ConfigContract(schema, (_Layer(config_or_config_fn, self.field, config_class), *self._layers))

    def resolve(self, config: Any, what: str) -> Any:
        """From the processed config of the outermost layer to what the function sees.

        Raises DagsterInvalidConfigError where a constant or the result of a mapping function does not fit, and
        DagsterConfigMappingFunctionError where a mapping function raises.
        """
        for layer in self._layers:
            is_function = callable(layer.source)
            given = _call_mapping(layer, config, what) if is_function else layer.source
            by = "the configured() function" if is_function else "configured()"
            preamble = f"Error in config for {what}: the config that {by} gave does not fit its schema"
            config = process_config(layer.inner_field, as_config(given), preamble)
        return config


class ConfigurableDefinition:
    """A definition that takes config, which can be filled in beforehand with `configured`."""

    #: what messages call it: "resource", "logger"
    kind: str = "definition"
    description: str | None
    _contract: ConfigContract

    @property
    def config_field(self) -> Field:
        """What run config may hold for this definition."""
        return self._contract.field

    @property
    def config_schema(self) -> Field:
        """Another name of `config_field`."""
        return self._contract.field

    @property
    def has_config_field(self) -> bool:
        """True where a config schema was declared, or config filled in; without either any config is taken as it is."""
        return self._contract.has_schema or self._contract.is_configured

    def resolve_config(self, config: Any, what: str | None = None) -> Any:
        """From config processed by `config_field` to what the function sees; `what` is for messages."""
        return self._contract.resolve(config, what or self.kind)

    def process_config(self, config: Any = None, what: str | None = None) -> Any:
        """From raw config, or none, to what the function sees. For contexts made outside a run."""
        given = {} if config is None else {"config": config}
        holder = Field(Shape({"config": self.config_field}))
        processed = process(holder, given, f"Error in config for {what or self.kind}")
        return self.resolve_config(processed.get("config"), what)

    def _with_contract(
        self: _Definition, contract: ConfigContract, description: str | None, name: str | None
    ) -> _Definition:
        """A copy with another contract; `name` is None where definitions of this kind have none."""
        copy = type(self).__new__(type(self))
        changed = {"_contract": contract, "description": description}
        copy.__dict__.update(self.__dict__, **changed if name is None else {**changed, "name": name})
        return copy

    def _fill_in(
        self: _Definition, config_or_config_fn: Any, config_schema: Any, description: str | None, name: str | None
    ) -> _Definition:
        contract = self._contract.fill_in(config_or_config_fn, config_schema)
        return self._with_contract(contract, description or self.description, name)


class AnonymousConfigurable(ConfigurableDefinition):
    """One without a name of its own: resources, IO managers, loggers."""

    def configured(
        self: _Definition,
        config_or_config_fn: Any,
        config_schema: Any = None,
        description: str | None = None,
    ) -> _Definition:
        """A copy with its config filled in: by a constant, or by a function of new config of `config_schema`.

        A constant is validated when the definition is used.
        """
        return self._fill_in(config_or_config_fn, config_schema, description, None)


class NamedConfigurable(ConfigurableDefinition):
    """One that is known by name: ops and graphs."""

    def configured(
        self: _Definition,
        config_or_config_fn: Any,
        name: str,
        config_schema: Any = None,
        description: str | None = None,
    ) -> _Definition:
        """A copy under another name with its config filled in: by a constant, or by a function of new config of
        `config_schema`. A constant is validated when the definition is used.
        """
        check_name(name, f"a configured {self.kind}")
        return self._fill_in(config_or_config_fn, config_schema, description, name)


@overload
def configured(configurable: type[Any], config_schema: Any = ..., **kwargs: Any) -> Callable[[Any], Any]: ...
@overload
def configured(configurable: _Definition, config_schema: Any = ..., **kwargs: Any) -> Callable[[Any], _Definition]: ...
def configured(configurable: Any, config_schema: Any = None, **kwargs: Any) -> Callable[[Any], Any]:
    """Decorator form of `x.configured(...)`; the name of the function becomes the name, where there is one.

    Also takes a constant: `configured(my_resource)({"n": 3})`, and a class of configurable resources.
    """
    if isinstance(configurable, type) and hasattr(configurable, "configure_at_launch"):
        configurable = configurable.configure_at_launch().__resource_definition__()
    if not hasattr(configurable, "configured"):
        raise CheckError(
            f"configured() takes an op, graph, resource, IO manager, logger or executor definition, got "
            f"{configurable!r} (a {type(configurable).__name__})."
        )

    def apply(config_or_config_fn: Any) -> Any:
        check_single_parameter(config_or_config_fn, "@configured function")
        named = {**kwargs}
        if _takes_name(configurable) and callable(config_or_config_fn):
            named.setdefault("name", config_or_config_fn.__name__)
        elif _takes_name(configurable) and "name" not in named:
            raise CheckError(
                f"configured(): constant config gives the copy of {configurable!r} no name. Write "
                f'configured(..., name="...")({show(config_or_config_fn)}).'
            )
        return configurable.configured(config_or_config_fn, config_schema=config_schema, **named)

    return apply


def is_decorated_function(value: Any) -> bool:
    """True where a decorator was written without parentheses: what it got as config schema is the function."""
    return callable(value) and not isinstance(value, type | ConfigType | Field)


def process_config(field: Field, value: Any, preamble: str) -> Any:
    """Validate one value against one field, with paths from `root:config` as run config has them."""
    return process(Field(Shape({"config": field})), {"config": value}, preamble).get("config")


def pick_context(what: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bool, Any]:
    """The context argument of a direct call of a definition: whether its function takes one, and what was given.

    DagsterInvalidInvocationError for a missing, additional or wrongly named argument.
    """
    signature = read_signature(fn)
    takes_context = bool(signature.parameters) or signature.has_varargs
    if len(args) + len(kwargs) > 1:
        raise DagsterInvalidInvocationError(
            f"Initialization of {what} received multiple arguments. Only a first positional context parameter should "
            f"be provided when invoking."
        )
    if not takes_context:
        if args or kwargs:
            raise DagsterInvalidInvocationError(
                f"Attempted to invoke {what} with argument, but underlying function has no context argument. Either "
                f"specify a context argument on the {what} function, or remove the passed-in argument."
            )
        return False, None
    if not args and not kwargs:
        missing = "context argument" if what == "logger" else "context"
        raise DagsterInvalidInvocationError(
            f"{what.capitalize()} initialization function has context argument, but no {missing} was provided when "
            f"invoking. Make one with build_init_{what}_context(), or pass None."
        )
    name = signature.parameters[0].name if signature.parameters else None
    if kwargs and name not in kwargs:
        raise DagsterInvalidInvocationError(
            f"{what.capitalize()} initialization expected argument '{name}', got {sorted(kwargs)}."
        )
    return True, args[0] if args else kwargs[name or ""]


# -- functions from config to config ----------------------------------------------------------------------------------


def read_config_parameter(fn: Callable[..., Any], config_schema: Any, what: str) -> tuple[Any, Any]:
    """Config schema of a mapping function, and the Config class that its parameter is annotated with, if it is.

    CheckError where both the annotation and `config_schema` say what its config is.
    """
    try:
        parameters = read_signature(fn).parameters
    except (TypeError, ValueError):  # a callable that does not tell its parameters
        return config_schema, None
    annotation = parameters[0].annotation if parameters else None
    if not hasattr(annotation, "__from_config__"):
        return config_schema, None
    if config_schema is not None:
        raise CheckError(
            f"Cannot provide config_schema to {what} with Config-annotated param: {fn.__name__} takes a "
            f"{getattr(annotation, '__name__', annotation)}, which is its schema. Leave config_schema out."
        )
    return annotation, annotation


def check_single_parameter(fn: Any, what: str) -> None:
    """Refuse a decorated function that does not take exactly one parameter, the config."""
    if not callable(fn):
        return
    try:
        signature = read_signature(fn)
    except (TypeError, ValueError):  # a callable that does not tell its parameters
        return
    if len(signature.parameters) != 1 and not signature.has_varargs:
        names = [parameter.name for parameter in signature.parameters]
        raise CheckError(
            f"{what} should have exactly one parameter, the config; {signature.name} has {names or 'none'}."
        )


def as_instance(config_class: Any, config: Any) -> Any:
    """Processed config as an instance of a Config class, or as it is where there is no class."""
    return config if config_class is None else config_class.__from_config__({} if config is None else config)


def as_config(value: Any) -> Any:
    """What a mapping function gave, as plain config: Config, resource and RunConfig objects in it are taken apart."""
    for method in ("to_config_dict", "__to_config__"):
        to_plain = None if isinstance(value, type) else getattr(value, method, None)
        if to_plain is not None:
            return to_plain()
    if isinstance(value, Mapping):
        return {key: as_config(item) for key, item in value.items()}
    return [as_config(item) for item in value] if type(value) is list else value


def _takes_name(configurable: Any) -> bool:
    return read_signature(type(configurable).configured).parameter("name") is not None


def _call_mapping(layer: _Layer, config: Any, what: str) -> Any:
    try:
        return layer.source(as_instance(layer.config_class, config))
    except Exception as error:
        raise DagsterConfigMappingFunctionError(
            f"The config mapping function given to configured() for {what} raised {type(error).__name__}: {error}",
            user_exception=error,
        ) from error
