"""IOManager and friends, in-memory and filesystem ones, the artifact format.

An IO manager keeps what an output carries until the steps that need it load it: the only way of a value from step to
step. The engine calls `handle_output` and `load_input` with a context that says which value is meant. Nothing here
knows what is stored; only this module unpickles, and only files of its own instance.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from copy import copy
from pathlib import Path
from typing import Any, BinaryIO, Protocol, overload

from treadle.checks import show
from treadle.config.schema import EnvVar, Field, Noneable, StringSource
from treadle.config.sugar import to_field
from treadle.contexts import InitResourceContext
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

    `base_dir` may be an EnvVar; without one it is the storage folder of the instance. The file format is described
    at `write_artifact`. `is_durable` makes sure that a stored value survives a loss of power.
    """

    def __init__(self, base_dir: str | os.PathLike[str] | None = None, is_durable: bool = False) -> None:
        self.base_dir = base_dir if base_dir is None or isinstance(base_dir, EnvVar) else os.fspath(base_dir)
        self.is_durable = is_durable

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        """Write the value, complete or not at all; the HANDLED_OUTPUT event tells the path."""
        path = self._path(context.get_identifier())
        path.parent.mkdir(parents=True, exist_ok=True)
        write_artifact(path, obj, is_durable=self.is_durable)
        context.add_output_metadata({"path": MetadataValue.path(str(path))})

    def load_input(self, context: InputContext) -> Any:
        """Read the value; a large array is mapped from the file, not copied."""
        return read_artifact(self._path(_stored_key(context)))

    def create_io_manager(self, context: InitResourceContext) -> FilesystemIOManager:
        """A manager whose base folder is known: that of this one, or the instance's storage folder."""
        base_dir = self.base_dir.get_value() if isinstance(self.base_dir, EnvVar) else self.base_dir
        return self._in_folder(_find_base_dir(context, base_dir))

    @classmethod
    def configure_at_launch(cls, **values: Any) -> ResourceDefinition:
        """One whose folder run config gives; `base_dir` here is for where it does not."""
        return cls(**values).__resource_definition__()

    def __to_config__(self) -> dict[str, Any]:
        base_dir = self.base_dir
        return {"base_dir": {"env": base_dir.env_var_name} if isinstance(base_dir, EnvVar) else base_dir}

    def __resource_definition__(self) -> ResourceDefinition:
        def make(context: InitResourceContext) -> FilesystemIOManager:
            return self._in_folder(_find_base_dir(context, context.resource_config["base_dir"]))

        return IOManagerDefinition(make, {"base_dir": Field(Noneable(StringSource), self.__to_config__()["base_dir"])})

    def _in_folder(self, base_dir: str) -> FilesystemIOManager:
        # A copy, since this may be of a class that a user derived, with an `__init__` of its own.
        made = copy(self)
        made.base_dir = base_dir
        return made

    def _path(self, identifier: Iterable[str]) -> Path:
        if self.base_dir is None or isinstance(self.base_dir, EnvVar):
            raise DagsterInvariantViolationError(
                f"This FilesystemIOManager has base_dir={self.base_dir!r}, which is settled when a run starts: None "
                f"becomes the instance's storage folder. To use it by hand give it the folder as a str."
            )
        return Path(self.base_dir, *identifier)


def _find_base_dir(context: InitResourceContext, base_dir: str | None) -> str:
    if base_dir is not None:
        return base_dir
    if context.instance is None:
        raise DagsterInvariantViolationError(
            "The filesystem IO manager needs a base_dir, or an instance whose storage folder it can take."
        )
    folder: str = context.instance.storage_directory()
    return folder


@io_manager(
    {"base_dir": Field(Noneable(StringSource), description="Where values are kept; default: the instance's folder.")},
    description="Keeps values in files.",
)
def fs_io_manager(init_context: InitResourceContext) -> FilesystemIOManager:
    """Make a filesystem IO manager."""
    return FilesystemIOManager(_find_base_dir(init_context, init_context.resource_config["base_dir"]))


# -- the artifact format ----------------------------------------------------------------------------------------------

#: a buffer of at least this many bytes stands outside the pickle, so that it can be mapped
OUT_OF_BAND_SIZE = 1 << 16
#: offsets of buffers are multiples of this: a cache line, and what every array library is content with
ALIGNMENT = 64
_VERSION = 1
_MAGIC = b"TRDLVAL\n"
#: of one buffer: offset, length, 1 where it was read-only
_BUFFER = struct.Struct("<QQQ")
#: length of the pickle, length of the whole file, number of buffers, version
_FACTS = struct.Struct("<QQII")
#: checksum, magic
_SEAL = struct.Struct("<I8s")
_TRAILER_SIZE = _FACTS.size + _SEAL.size
#: what pickle raises for objects that it cannot write
_NOT_PICKLABLE = (pickle.PicklingError, AttributeError, TypeError, RecursionError, ImportError)


