"""The artifact format: one value in one file, complete or not at all; and what is left over of values.

FilesystemIOManager stores with it, `treadle gc` and resume clear up with it. Only this module and the IO managers unpickle,
and only files of their own instance.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import re
import stat
import struct
import threading
import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol

from treadle.checks import show
from treadle.errors import DagsterInvariantViolationError

if TYPE_CHECKING:
    from treadle.definitions.shelf import Shelf

#: a buffer of at least this many bytes stands outside the pickle, so that it can be mapped
OUT_OF_BAND_SIZE = 1 << 16
#: offsets of buffers are multiples of this: a cache line, and what every array library is content with
ALIGNMENT = 64
_VERSION = 1
_MAGIC = b"TRDLVAL\n"
#: of one buffer: offset, length, 1 where it was read-only, checksum
_BUFFER = struct.Struct("<QQII")
#: larger buffers are not read through for their checksum when a value is loaded: mapping them would then cost a copy.
#: `verify_artifact` reads them all; docs/decisions/0013 has the figures
VERIFIED_SIZE = 1 << 26
#: bytes of buffers from which a thread is worth its start
_LARGE = 1 << 23
#: bytes of buffers from which it is worth asking whether they are in a file already, and the longest pickle to compare
_WORTH_A_LINK = 1 << 20
#: length of the pickle, length of the whole file, number of buffers, version
_FACTS = struct.Struct("<QQII")
#: checksum, magic
_SEAL = struct.Struct("<I8s")
_TRAILER_SIZE = _FACTS.size + _SEAL.size
#: what pickle raises for objects that it cannot write
_NOT_PICKLABLE = (pickle.PicklingError, AttributeError, TypeError, RecursionError, ImportError)


def write_artifact(
    path: Path, value: Any, *, is_durable: bool = False, home: Path | None = None, shelf: Shelf | None = None
) -> bool:
    """Write one value to one file: aside first, then renamed, so that the file is there complete or not at all.

    The file holds, one after the other:

    * the pickle of the value, protocol 5. Without large buffers the rest is only the trailer, and `pickle.load` on the
      file gives the value;
    * the large buffers (of arrays, tables, ...) as they are in memory, each at a multiple of 64 bytes, zeros between;
    * for each buffer its offset and its length (64 bit), whether it is read-only (1 or 0) and its CRC-32 (32 bit);
    * the trailer of 36 bytes: length of the pickle and of the whole file (64 bit), number of buffers and version of the
      format (32 bit), the CRC-32 of the pickle, the list of buffers and these four numbers, and `TRDLVAL` with a
      newline. All numbers are little-endian.

    A value that is the content of a file below `home`, mapped from there and not changed since, is not written again: the
    new file is another name of that one. So nobody may ever write into such a file.

    A value with large buffers goes into memory where there is a `shelf` that has room, and the path becomes a link to it;
    gives True then. With `is_durable` it survives a loss of power once this has returned. Raises
    DagsterInvariantViolationError for an object that cannot be pickled, and OSError, naming the file and what to do, where it
    cannot be written.
    """
    aside = _beside(path)
    try:
        make_folder(path.parent, is_durable=is_durable)
        with aside.open("x+b") as file:
            draft = _begin(file, value)
            place = _shelve(file, draft, path, shelf) if shelf is not None else None
            is_linked = place is None and home is not None and _link(file, draft, aside, home)
            if place is None and not is_linked:
                _finish(file, draft)
                file.flush()
            if is_durable:
                _sync(aside if is_linked else file)
        if place is not None:
            aside.unlink()
            aside.symlink_to(place)
        aside.replace(path)
        if is_linked:  # where both were names of one file already, nothing was renamed
            aside.unlink(missing_ok=True)
    except BaseException as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        explained = _explain(error, path, value)
        if explained is not None:
            raise explained from error
        raise
    if shelf is not None and place is None:
        shelf.let_go(path)  # of an earlier attempt
    if is_durable:
        _sync_folder(path.parent)
    return place is not None


def _beside(path: Path) -> Path:
    """The name under which a file is written before it gets its own."""
    return path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.part")


def _explain(error: BaseException, path: Path, value: Any) -> Exception | None:
    """What a user is told where a value could not be written; None where the error says it itself."""
    if isinstance(error, _NOT_PICKLABLE):
        depth = "exceeds recursion limit and " if isinstance(error, RecursionError) else ""
        return DagsterInvariantViolationError(
            f"Object {show(value)} (a {type(value).__name__}) {depth}is not picklable: {error}. The filesystem IO manager "
            f"stores values as pickles. Return something that can be pickled, or give this output an IO manager "
            f"that knows how to store it; mem_io_manager stores anything, within one process."
        )
    if isinstance(error, OSError) and error.errno is not None:
        advice = "Make room there" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "See to that folder"
        return OSError(
            error.errno,
            f"{os.strerror(error.errno)}: the value was not stored, and nothing of it is left. {advice}, or let the IO manager "
            f"store elsewhere (base_dir), then run the step again. File",
            str(path),
        )
    return None


def make_folder(folder: Path, *, is_durable: bool = False) -> None:
    """Make a folder with those around it; with `is_durable` their names survive a loss of power."""
    if folder.is_dir():
        return
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    if is_durable:
        for each in missing:
            _sync_folder(each.parent)


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


class _Checksums:
    """The CRC-32 of each buffer, where they are large counted on a thread while they are written: both leave the interpreter
    lock alone.
    """

    def __init__(self, buffers: list[memoryview]) -> None:
        self._buffers = buffers
        self.found: list[int] = []
        self._thread: threading.Thread | None = None

    def __enter__(self) -> _Checksums:
        if sum(view.nbytes for view in self._buffers) >= _LARGE:
            thread = threading.Thread(target=self._count, name="treadle-checksums", daemon=True)
            with contextlib.suppress(RuntimeError):  # no more threads to be had
                thread.start()
                self._thread = thread
        return self

    def _count(self) -> None:
        self.found = [zlib.crc32(view) for view in self._buffers]

    def __exit__(self, *_exc: object) -> None:
        if self._thread is not None:
            self._thread.join()
        else:
            self._count()


class _Draft(NamedTuple):
    """A value whose pickle is in the file, while its buffers are not."""

    size: int
    checksum: int
    buffers: list[memoryview]


def _begin(file: BinaryIO, value: Any) -> _Draft:
    buffers: list[memoryview] = []

    def is_in_band(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < OUT_OF_BAND_SIZE:
            return True
        buffers.append(view)
        return False

    writer = _ChecksumWriter(file)
    pickle.Pickler(writer, protocol=5, buffer_callback=is_in_band).dump(value)
    return _Draft(writer.size, writer.checksum, buffers)


def _finish(file: BinaryIO, draft: _Draft) -> None:
    """Write what comes after the pickle."""
    buffers, position = draft.buffers, draft.size
    file.seek(position)
    places = []
    for view in buffers:
        position += -position % ALIGNMENT
        places.append(position)
        position += view.nbytes
    total = position + len(buffers) * _BUFFER.size + _TRAILER_SIZE
    if buffers:
        _reserve(file, total)
    with _Checksums(buffers) as checksums:
        for place, view in zip(places, buffers, strict=True):
            file.write(bytes(place - file.tell()))
            file.write(view)
    table = b"".join(
        _BUFFER.pack(place, view.nbytes, view.readonly, checksum)
        for place, view, checksum in zip(places, buffers, checksums.found, strict=True)
    )
    facts = _FACTS.pack(draft.size, total, len(buffers), _VERSION)
    file.write(table + facts + _SEAL.pack(zlib.crc32(table + facts, draft.checksum), _MAGIC))


def _link(file: BinaryIO, draft: _Draft, aside: Path, home: Path) -> bool:
    """Put in the place of a file that was begun another name of the one that holds this value already; False where there is
    none, or the file system has no such names.
    """
    if draft.size > _WORTH_A_LINK or sum(view.nbytes for view in draft.buffers) < _WORTH_A_LINK:
        return False
    from treadle.definitions.mapped import find_mapped

    found = find_mapped(draft.buffers)
    if found is None or len({(each.path, each.inode) for each in found}) > 1:
        return False
    source = found[0].path
    twin = aside.with_name(f"{aside.name.removesuffix('.part')}0.part")
    try:
        if not source.is_relative_to(home.resolve()):
            return False
        file.seek(0)
        with source.open("rb") as stored:
            status = os.fstat(stored.fileno())
            places = [each.offset for each in found]
            # The number of a file that is mapped is nobody else's; its name may be by now.
            if status.st_ino != found[0].inode or not _holds(source, stored, file.read(), draft.buffers, places):
                return False
        os.link(source, twin)
        if not os.path.samestat(twin.stat(), status):
            twin.unlink()
            return False
        twin.replace(aside)
    except (OSError, DagsterInvariantViolationError):  # it is written, then
        with contextlib.suppress(OSError):
            twin.unlink(missing_ok=True)
        return False
    return True


def _shelve(file: BinaryIO, draft: _Draft, path: Path, shelf: Shelf) -> Path | None:
    """Put a value whose pickle is in the file into memory; gives where, or None where it does not go there."""
    from shutil import copyfileobj

    from treadle.definitions.shelf import WORTH_MEMORY

    place, size = shelf.place_of(path), sum(view.nbytes for view in draft.buffers)
    if place is None or size < WORTH_MEMORY:
        return None
    aside = _beside(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("x+b") as twin:
            file.seek(0)
            copyfileobj(file, twin)
            is_linked = _link(twin, draft, aside, shelf.folder)
            if not is_linked:
                if not shelf.has_room(size):
                    aside.unlink()
                    return None
                _finish(twin, draft)
        aside.replace(place)
        aside.unlink(missing_ok=True)
    except OSError:  # it is full after all, or gone
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        return None
    return place


def _holds(source: Path, stored: BinaryIO, pickled: bytes, buffers: list[memoryview], places: list[int]) -> bool:
    """Whether a file is what would be written for this pickle and these buffers, which are mapped from those places of it.

    Its checksums are not looked at, and stay: damage that nobody has found yet is found in every name of the file.
    """
    from treadle.definitions.mapped import is_same, is_untouched

    data = _contents(stored, os.fstat(stored.fileno()).st_size)
    table = _read_table(str(source), data)
    wanted = [(place, view.nbytes, int(view.readonly)) for place, view in zip(places, buffers, strict=True)]
    if [row[:3] for row in table.buffers] != wanted or data[: table.pickle_size] != pickled:
        return False
    return all(
        is_untouched(view) or is_same(view, stored.fileno(), place) for place, view in zip(places, buffers, strict=True)
    )


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


def verify_artifact(path: Path, *, shown: str | None = None) -> None:
    """Read a file through and compare every checksum; DagsterInvariantViolationError where it is not what was written.

    `shown` is how messages call it, where it is a copy of something else.
    """
    with path.open("rb") as file:
        _take_apart(shown or str(path), _contents(file, os.fstat(file.fileno()).st_size), verified_size=1 << 62)


def read_artifact(path: Path, *, shown: str | None = None) -> Any:
    """Read a value that `write_artifact` wrote. `shown` is how messages call the file, where it is a copy of something else.

    Large buffers are mapped from the file, not copied: reading one costs its pages when they are touched, and writing
    to it changes only this process's view. Raises FileNotFoundError where there is no file, and
    DagsterInvariantViolationError, naming the path and what to do, where it is not what was written.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = _contents(file, size)
        pickled, buffers = _take_apart(shown or str(path), data)
        return pickle.loads(pickled, buffers=buffers)
    except FileNotFoundError as error:
        if error.filename != str(path):
            raise
        if path.is_symlink():
            why = (
                "The value was handed over in memory (artifacts.hand_over), and let go when every step of its run that takes it had "
                "succeeded, or lost with the machine's memory; run the step that makes it again, too. Value"
            )
            raise FileNotFoundError(errno.ENOENT, why, str(path)) from None
        raise FileNotFoundError(
            errno.ENOENT, "There is no stored value; run the step that makes it again. Missing file", str(path)
        ) from None


