"""UPathIOManager: keep each value at a path, in a local folder or at a remote store.

A subclass says how one value is written to a path and read from one; where the path is, and that a local file is there
complete or not at all, is said here. Also `custom_path_fs_io_manager`, where the outputs name their own paths.
Paths are those of pathlib, or of universal-pathlib (the extra `remote`), which is imported only for remote ones.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from abc import abstractmethod
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from treadle.checks import show
from treadle.config.schema import Field, StringSource
from treadle.contexts import InitResourceContext
from treadle.definitions import invoke, remote
from treadle.definitions.io_managers import IOManager, io_manager
from treadle.errors import CheckError, DagsterInvariantViolationError, ParameterCheckError
from treadle.io_contexts import InputContext, OutputContext
from treadle.metadata import MetadataValue
from treadle.names import AssetKey
from treadle.outcomes import AssetMaterialization


class UPathIOManager(IOManager):
    """Keeps each value at `<base_path>/<run id>/<step key>/<output name>[/<mapping key>]<extension>`.

    Derive from it and write `dump_to_path` and `load_from_path`. `base_path` is a str, a pathlib.Path or a UPath; a
    str with a protocol, such as "s3://bucket/folder", needs the extra `remote`. Without one it is the working folder.
    """

    #: what every file name ends with, such as ".parquet"
    extension: str | None = None

    #: In a local folder `dump_to_path` gets a path of the same name in a new folder beside the final one, and what it
    #: leaves there is moved at the end: a value is there complete or not at all. False gives it the final path.
    writes_aside: ClassVar[bool] = True

    _base_path: Any

    def __init__(self, base_path: Any = None) -> None:
        self._base_path = to_path("." if base_path is None else base_path)

    # -- what a subclass writes. The paths are Any: pathlib.Path for a local base path, else what the user's is.

    @abstractmethod
    def dump_to_path(self, context: OutputContext, obj: Any, path: Any) -> None:
        """Write a value to a path. Its folder is there."""

    @abstractmethod
    def load_from_path(self, context: InputContext, path: Any) -> Any:
        """Read the value at a path. May be `async def`."""

    # -- what a subclass may write

    def get_metadata(self, context: OutputContext, obj: Any) -> Mapping[str, Any]:
        """More metadata for the HANDLED_OUTPUT event, beside the path."""
        return {}

    def get_op_output_relative_path(self, context: InputContext | OutputContext) -> Any:
        """The path of a value below the base path, without the extension."""
        return Path(*context.get_identifier())

    def get_asset_relative_path(self, context: InputContext | OutputContext) -> Any:
        """The same, for a value that belongs to an asset."""
        return Path(*context.asset_key.path)

    def get_writing_output_log_message(self, path: Any) -> str:
        """What is logged, at debug level, before a value is written."""
        return f"Writing file at: {path} using {type(self).__name__}..."

    def get_loading_input_log_message(self, path: Any) -> str:
        """What is logged, at debug level, before a value is read."""
        return f"Loading file from: {path} using {type(self).__name__}..."

    def make_directory(self, path: Any) -> None:
        """Make the folder for a value; to be overridden where a store has no folders."""
        path.mkdir(parents=True, exist_ok=True)

    def path_exists(self, path: Any) -> bool:
        """True where there is a value at the path."""
        return bool(path.exists())

    def unlink(self, path: Any) -> None:
        """Delete the value at a path."""
        path.unlink()

    # -- what others may ask

    @property
    def fs(self) -> Any:
        """The fsspec file system that the base path is on."""
        if isinstance(self._base_path, Path) and not hasattr(self._base_path, "fs"):
            return to_path(f"file://{self._base_path.absolute()}").fs
        return self._base_path.fs

    @property
    def storage_options(self) -> Mapping[str, Any]:
        """The options of that file system."""
        return dict(getattr(self._base_path, "storage_options", {}))

    def has_output(self, context: OutputContext) -> bool:
        """True where the value that the context describes was stored."""
        return self.path_exists(self._get_path(context))

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        """Store a value; the HANDLED_OUTPUT event tells its path."""
        path = self._get_path(context)
        self.make_directory(path.parent)
        context.log.debug(self.get_writing_output_log_message(path))
        is_moved = self.writes_aside and isinstance(path, Path)
        with written_aside(path) if is_moved else contextlib.nullcontext(path) as place:
            self.dump_to_path(context=context, obj=obj, path=place)
        context.add_output_metadata({"path": MetadataValue.path(str(path)), **self.get_metadata(context, obj)})

    def load_input(self, context: InputContext) -> Any:
        """Load a value."""
        path = self._get_path(context)
        context.log.debug(self.get_loading_input_log_message(path))
        value = self.load_from_path(context=context, path=path)
        return invoke.wait_for(value) if isinstance(value, Coroutine) else value

    def _get_path(self, context: InputContext | OutputContext) -> Any:
        """Where the value is that a context describes."""
        if context.has_asset_key:
            relative = self.get_asset_relative_path(context)
        else:
            relative = self.get_op_output_relative_path(context)
        path = self._base_path.joinpath(*relative.parts)
        if self.extension is None:
            return path
        if not self.extension.startswith("."):
            raise CheckError(
                f"{type(self).__name__}.extension is {self.extension!r}. It must begin with a dot: "
                f"{'.' + self.extension!r}."
            )
        return path.with_name(path.name + self.extension)


def to_path(value: Any) -> Any:
    """A path object for what a user gave: a str, an os.PathLike, or an object that has pathlib's methods.

    ParameterCheckError for anything else, and DagsterInvariantViolationError, saying what to install, for a remote
    path where universal-pathlib is missing.
    """
    if isinstance(value, str) and "://" in value:
        try:
            from upath import UPath
        except ImportError as error:
            raise DagsterInvariantViolationError(
                f"The path {value!r} is on a remote file system, and universal-pathlib, which reaches it, is not "
                f"installed: pip install 'treadle[remote]'. (Some protocols need a package of their own, such as "
                f"s3fs for s3://.)"
            ) from error
        return UPath(value)
    if hasattr(value, "joinpath"):
        return value
    if isinstance(value, (str, os.PathLike)):
        return Path(value)
    raise ParameterCheckError(
        f'Param "base_path" is not a path. Got {show(value)} (a {type(value).__name__}); give a str, a pathlib.Path or '
        f"a UPath."
    )


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A local path to write to in place of `path`; what was written is put where it belongs at the end.

    The place is a new folder beside the final path, so that the name is the same and the move is a rename. Files
    written beside the path are moved too, the path itself last. After an exception nothing is moved.
    """
    folder = path.with_name(f".{os.getpid()}-{os.urandom(4).hex()}.part")
    folder.mkdir(parents=True)
    try:
        yield folder / path.name
        for made in sorted(folder.iterdir(), key=lambda made: (made.name == path.name, made.name)):
            target = path.with_name(made.name)
            if made.name != path.name and made.is_dir() and target.is_dir():
                shutil.copytree(made, target, dirs_exist_ok=True)  # a folder that several outputs may write to
                continue
            if target.exists() and (target.is_dir() or made.is_dir()):  # no rename can replace a folder
                target.rename(folder / f"{made.name}.replaced")
            made.replace(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# -- outputs that name their own paths --------------------------------------------------------------------------------


class CustomPathFilesystemIOManager(IOManager):
    """Keeps each value in the file `<base_dir>/<path>`, where `path` stands in the metadata of the output.

    The path of a dynamic output is a folder with a file for each mapping key. Values of one path replace each other,
    also those of different runs.
    """

    def __init__(self, base_dir: str | os.PathLike[str]) -> None:
        self.base_dir = os.fspath(base_dir)

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        """Write the value as `fs_io_manager` does, and log an AssetMaterialization with the path."""
        place = self._place(context)
        context.log.debug(f"Writing file at: {remote.shown(place)}")
        path = remote.keep(place, obj)
        key = AssetKey([context.job_name, *context.get_run_scoped_output_identifier()[1:]])
        context.log_event(AssetMaterialization(key, metadata={"path": MetadataValue.path(path)}))

    def load_input(self, context: InputContext) -> Any:
        """Read the value of the output that the input comes from."""
        context.get_identifier()  # refuses an input that comes from no output
        assert context.upstream_output is not None
        place = self._place(context.upstream_output)
        context.log.debug(f"Loading file from: {remote.shown(place)}")
        return remote.load(place)

    def _place(self, context: OutputContext) -> Path | remote.RemoteFile:
        given = context.definition_metadata.get("path")
        path = given.value if isinstance(given, MetadataValue) else given
        if not isinstance(path, (str, os.PathLike)):
            raise ParameterCheckError(
                f'Output "{context.name}" of step "{context.step_key}": Param "metadata.path" is not a str. Got '
                f"{show(given)}. custom_path_fs_io_manager takes the path of a value from the metadata of its output: "
                f'Out(metadata={{"path": "some/file"}}).'
            )
        branch = () if context.mapping_key is None else (context.mapping_key,)
        return remote.place(self.base_dir, str(path), *branch)


@io_manager(
    {"base_dir": Field(StringSource, description="The folder below which the outputs' paths are.")},
    description="Keeps values in files whose paths the outputs name.",
)
def custom_path_fs_io_manager(init_context: InitResourceContext) -> CustomPathFilesystemIOManager:
    """Make an IO manager that takes the path of a value from `metadata` of its output."""
    return CustomPathFilesystemIOManager(init_context.resource_config["base_dir"])
