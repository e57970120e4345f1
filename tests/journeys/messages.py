"""Claims about what a user reads; the tests of mistakes make them.

Treadle suggests the name that was probably meant. Other implementations of the API need not, and are not held to it.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.scenario import IS_TREADLE


def assert_says(error: Any, *parts: str, hint: str | None = None) -> None:
    """The error's text has all the parts, and suggests the name that was probably meant."""
    text = str(error.value if isinstance(error, pytest.ExceptionInfo) else error)
    for part in parts:
        assert part in text
    if hint and IS_TREADLE:
        assert f'Did you mean "{hint}"' in text


def assert_steps(result: Any, *expected: str) -> None:
    """The step events of the result, in order, as `key TYPE`."""
    events = [f"{event.step_key} {event.event_type.name}" for event in result.all_events if event.is_step_event]
    assert events == list(expected)
