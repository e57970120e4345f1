"""What the steps of one run need, wherever they run.

A Workplace is made once for a run in each process that takes part in it; a Bench holds what one op of the job needs,
resolved once however many branches or attempts it has. Nothing here runs anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any

from treadle.contexts import OpExecutionContext, RunFacts
from treadle.definitions.job import JobDefinition
from treadle.definitions.opening import Resources
from treadle.definitions.run_config import ResolvedConfig
from treadle.definitions.wiring import WiredInput, WiredOp
from treadle.engine import usage
from treadle.engine.interrupts import Interrupts
from treadle.errors import StepMemoryError
from treadle.events import DagsterEvent, DagsterEventType, ResolvedFromDynamicStepHandle, StepHandle
from treadle.halt import Halt, took_too_long, took_too_much
from treadle.io_contexts import InputContext, OutputContext
from treadle.logs import DagsterLogManager, RunLog
from treadle.metadata import MetadataValue
from treadle.names import split_step_key
from treadle.payloads import EngineEventData, Payload, StepOutputHandle
from treadle.plan.model import Plan

if TYPE_CHECKING:
    from treadle.definitions.shelf import Shelf
    from treadle.engine.holdings import Takers

_START = DagsterEventType.STEP_START.value
_RESTARTED = DagsterEventType.STEP_RESTARTED.value


class Workplace:
    """What the steps of one run need, wherever they run: the job, its config, resources and captured outputs."""

    def __init__(
        self,
        facts: RunFacts,
        plan: Plan,
        config: ResolvedConfig,
        input_values: Mapping[str, Any],
        *,
        retries_enabled: bool = True,
    ) -> None:
        self.facts = facts
        self.job = facts.job_def
        self.plan = plan
        self.config = config
        self.input_values = input_values
        self.retries_enabled = retries_enabled
        #: keys of the steps that the run is to run, as far as they are known before it
        self.step_keys = plan.step_keys
        #: open resources by key; the executor opens and closes them
        self.resources: Mapping[str, Any] = {}
        #: every value an op produced, by step key, output name and mapping key; None to keep none
        self.captured: dict[tuple[str, str, str | None], Any] | None = {}
        #: the exception of the first step that failed for good, as its author raised it
        self.first_error: BaseException | None = None
        #: what interrupted a step, and so ends the run
        self.interrupt: BaseException | None = None
        self.signals = Interrupts()
        #: whether an attempt is asked to stop at its op's timeout here; where its process is ended for that it is not
        self.keeps_timeouts = True
        #: of the attempt that begins next, where somebody has it already
        self.next_halt: Halt | None = None
        #: puts an event into the log while its step is at work; None where the step's own stream is quick enough
        self.announce: Callable[[DagsterEvent], None] | None = None
        #: called when the body of an op is about to run: what happened before it is to be known
        self.before_body: Callable[[], None] | None = None
        #: where in memory values may be kept that later steps take; None where they go to disk
        self.shelf: Shelf | None = None
        self._takers: Takers | None = None
        #: what counts as used by a step, see `usage`; None where it cannot be told
        self.usage_scope: str | None = usage.PROCESS
        #: what resources and async ops of the run share, once a resource has asked for it; the executor closes it
        self.loop: Any = None
        run = facts.run
        self._tags = {"run_id": run.run_id, "job_name": run.job_name}
        self._run_tags = dict(run.tags)
        self._benches: dict[str, Bench] = {}
        self._scopes: dict[frozenset[str], Resources] = {}

    def furnish(self, resources: Mapping[str, Any]) -> None:
        """Have these resources from now on, and no others."""
        self.resources = resources
        self._benches.clear()
        self._scopes.clear()

    def beside(self, log: RunLog, announce: Callable[[DagsterEvent], None] | None) -> Workplace:
        """The same place for one attempt that runs beside others, on another thread than the driver's.

        Resources and config are shared; signals, which reach the main thread alone, and what the attempt leaves of its
        error are its own. `log` and `announce` take what it says.
        """
        made = copy(self)
        made.facts = copy(self.facts)
        made.facts.log = log
        made.usage_scope = usage.THREAD
        made.signals = Interrupts()
        made.next_halt = Halt()
        made.announce = announce
        made.before_body = made.first_error = made.interrupt = None
        return made

    @property
    def required_resource_keys(self) -> frozenset[str]:
        """The resource keys that the steps of the run need."""
        job: JobDefinition = self.job
        if self.step_keys == self.plan.step_keys:
            return job.required_resource_keys
        return job.resource_keys_of({split_step_key(key)[0] for key in self.step_keys})

    def describe(self) -> EngineEventData:
        """This process and the steps of the run, for the events with which an executor begins and ends."""
        return EngineEventData(
            {"pid": MetadataValue.text(str(os.getpid())), "step_keys": MetadataValue.text(str(self.step_keys))}
        )

    def take_halt(self) -> Halt:
        """What tells the attempt that begins whether it is to stop: one of its own."""
        halt = self.next_halt or Halt()
        self.next_halt = None
        self.signals.halt = halt
        return halt

    def timeout_of(self, path: str) -> float | None:
        """Seconds after which an attempt at the op is asked to stop; None where it may take as long as it likes, or is ended."""
        demands = self.plan.steps[path].demands
        is_held = demands is not None and demands.is_cooperative and self.keeps_timeouts
        return demands.timeout if demands is not None and is_held else None

    def memory_limit_of(self, path: str) -> int | None:
        """Bytes of this process's memory beyond which an attempt at the op is asked to stop when it looks; None for no such bound."""
        demands = self.plan.steps[path].demands
        is_held = demands is not None and demands.looks and self.keeps_timeouts and usage.memory_of(os.getpid()) > 0
        return demands.memory_limit if demands is not None and is_held else None

    @property
    def unbounded_steps(self) -> tuple[list[str], list[str]]:
        """The steps of the run whose ops bound time, and memory, and that cannot be held to it in this process."""
        asking = [(path, step.key, step.demands) for path, step in self.plan.steps.items() if step.demands is not None]
        here = {split_step_key(key)[0] for key in self.step_keys} if asking else ()
        asking = [each for each in asking if each[0] in here]
        endless = [key for _, key, demands in asking if demands.timeout is not None and not demands.is_cooperative]
        heavy = [(path, key) for path, key, demands in asking if demands.memory_limit is not None]
        return endless, [key for path, key in heavy if self.memory_limit_of(path) is None]

    def event_loop(self) -> Any:
        """The event loop of the run, made when it is first asked for."""
        if self.loop is None:
            import asyncio

            self.loop = asyncio.new_event_loop()
        return self.loop

    def bench(self, path: str) -> Bench:
        """What one op of the job needs, resolved once however many branches or attempts it has."""
        found = self._benches.get(path)
        if found is None:
            found = Bench(self, self.job.wiring.ops[path])
            step = self.plan.steps[path]
            if step.scope or step.retry_policy is not None:
                self._benches[path] = found
        return found

    def stamp(self, path: str, step_key: str) -> Stamp:
        """What marks the events of one step."""
        op = self.job.wiring.ops[path]
        tags = {
            **self._tags,
            "step_key": step_key,
            "op_name": op.node.definition.name,
            "resource_name": "None",
            "resource_fn_name": "None",
            **self._run_tags,
        }
        return Stamp(self._tags["job_name"], op.handle, step_key, tags)

    def scope(self, keys: frozenset[str]) -> Resources:
        """The resources of these keys as attributes; one object for each set of keys."""
        found = self._scopes.get(keys)
        if found is None:
            found = self._scopes[keys] = Resources({key: self.resources[key] for key in sorted(keys)})
        return found

    # -- contexts for IO managers

    def output_context(self, handle: StepOutputHandle, log: DagsterLogManager, **more: Any) -> OutputContext:
        """What an IO manager is told of an output, to keep its value or to load it."""
        run = self.facts.run
        path = split_step_key(handle.step_key)[0]
        definition = self.job.wiring.ops[path].definition
        port = definition.output_dict[handle.output_name]
        given = {
            "step_key": handle.step_key,
            "name": handle.output_name,
            "job_name": run.job_name,
            "run_id": run.run_id,
            "definition_metadata": port.metadata,
            "mapping_key": handle.mapping_key,
            "config": self.config.outputs.get((path, handle.output_name)),
            "dagster_type": port.dagster_type,
            "log": log,
            "version": None,
            "resource_config": self.config.resources.get(port.io_manager_key),
            "resources": self._resources_of(port.io_manager_key),
            "op_def": definition,
        }
        return OutputContext(**{**given, **more})

    def input_context(
        self, bench: Bench, port: Any, key: str, context: OpExecutionContext, upstream: OutputContext | None = None
    ) -> InputContext:
        """What the manager under `key` is told of an input; `upstream` is the output that it comes from, if any."""
        return InputContext(
            name=port.name,
            job_name=self.facts.run.job_name,
            op_def=bench.op.definition,
            # of an input without a manager of its own this is a value to load, not config for a manager
            config=self.config.inputs.get((bench.op.path, port.name)) if port.input_manager_key else None,
            definition_metadata=port.metadata,
            upstream_output=upstream,
            dagster_type=port.dagster_type,
            log=context.log,
            resource_config=self.config.resources.get(key),
            resources=self._resources_of(key),
            step_context=context,
            instance=self.facts.instance,
        )

    def shelf_for(self, path: str, output: str) -> Shelf | None:
        """The place in memory for the values of an output, where there is one and a later step takes them."""
        if self.shelf is None:
            return None
        if self._takers is None:
            from treadle.engine.holdings import find_takers

            self._takers = find_takers(self.plan)
        return self.shelf if (path, output) in self._takers else None

    def _resources_of(self, key: str) -> Resources:
        definition = self.job.resource_defs.get(key)
        return self.scope(frozenset(definition.required_resource_keys if definition is not None else ()))


