"""What an instance answers about runs and events: records, filters, and statistics, which are folds over a run's log.

Plain data and pure functions of it. The instance and its store make them; nobody computes a statistic in another way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

import msgspec

from treadle.checks import check_optional, check_param, list_of, show
from treadle.errors import CheckError
from treadle.events import DagsterEvent, DagsterEventType, EventLogEntry
from treadle.names import AssetKey
from treadle.outcomes import AssetMaterialization, AssetObservation, ExpectationResult
from treadle.runs import DagsterRun

_T = DagsterEventType

# -- records --------------------------------------------------------------------------------------------------------------


class RunRecord(msgspec.Struct, frozen=True):
    """A run with what its store knows of it; times of the run itself are seconds since the epoch."""

    storage_id: int
    dagster_run: DagsterRun
    create_timestamp: datetime
    update_timestamp: datetime
    start_time: float | None = None
    end_time: float | None = None


class EventLogRecord(msgspec.Struct, frozen=True):
    """An entry of a run's log with its number, which grows over all runs of an instance."""

    storage_id: int
    event_log_entry: EventLogEntry

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self.event_log_entry.run_id

    @property
    def timestamp(self) -> float:
        """When it was written, in seconds since the epoch."""
        return self.event_log_entry.timestamp

    @property
    def event_type(self) -> DagsterEventType | None:
        """The type of the event; None for a message of user code."""
        return self.event_log_entry.dagster_event_type

    @property
    def asset_materialization(self) -> AssetMaterialization | None:
        """What was materialised; None for any other entry."""
        return getattr(_payload(self.event_log_entry), "materialization", None)

    @property
    def asset_observation(self) -> AssetObservation | None:
        """What was observed; None for any other entry."""
        return getattr(_payload(self.event_log_entry), "asset_observation", None)

    @property
    def asset_key(self) -> AssetKey | None:
        """The asset that the entry is about, if any."""
        about = self.asset_materialization or self.asset_observation
        return about.asset_key if about is not None else None

    @property
    def partition_key(self) -> str | None:
        """The partition of the asset, if any."""
        about = self.asset_materialization or self.asset_observation
        return about.partition if about is not None else None


class EventRecordsFilter(msgspec.Struct, frozen=True):
    """Which entries of all logs are meant; all that is given must hold. Cursors are storage ids, times are exclusive."""

    event_type: DagsterEventType
    asset_key: AssetKey | None = None
    asset_partitions: Sequence[str] | None = None
    after_cursor: int | None = None
    before_cursor: int | None = None
    after_timestamp: float | None = None
    before_timestamp: float | None = None
    storage_ids: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.event_type, DagsterEventType):
            raise CheckError(
                f'EventRecordsFilter: Param "event_type" is not a DagsterEventType. Got {self.event_type!r}. Write for '
                f"example DagsterEventType.ASSET_MATERIALIZATION."
            )
        where = "EventRecordsFilter"
        check_optional(self.asset_key, AssetKey, "asset_key", where)
        for name in ("after_cursor", "before_cursor"):
            check_optional(getattr(self, name), int, name, where)
        for name in ("after_timestamp", "before_timestamp"):
            check_optional(getattr(self, name), (int, float), name, where)
        if self.asset_partitions is not None:
            list_of(self.asset_partitions, str, "asset_partitions", where)
        if self.storage_ids is not None:
            list_of(self.storage_ids, int, "storage_ids", where)

    def matches(self, record: EventLogRecord) -> bool:
        """True where the record is meant."""
        if record.event_type is not self.event_type:
            return False
        if self.asset_key is not None and record.asset_key != self.asset_key:
            return False
        if self.asset_partitions is not None and record.partition_key not in self.asset_partitions:
            return False
        if self.storage_ids is not None and record.storage_id not in self.storage_ids:
            return False
        return (
            (self.after_cursor is None or record.storage_id > self.after_cursor)
            and (self.before_cursor is None or record.storage_id < self.before_cursor)
            and (self.after_timestamp is None or record.timestamp > self.after_timestamp)
            and (self.before_timestamp is None or record.timestamp < self.before_timestamp)
        )


class EventRecordsResult(msgspec.Struct, frozen=True):
    """A page of records: give `cursor` back to get the next one, as long as there is more."""

    records: Sequence[EventLogRecord]
    cursor: str
    has_more: bool


def _payload(entry: EventLogEntry) -> Any:
    return entry.dagster_event.event_specific_data if entry.dagster_event is not None else None


def read_cursor(cursor: str | None) -> int | None:
    """The storage id that a page of records gave as its cursor; CheckError for anything else."""
    if cursor is None:
        return None
    check_param(cursor, str, "cursor", "A page of records")
    if not re.fullmatch("[0-9]{1,18}", cursor):
        raise CheckError(f"cursor: expected what a page of records gave as its cursor, got {show(cursor)}.")
    return int(cursor)


def check_limit(limit: int | None, where: str) -> None:
    """CheckError where this is no number of records."""
    check_optional(limit, int, "limit", where)
    if limit is not None and limit < 0:
        raise CheckError(f"{where}: limit is {limit}. Give a number of records, or None for all of them.")


# -- statistics -----------------------------------------------------------------------------------------------------------


class StepEventStatus(Enum):
    """How far a step is."""

    SKIPPED = "SKIPPED"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    IN_PROGRESS = "IN_PROGRESS"


