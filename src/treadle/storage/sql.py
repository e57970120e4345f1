"""queries and row mapping; SQL is text that can be read in one place

Loads the named queries of queries/*.sql, puts conditions behind them, and makes runs, log entries and summaries of rows.
It opens nothing: a store hands it rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from treadle import codec
from treadle.errors import DagsterEventLogInvalidForRun, SerializableErrorInfo
from treadle.events import DagsterEvent, DagsterEventType, EventLogEntry, level_of
from treadle.records import EventLogRecord, EventRecordsFilter, RunRecord
from treadle.runs import BACKFILL_TAG, DagsterRun, DagsterRunStatus, RunsFilter
from treadle.storage.store import Lease, Owner, StepState, StepSummary

_T = DagsterEventType
_FOLDER = Path(__file__).parent

#: types of events that have marks, so that they are found over all runs without a walk through all logs
MARKED = frozenset(
    [member.value for member in _T if member.name.startswith("RUN_")]
    + [_T.STEP_FAILURE.value, _T.ASSET_MATERIALIZATION.value, _T.ASSET_OBSERVATION.value]
)


#: the largest number that a database takes
_LARGEST = 2**63 - 1


@lru_cache(maxsize=1)
def queries() -> Mapping[str, str]:
    """The text of every query by its name."""
    found: dict[str, str] = {}
    for path in sorted((_FOLDER / "queries").glob("*.sql")):
        for part in path.read_text(encoding="utf-8").split("-- name: ")[1:]:
            name, _, text = part.partition("\n")
            lines = (line for line in text.splitlines() if not line.startswith("--"))
            found[name.strip()] = "\n".join(lines).strip().rstrip(";")
    return found


def migrations() -> list[tuple[int, list[str]]]:
    """The number and the statements of every migration, in order."""
    found = []
    for path in sorted((_FOLDER / "migrations").glob("*.sql")):
        lines = (line for line in path.read_text(encoding="utf-8").splitlines() if not line.strip().startswith("--"))
        statements = [text.strip() for text in "\n".join(lines).split(";")]
        found.append((int(path.name.partition("_")[0]), [text for text in statements if text]))
    return found


# -- conditions ---------------------------------------------------------------------------------------------------------


class Conditions:
    """What is put behind a query: conditions that must all hold, with their parameters."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.parameters: list[Any] = []

    def add(self, text: str, *parameters: Any) -> None:
        """One more that must hold."""
        self.texts.append(text)
        self.parameters += parameters

    def among(self, column: str, values: Iterable[Any]) -> None:
        """A column has one of these values, however many they are."""
        self.add(f"{column} IN (SELECT value FROM json_each(?))", codec.to_json(list(values)).decode())

    def after(self, query: str, word: str) -> str:
        """The query with the conditions; `word` begins the first of them."""
        return f"{query} {word} {' AND '.join(self.texts)}" if self.texts else query


def conditions_of(filters: RunsFilter | None) -> Conditions:
    """The conditions that a filter of runs means."""
    made = Conditions()
    if filters is None:
        return made
    if filters.run_ids is not None:
        made.among("r.run_id", filters.run_ids)
    if filters.job_name:
        made.add("r.job_name = ?", filters.job_name)
    if filters.statuses:
        made.among("r.status", [status.value for status in filters.statuses])
    if filters.snapshot_id:
        made.add("r.snapshot_id = ?", filters.snapshot_id)
    if filters.exclude_subruns:
        made.add("NOT EXISTS (SELECT 1 FROM run_tags WHERE run = r.id AND key = ?)", BACKFILL_TAG)
    for key, value in (filters.tags or {}).items():
        values = codec.to_json([value] if isinstance(value, str) else list(value)).decode()
        made.add(
            "r.id IN (SELECT run FROM run_tags WHERE key = ? AND value IN (SELECT value FROM json_each(?)))",
            key,
            values,
        )
    for name, column in (("created", "r.created"), ("updated", "r.updated")):
        after, before = getattr(filters, f"{name}_after"), getattr(filters, f"{name}_before")
        if after is not None:
            made.add(f"{column} > ?", _seconds(after))
        if before is not None:
            made.add(f"{column} < ?", _seconds(before))
    return made