class Stamp:
    """Makes the events of one step."""

    __slots__ = ("handle", "job_name", "kept", "pid", "step_handle", "step_key", "tags")

    def __init__(self, job_name: str, handle: Any, step_key: str, tags: Mapping[str, str]) -> None:
        self.job_name = job_name
        self.handle = handle
        mapping_keys = split_step_key(step_key)[1]
        self.step_handle = (
            ResolvedFromDynamicStepHandle(handle, mapping_keys[-1], step_key)
            if mapping_keys
            else StepHandle(handle, step_key)
        )
        self.step_key = step_key
        self.tags = tags
        self.pid = os.getpid()
        #: the step's events so far, kept only where a hook wants to see them
        self.kept: list[DagsterEvent] | None = None

    def beginning(self, attempt: int) -> DagsterEvent:
        """The first event of an attempt."""
        if attempt == 1:
            return self.event(_START)
        return self.event(_RESTARTED, None, f'Started re-execution (attempt # {attempt}) of step "{self.step_key}".')

    def event(self, type_value: str, payload: Payload | None = None, message: str | None = None) -> DagsterEvent:
        """An event of this step."""
        made = DagsterEvent(
            type_value, self.job_name, self.step_handle, self.handle, "COMPUTE", self.tags, payload, message, self.pid,
            self.step_key,
        )  # fmt: skip
        if self.kept is not None:
            self.kept.append(made)
        return made