def _contents(file: BinaryIO, size: int) -> memoryview:
    if size < OUT_OF_BAND_SIZE:
        return memoryview(file.read())
    import mmap

    # A private map: a reader may write to its arrays, the file stays as it is. Buffers keep the map open.
    return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY))


class _Table(NamedTuple):
    """What the end of a file says: the length of the pickle; of each buffer its place, length, whether it is read-only, and
    its checksum.
    """

    pickle_size: int
    buffers: list[tuple[int, int, int, int]]


def _read_table(path: str, data: memoryview) -> _Table:
    """The table at the end of the contents of a file; that, and the pickle, are as they were written."""
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
    return _Table(pickle_size, list(_BUFFER.iter_unpack(data[table:trailer])))


def _take_apart(path: str, data: memoryview, verified_size: int = VERIFIED_SIZE) -> tuple[memoryview, list[memoryview]]:
    """The pickle and the buffers in the contents of a file."""
    table = _read_table(path, data)
    buffers = []
    for offset, length, is_read_only, checksum in table.buffers:
        buffer = data[offset : offset + length]
        if length <= verified_size and zlib.crc32(buffer) != checksum:
            raise _damaged(path, "the checksum of a buffer is wrong: its bytes are not those that were written")
        buffers.append(buffer.toreadonly() if is_read_only else buffer)
    return data[: table.pickle_size], buffers


