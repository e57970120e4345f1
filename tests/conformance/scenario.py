"""What a golden scenario is: a job, how it is run, and all that is expected of the run.

The modules `flows`, `endings` and `values` define scenarios with `golden`; `scenarios` puts them in one list.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import treadle

#: False where these tests run against another implementation, to prove that what they expect is true of the API
IS_TREADLE = treadle.op.__module__.partition(".")[0] == "treadle"

#: scenarios up to this number use nothing but the frame's own part of the API
LAST_OF_FRAME = 30


@dataclass(frozen=True)
class Scenario:
    """One row of the golden sequences; defaults say what holds for a plain, successful run."""

    number: int
    name: str
    #: the expected events, in the notation of `notation.py`
    events: str
    build: Callable[[], treadle.JobDefinition]
    #: what `execute_in_process` gets besides raise_on_error
    run: Mapping[str, Any] = field(default_factory=dict)
    #: keys of the steps that end in STEP_FAILURE
    failed: tuple[str, ...] = ()
    #: what raise_on_error=True raises
    raises: type[BaseException] | None = None
    #: the events with raise_on_error=True; None where they follow from `events`
    events_when_raising: str | None = None
    #: node -> value of its output `result`, or (node, output) -> value
    outputs: Mapping[str | tuple[str, str], Any] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    #: nodes of the job that get no event at all
    untouched: tuple[str, ...] = ()
    #: node -> number of attempts after the first
    retries: Mapping[str, int] = field(default_factory=dict)
    #: further claims about the result
    check: Callable[[Any], None] | None = None

    @property
    def id(self) -> str:
        return f"{self.number:02}-{self.name}"

    @property
    def is_success(self) -> bool:
        return "OK" in self.events

    def execute(self, *, raise_on_error: bool, **kwargs: Any) -> Any:
        """Run the scenario's job in process."""
        return self.build().execute_in_process(raise_on_error=raise_on_error, **{**self.run, **kwargs})

    def execute_logged(self, *, raise_on_error: bool) -> tuple[list[Any], BaseException | None]:
        """Run it on an instance of its own and read the events from there, so that they are seen after a raise too."""
        run_id = str(uuid.uuid4())
        raised: BaseException | None = None
        with treadle.DagsterInstance.ephemeral() as instance:
            try:
                self.execute(raise_on_error=raise_on_error, instance=instance, run_id=run_id)
            except (Exception, KeyboardInterrupt, SystemExit) as exc:
                raised = exc
            entries = instance.all_logs(run_id)
        return [entry.dagster_event for entry in entries if entry.is_dagster_event], raised


def golden(number: int, events: str, **expected: Any) -> Callable[[Callable[[], treadle.JobDefinition]], Scenario]:
    """Make the decorated function, which builds and returns a job, into the scenario of its name."""

    def make(build: Callable[[], treadle.JobDefinition]) -> Scenario:
        return Scenario(number=number, name=build.__name__, events=events, build=build, **expected)

    return make
