"""Jobs written in one line, for tests that need many small ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from treadle import JobDefinition, job


def job_of(wiring: Callable[[], Any], name: str = "wired", **kwargs: Any) -> JobDefinition:
    """A job with this body; what the body returns is dropped, so that a lambda can be one."""

    def body():
        wiring()

    return job(name=name, **kwargs)(body)
