"""FileHandle and the file manager: files that ops write and hand on by reference.

A resource, usually under the key `file_manager`, writes bytes to a file of a name of its own and gives back a handle;
the handle is a small value that goes from op to op, and the file stays where it is. Ops call it, the engine never does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from treadle.checks import check_param
from treadle.config.schema import Field, StringSource
from treadle.contexts import InitResourceContext
from treadle.definitions.resources import resource
from treadle.errors import CheckError, DagsterInvariantViolationError

if TYPE_CHECKING:
    from treadle.instance import DagsterInstance


class FileHandle(ABC):
    """Refers to a file that a file manager keeps, here or elsewhere. A value like any other: ops return and take it."""

    @property
    @abstractmethod
    def path_desc(self) -> str:
        """Where the file is, for people to read."""


@dataclass(frozen=True)
class LocalFileHandle(FileHandle):
    """Refers to a file on this machine. Handles of one path are equal."""

    path: str

    def __post_init__(self) -> None:
        check_param(self.path, str, "path", "LocalFileHandle")

    @property
    def path_desc(self) -> str:
        """The path."""
        return self.path


class FileManager(ABC):
    """Keeps files for ops. Derive from it for a store of your own; LocalFileManager keeps them in a folder."""

    @abstractmethod
    def copy_handle_to_local_temp(self, file_handle: FileHandle) -> str:
        """Copy a file into a temporary one on this machine; gives its path."""

    @abstractmethod
    def delete_local_temp(self) -> None:
        """Delete the temporary files that `copy_handle_to_local_temp` made."""

    @abstractmethod
    def read(self, file_handle: FileHandle, mode: str = "rb") -> contextlib.AbstractContextManager[IO[Any]]:
        """Open a file for reading, to be used in a `with` block; `mode` is "rb" or, for text in UTF-8, "r"."""

    @abstractmethod
    def read_data(self, file_handle: FileHandle) -> bytes:
        """All bytes of a file."""

    @abstractmethod
    def write(self, file_obj: IO[Any], mode: str = "wb", ext: str | None = None) -> FileHandle:
        """Keep what an open file holds from where it stands; `mode` is "wb" or, for text, "w"."""

    @abstractmethod
    def write_data(self, data: bytes, ext: str | None = None) -> FileHandle:
        """Keep some bytes; `ext` is the end of the file's name, such as "csv"."""


class LocalFileManager(FileManager):
    """Keeps files in a folder, which is made when it is first needed. Each file gets a name of its own."""

    def __init__(self, base_dir: str | os.PathLike[str]) -> None:
        self.base_dir = os.fspath(base_dir)
        self._temporary: weakref.finalize[[str, bool], LocalFileManager] | None = None
        self._temporary_folder = ""

    @staticmethod
    def for_instance(instance: DagsterInstance, run_id: str) -> LocalFileManager:
        """One for the files of a run, in the storage folder of an instance."""
        return LocalFileManager(Path(instance.storage_directory(), run_id, "files"))

    def ensure_base_dir_exists(self) -> None:
        """Make the folder if it is not there."""
        Path(self.base_dir).mkdir(parents=True, exist_ok=True)

    def copy_handle_to_local_temp(self, file_handle: FileHandle) -> str:
        """Copy a file into a temporary one, which is deleted at the latest when the manager is no more."""
        source = _local_path(file_handle)
        if self._temporary is None:
            self._temporary_folder = tempfile.mkdtemp(prefix="treadle-files-")
            self._temporary = weakref.finalize(self, shutil.rmtree, self._temporary_folder, True)
        copy = Path(self._temporary_folder, f"{uuid.uuid4()}{source.suffix}")
        shutil.copyfile(source, copy)
        return str(copy)

    def delete_local_temp(self) -> None:
        """Delete the temporary files."""
        if self._temporary is not None:
            self._temporary()
            self._temporary = None

    @contextlib.contextmanager
    def read(self, file_handle: FileHandle, mode: str = "rb") -> Iterator[IO[Any]]:
        """Open a file for reading, to be used in a `with` block."""
        _check_mode(mode, ("rb", "r", "rt"), "read")
        with _local_path(file_handle).open(mode, encoding=_encoding(mode)) as file:
            yield file

    def read_data(self, file_handle: FileHandle) -> bytes:
        """All bytes of a file."""
        return _local_path(file_handle).read_bytes()

    def write(self, file_obj: IO[Any], mode: str = "wb", ext: str | None = None) -> LocalFileHandle:
        """Keep what an open file holds from where it stands; `mode` is "wb" or, for text, "w"."""
        if not callable(getattr(file_obj, "read", None)):
            raise CheckError(f"LocalFileManager.write takes an open file, got {file_obj!r}. For bytes use write_data.")
        _check_mode(mode, ("wb", "w", "wt"), "write")
        self.ensure_base_dir_exists()
        path = Path(self.base_dir, f"{uuid.uuid4()}{'.' + ext.lstrip('.') if ext else ''}")
        try:
            with path.open(mode, encoding=_encoding(mode)) as file:
                shutil.copyfileobj(file_obj, file)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return LocalFileHandle(str(path))

    def write_data(self, data: bytes, ext: str | None = None) -> LocalFileHandle:
        """Keep some bytes; `ext` is the end of the file's name, such as "csv"."""
        check_param(data, (bytes, bytearray, memoryview), "data", "LocalFileManager.write_data")
        import io

        return self.write(io.BytesIO(data), "wb", ext)


def _local_path(file_handle: FileHandle) -> Path:
    check_param(file_handle, LocalFileHandle, "file_handle", "LocalFileManager")
    assert isinstance(file_handle, LocalFileHandle)
    return Path(file_handle.path)


def _check_mode(mode: str, allowed: tuple[str, ...], what: str) -> None:
    if mode not in allowed:
        raise CheckError(f"LocalFileManager.{what}: mode {mode!r} is not one of {', '.join(map(repr, allowed))}.")


def _encoding(mode: str) -> str | None:
    return None if "b" in mode else "utf-8"


@resource(
    {"base_dir": Field(StringSource, is_required=False, description="Where files are kept; default: the instance's.")},
    description="Keeps files in a folder of this machine.",
)
def local_file_manager(init_context: InitResourceContext) -> LocalFileManager:
    """Make a file manager; without a `base_dir` its folder is `file_manager` in the instance's storage folder."""
    base_dir = init_context.resource_config.get("base_dir")
    if base_dir is not None:
        return LocalFileManager(base_dir)
    if init_context.instance is None:
        raise DagsterInvariantViolationError(
            "local_file_manager needs a base_dir, or an instance whose storage folder it can take."
        )
    return LocalFileManager(Path(init_context.instance.storage_directory(), "file_manager"))
