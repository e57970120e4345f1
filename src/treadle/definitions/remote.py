"""Values at a remote store: the artifact format at a URL of any protocol that fsspec knows.

A value is put together in a local temporary file, then put to the store in one go, so that it is there complete or not at
all; a reader fetches the file and maps it. fsspec (the extra `remote`) is imported when a URL is used for the first time.
What may be set for a protocol (endpoint, credentials) fsspec reads from its own configuration.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from treadle.definitions.artifacts import PART, RUN_ID, read_artifact, verify_artifact, write_artifact
from treadle.errors import DagsterInvariantViolationError
from treadle.settings import is_url

#: stores whose objects are put whole or not at all; elsewhere a file is put aside and renamed
_WHOLE = frozenset("abfs abfss adl az gcs gs oss r2 s3 s3a".split())
#: how the names of temporary folders begin, and for how many seconds a folder is left alone
_TEMPORARY, _FRESH = "treadle-value-", 60.0
_USER = r"(?<=://)[^/@]*@"


class RemoteFile(NamedTuple):
    """A file or folder at a store."""

    #: of fsspec
    fs: Any
    #: as its file system has it, without the protocol
    path: str
    #: for people: without user and password
    url: str

    @property
    def is_whole(self) -> bool:
        """Whether the store puts a file whole or not at all."""
        protocol = self.fs.protocol
        return not _WHOLE.isdisjoint([protocol] if isinstance(protocol, str) else protocol)

    @property
    def parent(self) -> str:
        """The folder around it."""
        return str(PurePosixPath(self.path).parent)


def place(base: str, *parts: str) -> Path | RemoteFile:
    """What is below a folder, or below a URL; below a `file://` a path."""
    if not is_url(base):
        return Path(base, *parts)
    return Path(base.removeprefix("file://"), *parts) if base.startswith("file:///") else find(base, *parts)


def keep(where: Path | RemoteFile, value: Any, *, is_durable: bool = False) -> str:
    """Write a value there, see `write_artifact` and `write`; gives the place for people."""
    if isinstance(where, Path):
        write_artifact(where, value, is_durable=is_durable)
    else:
        write(where, value)
    return shown(where)


def shown(where: Path | RemoteFile) -> str:
    """The place for people."""
    return str(where) if isinstance(where, Path) else where.url


def load(where: Path | RemoteFile) -> Any:
    """Read a value from there, see `read_artifact` and `read`."""
    return read_artifact(where) if isinstance(where, Path) else read(where)


def find(url: str, *parts: str) -> RemoteFile:
    """What a URL means, and what is below it. DagsterInvariantViolationError, saying what to install, where fsspec or what it
    needs for the protocol is missing, or it knows no such protocol.
    """
    known = re.sub(_USER, "", url)
    try:
        import fsspec
    except ImportError as error:
        raise DagsterInvariantViolationError(
            f"Values are to be kept at {known}, and fsspec, which reaches it, is not installed: pip install 'treadle[remote]'. "
            f"(Most protocols need a package of their own besides, such as s3fs for s3://.)"
        ) from error
    try:
        fs, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise DagsterInvariantViolationError(
            f"Values are to be kept at {known}, and fsspec cannot reach it: {error}. Install what it needs for that protocol where "
            f"the run is and where its steps are, or name another place (artifacts.dir, or base_dir of the IO manager)."
        ) from error
    except Exception as error:
        raise OSError(
            errno.EIO,
            f"Values are to be kept there, and it cannot be reached: {type(error).__name__}: {error}. Place",
            known,
        ) from error
    below = "/".join(parts)
    return RemoteFile(fs, f"{path.rstrip('/')}/{below}" if below else path, f"{known}/{below}" if below else known)


def write(place: RemoteFile, value: Any) -> None:
    """Keep a value there, in the format of `write_artifact`, complete or not at all.

    Raises DagsterInvariantViolationError for an object that cannot be pickled, and OSError, naming the place, where the store
    does not take it.
    """
    with _temporary() as local:
        write_artifact(local, value)
        target = place.path
        if not place.is_whole:
            name = PurePosixPath(place.path).name
            target = f"{place.parent}/.{name}.{os.getpid()}-{os.urandom(4).hex()}.part"
        try:
            if not place.is_whole:
                _make_folder(place)
            place.fs.put_file(str(local), target)
            if not place.is_whole:
                _rename(place.fs, target, place.path)
        except BaseException as error:
            if not place.is_whole:
                with contextlib.suppress(Exception):  # it may not be there
                    place.fs.rm_file(target)
            if not isinstance(error, Exception):
                raise
            raise OSError(
                errno.EIO,
                f"The value was not stored, and nothing of it is left: {type(error).__name__}: {error}. See to that store, or let "
                f"the IO manager store elsewhere (base_dir), then run the step again. Place",
                place.url,
            ) from error


def _make_folder(place: RemoteFile) -> None:
    try:
        place.fs.makedirs(place.parent, exist_ok=True)
    except Exception:  # another step may have made it at the same time
        place.fs.invalidate_cache()
        if not place.fs.isdir(place.parent):
            raise


def _rename(fs: Any, source: str, target: str) -> None:
    from fsspec import AbstractFileSystem

    if (
        type(fs).mv is AbstractFileSystem.mv
    ):  # it cannot rename: its `mv` copies, and takes the brackets of step keys for patterns
        fs.cp_file(source, target)
        fs.rm_file(source)
        return
    try:
        fs.mv(source, target)
    except Exception:  # some stores do not replace by renaming
        if not fs.exists(target):
            raise
        fs.rm_file(target)
        fs.mv(source, target)


def read(place: RemoteFile) -> Any:
    """The value that is kept there; large buffers of it are mapped from a temporary file, which goes with them.

    Raises FileNotFoundError where there is none, and DagsterInvariantViolationError where it is not what was written.
    """
    with _fetched(place) as local:
        return read_artifact(local, shown=place.url)


def verify(place: RemoteFile) -> None:
    """Fetch it and compare every checksum; DagsterInvariantViolationError where it is not what was written."""
    with _fetched(place) as local:
        verify_artifact(local, shown=place.url)


@contextlib.contextmanager
def _fetched(place: RemoteFile) -> Iterator[Path]:
    with _temporary() as local:
        try:
            place.fs.get_file(place.path, str(local))
        except Exception as error:
            if isinstance(error, FileNotFoundError) or not place.fs.exists(place.path):
                raise FileNotFoundError(
                    errno.ENOENT,
                    "There is no stored value; run the step that makes it again. Missing file",
                    place.url,
                ) from None
            raise
        yield local


@contextlib.contextmanager
def _temporary() -> Iterator[Path]:
    import shutil
    import tempfile

    from treadle.storage import presence

    _sweep_temporary()
    folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY))
    lock = presence.hold(folder)  # it goes with this process, and so tells when nobody needs the folder any more
    try:
        yield folder / "value"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


@cache
def _sweep_temporary() -> None:
    """Delete, once in a process, what processes of this user that were killed have left; one may have made a folder and not
    locked it yet.
    """
    import shutil
    import tempfile

    from treadle.storage import presence

    for folder in Path(tempfile.gettempdir()).glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime < _FRESH:
                continue
            lock = presence.seize(folder)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


# -- what is left over --------------------------------------------------------------------------------------------------


def files_below(place: RemoteFile) -> list[RemoteFile]:
    """All files below a folder, sorted; none where there is no such folder."""
    place.fs.invalidate_cache()
    if not place.fs.exists(place.path):
        return []
    found = sorted(place.fs.find(place.path))
    return [RemoteFile(place.fs, path, f"{place.url}{path[len(place.path) :]}") for path in found]


def sweep(place: RemoteFile, run_ids: Collection[str]) -> int:
    """Delete what was left half written of runs that have ended, below the folder of all runs; gives the number of files.

    Nothing is looked for where the store takes a file whole or not at all.
    """
    gone = 0
    for each in [] if place.is_whole else files_below(place):
        run_id = each.path[len(place.path) :].lstrip("/").partition("/")[0]
        if run_id in run_ids and re.fullmatch(PART, PurePosixPath(each.path).name):
            with contextlib.suppress(FileNotFoundError):
                each.fs.rm_file(each.path)
                gone += 1
    return gone


def collect(place: RemoteFile, run_ids: Collection[str]) -> int:
    """Delete the values of these runs, below the folder of all runs; gives the bytes freed."""
    freed = 0
    place.fs.invalidate_cache()
    for run_id in run_ids:
        folder = f"{place.path}/{run_id}"
        if re.fullmatch(RUN_ID, run_id) and place.fs.exists(folder):
            size = sum(each["size"] or 0 for each in place.fs.find(folder, detail=True).values())
            place.fs.rm(folder, recursive=True)
            freed += size
    return freed
