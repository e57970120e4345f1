"""Which runs a clean-up takes away, whatever their line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from treadle.runs import FINISHED_STATUSES, DagsterRunStatus
from treadle.storage.retention import Standing, choose, is_needed

FINISHED = {status.value for status in FINISHED_STATUSES}


@st.composite
def runs(draw: st.DrawFn) -> list[Standing]:
    """Runs in the order in which they were added; each may follow an earlier one, or one that is not there any more."""
    made: list[Standing] = []
    for number in range(draw(st.integers(0, 8))):
        parents = [None, "gone", *(run.run_id for run in made)]
        status = draw(st.sampled_from(sorted(FINISHED | {"STARTED", "NOT_STARTED"})))
        made.append(Standing(f"r{number}", draw(st.sampled_from(parents)), status, draw(st.integers(0, 5))))
    return made


@given(runs(), st.none() | st.integers(0, 6), st.none() | st.integers(0, 9))
def test_what_goes_is_due_and_no_run_that_stays_follows_it(
    known: list[Standing], before: int | None, most: int | None
) -> None:
    chosen = choose(known, before, most)
    gone, spared = set(chosen.due), set(chosen.spared)
    finished = [run for run in known if run.status in FINISHED]
    surplus = 0 if most is None else max(len(known) - most, 0)
    due = {run.run_id for run in finished if before is not None and run.ended < before}
    due |= {run.run_id for run in finished[:surplus]}
    assert gone | spared == due
    assert not gone & spared
    by_id = {run.run_id: run for run in known}
    followed = set()
    for run in known:
        if run.run_id not in gone:
            above = by_id.get(run.parent_run_id or "")
            while above is not None:
                followed.add(above.run_id)
                above = by_id.get(above.parent_run_id or "")
    assert not gone & followed
    assert spared <= followed
    assert chosen.due == [run.run_id for run in known if run.run_id in gone]


def test_line_that_runs_in_a_circle_comes_to_an_end() -> None:
    one, other = Standing("a", "b", "SUCCESS", 0.0), Standing("b", "a", DagsterRunStatus.STARTED.value, 0.0)
    assert choose([one, other], 1.0, None) == ([], ["a"])


def test_run_is_needed_while_one_that_follows_it_stays() -> None:
    assert is_needed(["a", "b"], {"a"})
    assert not is_needed(["a", "b"], {"a", "b"})
    assert not is_needed([], set())
