"""What is told of attempts in this process that were asked to stop, and that have not ended since.

A thread cannot be killed, so that telling is all that there is to do. Executors of this process come here; the attempt itself
ends as the engine has it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from treadle import introspect
from treadle.engine.step import run_step
from treadle.engine.workplace import Workplace
from treadle.errors import error_info
from treadle.events import DagsterEvent, DagsterEventType, run_event
from treadle.halt import Halt
from treadle.payloads import EngineEventData
from treadle.plan.model import Launch

#: seconds that an attempt has to look after it has taken too long, before it is told that it does not
SLACK = 0.2
#: seconds after which it is told, once more, that an attempt goes on which was asked to stop
GRACE = 5.0


def run_here(place: Workplace, order: Launch) -> Iterator[DagsterEvent]:
    """Run an attempt on this thread, step by step as its events are asked for."""
    steps = run_step(place, order)
    seconds = place.timeout_of(order.path)
    return steps if seconds is None else _watched(place, order, steps, seconds)


def _watched(place: Workplace, order: Launch, steps: Iterator[DagsterEvent], seconds: float) -> Iterator[DagsterEvent]:
    """Nobody else looks at the clock while user code has this thread: another one does, for this attempt alone."""
    yield next(steps)
    halt, announce = place.signals.halt, place.announce
    assert halt is not None
    is_over = threading.Event()

    def watch() -> None:
        if announce is None or is_over.wait(seconds + SLACK) or not halt.is_late:
            return
        if is_unheeding(place, order, halt):
            announce(tell_late(place, order, halt))
        if not is_over.wait(GRACE):
            is_held = halt.wake is not None and not halt.is_heard
            announce(tell_deaf(place, order, halt, order.step_key if is_held else None))

    threading.Thread(target=watch, name="treadle-watch", daemon=True).start()
    try:
        yield from steps
    finally:
        is_over.set()


def is_unheeding(place: Workplace, order: Launch, halt: Halt) -> bool:
    """Whether the attempt could not so much as know that it is to stop: it has not looked once, nor does it await."""
    is_async = introspect.is_async(place.job.wiring.ops[order.path].definition.compute_fn)
    return not (halt.has_looked or is_async)


def tell_late(place: Workplace, order: Launch, halt: Halt) -> DagsterEvent:
    """That an attempt goes on which has taken too long, and does not look."""
    text = (
        f'Step "{order.step_key}" has taken longer than its op\'s timeout of {place.timeout_of(order.path):g} s, and has not looked '
        f"once whether it is to stop (context.check_cancelled()), though its op is cooperative. A thread cannot be stopped: the "
        f"attempt goes on until its body comes back, and has failed then, whatever it gives."
    )
    return _note(place, order.step_key, text, halt.error())


def tell_deaf(place: Workplace, order: Launch, halt: Halt, holder: str | None) -> DagsterEvent:
    """That an attempt has not ended although it was asked to, GRACE seconds ago; `holder` is what keeps its loop, if anything."""
    key = order.step_key
    if holder == key:
        why = "It holds up its event loop: it computes, or waits, without awaiting, and cannot be cancelled before it awaits."
    elif holder is not None:
        why = f'Step "{holder}" holds up the event loop, without awaiting: nothing on that can be cancelled before it awaits.'
    elif halt.is_heard:
        why = "It was cancelled where it awaited, and goes on all the same."
    elif halt.has_looked:
        why = "It has looked before, and does not look now, or goes on all the same. A thread cannot be stopped."
    else:
        why = "It has never looked whether it is to stop (context.check_cancelled()), and a thread cannot be stopped."
    text = f'Step "{key}" was asked to stop {GRACE:g} s ago, and has not ended. {why}'
    return _note(place, key, text, halt.error())


def _note(place: Workplace, key: str, text: str, error: BaseException) -> DagsterEvent:
    data = EngineEventData(error=error_info(error))
    return run_event(DagsterEventType.ENGINE_EVENT, place.facts.run.job_name, data, message=text, step_key=key)