def write_artifact(path: Path, value: Any, *, is_durable: bool = False) -> None:
    """Write one value to one file: aside first, then renamed, so that the file is there complete or not at all.

    The file holds, one after the other:

    * the pickle of the value, protocol 5. Without large buffers the rest is only the trailer, and `pickle.load` on the
      file gives the value;
    * the large buffers (of arrays, tables, ...) as they are in memory, each at a multiple of 64 bytes, zeros between;
    * for each buffer its offset, its length and whether it is read-only (1 or 0): three unsigned 64-bit numbers;
    * the trailer of 36 bytes: length of the pickle and of the whole file (64 bit), number of buffers and version of the
      format (32 bit), the CRC-32 of the pickle, the list of buffers and these four numbers, and `TRDLVAL` with a
      newline. All numbers are little-endian.

    Raises DagsterInvariantViolationError for an object that cannot be pickled.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        with aside.open("xb") as file:
            _write(file, value)
            if is_durable:
                file.flush()
                os.fsync(file.fileno())
        aside.replace(path)
    except BaseException as error:
        aside.unlink(missing_ok=True)
        if isinstance(error, _NOT_PICKLABLE):
            depth = "exceeds recursion limit and " if isinstance(error, RecursionError) else ""
            raise DagsterInvariantViolationError(
                f"Object {show(value)} (a {type(value).__name__}) {depth}is not picklable: {error}. The filesystem IO manager "
                f"stores values as pickles. Return something that can be pickled, or give this output an IO manager "
                f"that knows how to store it; mem_io_manager stores anything, within one process."
            ) from error
        raise
    if is_durable:
        _sync_folder(path.parent)


class _Writable(Protocol):
    def write(self, data: Any, /) -> object: ...


class _ChecksumWriter:
    """Passes bytes on to a file, and keeps their number and CRC-32."""

    def __init__(self, file: _Writable) -> None:
        self._file = file
        self.size = 0
        self.checksum = 0

    def write(self, data: Any) -> int:
        # The pickler gives frames as bytes and large bytes objects as they are: nothing is gathered in memory.
        length = memoryview(data).nbytes
        self.size += length
        self.checksum = zlib.crc32(data, self.checksum)
        self._file.write(data)
        return length


def _write(file: BinaryIO, value: Any) -> None:
    buffers: list[memoryview] = []

    def is_in_band(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < OUT_OF_BAND_SIZE:
            return True
        buffers.append(view)
        return False

    writer = _ChecksumWriter(file)
    pickle.Pickler(writer, protocol=5, buffer_callback=is_in_band).dump(value)
    position = writer.size
    places = []
    for view in buffers:
        position += -position % ALIGNMENT
        places.append(position)
        position += view.nbytes
    table = b"".join(
        _BUFFER.pack(place, view.nbytes, view.readonly) for place, view in zip(places, buffers, strict=True)
    )
    total = position + len(table) + _TRAILER_SIZE
    if buffers:
        _reserve(file, total)
    for place, view in zip(places, buffers, strict=True):
        file.write(bytes(place - file.tell()))
        file.write(view)
    facts = _FACTS.pack(writer.size, total, len(buffers), _VERSION)
    file.write(table + facts + _SEAL.pack(zlib.crc32(table + facts, writer.checksum), _MAGIC))


def _reserve(file: BinaryIO, size: int) -> None:
    """Ask for all the space at once: it saves a quarter of the time, and a full disk is told before anything is written."""
    if not hasattr(os, "posix_fallocate"):
        return
    file.flush()
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise


def read_artifact(path: Path) -> Any:
    """Read a value that `write_artifact` wrote.

    Large buffers are mapped from the file, not copied: reading one costs its pages when they are touched, and writing
    to it changes only this process's view. Raises FileNotFoundError where there is no file, and
    DagsterInvariantViolationError, naming the path and what to do, where it is not what was written.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = _contents(file, size)
        pickled, buffers = _take_apart(path, data)
        return pickle.loads(pickled, buffers=buffers)
    except FileNotFoundError as error:
        if error.filename != str(path):
            raise
        raise FileNotFoundError(
            errno.ENOENT, "There is no stored value; run the step that makes it again. Missing file", str(path)
        ) from None


def _contents(file: BinaryIO, size: int) -> memoryview:
    if size < OUT_OF_BAND_SIZE:
        return memoryview(file.read())
    import mmap

    # A private map: a reader may write to its arrays, the file stays as it is. Buffers keep the map open.
    return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY))


def _take_apart(path: Path, data: memoryview) -> tuple[memoryview, list[memoryview]]:
    """The pickle and the buffers in the contents of a file."""
    size = len(data)
    trailer = size - _TRAILER_SIZE
    if trailer < 0 or data[size - len(_MAGIC) :] != _MAGIC:
        raise _damaged(path, "it was cut off, or something else than a treadle run wrote it")
    pickle_size, total, count, version = _FACTS.unpack_from(data, trailer)
    if version != _VERSION:
        raise _damaged(path, f"it is of version {version} of the format and this treadle reads version {_VERSION}")
    table = trailer - count * _BUFFER.size
    if total != size or pickle_size > table:
        raise _damaged(path, f"it has {size} bytes where {total} were written")
    checksum = zlib.crc32(data[table : trailer + _FACTS.size], zlib.crc32(data[:pickle_size]))
    if checksum != _SEAL.unpack_from(data, trailer + _FACTS.size)[0]:
        raise _damaged(path, "its checksum is wrong: its bytes are not those that were written")
    buffers = []
    for offset, length, is_read_only in _BUFFER.iter_unpack(data[table:trailer]):
        buffer = data[offset : offset + length]
        buffers.append(buffer.toreadonly() if is_read_only else buffer)
    return data[:pickle_size], buffers


def _damaged(path: Path, why: str) -> DagsterInvariantViolationError:
    return DagsterInvariantViolationError(
        f"The stored value {path} cannot be read: {why}. Delete the file and run the step that makes it again."
    )


def _sync_folder(folder: Path) -> None:
    """Make a rename in this folder last."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
