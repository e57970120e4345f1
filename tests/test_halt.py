"""Whether an attempt is to stop: what was asked first is the reason, whoever asks and whenever its code looks."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from treadle import DagsterExecutionInterruptedError, StepTimeoutError
from treadle.definitions.invoke import heed
from treadle.halt import Halt, took_too_long

LATE = took_too_long("run", "step", 5)


def late() -> Halt:
    halt = Halt()
    halt.allow(0, LATE)
    return halt


def test_attempt_that_nobody_asks_is_not_to_stop() -> None:
    halt = Halt()
    halt.check()
    halt.finish()
    assert (halt.is_asked, halt.is_late, halt.is_last, halt.deadline) == (False, False, False, math.inf)


def test_deadline_is_a_reason_by_itself_and_no_reason_before() -> None:
    halt = Halt()
    halt.allow(60, LATE)
    halt.check()
    assert not halt.is_asked
    halt.allow(0, LATE)
    with pytest.raises(StepTimeoutError, match="timeout of 5 s"):
        halt.check()
    assert (halt.is_asked, halt.is_late, halt.is_last) == (True, True, False)


def test_what_was_asked_first_stays_the_reason() -> None:
    first_late, first_asked = late(), Halt()
    assert first_late.is_asked
    first_late.ask(DagsterExecutionInterruptedError("canceled"))
    assert first_late.is_late
    assert first_late.is_last, "no other attempt follows, for the run is over"
    first_asked.ask(DagsterExecutionInterruptedError("canceled"))
    first_asked.allow(0, LATE)
    first_asked.ask(DagsterExecutionInterruptedError("again"))
    assert (first_asked.is_asked, first_asked.is_late) == (True, False)
    with pytest.raises(DagsterExecutionInterruptedError, match="canceled"):
        first_asked.check()
    first_asked.finish()


def test_each_look_raises_an_exception_of_its_own() -> None:
    halt = late()
    raised = []
    for _ in range(2):
        with pytest.raises(StepTimeoutError) as caught:
            halt.check()
        raised.append(caught.value)
    assert raised[0] is not raised[1]
    assert str(raised[0]) == str(raised[1])


def test_other_interruption_is_told_as_one_of_the_run() -> None:
    halt = Halt()
    halt.ask(KeyboardInterrupt())
    with pytest.raises(DagsterExecutionInterruptedError, match="The run was interrupted"):
        halt.check()


def test_body_that_ends_late_has_failed_and_one_that_ends_in_time_is_held_to_nothing_more() -> None:
    with pytest.raises(StepTimeoutError):
        late().finish()
    halt = Halt()
    halt.allow(0.2, LATE)
    halt.finish()
    assert halt.is_over
    time.sleep(0.25)
    assert not halt.is_asked


# -- what is awaited


def test_cancellation_that_nobody_asked_for_stays_one() -> None:
    async def cancels_itself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(10)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(heed(cancels_itself(), None, Halt()))


@pytest.mark.parametrize("is_nested", [False, True])
def test_what_is_awaited_is_cancelled_once_at_the_deadline_and_cleans_up(is_nested: bool) -> None:
    halt, told = Halt(), []
    halt.allow(0.05, LATE)

    async def waits() -> None:
        try:
            await (asyncio.gather(asyncio.sleep(10), asyncio.sleep(10)) if is_nested else asyncio.sleep(10))
        finally:
            await asyncio.sleep(0.05)
            told.append("cleaned")

    with pytest.raises(StepTimeoutError) as caught:
        asyncio.run(heed(waits(), None, halt))
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert told == ["cleaned"]
    assert halt.wake is None


def test_asking_from_another_thread_cancels_what_is_awaited() -> None:
    halt = Halt()

    async def both() -> Any:
        async def ask() -> None:
            await asyncio.sleep(0.05)
            error = DagsterExecutionInterruptedError("canceled")
            await asyncio.get_running_loop().run_in_executor(None, halt.ask, error)

        asking = asyncio.create_task(ask())
        try:
            await asyncio.create_task(heed(asyncio.sleep(10), None, halt))
        finally:
            await asking

    with pytest.raises(DagsterExecutionInterruptedError, match="canceled"):
        asyncio.run(both())


def test_async_generator_is_closed_that_is_not_to_go_on() -> None:
    told = []

    async def streams() -> AsyncIterator[int]:
        try:
            yield 1
            told.append("went on")
        finally:
            await asyncio.sleep(0)
            told.append("closed")

    async def main() -> None:
        halt, source = Halt(), streams()
        assert await asyncio.create_task(heed(source.__anext__(), source, halt)) == 1
        halt.ask(DagsterExecutionInterruptedError("canceled"))
        with pytest.raises(DagsterExecutionInterruptedError):
            await asyncio.create_task(heed(source.__anext__(), source, halt))

    asyncio.run(main())
    assert told == ["closed"]
