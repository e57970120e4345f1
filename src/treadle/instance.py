"""DagsterInstance: home, store, settings; the only door to storage.

A lasting instance keeps its runs in a store below its home folder; an ephemeral one in memory, for as long as somebody
holds it. The engine writes through the writer of a run; everybody else reads here.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from treadle import later, records, settings
from treadle.checks import check_optional
from treadle.errors import CheckError, DagsterRunNotFoundError, StoreError
from treadle.events import DagsterEvent, DagsterEventType, EventLogEntry
from treadle.names import AssetKey
from treadle.payloads import EngineEventData
from treadle.records import EventLogRecord, EventRecordsFilter, EventRecordsResult, RunRecord
from treadle.runs import DagsterRun, DagsterRunStatus, RunsFilter, check_run_id, make_run_id
from treadle.settings import Settings
from treadle.storage.store import RunWriter, StepSummary, Store

#: which events of a log are wanted: one type, several, or all
OfType = DagsterEventType | Iterable[DagsterEventType] | None

#: what `treadle.later` says of what instances do not do yet
LASTING = "bulk operations and queues of runs come"

_DATABASE = "treadle.db"


class InstanceRef(msgspec.Struct, frozen=True):
    """What another process opens the same instance by."""

    home: str
    overrides: Mapping[str, Any] = {}


class DagsterInstance:
    """One deployment: runs, their logs, and settings.

    `DagsterInstance.get()` opens the lasting one, `ephemeral()` makes one in memory. A context manager that lets go of what
    it holds.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        root_directory: str | None = None,
        *,
        ref: InstanceRef | None = None,
        own: Settings | None = None,
    ) -> None:
        self._open_store = open_store
        self._store: Store | None = None
        self._opening = threading.Lock()
        #: how the instance is set up, each value with where it comes from
        self.settings = own if own is not None else Settings()
        self._ref = ref
        self._given_root = root_directory
        self._temporary: str | None = None
        self._watches: dict[tuple[str, Callable[..., Any]], tuple[threading.Event, threading.Thread]] = {}

    @property
    def store(self) -> Store:
        """Where runs and their logs are. Made when it is first asked for: in most workers nobody does."""
        if self._store is None:
            with self._opening:
                if self._store is None:
                    self._store = self._open_store()
        return self._store

    @store.setter
    def store(self, store: Store) -> None:
        self._store = store

    @property
    def is_ephemeral(self) -> bool:
        """True where the runs go with the object."""
        return self._ref is None

    @property
    def is_persistent(self) -> bool:
        """True where the runs outlive the process."""
        return self._ref is not None

    # -- making one

    @staticmethod
    def ephemeral(
        tempdir: str | None = None, preload: Any = None, settings: Mapping[str, Any] | None = None
    ) -> DagsterInstance:
        """An instance that lasts as long as the object; its files go to a temporary directory, or to `tempdir`."""
        from treadle.storage.sqlite import SqliteStore

        store = SqliteStore(None)
        return DagsterInstance(lambda: store, tempdir)

    @staticmethod
    def get() -> DagsterInstance:
        """The lasting instance of this place: `TREADLE_HOME`, or what pyproject.toml says, or `.treadle` beside it.

        The folder is made when it is not there. Raises SettingsError for settings that cannot be, StoreError where the store
        cannot be opened. After `import dagster`, DAGSTER_HOME counts, as it does there.
        """
        found = settings.find_home(os.environ, Path.cwd())
        return DagsterInstance._open(found.path)

    @staticmethod
    def local_temp(tempdir: str | None = None, overrides: Mapping[str, Any] | None = None) -> DagsterInstance:
        """For tests: a lasting instance in a temporary directory, which goes with it, or in `tempdir`, which stays."""
        folder = tempdir if tempdir is not None else _temporary_folder()
        instance = DagsterInstance._open(Path(folder), overrides)
        if tempdir is None:
            instance._temporary = folder
            instance._remove = weakref.finalize(instance, _remove, folder)
        return instance

    @staticmethod
    def from_config(config_dir: str, config_filename: str | None = None) -> DagsterInstance:
        """The lasting instance whose home is this folder."""
        return DagsterInstance._open(Path(config_dir))

    @staticmethod
    def from_ref(instance_ref: InstanceRef, own: Settings | None = None) -> DagsterInstance:
        """The instance that a reference leads to, from any process; `own` is its settings, where they are known already."""
        return DagsterInstance._open(Path(instance_ref.home), instance_ref.overrides, own)

    @staticmethod
    def _open(home: Path, overrides: Mapping[str, Any] | None = None, known: Settings | None = None) -> DagsterInstance:
        own = known or settings.read_settings(home, os.environ, Path.cwd(), overrides or {})
        try:
            home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"The home {home} of the instance cannot be made: {error.strerror}. Make that possible, or name another home with "
                f"TREADLE_HOME."
            ) from error

        def open_store() -> Store:
            from treadle.storage.leases import LeaseTerms
            from treadle.storage.sqlite import SqliteStore

            return SqliteStore(
                own.database_folder / _DATABASE,
                durability=own.durability,
                max_step_log=own.max_step_log,
                terms=LeaseTerms(own.lease_duration),
            )

        return DagsterInstance(open_store, str(home), ref=InstanceRef(str(home), overrides or {}), own=own)

    def get_ref(self) -> InstanceRef:
        """What another process opens this instance by; CheckError for one in memory."""
        if self._ref is None:
            raise CheckError(
                "get_ref: this instance is in memory, so no other process can open it. Use DagsterInstance.get() or "
                "local_temp()."
            )
        return self._ref

    # The older API has an object for each kind of storage; here the instance answers for all of them.

    @property
    def event_log_storage(self) -> DagsterInstance:
        """What answers for logs: this object."""
        return self

    @property
    def run_storage(self) -> DagsterInstance:
        """What answers for runs: this object."""
        return self

    # -- files

    @property
    def root_directory(self) -> str:
        """The folder for files; a temporary one is made when it is first asked for."""
        if self._given_root is not None:
            return self._given_root
        if self._temporary is None:
            self._temporary = _temporary_folder()
            # Nobody has to dispose of an instance that a run made for itself: the folder goes with the object.
            self._remove = weakref.finalize(self, _remove, self._temporary)
        return self._temporary

    def storage_directory(self) -> str:
        """The folder where the default filesystem IO manager keeps outputs."""
        return str(self.settings.artifacts_dir or Path(self.root_directory, "storage"))

    @property
    def durability(self) -> str:
        """`full` where what is reported as done survives a loss of power, `normal` where it survives the process."""
        return self.settings.durability

    def dispose(self) -> None:
        """Let go of everything that the instance holds open."""
        for watch in list(self._watches):
            self.end_watch_event_logs(*watch)
        if self._store is not None:
            self._store.close()
        if self._temporary is not None:
            self._remove()
            self._temporary = None

    def __enter__(self) -> DagsterInstance:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.dispose()

    # -- runs

    def add_run(self, run: DagsterRun) -> DagsterRun:
        """Keep a new run; DagsterRunAlreadyExists where its id is taken."""
        self.store.add_run(run)
        return run

    create_run = add_run

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

    def open_writer(self, run_id: str, *, steals: bool = False) -> RunWriter:
        """The right to write a run's log; RunOwnedError where another process has it. For the engine."""
        return self.store.open_writer(run_id, steals=steals)

    # -- logs

    def all_logs(self, run_id: str, of_type: OfType = None) -> list[EventLogEntry]:
        """The whole log of a run in the order of writing, or its events of some types; empty for an unknown run."""
        return [record.event_log_entry for record in self.store.read_log(run_id, types=_types(of_type))]

    def logs_after(
        self, run_id: str, cursor: int | None = None, of_type: OfType = None, limit: int | None = None
    ) -> list[EventLogEntry]:
        """The log of a run after a position: `cursor` is the place of the last entry that was seen, where the first has 0;
        -1 or None where none was.
        """
        check_optional(cursor, int, "cursor", "logs_after")
        records.check_limit(limit, "logs_after")
        entries = self.all_logs(run_id)[max(-1 if cursor is None else cursor, -1) + 1 :]
        types = _types(of_type)
        if types is not None:
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
        seen = records.read_cursor(cursor)
        records.check_limit(limit, "get_records_for_run")
        found = self.store.read_log(
            run_id,
            after=seen if ascending else None,
            before=seen if not ascending else None,
            types=_types(of_type),
            limit=None if limit is None else limit + 1,
            ascending=ascending,
        )
        shown = found if limit is None else found[:limit]
        last = str(shown[-1].storage_id) if shown else (cursor or "0")
        return EventRecordsResult(shown, last, len(shown) < len(found))

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
        records.check_limit(limit, "get_event_records")
        return self.store.find_events(event_records_filter, limit, ascending=ascending)

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
        return self.store.run_stats(run_id)

    get_stats_for_run = get_run_stats

    def get_step_summaries(self, run_id: str, step_keys: Iterable[str] | None = None) -> list[StepSummary]:
        """How far each step is, without a look at the log: as quick for a run of many events as for one of few."""
        return self.store.steps(run_id, step_keys)

    def get_run_step_stats(
        self, run_id: str, step_keys: Iterable[str] | None = None
    ) -> list[records.RunStepKeyStatsSnapshot]:
        """How each step went, sorted by step key, with what it materialised; empty for an unknown run."""
        return records.step_stats(run_id, self.all_logs(run_id), step_keys)

    get_step_stats_for_run = get_run_step_stats

    # -- watching

    def add_event_listener(self, run_id: str, callback: Callable[[EventLogEntry], Any]) -> None:
        """Call a function with every new entry of a run's log, in the thread that writes it: for runs of this process."""
        self.store.listen(run_id, callback)

    def watch_event_logs(self, run_id: str, cursor: str | None, cb: Callable[[EventLogEntry, str], Any]) -> None:
        """Call a function with every entry of a run's log after `cursor` and the cursor that it stands at, as entries
        come, whichever process writes them; in a thread of its own, until the run ends or `end_watch_event_logs`. The run
        may be one that is not there yet.
        """
        records.read_cursor(cursor)
        self.end_watch_event_logs(run_id, cb)
        stop = threading.Event()

        def watch() -> None:
            for record in self._follow(run_id, cursor, stop, is_early=True):
                cb(record.event_log_entry, str(record.storage_id))

        thread = threading.Thread(target=watch, name=f"treadle-watch-{run_id}", daemon=True)
        self._watches[run_id, cb] = stop, thread
        thread.start()

    def end_watch_event_logs(self, run_id: str, cb: Callable[[EventLogEntry, str], Any]) -> None:
        """Stop what `watch_event_logs` began; the function is not called again after this, but by itself."""
        stop, thread = self._watches.pop((run_id, cb), (None, None))
        if stop is not None and thread is not None:
            stop.set()
            if thread is not threading.current_thread():
                thread.join()

    def follow(
        self, run_id: str, cursor: str | None = None, stop: threading.Event | None = None
    ) -> Iterator[EventLogRecord]:
        """The entries of a run's log after `cursor` as they come, whichever process writes them, until the run ends.

        Where the run's owner has died it waits on, since somebody may resume the run; `stop` ends the waiting.
        """
        return self._follow(run_id, cursor, stop if stop is not None else threading.Event())

    def _follow(
        self, run_id: str, cursor: str | None, stop: threading.Event, *, is_early: bool = False
    ) -> Iterator[EventLogRecord]:
        """With `is_early` it waits for a run that is not there yet."""
        seen = records.read_cursor(cursor)
        known: object = None
        while not stop.is_set():
            version = self.store.version()
            if version != known:
                # The status is read first: what is written after it is seen is not the end of the log.
                run = self.get_run_by_id(run_id)
                is_early = is_early and run is None
                for record in self.store.read_log(run_id, after=seen):
                    seen = record.storage_id
                    yield record
                    if stop.is_set():
                        return
                if (run is None and not is_early) or (run is not None and run.is_finished):
                    return
                known = version
            stop.wait(0.05)

    # -- runs, read

    def get_run_by_id(self, run_id: str) -> DagsterRun | None:
        """A run's record as it stands now."""
        return self.store.get_run(run_id)

    def has_run(self, run_id: str) -> bool:
        """True where there is a run of this id."""
        return self.store.get_run(run_id) is not None

    def get_status(self, run_id: str) -> DagsterRunStatus:
        """The status of a run; DagsterRunNotFoundError for an unknown one."""
        return self._known_run(run_id).status

    def _known_run(self, run_id: str) -> DagsterRun:
        run = self.store.get_run(run_id)
        if run is None:
            raise DagsterRunNotFoundError(f"No run with id {run_id} on this instance.", invalid_run_id=run_id)
        return run

    def is_interrupted(self, run_id: str) -> bool:
        """True where the process that ran the run has died, so that the run stands still until somebody resumes it."""
        run = self.get_run_by_id(run_id)
        if run is None or run.status not in UNDER_WAY:
            return False
        lease = self.store.lease(run_id)
        return lease is None or not self.store.is_alive(lease)

    def get_runs(
        self,
        filters: RunsFilter | None = None,
        cursor: str | None = None,
        limit: int | None = None,
        bucket_by: Any = None,
        ascending: bool = False,
    ) -> Sequence[DagsterRun]:
        """Runs, the newest first unless `ascending`; `cursor` is the id of the last run that was seen."""
        found = self.get_run_records(filters, limit, None, ascending, cursor, bucket_by)
        return [record.dagster_run for record in found]

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
        if filters is not None and not isinstance(filters, RunsFilter):
            raise CheckError(f'get_runs: Param "filters" is not a RunsFilter. Got {filters!r}.')
        records.check_limit(limit, "get_runs")
        if bucket_by is not None:
            later.refuse("get_runs(bucket_by=...)", LASTING)
        if order_by is None:
            return self.store.find_runs(filters, cursor=cursor, limit=limit, ascending=ascending)
        found = self.store.find_runs(filters, cursor=cursor, ascending=ascending)
        fields = RunRecord.__struct_fields__
        if order_by not in fields:
            raise CheckError(f"get_run_records: order_by is one of {list(fields)}, got {order_by!r}.")
        found.sort(key=lambda each: getattr(each, order_by) or 0, reverse=not ascending)
        return found[:limit]

    def get_run_record_by_id(self, run_id: str) -> RunRecord | None:
        """One run with its times; None for an unknown one."""
        return next(iter(self.store.find_runs(RunsFilter(run_ids=[run_id]))), None)

    def get_run_ids(
        self, filters: RunsFilter | None = None, cursor: str | None = None, limit: int | None = None
    ) -> list[str]:
        """Ids of runs, the newest first."""
        return [run.run_id for run in self.get_runs(filters, cursor, limit)]

    def get_runs_count(self, filters: RunsFilter | None = None) -> int:
        """How many runs there are."""
        return self.store.count_runs(filters)

    def add_run_tags(self, run_id: str, new_tags: Mapping[str, str]) -> None:
        """Add tags to a run; a tag that is there already gets the new value."""
        self.store.set_tags(run_id, {**self._known_run(run_id).tags, **new_tags})

    # -- what is said of a run from outside

    def _report(
        self, event_type: DagsterEventType, run: DagsterRun, message: str | None, data: EngineEventData | None = None
    ) -> DagsterEvent:
        event = DagsterEvent(event_type.value, run.job_name, event_specific_data=data, message=message)
        self.store.append(run.run_id, event)
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
        return self.store.get_values(keys)

    def set_cursor_values(self, pairs: Mapping[str, str]) -> None:
        """Keep texts under keys, for as long as the instance lives."""
        self.store.set_values(pairs)

    def delete_run(self, run_id: str) -> None:
        """Forget a run and its log; RunOwnedError while it is under way."""
        self.store.delete_run(run_id)


