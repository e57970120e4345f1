"""DagsterTypeLoader: make an input's value from run config.

A type that has a loader can be given in run config, in the loader's own schema; `types` gives the built-in types
theirs. A loader is asked once for an unconnected input, with config that has been validated. Whatever goes wrong in a
built-in one is a DagsterTypeLoadingError that names the file or the member.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Set
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

from treadle.checks import check_param, show
from treadle.config import schema
from treadle.errors import DagsterInvalidConfigError, DagsterInvalidDefinitionError, DagsterTypeLoadingError
from treadle.introspect import read_signature

if TYPE_CHECKING:
    from pathlib import Path


class DagsterTypeLoader(ABC):
    """Makes a value of a type from run config. Derive from it, or write `@dagster_type_loader` above a function."""

    @property
    @abstractmethod
    def schema_type(self) -> schema.ConfigType:
        """What config must be like; anything that may stand in a `config_schema` argument is understood."""

    @property
    def loader_version(self) -> str | None:
        """A name for the code of this loader: another version may make another value from the same config."""
        return None

    def required_resource_keys(self) -> frozenset[str]:
        """Keys of the resources that `context.resources` has to have."""
        return frozenset()

    def construct_from_config_value(self, context: Any, config_value: Any) -> Any:
        """The value for this config. Whatever is raised fails the step."""
        return config_value


_CONTEXT_NAMES = frozenset(("context", "_context", "context_", "_"))

LoaderFn: TypeAlias = Callable[[Any, Any], Any]


class _FunctionLoader(DagsterTypeLoader):
    def __init__(self, fn: LoaderFn, config_type: schema.ConfigType, resource_keys: frozenset[str]) -> None:
        self._fn = fn
        self._config_type = config_type
        self._resource_keys = resource_keys

    @property
    def schema_type(self) -> schema.ConfigType:
        return self._config_type

    def required_resource_keys(self) -> frozenset[str]:
        return self._resource_keys

    def construct_from_config_value(self, context: Any, config_value: Any) -> Any:
        return self._fn(context, config_value)


def dagster_type_loader(
    config_schema: Any, required_resource_keys: Set[str] | None = None
) -> Callable[[LoaderFn], DagsterTypeLoader]:
    """Turn a function `(context, config)` into a loader for the `loader` argument of a DagsterType.

    `config_schema` is whatever an op takes. Raises DagsterInvalidDefinitionError where the function has other
    parameters.
    """
    from treadle.config.sugar import to_config_type

    config_type = to_config_type(config_schema)
    keys = frozenset() if required_resource_keys is None else required_resource_keys
    check_param(keys, (set, frozenset), "required_resource_keys", "dagster_type_loader")

    def decorate(fn: LoaderFn) -> DagsterTypeLoader:
        if not callable(fn):
            raise DagsterInvalidDefinitionError(f"@dagster_type_loader decorates a function, got {show(fn)}.")
        signature = read_signature(fn)
        names = [parameter.name for parameter in signature.parameters if not parameter.is_keyword_only]
        if not names or names[0] not in _CONTEXT_NAMES or (len(names) < 2 and not signature.has_varargs):
            raise DagsterInvalidDefinitionError(
                f"@dagster_type_loader '{signature.name}' decorated function does not have required positional parameter "
                f'\'context\': it takes ({", ".join(names)}), but its first parameter must be named "context" (or "_") and the '
                f"second takes the config: def {signature.name}(context, config): ..."
            )
        return _FunctionLoader(fn, config_type, frozenset(keys))

    return decorate


def config_type_of(loader: DagsterTypeLoader) -> schema.ConfigType:
    """The schema of any loader; a user's class may give it in the forms of a `config_schema` argument."""
    given: Any = loader.schema_type
    if isinstance(given, schema.ConfigType):
        return given
    from treadle.config.sugar import to_config_type

    return to_config_type(given)


# -- scalars and Any ----------------------------------------------------------------------------------------------------


def _with_files(inner: schema.ConfigType) -> schema.Selector:
    """{value: v}, or the path of a file that holds the value."""
    file = schema.Shape({"path": schema.Field(schema.STRING)})
    return schema.Selector({"value": schema.Field(inner), "json": schema.Field(file), "pickle": schema.Field(file)})


def _from_choice(choice: dict[str, Any]) -> Any:
    ((form, given),) = choice.items()
    if form == "value":
        return given
    from pathlib import Path

    return _READERS[form](Path(given["path"]))


def _read_json(path: Path) -> Any:
    import json

    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unreadable("JSON", path, error) from error
    except ValueError as error:
        raise DagsterTypeLoadingError(f'The file "{path}" is not valid JSON: {error}.', user_exception=error) from error
    if not isinstance(data, dict) or "value" not in data:
        found = f"the keys {sorted(data)}" if isinstance(data, dict) else f"a {type(data).__name__}"
        raise DagsterTypeLoadingError(
            f'The JSON file "{path}" must hold an object with the key "value", as in {{"value": 3}}; it holds {found}.'
        )
    return data["value"]


def _read_pickle(path: Path) -> Any:
    import pickle

    try:
        with path.open("rb") as file:
            return pickle.load(file)  # noqa: S301 - the run config names this file and says that it is a pickle
    except OSError as error:
        raise _unreadable("pickle", path, error) from error
    except Exception as error:
        raise DagsterTypeLoadingError(
            f'The file "{path}" cannot be unpickled: {type(error).__name__}: {error}', user_exception=error
        ) from error


