"""Which runs a clean-up takes away: pure, over what every store knows of its runs.

A run that another one follows holds what the other's re-execution takes its inputs from, so it stays as long as that one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from treadle.runs import FINISHED_STATUSES

_FINISHED = frozenset(status.value for status in FINISHED_STATUSES)


class Standing(NamedTuple):
    """A run as far as retention is concerned; `ended` is the time of its end, or of what was written of it last."""

    run_id: str
    parent_run_id: str | None
    status: str
    ended: float


class Choice(NamedTuple):
    """Runs that go, the oldest first, and those that are due but stay, since a run that stays follows them."""

    due: list[str]
    spared: list[str]


def choose(runs: Iterable[Standing], finished_before: float | None, max_runs: int | None) -> Choice:
    """Of all runs in the order in which they were added: finished ones that ended before this time, and the oldest finished
    ones beyond so many in all. A run that is not finished always stays.
    """
    known = {run.run_id: run for run in runs}
    finished = [run for run in known.values() if run.status in _FINISHED]
    due = {run.run_id for run in finished if finished_before is not None and run.ended < finished_before}
    if max_runs is not None:
        due.update(run.run_id for run in finished[: max(len(known) - max_runs, 0)])
    needed: set[str] = set()
    for run in known.values():
        if run.run_id not in due:
            _need_line(run, known, needed)
    return Choice([each for each in known if each in due - needed], [each for each in known if each in due & needed])


def _need_line(run: Standing, known: dict[str, Standing], needed: set[str]) -> None:
    """Add those that a run follows, as far as they are not there yet."""
    above = run.parent_run_id
    while above is not None and above in known and above not in needed:
        needed.add(above)
        above = known[above].parent_run_id


def is_needed(children: Iterable[str], due: Collection[str]) -> bool:
    """True where one of the runs that follow a run stays."""
    return any(child not in due for child in children)
