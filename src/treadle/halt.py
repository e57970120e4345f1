"""Halt: whether the attempt at a step that is under way is to stop, for its own code to see.

Threads and event loops cannot be killed. Who wants an attempt to end says so here, from any thread; its code finds it when it
looks, and what it awaits is cancelled. A deadline is a reason by itself. There is one for each attempt; it decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic

from treadle.errors import DagsterExecutionInterruptedError, StepMemoryError, StepTimeoutError

#: seconds between two looks at the memory of the process
_WEIGHING = 0.05


def took_too_long(run_id: str, step_key: str, seconds: float | None) -> StepTimeoutError:
    """Of a step that was ended for its op's timeout."""
    return StepTimeoutError(
        f"Step {step_key} has taken longer than its op's timeout of {seconds:g} s, and was ended. Give it more time, or see what it "
        f"waits for: treadle logs {run_id} {step_key}."
    )


def took_too_much(step_key: str, memory: int, limit: int) -> StepMemoryError:
    """Of a step that looked, in a process that has more memory than its op's limit."""
    return StepMemoryError(
        f"The process in which step {step_key} runs has {memory:,} bytes of memory, more than its op's memory_limit of {limit:,}, and "
        f"the step was asked to stop. That memory is of all steps that run there. Give it more, let them keep less at a time, or "
        f'write isolation="process".'
    )


class Halt:
    """What is asked of one attempt. Its defaults belong to the class: most attempts are never asked anything."""

    #: why it is to stop, as who asked first has it
    reason: StepTimeoutError | StepMemoryError | DagsterExecutionInterruptedError | None = None
    #: by the monotonic clock: from then on it has taken too long
    deadline: float = math.inf
    #: the error of the deadline
    _too_long: StepTimeoutError | None = None
    #: gives the error where the process has too much memory by now; asked when the attempt's code looks
    _weigh: Callable[[], StepMemoryError | None] | None = None
    _next_weighing: float = 0.0
    #: the run is interrupted, so that no other attempt follows
    is_last = False
    #: the attempt's code has looked at least once
    has_looked = False
    #: what it awaits was cancelled for this
    is_heard = False
    #: the body of its op has come to its end: what is left is to store what that gave
    is_over = False
    #: cancels what is awaited at the moment, from any thread
    wake: Callable[[], object] | None = None

    def allow(self, seconds: float, too_long: StepTimeoutError) -> None:
        """Let it take so many seconds from now."""
        self._too_long = too_long
        self.deadline = monotonic() + seconds

    def bound(self, weigh: Callable[[], StepMemoryError | None]) -> None:
        """Have the memory of the process looked at when its code looks, at most every 50 ms."""
        self._weigh = weigh

    def look(self) -> bool:
        """For its own code: True once it is to stop."""
        self.has_looked = True
        if self._weigh is not None and self.reason is None:
            now = monotonic()
            if now >= self._next_weighing:
                self._next_weighing = now + _WEIGHING
                self.reason = self._weigh()
        return self.is_asked

    def ask(self, error: BaseException, *, wakes: bool = True) -> None:
        """Ask it to stop, since the run does. What was asked first stays the reason.

        What it awaits is cancelled, unless whoever asks raises an exception there.
        """
        self.is_last = True
        if self.is_asked:
            return
        is_plain = isinstance(error, DagsterExecutionInterruptedError)
        self.reason = error if is_plain else DagsterExecutionInterruptedError("The run was interrupted.")  # type: ignore[assignment]
        wake = self.wake
        if wakes and wake is not None:
            wake()

    @property
    def is_asked(self) -> bool:
        """True once it is to stop."""
        if self.reason is None and monotonic() >= self.deadline:
            self.reason = self._too_long
        return self.reason is not None

    @property
    def is_late(self) -> bool:
        """True where it is to stop since it went beyond a limit of its op, rather than for the run."""
        return self.is_asked and not isinstance(self.reason, DagsterExecutionInterruptedError)

    def error(self) -> BaseException:
        """What to raise in it: a new exception each time, since several threads may."""
        reason = self.reason
        assert reason is not None
        return type(reason)(*reason.args)

    def check(self) -> None:
        """Raise StepTimeoutError or DagsterExecutionInterruptedError where it is to stop."""
        if self.reason is not None or monotonic() >= self.deadline:
            if self.is_asked:
                raise self.error()

    def check_late(self) -> None:
        """Raise StepTimeoutError or StepMemoryError where it went beyond a limit, whatever has become of it."""
        if self.is_late:
            raise self.error()

    def finish(self) -> None:
        """The body of its op has come to its end: raise where that went beyond a limit, and count no more."""
        if self.deadline != math.inf or self._weigh is not None:
            self.check_late()
            self.deadline, self._weigh = math.inf, None
        self.is_over = True


#: of code that no run has a hold on
NEVER = Halt()
