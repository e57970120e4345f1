"""IOManager and friends, in-memory and filesystem ones.

An IO manager keeps what an output carries until the steps that need it load it: the only way of a value from step to
step. The engine calls `handle_output` and `load_input` with a context that says which value is meant. Nothing here
knows what is stored; how a value becomes a file stands in artifacts.py.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from pathlib import Path
from typing import Any, overload

from treadle.config.schema import EnvVar, Field, Noneable, StringSource
from treadle.config.sugar import to_field
from treadle.contexts import InitResourceContext
from treadle.definitions import remote
from treadle.definitions.artifacts import write_artifact
from treadle.definitions.configured import is_decorated_function
from treadle.definitions.resources import Opened, ResourceDefinition, check_parameters
from treadle.errors import CheckError, DagsterInvariantViolationError, DagsterResourceFunctionError
from treadle.introspect import read_docstring
from treadle.io_contexts import InputContext, OutputContext
from treadle.metadata import MetadataValue

#: what names a stored value: (run id, step key, output name), and the mapping key of a dynamic output
ValueKey = tuple[str, ...]


class InputManager(ABC):
    """Gives inputs their values; for `In(input_manager_key=...)`."""

    @abstractmethod
    def load_input(self, context: InputContext) -> Any:
        """The value for the input that the context describes."""

    def __resource_definition__(self) -> ResourceDefinition:
        definition = InputManagerDefinition(lambda _context: self)
        definition._is_constant = True
        return definition


class IOManager(InputManager):
    """Keeps the values of outputs and gives them to the inputs that need them. An instance can stand in
    `resource_defs`, normally under the key `io_manager`.
    """

    @abstractmethod
    def handle_output(self, context: OutputContext, obj: Any) -> Any:
        """Keep a value. May return None, or metadata and AssetMaterializations, or be a generator of these."""

    def __resource_definition__(self) -> ResourceDefinition:
        return IOManagerDefinition.hardcoded_io_manager(self)


class WrongManagerError(DagsterResourceFunctionError, CheckError):
    """What a resource function returned is no IO manager."""


class _ManagerDefinition(ResourceDefinition):
    """How to make what handles inputs, and maybe outputs, with the config that these take."""

    _made_class: type[Any] = InputManager

    def __init__(
        self,
        resource_fn: Callable[..., Any],
        config_schema: Any = None,
        description: str | None = None,
        required_resource_keys: Iterable[str] | None = None,
        version: str | None = None,
        input_config_schema: Any = None,
    ) -> None:
        super().__init__(resource_fn, config_schema, description, required_resource_keys, version)
        #: what run config holds for an input that this manager loads; None where it takes no config
        self.input_config_schema: Field | None = _field_or_none(input_config_schema)

    def _with_contract(self, *args: Any) -> Any:
        copy = super()._with_contract(*args)
        copy.version = None  # a version stands for the code with its config, and that is another now
        return copy

    def start(self, context: InitResourceContext, key: str) -> Opened:
        """Like any resource; WrongManagerError for anything that cannot do the work."""
        opened = super().start(context, key)
        _check_manager(opened, self._made_class, key)
        return opened


class IOManagerDefinition(_ManagerDefinition):
    """How to make an IO manager: a resource with config for the outputs and inputs that it handles."""

    kind = "IO manager"
    _made_class = IOManager

    def __init__(
        self,
        resource_fn: Callable[..., Any],
        config_schema: Any = None,
        description: str | None = None,
        required_resource_keys: Iterable[str] | None = None,
        version: str | None = None,
        input_config_schema: Any = None,
        output_config_schema: Any = None,
    ) -> None:
        super().__init__(resource_fn, config_schema, description, required_resource_keys, version, input_config_schema)
        #: what run config holds for an output that this manager keeps; None where it takes no config
        self.output_config_schema: Field | None = _field_or_none(output_config_schema)

    @staticmethod
    def hardcoded_io_manager(value: IOManager, description: str | None = None) -> IOManagerDefinition:
        """An IO manager that is this object."""
        definition = IOManagerDefinition(lambda _context: value, description=description)
        definition._is_constant = True
        return definition


class InputManagerDefinition(_ManagerDefinition):
    """How to make an input manager: a resource with config for the inputs that it loads."""

    kind = "input manager"


def _check_manager(opened: Opened, wanted: type[Any], key: str) -> None:
    """Refuse what cannot handle inputs (or outputs), closing it: WrongManagerError."""
    if isinstance(opened.value, wanted):
        return
    value = opened.value
    if opened.close is not None:
        with contextlib.suppress(Exception):  # what was opened by mistake is closed as well as it can be
            opened.close()
    raise WrongManagerError(
        f'Resource "{key}": the function returned {value!r} (a {type(value).__name__}), which is not an '
        f"{wanted.__name__}. Derive its class from {wanted.__name__}."
    )


@overload
def io_manager(
    config_schema: Callable[[InitResourceContext], IOManager] | Callable[[], IOManager],
) -> IOManagerDefinition: ...
@overload
def io_manager(
    config_schema: Any = ...,
    description: str | None = ...,
    output_config_schema: Any = ...,
    input_config_schema: Any = ...,
    required_resource_keys: Iterable[str] | None = ...,
    version: str | None = ...,
) -> Callable[[Callable[..., Any]], IOManagerDefinition]: ...
def io_manager(
    config_schema: Any = None,
    description: str | None = None,
    output_config_schema: Any = None,
    input_config_schema: Any = None,
    required_resource_keys: Iterable[str] | None = None,
    version: str | None = None,
) -> IOManagerDefinition | Callable[[Callable[..., Any]], IOManagerDefinition]:
    """Decorate a function, of `(context: InitResourceContext)` or of nothing, that returns an IOManager.

    `output_config_schema` and `input_config_schema` say what run config may hold for each output and input that the
    manager handles; it finds that in `context.config`.
    """

    def decorate(fn: Callable[..., Any]) -> IOManagerDefinition:
        check_parameters(fn, "@io_manager")
        text = description or read_docstring(fn)
        return IOManagerDefinition(
            fn, schema, text, required_resource_keys, version, input_config_schema, output_config_schema
        )

    schema = None if is_decorated_function(config_schema) else config_schema
    return decorate if schema is config_schema else decorate(config_schema)


@overload
def input_manager(config_schema: Callable[[InputContext], Any] | Callable[[], Any]) -> InputManagerDefinition: ...
@overload
def input_manager(
    config_schema: Any = ...,
    description: str | None = ...,
    input_config_schema: Any = ...,
    required_resource_keys: Iterable[str] | None = ...,
    version: str | None = ...,
) -> Callable[[Callable[..., Any]], InputManagerDefinition]: ...
def input_manager(
    config_schema: Any = None,
    description: str | None = None,
    input_config_schema: Any = None,
    required_resource_keys: Iterable[str] | None = None,
    version: str | None = None,
) -> InputManagerDefinition | Callable[[Callable[..., Any]], InputManagerDefinition]:
    """Decorate a function, of `(context: InputContext)` or of nothing, that returns the value for an input, or an
    InputManager that loads it.
    """

    def decorate(fn: Callable[..., Any]) -> InputManagerDefinition:
        check_parameters(fn, "@input_manager")
        loader = _FunctionInputManager(fn)
        text = description or read_docstring(fn)
        return InputManagerDefinition(
            lambda _context: loader, schema, text, required_resource_keys, version, input_config_schema
        )

    schema = None if is_decorated_function(config_schema) else config_schema
    return decorate if schema is config_schema else decorate(config_schema)


class _FunctionInputManager(InputManager):
    """An input manager that is one function."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self._fn = fn
        self._takes_context = ResourceDefinition(fn).takes_context

    def load_input(self, context: InputContext) -> Any:
        value = self._fn(context) if self._takes_context else self._fn()
        return value.load_input(context) if isinstance(value, InputManager) else value


