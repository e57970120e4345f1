"""DagsterRun, DagsterRunStatus, RunsFilter.

A run's record as it stood when it was read; read it again to see a new status. The instance makes and keeps them.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

import msgspec

from treadle.checks import check_optional, check_param, list_of, show
from treadle.errors import CheckError


class DagsterRunStatus(str, Enum):
    """How far a run is; the value equals the name."""

    QUEUED = "QUEUED"
    NOT_STARTED = "NOT_STARTED"
    MANAGED = "MANAGED"
    STARTING = "STARTING"
    STARTED = "STARTED"
    SUSPENDED = "SUSPENDED"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    CANCELING = "CANCELING"
    CANCELED = "CANCELED"


_S = DagsterRunStatus
FINISHED_STATUSES = frozenset((_S.SUCCESS, _S.FAILURE, _S.CANCELED))
CANCELABLE_STATUSES = frozenset((_S.STARTED, _S.QUEUED, _S.STARTING, _S.SUSPENDED))

#: the fold of a run's status: an event of this type (by its stored value) leaves the run in this status
STATUS_AFTER = {
    "PIPELINE_START": _S.STARTED,
    "PIPELINE_SUCCESS": _S.SUCCESS,
    "PIPELINE_FAILURE": _S.FAILURE,
    "PIPELINE_ENQUEUED": _S.QUEUED,
    "PIPELINE_STARTING": _S.STARTING,
    "PIPELINE_CANCELING": _S.CANCELING,
    "PIPELINE_CANCELED": _S.CANCELED,
    "RUN_SUSPENDED": _S.SUSPENDED,
    "RUN_RESUMED": _S.STARTED,
}


class DagsterRun(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a job."""

    job_name: str
    run_id: str
    run_config: Mapping[str, Any] = {}
    asset_selection: frozenset[Any] | None = None
    asset_check_selection: frozenset[Any] | None = None
    op_selection: Sequence[str] | None = None
    resolved_op_selection: frozenset[str] | None = None
    step_keys_to_execute: Sequence[str] | None = None
    status: DagsterRunStatus = DagsterRunStatus.NOT_STARTED
    tags: Mapping[str, str] = {}
    root_run_id: str | None = None
    parent_run_id: str | None = None
    job_snapshot_id: str | None = None
    execution_plan_snapshot_id: str | None = None
    remote_job_origin: Any = None
    job_code_origin: Any = None
    has_repository_load_data: bool = False
    run_op_concurrency: Any = None
    partitions_subset: Any = None

    @property
    def is_finished(self) -> bool:
        """True once the run has succeeded, failed or been canceled."""
        return self.status in FINISHED_STATUSES

    @property
    def is_success(self) -> bool:
        """True where the run succeeded."""
        return self.status is DagsterRunStatus.SUCCESS

    @property
    def is_failure(self) -> bool:
        """True where the run failed."""
        return self.status is DagsterRunStatus.FAILURE

    @property
    def is_failure_or_canceled(self) -> bool:
        """True where the run failed or was canceled."""
        return self.status in (DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)

    @property
    def is_cancelable(self) -> bool:
        """True while there is something to cancel."""
        return self.status in CANCELABLE_STATUSES

    @property
    def is_resume_retry(self) -> bool:
        """True where the run re-executes the failed part of another."""
        return self.tags.get("dagster/is_resume_retry") == "true"

    @property
    def pipeline_name(self) -> str:
        """Older name of `job_name`."""
        return self.job_name

    @property
    def previous_run_id(self) -> str | None:
        """The run that this one re-executes."""
        return self.parent_run_id

    def with_status(self, status: DagsterRunStatus) -> DagsterRun:
        """The same run in another status."""
        return msgspec.structs.replace(self, status=status)

    def with_tags(self, tags: Mapping[str, str]) -> DagsterRun:
        """The same run with these tags."""
        return msgspec.structs.replace(self, tags=tags)


#: marks runs that a backfill has launched
BACKFILL_TAG = "dagster/backfill"


class RunsFilter(msgspec.Struct, frozen=True):
    """Which runs are meant; all that is given must hold, and an empty one means all.

    A tag's value may be a list: any of them. Times are exclusive; one without a time zone is in UTC. `exclude_subruns` leaves
    out runs that a backfill has launched.
    """

    run_ids: Sequence[str] | None = None
    job_name: str | None = None
    statuses: Sequence[DagsterRunStatus] = ()
    tags: Mapping[str, str | Sequence[str]] = {}
    snapshot_id: str | None = None
    updated_after: datetime | None = None
    updated_before: datetime | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    exclude_subruns: bool | None = None

    def __post_init__(self) -> None:
        where = "RunsFilter"
        if self.run_ids is not None:
            if not list_of(self.run_ids, str, "run_ids", where):
                raise CheckError(f"{where}: run_ids is empty, so no run could be found. Leave it out to find all runs.")
        if self.statuses is not None:
            list_of(self.statuses, DagsterRunStatus, "statuses", where)
        for name in ("job_name", "snapshot_id"):
            check_optional(getattr(self, name), str, name, where)
        check_optional(self.exclude_subruns, bool, "exclude_subruns", where)
        for name in ("updated_after", "updated_before", "created_after", "created_before"):
            check_optional(getattr(self, name), datetime, name, where)
        check_optional(self.tags, Mapping, "tags", where)
        for key, value in (self.tags or {}).items():
            check_param(key, str, f"tags: {show(key)}", where)
            if not isinstance(value, str):
                list_of(value, str, f"tags: {show(key)}", where)


def make_run_id() -> str:
    """A new random run id."""
    return str(uuid.uuid4())


def check_run_id(run_id: object) -> str:
    """Return a caller's run id, or raise CheckError where it is not the text of a UUID."""
    try:
        uuid.UUID(run_id)  # type: ignore[arg-type]
    except (ValueError, TypeError, AttributeError):
        raise CheckError(
            f"run_id: must be a valid UUID such as {make_run_id()!r}, got {run_id!r}. Leave it out to have one made."
        ) from None
    return run_id  # type: ignore[return-value]