#: statuses of a run that has an owner, or had one that died
UNDER_WAY = frozenset((DagsterRunStatus.STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.CANCELING))


def _temporary_folder() -> str:
    import tempfile  # few instances need one, and every worker loads this module

    return tempfile.mkdtemp(prefix="treadle-")


def _remove(folder: str) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _types(of_type: OfType) -> set[DagsterEventType] | None:
    if of_type is None:
        return None
    return {of_type} if isinstance(of_type, DagsterEventType) else set(of_type)


@contextmanager
def instance_for_test(
    overrides: Mapping[str, Any] | None = None,
    set_dagster_home: bool = True,
    temp_dir: str | None = None,
    synchronous_run_coordinator: bool = False,
    synchronous_run_launcher: bool = False,
) -> Iterator[DagsterInstance]:
    """For tests: a lasting instance in a temporary folder, which is the home of the place while the block runs.

    `set_dagster_home` sets TREADLE_HOME and DAGSTER_HOME for that time. Runs are always executed by whoever calls, so the two
    last parameters change nothing.
    """
    with DagsterInstance.local_temp(temp_dir, overrides) as instance:
        if not set_dagster_home:
            yield instance
            return
        before = {name: os.environ.get(name) for name in settings.HOME_VARIABLES}
        os.environ.update(dict.fromkeys(settings.HOME_VARIABLES, instance.root_directory))
        try:
            yield instance
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