def conditions_of_events(wanted: EventRecordsFilter) -> Conditions:
    """The conditions that a filter of events means, but for its type and what only the event itself tells."""
    made = Conditions()
    for text, value in (
        ("e.id > ?", wanted.after_cursor),
        ("e.id < ?", wanted.before_cursor),
        ("e.at > ?", wanted.after_timestamp),
        ("e.at < ?", wanted.before_timestamp),
    ):
        if value is not None:
            made.add(text, min(max(value, -_LARGEST), _LARGEST))
    if wanted.storage_ids is not None:
        made.among("e.id", wanted.storage_ids)
    return made


def storable(text: str) -> str:
    """A text as a database takes it: halves of characters are written out."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def moment_of(timestamp: float) -> float:
    """A time as exact as a datetime tells it, so that what is found by a time is found by its datetime."""
    return round(timestamp, 6)


def _seconds(moment: datetime) -> float:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
    return aware.timestamp()


# -- rows ---------------------------------------------------------------------------------------------------------------


def run_of(row: Sequence[Any]) -> DagsterRun:
    """A run of a row of `run_by_id` or `runs`."""
    return codec.decode_run(row[1], DagsterRunStatus(row[2]), msgspec.json.decode(row[3]))


def record_of(row: Sequence[Any]) -> RunRecord:
    """A run with its times of a row of `run_by_id` or `runs`."""
    return RunRecord(row[0], run_of(row), _moment(row[4]), _moment(row[5]), row[6], row[7])


def _moment(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, timezone.utc)


def summary_of(row: Sequence[Any]) -> StepSummary:
    """The summary of a step of a row of `steps`."""
    return StepSummary(row[0], None if row[1] is None else StepState(row[1]), row[2], row[3], row[4])


def lease_of(run_id: str, row: Sequence[Any]) -> Lease:
    """A lease of a row of `lease`."""
    return Lease(run_id, msgspec.json.decode(row[0], type=Owner), row[1], row[2])


class LogReader:
    """Makes log entries of the rows of one run."""

    def __init__(self, run: DagsterRun) -> None:
        self._run = run
        self._events = codec.EventReader(run)

    def record(self, row: Sequence[Any]) -> EventLogRecord:
        """One entry. Raises DagsterEventLogInvalidForRun, naming the row, where it cannot be read."""
        number, at, kind, step_key, _, _, body = row[:7]
        if kind is not None:
            return EventLogRecord(number, event_entry(self._run, at, self.event(row)))
        try:
            return EventLogRecord(number, message_entry(self._run, at, *codec.decode_message(body), step_key))
        except DagsterEventLogInvalidForRun as error:
            raise _unreadable(number, error) from error.__cause__

    def event(self, row: Sequence[Any]) -> DagsterEvent:
        """The event of an entry that is no message. Raises DagsterEventLogInvalidForRun, too."""
        number, _, kind, step_key, op, pid, body = row[:7]
        try:
            return self._events.event(kind, step_key, op, pid, body)
        except DagsterEventLogInvalidForRun as error:
            raise _unreadable(number, error) from error.__cause__


def _unreadable(number: int, error: DagsterEventLogInvalidForRun) -> DagsterEventLogInvalidForRun:
    return DagsterEventLogInvalidForRun(
        f"Row {number} of the event log cannot be read. {error} The rest of the log is not harmed: restore the row from a copy of "
        f"the database, or delete the run."
    )


def event_entry(run: DagsterRun, at: float, event: DagsterEvent) -> EventLogEntry:
    """The log entry of an event."""
    text = event.message or ""
    return EventLogEntry(None, level_of(event), text, run.run_id, at, event.step_key, run.job_name, event)


def message_entry(
    run: DagsterRun, at: float, level: int, text: str, traceback: str | None, step_key: str | None
) -> EventLogEntry:
    """The log entry of a message of user code."""
    error = SerializableErrorInfo(traceback) if traceback is not None else None
    return EventLogEntry(error, level, text, run.run_id, at, step_key, run.job_name, None)