def _damaged(path: str, why: str) -> DagsterInvariantViolationError:
    return DagsterInvariantViolationError(
        f"The stored value {path} cannot be read: {why}. Delete the file and run the step that makes it again."
    )


def _sync(file: BinaryIO | Path) -> None:
    """Make what a file holds last."""
    if isinstance(file, Path):
        with file.open("rb") as opened:
            _sync(opened)
    else:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename in this folder last."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- what is left over --------------------------------------------------------------------------------------------------

#: `.name.pid-token.part`: a value that is being written
PART = r"\..+\.(\d+)-[0-9a-f]+\.part"
RUN_ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def sweep(folder: Path, *, is_deserted: bool = False) -> int:
    """Delete what processes that have died left half written below a folder; gives the number of files.

    With `is_deserted` nobody is known to write there, so that nobody is looked up: a number may be another process's by now.
    """
    gone = 0
    for path in folder.rglob(".*.part"):
        found = re.fullmatch(PART, path.name)
        if found and (is_deserted or not _is_running(int(found[1]))):
            path.unlink(missing_ok=True)
            gone += 1
    return gone


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError, IndexError):  # where the system tells, what nobody has waited for is not running
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    return True


def collect_artifacts(folder: Path, find_kept: Callable[[], Collection[str]]) -> int:
    """Delete the values of runs that are not kept; gives the bytes freed. Only folders named by a run id are touched.

    Which are kept is asked after the folder was looked at: a run is known before its first value is written, so one that
    begins meanwhile loses nothing.
    """
    from shutil import rmtree

    if not folder.is_dir():
        return 0
    freed = 0
    places = [each for each in folder.iterdir() if re.fullmatch(RUN_ID, each.name)]
    kept = set(find_kept())
    for place in places:
        if place.name not in kept and place.is_dir() and not place.is_symlink():
            size = _size_alone(place)
            rmtree(place, ignore_errors=True)
            freed += 0 if place.exists() else size
    return freed


def _size_alone(folder: Path) -> int:
    """Bytes that go with a folder: a file that has a name elsewhere stays."""
    found: dict[tuple[int, int], list[os.stat_result]] = {}
    with contextlib.suppress(OSError):
        for path in folder.rglob("*"):
            status = path.lstat()
            found.setdefault((status.st_dev, status.st_ino), []).append(status)
    return sum(
        names[0].st_size
        for names in found.values()
        if stat.S_ISREG(names[0].st_mode) and len(names) >= names[0].st_nlink
    )
