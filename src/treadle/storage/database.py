"""One SQLite database: connections of this process, migrations, transactions, and errors by their right names.

The store asks for `reading` and `writing`; nothing else here knows what the tables mean. A connection is never used in
a process that was forked after it was opened.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from treadle.errors import (
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreMissingError,
    StoreReadOnlyError,
    StoreVersionError,
    TreadleStorageWarning,
)
from treadle.storage import sql
from treadle.storage.networks import network_kind

#: seconds that a write waits for other writers
_PATIENCE = 60.0
#: bytes; each commit of a step writes three pages, whole, and its cost is mostly that
_PAGE_SIZE = 2048
#: pages of the write-ahead log that are put back into the file at once: 16 MB. That is when SQLite waits for the disk, which
#: makes up a third of the time of a commit where it is done each 4 MB, as by default
_CHECKPOINT_PAGES = 8000
#: seconds for which a file that was there is taken to be there still
_CHECK_INTERVAL = 0.05


#: what says that the file, or what was asked of it, is at fault
_TROUBLE = (sqlite3.Error, OSError, UnicodeEncodeError)


class _Connection(sqlite3.Connection):
    """One that is closed with the last reference to it. Nobody has to close an instance, and from Python 3.13 on that is
    warned of.
    """

    def __del__(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # of one that could not be opened
            self.close()


class Transaction:
    """`with database.writing() as connection:` - one object for all of them, since they come one after another."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> sqlite3.Connection:
        return self._database.begin()

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._database.end(error)


