"""DagsterInstance: home, store, settings; the only door to storage.

An ephemeral instance keeps its runs and their logs in memory for as long as somebody holds it. The engine writes
through `record`; everybody else reads.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from treadle import later, records
from treadle.errors import (
    CheckError,
    DagsterHomeNotSetError,
    DagsterInvariantViolationError,
    DagsterRunAlreadyExists,
    DagsterRunNotFoundError,
    SerializableErrorInfo,
)
from treadle.events import DagsterEvent, DagsterEventType, EventLogEntry, level_of
from treadle.names import AssetKey
from treadle.payloads import EngineEventData
from treadle.records import EventLogRecord, EventRecordsFilter, EventRecordsResult, RunRecord
from treadle.runs import STATUS_AFTER, DagsterRun, DagsterRunStatus, RunsFilter, check_run_id, make_run_id

#: a number that grows over all runs, a time, and either an event, or (level, text, step key, traceback) of a message
LogItem = tuple[int, float, "DagsterEvent | tuple[int, str, str | None, str | None]"]

#: which events of a log are wanted: one type, several, or all
OfType = DagsterEventType | Iterable[DagsterEventType] | None


#: what `treadle.later` says of instances that last
LASTING = "instances that outlive their process come"


class DagsterInstance:
    """One deployment: runs, their logs, and settings.

    Make one with `DagsterInstance.ephemeral()`; it is a context manager that cleans up after itself.
    """

    is_ephemeral = True
    is_persistent = False

    def __init__(self, root_directory: str | None = None) -> None:
        self._given_root = root_directory
        self._temporary: str | None = None
        self._runs: dict[str, DagsterRun] = {}
        self._logs: dict[str, list[LogItem]] = {}
        self._listeners: dict[str, list[Callable[[EventLogEntry], Any]]] = {}
        #: run id -> its number, and when it was added
        self._added: dict[str, tuple[int, float]] = {}
        self._cursors: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._run_numbers = itertools.count(1)
        # Several runs of one instance may be written from several threads.
        self._lock = threading.Lock()

    @staticmethod
    def ephemeral(
        tempdir: str | None = None, preload: Any = None, settings: Mapping[str, Any] | None = None
    ) -> DagsterInstance:
        """An instance that lasts as long as the object; its files go to a temporary directory, or to `tempdir`."""
        return DagsterInstance(tempdir)

    @staticmethod
    def local_temp(tempdir: str | None = None, overrides: Mapping[str, Any] | None = None) -> DagsterInstance:
        """For tests: as `ephemeral`, since nothing lasts yet; settings to override are refused."""
        if overrides:
            later.refuse("DagsterInstance.local_temp(overrides=...)", LASTING)
        return DagsterInstance(tempdir)

    @staticmethod
    def get() -> DagsterInstance:
        """The instance whose home is the folder in DAGSTER_HOME; not there yet, since runs do not last yet.

        Raises DagsterHomeNotSetError where DAGSTER_HOME is not set, DagsterInvariantViolationError where it is no
        absolute path of a folder, and NotInThisVersionError otherwise.
        """
        home = os.environ.get("DAGSTER_HOME")
        advice = "Use DagsterInstance.ephemeral(), or leave `instance` out."
        if not home:
            raise DagsterHomeNotSetError(
                f"DagsterInstance.get: the environment variable $DAGSTER_HOME is not set, so there is no home to open. {advice}"
            )
        if not Path(home).is_absolute() or not Path(home).is_dir():
            raise DagsterInvariantViolationError(
                f"DagsterInstance.get: $DAGSTER_HOME is {home!r}, which is not the absolute path of a folder. {advice}"
            )
        later.refuse("DagsterInstance.get()", LASTING, advice)

    # A store will stand behind these two; as long as all is in memory, the instance is its own store.

    @property
    def event_log_storage(self) -> DagsterInstance:
        """What keeps the logs: this object, until there is a store."""
        return self

    @property
    def run_storage(self) -> DagsterInstance:
        """What keeps the runs: this object, until there is a store."""
        return self

    @property
    def root_directory(self) -> str:
        """The folder for files; a temporary one is made when it is first asked for."""
        if self._given_root is not None:
            return self._given_root
        if self._temporary is None:
            self._temporary = tempfile.mkdtemp(prefix="treadle-")
            # Nobody has to dispose of an instance that a run made for itself: the folder goes with the object.
            self._remove = weakref.finalize(self, shutil.rmtree, self._temporary, True)
        return self._temporary

    def storage_directory(self) -> str:
        """The folder where the default filesystem IO manager keeps outputs."""
        return str(Path(self.root_directory, "storage"))

    def dispose(self) -> None:
        """Let go of everything that the instance holds open."""
        if self._temporary is not None:
            self._remove()
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
            self._added[run.run_id] = (next(self._run_numbers), time.time())
        return run

    def create_run_for_job(
        self,
        job_def: Any,
        *,
        run_id: str | None = None,
        run_config: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        status: DagsterRunStatus | str | None = None,
        root_run_id: str | None = None,
        parent_run_id: str | None = None,
        op_selection: Sequence[str] | None = None,
    ) -> DagsterRun:
        """Add a run of a job that somebody will execute later, with the job's own tags and `tags`."""
        run = DagsterRun(
            job_name=job_def.name,
            run_id=check_run_id(run_id) if run_id is not None else make_run_id(),
            run_config=run_config or {},
            tags={**job_def.run_tags, **(tags or {})},
            status=DagsterRunStatus(status) if status is not None else DagsterRunStatus.NOT_STARTED,
            root_run_id=root_run_id,
            parent_run_id=parent_run_id,
            op_selection=op_selection,
        )
        return self.add_run(run)

    def recorder(self, run_id: str) -> Callable[[DagsterEvent], None]:
        """A function that puts an event into a run's log, and moves the run's status by it."""
        append = self._log_of(run_id).append
        listeners = self._listeners.setdefault(run_id, [])
        clock = time.time
        numbers = self._numbers

        def record(event: DagsterEvent) -> None:
            append((next(numbers), clock(), event))
            if event.event_type_value in STATUS_AFTER:
                self._runs[run_id] = self._runs[run_id].with_status(STATUS_AFTER[event.event_type_value])
            if listeners:
                self._tell(run_id, listeners)

        return record

    def record_message(
        self, run_id: str, level: int, text: str, step_key: str | None, traceback: str | None = None
    ) -> None:
        """Put a message of user code, or a note of the engine, into a run's log."""
        self._log_of(run_id).append((next(self._numbers), time.time(), (level, text, step_key, traceback)))
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
        _, timestamp, what = item
        job_name = self._runs[run_id].job_name
        if isinstance(what, tuple):
            level, text, step_key, traceback = what
            error = SerializableErrorInfo(traceback) if traceback is not None else None
            return EventLogEntry(error, level, text, run_id, timestamp, step_key, job_name, None)
        return EventLogEntry(None, level_of(what), what.message or "", run_id, timestamp, what.step_key, job_name, what)

    def _records(self, run_id: str, of_type: OfType = None) -> list[EventLogRecord]:
        """A run's log in the order of writing, or its events of some types; empty for an unknown run."""
        items = self._logs.get(run_id, ())
        if of_type is not None:
            types = {of_type} if isinstance(of_type, DagsterEventType) else set(of_type)
            values = {each.value for each in types}
            items = [item for item in items if getattr(item[2], "event_type_value", None) in values]
        return [EventLogRecord(item[0], self._entry(run_id, item)) for item in items]

    def all_logs(self, run_id: str, of_type: OfType = None) -> list[EventLogEntry]:
        """The whole log of a run in the order of writing, or its events of some types; empty for an unknown run."""
        return [record.event_log_entry for record in self._records(run_id, of_type)]

    def logs_after(
        self, run_id: str, cursor: int | None = None, of_type: OfType = None, limit: int | None = None
    ) -> list[EventLogEntry]:
        """The log of a run from a position on: `cursor` is how many entries were seen, -1 or None for none."""
        entries = self.all_logs(run_id)[max(cursor or 0, 0) :]
        if of_type is not None:
            types = {of_type} if isinstance(of_type, DagsterEventType) else set(of_type)
            entries = [entry for entry in entries if entry.dagster_event_type in types]
        return entries[:limit]

    def get_records_for_run(
        self,
        run_id: str,
        cursor: str | None = None,
        of_type: OfType = None,
        limit: int | None = None,
        ascending: bool = True,
    ) -> EventRecordsResult:
        """A page of a run's log; give its `cursor` back to get the next page."""
        return records.page(self._records(run_id, of_type), cursor, limit, ascending)

    def get_logs_for_run(
        self,
        run_id: str,
        cursor: str | None = None,
        of_type: OfType = None,
        limit: int | None = None,
        ascending: bool = True,
    ) -> list[EventLogEntry]:
        """The entries of a page of a run's log."""
        found = self.get_records_for_run(run_id, cursor, of_type, limit, ascending)
        return [record.event_log_entry for record in found.records]

    def get_event_records(
        self, event_records_filter: EventRecordsFilter, limit: int | None = None, ascending: bool = False
    ) -> list[EventLogRecord]:
        """Events of all runs, the newest first unless `ascending`."""
        if not isinstance(event_records_filter, EventRecordsFilter):
            raise CheckError(f"get_event_records: expected an EventRecordsFilter, got {event_records_filter!r}.")
        of_type = event_records_filter.event_type
        found = [each for run_id in self._logs for each in self._records(run_id, of_type)]
        matching = sorted(filter(event_records_filter.matches, found), key=lambda each: each.storage_id)
        return (matching if ascending else matching[::-1])[:limit]

    def get_latest_materialization_event(self, asset_key: AssetKey) -> EventLogEntry | None:
        """The log entry in which an asset was last materialised; None where it never was."""
        wanted = EventRecordsFilter(DagsterEventType.ASSET_MATERIALIZATION, asset_key)
        return next((each.event_log_entry for each in self.get_event_records(wanted, 1)), None)

    def all_asset_keys(self) -> list[AssetKey]:
        """The keys of all assets that ops materialised."""
        found = self.get_event_records(EventRecordsFilter(DagsterEventType.ASSET_MATERIALIZATION), ascending=True)
        return list(dict.fromkeys(each.asset_key for each in found if each.asset_key is not None))

    def get_run_stats(self, run_id: str) -> records.DagsterRunStatsSnapshot:
        """How many steps succeeded and failed, and when; all zero for an unknown run."""
        return records.run_stats(run_id, self.all_logs(run_id))

    get_stats_for_run = get_run_stats

    def get_run_step_stats(
        self, run_id: str, step_keys: Iterable[str] | None = None
    ) -> list[records.RunStepKeyStatsSnapshot]:
        """How each step went, sorted by step key; empty for an unknown run."""
        return records.step_stats(run_id, self.all_logs(run_id), step_keys)

    get_step_stats_for_run = get_run_step_stats

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
        self,
        filters: RunsFilter | None = None,
        cursor: str | None = None,
        limit: int | None = None,
        bucket_by: Any = None,
        ascending: bool = False,
    ) -> Sequence[DagsterRun]:
        """Runs, the newest first unless `ascending`; `cursor` is the id of the last run that was seen."""
        if filters is not None and not isinstance(filters, RunsFilter):
            raise CheckError(f'get_runs: Param "filters" is not a RunsFilter. Got {filters!r}.')
        if bucket_by is not None:
            later.refuse("get_runs(bucket_by=...)", LASTING)
        ordered = self._runs.values() if ascending else reversed(self._runs.values())
        found = [run for run in ordered if filters is None or self._is_meant(run, filters)]
        if cursor is not None:
            ids = [run.run_id for run in found]
            found = found[ids.index(cursor) + 1 :] if cursor in ids else []
        return found[:limit]

    def _is_meant(self, run: DagsterRun, filters: RunsFilter) -> bool:
        if not filters.matches(run):
            return False
        record = self._run_record(run)
        created, updated = record.create_timestamp, record.update_timestamp
        return (
            (filters.created_after is None or created > _aware(filters.created_after))
            and (filters.created_before is None or created < _aware(filters.created_before))
            and (filters.updated_after is None or updated > _aware(filters.updated_after))
            and (filters.updated_before is None or updated < _aware(filters.updated_before))
        )

    def _run_record(self, run: DagsterRun) -> RunRecord:
        number, added = self._added[run.run_id]
        stats = self.get_run_stats(run.run_id)
        changed = max(added, stats.start_time or 0, stats.end_time or 0)
        return RunRecord(number, run, _moment(added), _moment(changed), stats.start_time, stats.end_time)

    def get_run_records(
        self,
        filters: RunsFilter | None = None,
        limit: int | None = None,
        order_by: str | None = None,
        ascending: bool = False,
        cursor: str | None = None,
        bucket_by: Any = None,
    ) -> list[RunRecord]:
        """Runs with the times at which they were added, started and ended, the newest first unless `ascending`.

        `order_by` is the name of a field of RunRecord; by default `storage_id`, the order in which they were added.
        """
        found = [self._run_record(run) for run in self.get_runs(filters, cursor, None, bucket_by, ascending)]
        if order_by is not None:
            fields = RunRecord.__struct_fields__
            if order_by not in fields:
                raise CheckError(f"get_run_records: order_by is one of {list(fields)}, got {order_by!r}.")
            found.sort(key=lambda each: getattr(each, order_by) or 0, reverse=not ascending)
        return found[:limit]

    def get_run_record_by_id(self, run_id: str) -> RunRecord | None:
        """One run with its times; None for an unknown one."""
        run = self._runs.get(run_id)
        return self._run_record(run) if run is not None else None

    def get_run_ids(
        self, filters: RunsFilter | None = None, cursor: str | None = None, limit: int | None = None
    ) -> list[str]:
        """Ids of runs, the newest first."""
        return [run.run_id for run in self.get_runs(filters, cursor, limit)]

    def get_runs_count(self, filters: RunsFilter | None = None) -> int:
        """How many runs there are."""
        return len(self.get_runs(filters))

    def add_run_tags(self, run_id: str, new_tags: Mapping[str, str]) -> None:
        """Add tags to a run; a tag that is there already gets the new value."""
        self._log_of(run_id)
        run = self._runs[run_id]
        self._runs[run_id] = run.with_tags({**run.tags, **new_tags})

    def _report(
        self, event_type: DagsterEventType, run: DagsterRun, message: str | None, data: EngineEventData | None = None
    ) -> DagsterEvent:
        event = DagsterEvent(event_type.value, run.job_name, event_specific_data=data, message=message)
        self.recorder(run.run_id)(event)
        return event

    def report_run_canceling(self, run: DagsterRun, message: str | None = None) -> DagsterEvent:
        """Mark a run as asked to cancel."""
        return self._report(DagsterEventType.RUN_CANCELING, run, message or "Sending run termination request.")

    def report_run_canceled(self, dagster_run: DagsterRun, message: str | None = None) -> DagsterEvent:
        """Mark a run as canceled, from outside of it."""
        text = message or "This run has been marked as canceled from outside the execution context."
        return self._report(DagsterEventType.RUN_CANCELED, dagster_run, text)

    def report_run_failed(self, dagster_run: DagsterRun, message: str | None = None) -> DagsterEvent:
        """Mark a run as failed, from outside of it."""
        text = message or "This run has been marked as failed from outside the execution context."
        return self._report(DagsterEventType.RUN_FAILURE, dagster_run, text)

    def report_engine_event(
        self, message: str, dagster_run: DagsterRun, engine_event_data: EngineEventData | None = None
    ) -> DagsterEvent:
        """Put a note of whoever drives a run into its log."""
        data = engine_event_data if engine_event_data is not None else EngineEventData()
        return self._report(DagsterEventType.ENGINE_EVENT, dagster_run, message, data)

    def get_cursor_values(self, keys: Iterable[str]) -> dict[str, str]:
        """Texts that were kept under some keys; those that are not there are left out."""
        return {key: self._cursors[key] for key in keys if key in self._cursors}

    def set_cursor_values(self, pairs: Mapping[str, str]) -> None:
        """Keep texts under keys, for as long as the instance lives."""
        self._cursors.update(pairs)

    def delete_run(self, run_id: str) -> None:
        """Forget a run and its log."""
        self._log_of(run_id)
        with self._lock:
            self._runs.pop(run_id, None)
            self._logs.pop(run_id, None)
            self._added.pop(run_id, None)
            self._listeners.pop(run_id, None)

    def get_status(self, run_id: str) -> DagsterRunStatus:
        """The status of a run; DagsterRunNotFoundError for an unknown one."""
        self._log_of(run_id)
        return self._runs[run_id].status


def _moment(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, timezone.utc)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


@contextmanager
def instance_for_test(
    overrides: Mapping[str, Any] | None = None,
    set_dagster_home: bool = True,
    temp_dir: str | None = None,
    synchronous_run_coordinator: bool = False,
    synchronous_run_launcher: bool = False,
) -> Iterator[DagsterInstance]:
    """For tests: an instance that is cleaned up after the block. It is in memory, since nothing lasts yet.

    Settings to override are refused, and DAGSTER_HOME is left alone: there is nothing that another process could open.
    """
    if overrides or synchronous_run_coordinator or synchronous_run_launcher:
        later.refuse("instance_for_test with settings", LASTING)
    with DagsterInstance(temp_dir) as instance:
        yield instance