_READERS: dict[str, Callable[[Path], Any]] = {"json": _read_json, "pickle": _read_pickle}


def _unreadable(form: str, path: Path, error: OSError) -> DagsterTypeLoadingError:
    looked = "" if path.is_absolute() else f" A relative path starts at the working directory, {path.cwd()}."
    return DagsterTypeLoadingError(
        f'The {form} file "{path}" cannot be read: {error.strerror or error}.{looked}', user_exception=error
    )


class ScalarLoader(DagsterTypeLoader):
    """A bare scalar, `{value: v}`, `{json: {path: p}}` or `{pickle: {path: p}}`."""

    def __init__(self, scalar: schema.Scalar) -> None:
        self.scalar = scalar
        self._schema = schema.ScalarUnion(scalar, _with_files(scalar))

    @property
    def schema_type(self) -> schema.ConfigType:
        return self._schema

    def construct_from_config_value(self, context: Any, config_value: Any) -> Any:
        return _from_choice(config_value) if isinstance(config_value, dict) else config_value


class AnyLoader(DagsterTypeLoader):
    """`{value: v}`, `{json: {path: p}}` or `{pickle: {path: p}}`; a bare value could mean two things."""

    @property
    def schema_type(self) -> schema.ConfigType:
        return _with_files(schema.ANY)

    def construct_from_config_value(self, context: Any, config_value: Any) -> Any:
        return _from_choice(config_value)


class DictLoader(DagsterTypeLoader):
    """Any mapping, taken literally."""

    @property
    def schema_type(self) -> schema.ConfigType:
        return schema.Permissive({})


# -- types made of other types --------------------------------------------------------------------------------------


class _PartsLoader(DagsterTypeLoader):
    """A loader that leaves the parts of its value to the loaders of other types."""

    def __init__(self, *inners: DagsterTypeLoader) -> None:
        self.inners = inners

    def required_resource_keys(self) -> frozenset[str]:
        return frozenset().union(*(inner.required_resource_keys() for inner in self.inners))


class ListLoader(_PartsLoader):
    """A list whose elements have the form of the inner type."""

    @property
    def schema_type(self) -> schema.ConfigType:
        return schema.Array(config_type_of(self.inners[0]))

    def construct_from_config_value(self, context: Any, config_value: Any) -> Any:
        construct = self.inners[0].construct_from_config_value
        return [construct(context, element) for element in config_value]


class SetLoader(ListLoader):
    """A list, of which a set is made."""

    def construct_from_config_value(self, context: Any, config_value: Any) -> Any:
        elements = super().construct_from_config_value(context, config_value)
        try:
            return set(elements)
        except TypeError as error:
            raise DagsterTypeLoadingError(
                f"A set cannot be made of {show(elements)}: {error}. Its elements must be hashable.",
                user_exception=error,
            ) from error


class MapLoader(_PartsLoader):
    """A mapping with keys of one scalar type, whose values have the form of the inner type."""

    def __init__(self, key: schema.Scalar, inner: DagsterTypeLoader) -> None:
        super().__init__(inner)
        self.key = key

    @property
    def schema_type(self) -> schema.ConfigType:
        return schema.Map(self.key, config_type_of(self.inners[0]))

    def construct_from_config_value(self, context: Any, config_value: Any) -> Any:
        construct = self.inners[0].construct_from_config_value
        return {key: construct(context, value) for key, value in config_value.items()}


class OptionalLoader(_PartsLoader):
    """None, or the form of the inner type."""

    @property
    def schema_type(self) -> schema.ConfigType:
        return schema.Noneable(config_type_of(self.inners[0]))

    def construct_from_config_value(self, context: Any, config_value: Any) -> Any:
        if config_value is None:
            return None
        return self.inners[0].construct_from_config_value(context, config_value)


class TupleLoader(_PartsLoader):
    """A list with one member for each member of the tuple, each in the form of its type.

    Config has no type for a list of mixed members, so these are validated here, when they are loaded.
    """

    @property
    def _common_type(self) -> schema.ConfigType | None:
        kinds = {config_type_of(inner) for inner in self.inners}
        return kinds.pop() if len(kinds) == 1 else None

    @property
    def schema_type(self) -> schema.ConfigType:
        return schema.Array(self._common_type or schema.ANY)

    def construct_from_config_value(self, context: Any, config_value: Any) -> Any:
        if len(config_value) != len(self.inners):
            raise DagsterTypeLoadingError(
                f"The tuple has {len(self.inners)} members, but config gives {len(config_value)}: {show(config_value)}."
            )
        if self._common_type is None:
            config_value = [_process_member(*each) for each in zip(self.inners, config_value, count(), strict=False)]
        pairs = zip(self.inners, config_value, strict=True)
        return tuple(inner.construct_from_config_value(context, given) for inner, given in pairs)


def _process_member(inner: DagsterTypeLoader, given: Any, number: int) -> Any:
    from treadle.config.validate import process

    try:
        return process(config_type_of(inner), given, f"Error in config for member {number} of a tuple")
    except DagsterInvalidConfigError as error:
        raise DagsterTypeLoadingError(str(error), user_exception=error) from error