class Database:
    """A database in a file, or in memory where `path` is None."""

    def __init__(self, path: Path | None, *, is_synchronous: bool = False) -> None:
        self.path = path
        self.is_synchronous = is_synchronous
        self.is_read_only = False
        self._transaction = Transaction(self)
        self._lock = threading.RLock()
        # In memory there is one connection: whoever reads waits for who writes.
        self._reading_lock = self._lock if path is None else threading.RLock()
        self._pid = os.getpid()
        self._inode: tuple[int, int] | None = None
        #: when the file was last looked at
        self._checked = 0.0
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        #: grows with every write of this process
        self.writes = 0

    # -- transactions

    def writing(self) -> Transaction:
        """One transaction, committed where the block ends well. StoreError for all that goes wrong with the file."""
        return self._transaction

    def begin(self) -> sqlite3.Connection:
        """Take the lock and begin to write; `end` must follow. For the transaction."""
        self._leave_after_fork()
        self._lock.acquire()
        try:
            connection = self._writer or self._writer_connection()
            self._check_writable()
            connection.execute("BEGIN IMMEDIATE")
        except _TROUBLE as error:
            self._lock.release()
            raise self._told(error) from error
        except BaseException:
            self._lock.release()
            raise
        return connection

    def end(self, error: BaseException | None) -> None:
        """Commit, or take back where there was an error, and let go of the lock."""
        connection = self._writer
        assert connection is not None
        try:
            if error is None:
                connection.execute("COMMIT")
                self.writes += 1
        except sqlite3.Error as failed:
            error = failed
        finally:
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            self._lock.release()
        if isinstance(error, _TROUBLE):
            raise self._told(error) from error

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection to read with. StoreError for all that goes wrong with the file."""
        self._leave_after_fork()
        with self._reading_lock:
            try:
                yield self._reader_connection()
            except _TROUBLE as error:
                raise self._told(error) from error

    def version(self) -> tuple[int, int]:
        """Differs from what it was whenever anybody has written since."""
        with self.reading() as connection:
            return self.writes, connection.execute("PRAGMA data_version").fetchone()[0]

    def distrust(self) -> None:
        """Look at the next transaction whether the file is still there, however short it is since the last look."""
        self._checked = -_CHECK_INTERVAL

    def close(self) -> None:
        """Close the connections. Again is fine; the next transaction opens them anew."""
        with self._lock, self._reading_lock:
            if self._pid == os.getpid():
                for connection in {self._reader, self._writer} - {None}:
                    assert connection is not None
                    with contextlib.suppress(sqlite3.Error):
                        connection.close()
            self._reader = self._writer = None

    # -- connections

    def _writer_connection(self) -> sqlite3.Connection:
        if self._writer is None:
            self._writer = self._open()
        return self._writer

    def _reader_connection(self) -> sqlite3.Connection:
        if self._reader is None:
            if self._writer is None:
                with self._lock:
                    self._writer_connection()
            self._reader = self._writer if self.path is None or self.is_read_only else self._connect()
        assert self._reader is not None
        return self._reader

    def _leave_after_fork(self) -> None:
        """In a forked child the parent's connections are left alone: not even closed, which would drop its locks."""
        if self._pid != os.getpid():
            if self.path is None:
                raise StoreError(
                    "This instance is in memory, and belongs to the process that made it: a forked process has a copy that nobody "
                    "would see. Use DagsterInstance.get() or local_temp() where several processes share an instance."
                )
            _ABANDONED.append((self._writer, self._reader))
            self._pid, self._writer, self._reader = os.getpid(), None, None
            self._lock, self._reading_lock = threading.RLock(), threading.RLock()

    def _open(self) -> sqlite3.Connection:
        if self.path is None:
            connection = self._connect()
            _migrate(connection, "in memory")
            return connection
        try:
            connection = self._connect()
            self._prepare(connection)
        except sqlite3.OperationalError as error:
            if not self.path.exists() or not _is_about_writing(error):
                raise
            connection = self._open_to_read()
        status = self.path.stat()
        self._inode = status.st_dev, status.st_ino
        return connection

    def _connect(self, query: str = "") -> sqlite3.Connection:
        name = ":memory:" if self.path is None else f"{self.path.absolute().as_uri()}{query}"
        connection = sqlite3.connect(
            name,
            timeout=_PATIENCE,
            isolation_level=None,
            check_same_thread=False,
            uri=self.path is not None,
            factory=_Connection,
        )
        connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")  # of a new file; one that is there keeps its own
        connection.execute(f"PRAGMA synchronous = {'FULL' if self.is_synchronous else 'NORMAL'}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        assert self.path is not None
        kind = network_kind(self.path)
        if kind is not None:
            warnings.warn(
                f"The store {self.path} is on a network file system ({kind}), where a write-ahead log is not safe: it uses a "
                f"rollback journal, which is slower. A home on a local disk is better; name it with TREADLE_HOME.",
                TreadleStorageWarning,
                stacklevel=2,
            )
        _set_journal(connection, "TRUNCATE" if kind is not None else "WAL")
        if _version_of(connection) != sql.migrations()[-1][0]:
            _migrate(connection, str(self.path))

    def _open_to_read(self) -> sqlite3.Connection:
        """A store that cannot be written can still be read, also where its folder takes no files beside it."""
        self.is_read_only = True
        try:
            connection = self._connect("?mode=ro")
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.OperationalError:
            connection = self._connect("?mode=ro&immutable=1")
        found, known = _version_of(connection), sql.migrations()[-1][0]
        if found > known:
            raise _too_new(str(self.path), found)
        if found != known:
            raise StoreVersionError(
                f"The store {self.path} has version {found} of the schema, this Treadle version {known}, and the store cannot be "
                f"written to bring it up to date. Make it writable, and open it once."
            )
        return connection

    # -- what goes wrong

    def _check_writable(self) -> None:
        """A file that was deleted or replaced under an open connection takes writes, and nobody ever sees them."""
        if self.is_read_only:
            raise StoreReadOnlyError(
                f"The store {self.path} cannot be written: its file or folder does not allow it. Make it writable, or name "
                f"another home with TREADLE_HOME."
            )
        now = time.monotonic()
        if self.path is None or now < self._checked + _CHECK_INTERVAL:
            return
        self._checked = now
        try:
            status = self.path.stat()
        except FileNotFoundError:
            status = None
        if status is None or (status.st_dev, status.st_ino) != self._inode:
            raise StoreMissingError(
                f"The store {self.path} was {'deleted or moved' if status is None else 'replaced'} while it was in use. What was "
                f"committed before is in the file that was there; put it back, then resume the runs that were under way."
            )

    def _told(self, error: sqlite3.Error | OSError | UnicodeEncodeError) -> StoreError:
        """What went wrong, by its right name."""
        if isinstance(error, sqlite3.Error):
            return self._named(error)
        if isinstance(error, UnicodeEncodeError):
            return StoreError(f"The store {self.path} cannot keep or look for a text with half a character: {error}.")
        return StoreError(f"The store {self.path} cannot be opened: {error}.")

    def _named(self, error: sqlite3.Error) -> StoreError:
        text = str(error)
        where = f"The store {self.path if self.path is not None else 'in memory'}"
        if "locked" in text or "busy" in text:
            return StoreBusyError(
                f"{where} was locked by another process for more than {_PATIENCE:.0f} seconds. See which processes use the file; "
                f"what was to be written is kept, and written at the next try."
            )
        if "full" in text:
            return StoreFullError(f"{where} cannot grow: the disk is full. Make room, then resume the run.")
        if "disk I/O error" in text and self._is_full():
            return StoreFullError(f"{where} cannot grow: the disk is full. Make room, then resume the run.")
        if "readonly" in text or "read-only" in text:
            return StoreReadOnlyError(
                f"{where} cannot be written: its file or folder does not allow it ({text}). Make it writable, or name another "
                f"home with TREADLE_HOME."
            )
        if isinstance(error, sqlite3.DatabaseError) and ("malformed" in text or "not a database" in text):
            return StoreCorruptError(
                f"{where} is damaged ({text}). Move it aside and put a copy back; `sqlite3 FILE .recover` saves what can be read."
            )
        if "no such table" in text or "no such column" in text:
            return StoreCorruptError(
                f"{where} is no store of Treadle, or was cut short ({text}). Move it aside, and a new store is made; or name another "
                f"home with TREADLE_HOME."
            )
        if "unable to open" in text:
            return StoreMissingError(f"{where} cannot be opened ({text}). Does its folder exist, and may it be read?")
        return StoreError(f"{where} could not do what was asked: {text}.")

    def _is_full(self) -> bool:
        if self.path is None:
            return False
        room = os.statvfs(self.path.parent)
        return room.f_bavail * room.f_frsize < 1 << 20


#: connections of a parent process: they must never be closed here, not even by the garbage collector
_ABANDONED: list[object] = []


def _is_about_writing(error: sqlite3.OperationalError) -> bool:
    text = str(error)
    return "readonly" in text or "read-only" in text or "unable to open" in text


def _set_journal(connection: sqlite3.Connection, mode: str) -> None:
    """Several processes may open a new store at once, and for this change SQLite does not wait for the others."""
    if connection.execute("PRAGMA journal_mode").fetchone()[0].upper() == mode:
        return
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute(f"PRAGMA journal_mode = {mode}").fetchone()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _version_of(connection: sqlite3.Connection) -> int:
    """The number of the newest migration that the store has seen; 0 for a new one."""
    has_table = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'schema_version'").fetchone()
    if not has_table:
        if connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
            raise sqlite3.DatabaseError("no such table: schema_version")
        return 0
    return connection.execute("SELECT max(version) FROM schema_version").fetchone()[0] or 0


def _too_new(name: str, version: int) -> StoreVersionError:
    return StoreVersionError(
        f"The store {name} has version {version} of the schema, and this Treadle knows versions up to "
        f"{sql.migrations()[-1][0]}: a newer Treadle wrote it. Use that one, or another home."
    )


def _migrate(connection: sqlite3.Connection, name: str) -> None:
    known = sql.migrations()
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version_of(connection)
        if version > known[-1][0]:
            raise _too_new(name, version)
        if version == 0:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL, applied REAL NOT NULL)"
            )
        for number, statements in known:
            if number > version:
                for statement in statements:
                    connection.execute(statement)
                connection.execute("INSERT INTO schema_version VALUES (?, ?)", (number, time.time()))
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