class Bench:
    """One op of the job, ready to be run: its config, managers, hooks and resources."""

    __slots__ = ("config", "declared", "hooks", "inputs", "keys", "limits", "op", "outputs", "policy")

    def __init__(self, place: Workplace, op: WiredOp) -> None:
        job = place.job
        definition = op.definition
        self.op = op
        self.config = place.config.ops.get(op.path)
        step = place.plan.steps[op.path]
        self.policy = step.retry_policy
        #: seconds after which an attempt is asked to stop, and bytes of memory; None where neither is bounded
        self.limits: tuple[float | None, int | None] | None = None
        if step.demands is not None:
            limits = place.timeout_of(op.path), place.memory_limit_of(op.path)
            self.limits = limits if limits != (None, None) else None
        hooks = job.hook_defs | op.hooks if op.hooks else job.hook_defs
        self.hooks = sorted(hooks, key=lambda hook: hook.name) if hooks else ()
        #: the resources that the op's code may see
        self.keys = _visible_keys(op, self.hooks)
        self.outputs = {
            name: (port, None if port.is_nothing else place.resources[port.io_manager_key])
            for name, port in definition.output_dict.items()
        }
        self.inputs = [
            (port, op.inputs[name], _manager_of(place, op, port, op.inputs[name]))
            for name, port in definition.input_dict.items()
            if not port.is_nothing
        ]
        #: by input: what graphs on its way say that it is, where the op says something else
        self.declared = {
            name: graphs
            for name, wired in op.inputs.items()
            if wired is not None and wired.declared and (graphs := _other_types(wired, definition.input_dict[name]))
        }

    def hold_to_limits(self, halt: Halt, run_id: str, step_key: str) -> None:
        """Have an attempt that begins now asked to stop when it goes beyond them."""
        assert self.limits is not None
        seconds, most = self.limits
        if seconds is not None:
            halt.allow(seconds, took_too_long(run_id, step_key, seconds))
        if most is not None:

            def weigh() -> StepMemoryError | None:
                memory = usage.memory_of(os.getpid())
                return took_too_much(step_key, memory, most) if memory > most else None

            halt.bound(weigh)


def _other_types(wired: WiredInput, port: Any) -> list[tuple[str, Any]]:
    return [(path, outer) for path, outer in wired.declared if outer.dagster_type is not port.dagster_type]


def _visible_keys(op: WiredOp, hooks: Any) -> frozenset[str]:
    definition = op.definition
    keys: frozenset[str] = definition.required_resource_keys
    for hook in hooks:
        keys |= hook.required_resource_keys
    for name, port in definition.input_dict.items():
        if port.dagster_type.required_resource_keys:
            keys |= port.dagster_type.required_resource_keys
        if port.input_manager_key is not None:
            keys |= {port.input_manager_key}
        elif op.is_loaded(name) and port.dagster_type.loader is not None:
            keys |= port.dagster_type.loader.required_resource_keys()
    for port in definition.output_dict.values():
        if port.dagster_type.required_resource_keys:
            keys |= port.dagster_type.required_resource_keys
        if not port.is_nothing:
            keys |= {port.io_manager_key}
    return keys


def _manager_of(place: Workplace, op: WiredOp, port: Any, wired: WiredInput | None) -> tuple[str, Any] | None:
    """Key and manager that load an input; for a fan-in each element may have its own, found when it is loaded."""
    if port.input_manager_key is not None:
        return port.input_manager_key, place.resources[port.input_manager_key]
    if wired is None or wired.kind not in ("output", "collect"):
        return None
    origin: Any = wired.wires[0]
    upstream = place.job.wiring.ops[origin.path].definition.output_dict[origin.output]
    return upstream.io_manager_key, place.resources[upstream.io_manager_key]
