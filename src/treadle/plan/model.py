"""Plan, Step, where inputs come from, what a parent run already knows: plain data.

The machine decides by it, orders are made of it, and it can be sent anywhere: no user object is in it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from treadle.names import UNKNOWN_KEY as UNKNOWN_KEY  # re-exported: the machine knows names only through the plan
from treadle.names import step_key as step_key
from treadle.outcomes import RetryPolicy


class FromOutput(msgspec.Struct, frozen=True, tag=True, gc=False):
    """A value that another step produces.

    Where the output is dynamic the step is one branch below it, and takes the value under its own mapping key.
    """

    path: str
    output: str
    is_dynamic: bool = False


class FromList(msgspec.Struct, frozen=True, tag=True, gc=False):
    """A list of values that other steps produce; those that were skipped are left out."""

    items: tuple[FromOutput, ...]


class FromCollect(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The list of what every branch below a dynamic output gave, in the order of the branches."""

    path: str
    output: str
    is_dynamic: bool = False


Source = FromOutput | FromList | FromCollect


class StepInput(msgspec.Struct, frozen=True, gc=False):
    """One connected input of a step. Inputs from config, defaults or the caller concern only who runs the step."""

    name: str
    source: Source
    #: False for a Nothing input: it orders the steps and carries no value
    has_value: bool = True


class StepOutput(msgspec.Struct, frozen=True, gc=False):
    """One output of a step."""

    name: str
    is_required: bool = True
    is_dynamic: bool = False


class Fan(msgspec.Struct, frozen=True, gc=False):
    """A dynamic output that multiplies the steps below it."""

    path: str
    output: str


class Step(msgspec.Struct, frozen=True, gc=False):
    """A node in a plan. Below a fan it is a template: each mapping key makes a step of its own."""

    path: str
    #: the step key, with `[?]` for each mapping key that is not known before the run; made from the rest
    key: str = ""
    inputs: tuple[StepInput, ...] = ()
    outputs: tuple[StepOutput, ...] = ()
    #: the dynamic outputs above this step, outermost first
    scope: tuple[Fan, ...] = ()
    priority: int = 0
    retry_policy: RetryPolicy | None = None

    def __post_init__(self) -> None:
        if not self.key:
            key = step_key(self.path, (UNKNOWN_KEY,) * len(self.scope)) if self.scope else self.path
            msgspec.structs.force_setattr(self, "key", key)

    @property
    def upstream(self) -> list[FromOutput | FromCollect]:
        """Every output that the inputs need."""
        found: list[FromOutput | FromCollect] = []
        for port in self.inputs:
            source = port.source
            if isinstance(source, FromList):
                found += source.items
            else:
                found.append(source)
        return found


class Plan(msgspec.Struct, frozen=True, gc=False):
    """A job compiled for one run: its steps by path, each after those that it needs."""

    job_name: str
    steps: Mapping[str, Step]

    @property
    def step_keys(self) -> list[str]:
        """The keys of all steps that are known before the run, in order."""
        return [step.key for step in self.steps.values()]
