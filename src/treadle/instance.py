"""DagsterInstance: home, store, settings; the only door to storage.

An ephemeral instance keeps its runs and their logs in memory for as long as somebody holds it. The engine writes
through `record`; everybody else reads.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from treadle.errors import CheckError, DagsterRunAlreadyExists, DagsterRunNotFoundError
from treadle.events import DagsterEvent, DagsterEventType, EventLogEntry, level_of
from treadle.runs import STATUS_AFTER, DagsterRun, DagsterRunStatus, RunsFilter

#: a time and either an event, or (level, text, step key) of a message
LogItem = tuple[float, "DagsterEvent | tuple[int, str, str | None]"]


class DagsterInstance:
    """One deployment: runs, their logs, and settings.

    Make one with `DagsterInstance.ephemeral()`; it is a context manager that cleans up after itself.
    """

    is_ephemeral = True
    is_persistent = False

    def __init__(self, root_directory: str | None = None) -> None:
        self._given_root = root_directory
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._runs: dict[str, DagsterRun] = {}
        self._logs: dict[str, list[LogItem]] = {}
        self._listeners: dict[str, list[Callable[[EventLogEntry], Any]]] = {}
        # Several runs of one instance may be written from several threads.
        self._lock = threading.Lock()

    @staticmethod
    def ephemeral(
        tempdir: str | None = None, preload: Any = None, settings: Mapping[str, Any] | None = None
    ) -> DagsterInstance:
        """An instance that lasts as long as the object; its files go to a temporary directory, or to `tempdir`."""
        return DagsterInstance(tempdir)

    @property
    def root_directory(self) -> str:
        """The folder for files; a temporary one is made when it is first asked for."""
        if self._given_root is not None:
            return self._given_root
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="treadle-")
        return self._temporary.name

    def storage_directory(self) -> str:
        """The folder where the default filesystem IO manager keeps outputs."""
        return str(Path(self.root_directory, "storage"))

    def dispose(self) -> None:
        """Let go of everything that the instance holds open."""
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def __enter__(self) -> DagsterInstance:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.dispose()

    # -- writing: the engine

    def add_run(self, run: DagsterRun) -> DagsterRun:
        """Keep a new run; DagsterRunAlreadyExists where its id is taken."""
        with self._lock:
            if run.run_id in self._runs:
                raise DagsterRunAlreadyExists(
                    f"A run with id {run.run_id} exists already (job {self._runs[run.run_id].job_name!r}, status "
                    f"{self._runs[run.run_id].status.value}). Leave run_id out to have a new one made."
                )
            self._runs[run.run_id] = run
            self._logs[run.run_id] = []
        return run

    def recorder(self, run_id: str) -> Callable[[DagsterEvent], None]:
        """A function that puts an event into a run's log, and moves the run's status by it."""
        append = self._log_of(run_id).append
        listeners = self._listeners.setdefault(run_id, [])
        clock = time.time

        def record(event: DagsterEvent) -> None:
            append((clock(), event))
            if event.event_type_value in STATUS_AFTER:
                self._runs[run_id] = self._runs[run_id].with_status(STATUS_AFTER[event.event_type_value])
            if listeners:
                self._tell(run_id, listeners)

        return record

    def record_message(self, run_id: str, level: int, text: str, step_key: str | None) -> None:
        """Put a message of user code, or a note of the engine, into a run's log."""
        self._log_of(run_id).append((time.time(), (level, text, step_key)))
        listeners = self._listeners.get(run_id)
        if listeners:
            self._tell(run_id, listeners)

    def _tell(self, run_id: str, listeners: Iterable[Callable[[EventLogEntry], Any]]) -> None:
        entry = self._entry(run_id, self._logs[run_id][-1])
        for listener in list(listeners):
            listener(entry)

    # -- reading

    def _log_of(self, run_id: str) -> list[LogItem]:
        try:
            return self._logs[run_id]
        except KeyError:
            raise DagsterRunNotFoundError(f"No run with id {run_id} on this instance.", invalid_run_id=run_id) from None

    def _entry(self, run_id: str, item: LogItem) -> EventLogEntry:
        timestamp, what = item
        job_name = self._runs[run_id].job_name
        if isinstance(what, tuple):
            level, text, step_key = what
            return EventLogEntry(None, level, text, run_id, timestamp, step_key, job_name, None)
        return EventLogEntry(None, level_of(what), "", run_id, timestamp, what.step_key, job_name, what)

    def all_logs(
        self, run_id: str, of_type: DagsterEventType | Iterable[DagsterEventType] | None = None
    ) -> list[EventLogEntry]:
        """The whole log of a run in the order of writing, or its events of some types; empty for an unknown run."""
        entries = [self._entry(run_id, item) for item in self._logs.get(run_id, ())]
        if of_type is None:
            return entries
        wanted = {of_type} if isinstance(of_type, DagsterEventType) else set(of_type)
        return [entry for entry in entries if entry.dagster_event_type in wanted]

    def add_event_listener(self, run_id: str, callback: Callable[[EventLogEntry], Any]) -> None:
        """Call a function with every new entry of a run's log."""
        self._listeners.setdefault(run_id, []).append(callback)

    def get_run_by_id(self, run_id: str) -> DagsterRun | None:
        """A run's record as it stands now."""
        return self._runs.get(run_id)

    def has_run(self, run_id: str) -> bool:
        """True where there is a run of this id."""
        return run_id in self._runs

    def get_runs(
        self, filters: RunsFilter | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Sequence[DagsterRun]:
        """Runs, the newest first; `cursor` is the id of the last run that was seen."""
        if filters is not None and not isinstance(filters, RunsFilter):
            raise CheckError(f'get_runs: Param "filters" is not a RunsFilter. Got {filters!r}.')
        found = [run for run in reversed(self._runs.values()) if filters is None or filters.matches(run)]
        if cursor is not None:
            ids = [run.run_id for run in found]
            found = found[ids.index(cursor) + 1 :] if cursor in ids else []
        return found[:limit]

    def get_run_ids(
        self, filters: RunsFilter | None = None, cursor: str | None = None, limit: int | None = None
    ) -> list[str]:
        """Ids of runs, the newest first."""
        return [run.run_id for run in self.get_runs(filters, cursor, limit)]

    def get_runs_count(self, filters: RunsFilter | None = None) -> int:
        """How many runs there are."""
        return len(self.get_runs(filters))

    def report_run_canceling(self, run: DagsterRun, message: str | None = None) -> None:
        """Mark a run as asked to cancel."""
        event = DagsterEvent(DagsterEventType.RUN_CANCELING.value, run.job_name, message=message)
        self.recorder(run.run_id)(event)

    def delete_run(self, run_id: str) -> None:
        """Forget a run and its log."""
        self._log_of(run_id)
        with self._lock:
            self._runs.pop(run_id, None)
            self._logs.pop(run_id, None)
            self._listeners.pop(run_id, None)

    def get_status(self, run_id: str) -> DagsterRunStatus:
        """The status of a run; DagsterRunNotFoundError for an unknown one."""
        self._log_of(run_id)
        return self._runs[run_id].status