def _field_or_none(schema: Any) -> Field | None:
    return None if schema is None else to_field(schema)


# -- in memory --------------------------------------------------------------------------------------------------------


class InMemoryIOManager(IOManager):
    """Keeps values in a dict: the object itself goes from step to step, for as long as this process has the manager.

    `store` and `fetch` are the same without a context, for the engine.
    """

    def __init__(self) -> None:
        self.values: dict[ValueKey, Any] = {}

    def store(self, key: ValueKey, obj: Any) -> None:
        """Keep a value under the parts of `OutputContext.get_identifier`."""
        self.values[key] = obj

    def fetch(self, key: ValueKey) -> Any:
        """A value that was kept; DagsterInvariantViolationError where there is none."""
        try:
            return self.values[key]
        except KeyError:
            raise DagsterInvariantViolationError(
                f"The in-memory IO manager holds no value for {' / '.join(key)}. It keeps values only within one "
                f"process and one run; use fs_io_manager for what is to outlive them, such as a re-execution."
            ) from None

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        """Keep the object."""
        self.values[tuple(context.get_identifier())] = obj

    def load_input(self, context: InputContext) -> Any:
        """The object that was kept."""
        return self.fetch(_stored_key(context))


@io_manager(description="Keeps values in memory, within one process and one run.")
def mem_io_manager(_init_context: InitResourceContext) -> InMemoryIOManager:
    """Make an in-memory IO manager."""
    return InMemoryIOManager()


def _stored_key(context: InputContext) -> ValueKey:
    upstream = context.upstream_output
    if upstream is None:
        name = context.name if context.has_input_name else None
        raise DagsterInvariantViolationError(
            f'Input "{name}" is not connected to an output, so this IO manager has stored nothing for it. Connect it, '
            f"or give it an input manager."
        )
    return tuple(upstream.get_identifier())


