"""Plan, Step, where inputs come from, what a parent run already knows, commands: plain data.

The machine decides by it, orders are made of it, and it can be sent anywhere: no user object is in it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import msgspec

from treadle.names import UNKNOWN_KEY as UNKNOWN_KEY  # re-exported: the machine knows names only through the plan
from treadle.names import split_step_key as split_step_key
from treadle.names import step_key as step_key
from treadle.outcomes import Demands, RetryPolicy
from treadle.payloads import StepOutputHandle


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
    #: False where an attempt whose process died must not be followed by another: the step has then failed
    is_repeatable: bool = True
    #: what its op asks of whoever runs it, if anything
    demands: Demands | None = None

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


class KnownStep(msgspec.Struct, frozen=True, gc=False):
    """A step that a parent run, or a parent of that, has done: this run does not do it again."""

    step_key: str
    #: the run that holds its values
    run_id: str
    #: output name and, for a dynamic one, mapping key of each value, in the order in which they were yielded
    outputs: tuple[tuple[str, str | None], ...] = ()
    is_skipped: bool = False


class Past(msgspec.Struct, frozen=True):
    """What was decided about a run before it starts: which steps it is to run, and what its parents know of the others."""

    known: tuple[KnownStep, ...] = ()
    #: keys of the steps to run, that of a template for all its branches; None for every step that is not known
    wanted: frozenset[str] | None = None


def templates_of(key: str) -> list[str]:
    """The keys of the templates that a branch is made of: `a[x][y]` to `a[x][y]`, `a[x][?]`, `a[?][y]`, `a[?][?]`."""
    path, mapping_keys = split_step_key(key)
    return [step_key(path, form) for form in itertools.product(*((each, UNKNOWN_KEY) for each in mapping_keys))]


#: of a run without a parent: every step is to be run
NO_PAST = Past()


# -- what the machine asks for ---------------------------------------------------------------------------------------------------

#: for each connected input that carries a value: the outputs to load, one or a list of them
KnownInputs = Mapping[str, StepOutputHandle | list[StepOutputHandle]]


class Launch(msgspec.Struct, frozen=True, gc=False):
    """Start an attempt at a step."""

    step_key: str
    path: str
    mapping_keys: tuple[str, ...]
    #: 1 for the first
    attempt: int
    inputs: KnownInputs
    #: attempts that failed; those that ended because their process did are not among them
    failures: int = 0
    #: of the steps that gave the inputs: which run holds their values, where it is not this one
    origins: Mapping[str, str] = {}


class Wait(msgspec.Struct, frozen=True, gc=False):
    """Call `resume(step_key)` after so many seconds."""

    step_key: str
    seconds: float


class Skip(msgspec.Struct, frozen=True, gc=False):
    """Tell the log that a step is skipped: an output that it needs was not produced."""

    step_key: str
    path: str


class Note(msgspec.Struct, frozen=True, gc=False):
    """Tell the log, as an error message, that a step cannot run."""

    step_key: str
    text: str


Command = Launch | Wait | Skip | Note
