"""What the summaries of a store must tell: the fold of the log."""

from __future__ import annotations

from collections.abc import Sequence

from treadle.events import DagsterEventType as T
from treadle.records import StepEventStatus, run_stats, step_stats
from treadle.storage.store import StepState, Store

#: what may follow upon what in the log of one step
_NEXT: dict[T | None, list[T]] = {
    None: [T.STEP_START, T.STEP_SKIPPED, T.STEP_FAILURE],
    T.STEP_START: [T.STEP_OUTPUT, T.STEP_SUCCESS, T.STEP_FAILURE, T.STEP_UP_FOR_RETRY, T.ASSET_MATERIALIZATION],
    T.STEP_RESTARTED: [T.STEP_OUTPUT, T.STEP_SUCCESS, T.STEP_FAILURE, T.STEP_UP_FOR_RETRY, T.STEP_EXPECTATION_RESULT],
    T.STEP_OUTPUT: [T.STEP_SUCCESS, T.STEP_FAILURE, T.STEP_UP_FOR_RETRY],
    T.ASSET_MATERIALIZATION: [T.STEP_OUTPUT, T.STEP_FAILURE],
    T.STEP_EXPECTATION_RESULT: [T.STEP_OUTPUT, T.STEP_SUCCESS],
    T.STEP_UP_FOR_RETRY: [T.STEP_RESTARTED],
}


def what_may_follow(before: Sequence[T]) -> list[T]:
    """The types of events that a step may have after these."""
    return _NEXT.get(before[-1] if before else None, [])


_STATES = {
    None: None,
    StepState.RUNNING: StepEventStatus.IN_PROGRESS,
    StepState.RETRYING: StepEventStatus.IN_PROGRESS,
    StepState.SUCCESS: StepEventStatus.SUCCESS,
    StepState.FAILURE: StepEventStatus.FAILURE,
    StepState.SKIPPED: StepEventStatus.SKIPPED,
}


def check_summaries(store: Store, run_id: str) -> None:
    """AssertionError where the summary of a run differs from a fold over its log."""
    entries = [record.event_log_entry for record in store.read_log(run_id)]
    assert store.run_stats(run_id) == run_stats(run_id, entries)
    folded = {each.step_key: each for each in step_stats(run_id, entries)}
    summaries = {each.step_key: each for each in store.steps(run_id)}
    # a step of which only messages are known has a summary, and no statistics
    assert {key for key, each in summaries.items() if each.state is not None} <= folded.keys() <= summaries.keys()
    for key, wanted in folded.items():
        found = summaries[key]
        assert (_STATES[found.state], found.attempts) == (wanted.status, wanted.attempts)
        assert (found.start_time, found.end_time) == (wanted.start_time, wanted.end_time)