# -- on the filesystem ------------------------------------------------------------------------------------------------


class FilesystemIOManager(IOManager):
    """Keeps each value in a file, `<base_dir>/<run id>/<step key>/<output name>[/<mapping key>]`.

    `base_dir` may be a URL, such as "s3://bucket/folder", or an EnvVar; without one it is where the instance keeps values.
    The file format is described at `write_artifact`. For local files `is_durable` makes sure that a stored value survives a loss of power; None leaves that to the
    instance's setting `durability`.
    """

    #: a derived class may have an `__init__` that says nothing of it
    is_durable: bool | None = None

    def __init__(self, base_dir: str | os.PathLike[str] | None = None, is_durable: bool | None = None) -> None:
        self.base_dir = base_dir if base_dir is None or isinstance(base_dir, EnvVar) else os.fspath(base_dir)
        self.is_durable = is_durable

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        """Write the value, complete or not at all; the HANDLED_OUTPUT event tells the path."""
        place = self._place(context.get_identifier())
        if isinstance(place, Path):
            home, is_durable = self._place(()), bool(self.is_durable)
            assert isinstance(home, Path)
            shelf = None if is_durable else context._shelf
            if write_artifact(place, obj, is_durable=is_durable, home=home, shelf=shelf):
                context.add_output_metadata({"hand_over": MetadataValue.text("memory")})
        else:
            remote.write(place, obj)
        context.add_output_metadata({"path": MetadataValue.path(remote.shown(place))})

    def load_input(self, context: InputContext) -> Any:
        """Read the value; a large array is mapped from the file, not copied."""
        return remote.load(self._place(_stored_key(context)))

    def create_io_manager(self, context: InitResourceContext) -> FilesystemIOManager:
        """A manager whose base folder is known: that of this one, or the instance's storage folder."""
        base_dir = self.base_dir.get_value() if isinstance(self.base_dir, EnvVar) else self.base_dir
        return self._settled(context, base_dir)

    @classmethod
    def configure_at_launch(cls, **values: Any) -> ResourceDefinition:
        """One whose folder run config gives; `base_dir` here is for where it does not."""
        return cls(**values).__resource_definition__()

    def __to_config__(self) -> dict[str, Any]:
        base_dir = self.base_dir
        return {"base_dir": {"env": base_dir.env_var_name} if isinstance(base_dir, EnvVar) else base_dir}

    def __resource_definition__(self) -> ResourceDefinition:
        def make(context: InitResourceContext) -> FilesystemIOManager:
            return self._settled(context, context.resource_config["base_dir"])

        return IOManagerDefinition(make, {"base_dir": Field(Noneable(StringSource), self.__to_config__()["base_dir"])})

    def _settled(self, context: InitResourceContext, base_dir: str | None) -> FilesystemIOManager:
        """One that knows its folder, and how durable it is to be."""
        # A copy, since this may be of a class that a user derived, with an `__init__` of its own.
        made = copy(self)
        made.base_dir = _find_base_dir(context, base_dir)
        made._place(())  # what cannot be reached is told now, not by each step
        if made.is_durable is None:
            made.is_durable = context.instance is not None and context.instance.durability == "full"
        return made

    def _place(self, identifier: Iterable[str]) -> Path | remote.RemoteFile:
        if self.base_dir is None or isinstance(self.base_dir, EnvVar):
            raise DagsterInvariantViolationError(
                f"This FilesystemIOManager has base_dir={self.base_dir!r}, which is settled when a run starts: None "
                f"becomes the instance's storage folder. To use it by hand give it the folder as a str."
            )
        return remote.place(self.base_dir, *identifier)


def _find_base_dir(context: InitResourceContext, base_dir: str | None) -> str:
    if base_dir is not None:
        return base_dir
    if context.instance is None:
        raise DagsterInvariantViolationError(
            "The filesystem IO manager needs a base_dir, or an instance whose storage folder it can take."
        )
    place: str = context.instance.artifacts_place
    return place


def _make_default(context: InitResourceContext) -> FilesystemIOManager:
    config = context.resource_config
    return FilesystemIOManager()._settled(context, config.get("base_dir") if isinstance(config, Mapping) else None)


#: what a job has that names no IO manager of its own: fs_io_manager, which needs no config
default_job_io_manager = IOManagerDefinition(_make_default, description="Keeps values in files of the instance.")


@io_manager(
    {"base_dir": Field(Noneable(StringSource), description="Where values are kept; default: the instance's folder.")},
    description="Keeps values in files.",
)
def fs_io_manager(init_context: InitResourceContext) -> FilesystemIOManager:
    """Make a filesystem IO manager."""
    return FilesystemIOManager()._settled(init_context, init_context.resource_config["base_dir"])