class DagsterRunStatsSnapshot(msgspec.Struct, frozen=True):
    """What a run's log says in numbers; times are seconds since the epoch, None where the run is not so far."""

    run_id: str
    steps_succeeded: int = 0
    steps_failed: int = 0
    materializations: int = 0
    expectations: int = 0
    enqueued_time: float | None = None
    launch_time: float | None = None
    start_time: float | None = None
    end_time: float | None = None


class RunStepMarker(msgspec.Struct, frozen=True):
    """A stretch of time within a step: an attempt, or what an engine event marks."""

    start_time: float | None = None
    end_time: float | None = None
    key: str | None = None


class RunStepKeyStatsSnapshot(msgspec.Struct, frozen=True):
    """What a run's log says of one step."""

    run_id: str
    step_key: str
    status: StepEventStatus | None = None
    start_time: float | None = None
    end_time: float | None = None
    materialization_events: Sequence[EventLogEntry] = ()
    expectation_results: Sequence[ExpectationResult] = ()
    attempts: int = 0
    attempts_list: Sequence[RunStepMarker] = ()
    markers: Sequence[RunStepMarker] = ()
    partial_attempt_start: float | None = None


#: which field of a run's statistics an event of this type counts up, or sets to its time
_COUNTED = {
    _T.STEP_SUCCESS: "steps_succeeded",
    _T.STEP_FAILURE: "steps_failed",
    _T.ASSET_MATERIALIZATION: "materializations",
    _T.STEP_EXPECTATION_RESULT: "expectations",
}
_TIMED = {
    _T.RUN_ENQUEUED: "enqueued_time",
    _T.RUN_STARTING: "launch_time",
    _T.RUN_START: "start_time",
    _T.RUN_SUCCESS: "end_time",
    _T.RUN_FAILURE: "end_time",
    _T.RUN_CANCELED: "end_time",
}


def run_stats(run_id: str, entries: Iterable[EventLogEntry]) -> DagsterRunStatsSnapshot:
    """The statistics of a run, of the entries of its log."""
    found: dict[str, Any] = {}
    for entry in entries:
        event_type = entry.dagster_event_type
        if event_type in _COUNTED:
            found[_COUNTED[event_type]] = found.get(_COUNTED[event_type], 0) + 1
        elif event_type in _TIMED:
            found[_TIMED[event_type]] = entry.timestamp
    return DagsterRunStatsSnapshot(run_id, **found)


_ENDS = {
    _T.STEP_SUCCESS: StepEventStatus.SUCCESS,
    _T.STEP_FAILURE: StepEventStatus.FAILURE,
    _T.STEP_SKIPPED: StepEventStatus.SKIPPED,
}


class _Step:
    """The fold of one step's events, while it goes on."""

    def __init__(self, step_key: str) -> None:
        self.step_key = step_key
        self.status: StepEventStatus | None = None
        self.start: float | None = None
        self.end: float | None = None
        self.attempt_start: float | None = None
        self.attempts: list[RunStepMarker] = []
        self.materializations: list[EventLogEntry] = []
        self.expectations: list[ExpectationResult] = []
        self.markers: dict[str, RunStepMarker] = {}

    def take(self, event: DagsterEvent, entry: EventLogEntry) -> None:
        event_type, time = event.event_type, entry.timestamp
        if event_type in (_T.STEP_START, _T.STEP_RESTARTED):
            self.status = StepEventStatus.IN_PROGRESS
            self.start = time if self.start is None else self.start
            self.attempt_start = time
        elif event_type in _ENDS:
            self.status, self.end = _ENDS[event_type], time
            self.close_attempt(time)
        elif event_type is _T.STEP_UP_FOR_RETRY:
            self.close_attempt(time)
        elif event_type is _T.ASSET_MATERIALIZATION:
            self.materializations.append(entry)
        elif event_type is _T.STEP_EXPECTATION_RESULT:
            self.expectations.append(_payload(entry).expectation_result)
        else:
            self.mark(_payload(entry), time)

    def close_attempt(self, time: float) -> None:
        self.attempts.append(RunStepMarker(time if self.attempt_start is None else self.attempt_start, time))
        self.attempt_start = None

    def mark(self, data: Any, time: float) -> None:
        started, ended = getattr(data, "marker_start", None), getattr(data, "marker_end", None)
        if started is not None:
            self.markers[started] = RunStepMarker(time, None, started)
        if ended is not None:
            begun = self.markers.get(ended)
            self.markers[ended] = RunStepMarker(begun.start_time if begun is not None else None, time, ended)

    def result(self, run_id: str) -> RunStepKeyStatsSnapshot:
        is_open = self.attempt_start is not None
        return RunStepKeyStatsSnapshot(
            run_id,
            self.step_key,
            self.status,
            self.start,
            self.end,
            self.materializations,
            self.expectations,
            len(self.attempts) + is_open,
            self.attempts,
            list(self.markers.values()),
            self.attempt_start,
        )


def step_stats(
    run_id: str, entries: Iterable[EventLogEntry], step_keys: Iterable[str] | None = None
) -> list[RunStepKeyStatsSnapshot]:
    """The statistics of a run's steps, or of some, sorted by step key, of the entries of the run's log."""
    wanted = set(step_keys) if step_keys is not None else None
    steps: dict[str, _Step] = {}
    for entry in entries:
        event = entry.dagster_event
        key = event.step_key if event is not None else None
        if event is None or key is None or (wanted is not None and key not in wanted):
            continue
        if key not in steps:
            steps[key] = _Step(key)
        steps[key].take(event, entry)
    return [steps[key].result(run_id) for key in sorted(steps)]
