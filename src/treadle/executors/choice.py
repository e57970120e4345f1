"""Which executor carries a run out: from what its config asks for to an object with the Executor protocol.

Only the one that is asked for is imported. A new executor is a line here and a module beside it.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.definitions.executors import (
    ASYNC,
    CUSTOM,
    DASK,
    IN_PROCESS,
    MULTIPROCESS,
    THREADED,
    Execution,
)
from treadle.definitions.job import JobDefinition
from treadle.definitions.tags import priority_of
from treadle.engine.claims import SharedSlots
from treadle.engine.driver import Executor
from treadle.engine.limits import Limits
from treadle.engine.workplace import Workplace
from treadle.errors import (
    DagsterInvalidConfigError,
    DagsterInvalidDefinitionError,
    DagsterUnmetExecutorRequirementsError,
)
from treadle.instance import DagsterInstance
from treadle.names import nearest, split_step_key
from treadle.plan.model import Plan
from treadle.runs import DagsterRun

if TYPE_CHECKING:
    from treadle.executors.crew import Server

#: how many steps run at once, where config does not say
_VARIABLES = ("TREADLE_MULTIPROCESS_EXECUTOR_MAX_CONCURRENT", "DAGSTER_MULTIPROCESS_EXECUTOR_MAX_CONCURRENT")
#: where config does not say, and the machine would let more
THREADED_LIMIT, ASYNC_LIMIT = 32, 100


def start_ahead(execution: Execution, run: DagsterRun, plan: Plan) -> Server | None:
    """Start the process that the workers of a run will come from, so that it gets ready while the run does.

    None where the run has no such process, and where none can be had, which is told when the run has begun.
    """
    is_mixed = run.job_code_origin is not None and _wants_others(execution, plan)
    if not plan.steps or not (execution.engine == MULTIPROCESS or is_mixed):
        return None
    from treadle.executors.crew import CAN_FORK, FORKSERVER, Server

    if not CAN_FORK or next(iter(execution.options.get("start_method") or (FORKSERVER,))) != FORKSERVER:
        return None
    try:
        return Server()
    except OSError:
        return None


def make_executor(execution: Execution, place: Workplace, server: Server | None = None) -> Executor:
    """The executor of a run; `server` is what `start_ahead` gave, and the executor's from now on."""
    mixed = _default_of_mixed(execution, place)
    if mixed is not None:
        from treadle.executors.mixed import MixedExecutor

        places = places_of(execution, place.plan)
        return MixedExecutor(place, execution, limit_of(execution) or 1, (mixed, places), server)
    if execution.engine == MULTIPROCESS:
        from treadle.executors.multiprocess import MultiprocessExecutor

        places = places_of(execution, place.plan)
        return MultiprocessExecutor(place, execution, limit_of(execution) or 1, places, server)
    if execution.engine == DASK:
        from treadle.executors import dask

        return dask.make_executor(place, execution, count_cores())
    if execution.engine == IN_PROCESS:
        from treadle.executors.local import InProcessExecutor

        return InProcessExecutor(place)
    from treadle.executors.beside import InitExecutorContext

    definition = place.job.executor_def
    context = InitExecutorContext(place, definition, execution.options, execution.max_concurrent)
    if execution.engine in (THREADED, ASYNC):
        from treadle.executors.threads import ThreadedExecutor

        return ThreadedExecutor(context, limit_of(execution) or 1, is_async=execution.engine == ASYNC)
    from treadle.executors.custom import make_own

    return make_own(definition, context)


#: by engine: where its steps run, the first of them where an op says nothing
_PLACES = {
    IN_PROCESS: ("inline",),
    MULTIPROCESS: ("process", "fresh_process"),
    THREADED: ("thread",),
    ASYNC: ("async", "thread"),
}


def places_of(execution: Execution, plan: Plan) -> dict[str, str]:
    """By path of each op that is to run in a certain place, which: as config says, else the op or its tag."""
    asked = {
        path: step.demands.isolation
        for path, step in plan.steps.items()
        if step.demands is not None and step.demands.isolation is not None
    }
    options = execution.options if isinstance(execution.options, Mapping) else {}
    return {**asked, **(options.get("op_isolation") or {})}


def _wants_others(execution: Execution, plan: Plan) -> bool:
    """Whether some op is to run elsewhere than the executor runs steps."""
    own = _PLACES.get(execution.engine)
    return own is not None and not set(places_of(execution, plan).values()) <= set(own)


def _default_of_mixed(execution: Execution, place: Workplace) -> str | None:
    """Where ops run that say nothing, in a run whose ops run in different places; None where all run in one.

    A run of `execute_in_process` stays in this process, whatever its ops say.
    """
    facts = place.facts
    if not _wants_others(execution, place.plan) or facts.run.job_code_origin is None:
        return None
    default = _PLACES[execution.engine][0]
    return "fresh_process" if default == "process" and execution.options.get("isolation") == "step" else default


def check_requirements(
    execution: Execution, job: JobDefinition, run: DagsterRun, instance: DagsterInstance, plan: Plan
) -> None:
    """Refuse a run that its executor cannot carry out, before anything is recorded.

    Raises DagsterUnmetExecutorRequirementsError, also for a step that needs more slots than the home has, and
    DagsterInvalidConfigError for one that needs more than config gives.
    """
    is_mixed = run.job_code_origin is not None and _wants_others(execution, plan)
    if execution.engine == MULTIPROCESS or is_mixed:
        from treadle.executors import outside

        if not hasattr(socket, "send_fds"):
            raise DagsterUnmetExecutorRequirementsError(
                f'The job "{job.name}" is to run in several processes, for which this system ({sys.platform}) has no means that Treadle '
                f"knows: it needs a Unix. Run it on threads, or in process."
            )
        outside.check_requirements(job, run, instance, "multiprocess")
    elif execution.engine == CUSTOM:
        from treadle.executors import custom

        custom.check_requirements(execution, job, run, instance)
    elif execution.engine == DASK:
        from treadle.executors import outside

        _check_dask(job)
        outside.check_requirements(job, run, instance, "Dask")
    slots_of(execution, job, plan, instance.settings.slots)
    shared_slots_of(job, run, plan, instance)
    unknown = [path for path in places_of(execution, plan) if path not in plan.steps]
    if unknown:
        raise DagsterInvalidConfigError(
            f"Error in config for the {execution.engine} executor: op_isolation names {unknown}, and the job has no op of such a "
            f"path.{nearest(unknown[0], plan.steps)} Ops: {list(plan.steps)[:20]}.",
            [],
            execution.options,
        )


def _check_dask(job: JobDefinition) -> None:
    try:
        from treadle.executors import dask
    except ImportError as error:
        raise DagsterUnmetExecutorRequirementsError(
            f'The job "{job.name}" is to run on Dask, and this Python has no Dask to run it with ({error}). Install it, here and '
            f"where the workers are: pip install 'treadle[dask]'. Or give the job another executor."
        ) from error
    dask.check_tags(job)


def limit_of(execution: Execution) -> int | None:
    """How many steps of the run may be under way at once: as config says, else the environment, else one for each core.

    Steps on threads and on an event loop mostly wait: there may be more of them. An executor of a user's own says itself
    whether it has room, and that of Dask, which asks the cluster: None.
    """
    if execution.max_concurrent is not None or execution.engine in (CUSTOM, DASK):
        return execution.max_concurrent
    if execution.engine == ASYNC:
        return ASYNC_LIMIT
    if execution.engine == THREADED:
        return min(THREADED_LIMIT, count_cores() + 4)
    for variable in _VARIABLES:
        text = os.environ.get(variable, "")
        if text.isdecimal() and int(text) > 0:
            return int(text)
    return count_cores()


def slots_of(execution: Execution, job: JobDefinition, plan: Plan, shared: Mapping[str, int]) -> Limits | None:
    """Which steps may run beside which: by the tags of their ops, and by the slots that they ask for; None where any may.

    `shared` are the slots that all runs of the home share: of those config need not say how many the run may have. Raises
    DagsterInvalidConfigError for a step that asks for more than there is.
    """
    if execution.engine == IN_PROCESS:
        return None
    options = execution.options if isinstance(execution.options, Mapping) else {}
    capacities: dict[str, int] = dict(options.get("slots") or {})
    needs: dict[str, list[tuple[str, int]]] = {}
    for path, step in plan.steps.items():
        for name, count in step.demands.slots.items() if step.demands is not None else ():
            if name in shared and name not in capacities:
                continue
            if capacities.get(name, 0) < count:
                raise DagsterInvalidConfigError(
                    f'Error in config for the {execution.engine} executor: op "{path}" takes {count} of the slots "{name}", and the '
                    f'run has {capacities.get(name, 0)}. Give it more: {{"slots": {{"{name}": {count}}}}}; or say in the settings of the '
                    f"home how many there are for all runs: {_setting(name, count)}.",
                    [],
                    execution.options,
                )
            needs.setdefault(path, []).append((name, count))
    for number, limit in enumerate(options.get("tag_concurrency_limits") or ()):
        for path, op in job.wiring.ops.items():
            value = op.tags.get(limit["key"])
            wanted = limit.get("value")
            if value is None or (isinstance(wanted, str) and wanted != value):
                continue
            is_each = isinstance(wanted, Mapping) and wanted.get("applyLimitPerUniqueValue")
            name = f"tag {number} {limit['key']}" + (f"={value}" if is_each else "")
            capacities[name] = limit["limit"]
            needs.setdefault(path, []).append((name, 1))
    return Limits(capacities, needs) if needs else None


def shared_slots_of(job: JobDefinition, run: DagsterRun, plan: Plan, instance: DagsterInstance) -> SharedSlots | None:
    """What the steps of a run take of the slots that all runs of its home share; None where they take none.

    An op with a pool takes one of the slots of that name, unless it says itself how many. Raises
    DagsterUnmetExecutorRequirementsError for a step that asks for more than there is, and for a run whose priority is no
    whole number.
    """
    settings = instance.settings
    if not settings.slots:
        return None
    needs: dict[str, dict[str, int]] = {}
    for path, step in plan.steps.items():
        pool = job.wiring.ops[path].definition.pool
        asked = {pool: 1} if pool is not None else {}
        asked |= step.demands.slots if step.demands is not None else {}
        wanted = {name: count for name, count in asked.items() if name in settings.slots}
        if wanted:
            needs[path] = wanted
    keys = run.step_keys_to_execute
    if keys is not None:
        needs = {path: needs[path] for path in {split_step_key(key)[0] for key in keys} if path in needs}
    for path, wanted in needs.items():
        for name, count in wanted.items():
            if count > settings.slots[name]:
                raise DagsterUnmetExecutorRequirementsError(
                    f'Op "{path}" of the job "{run.job_name}" takes {count} of the slots "{name}", and all runs of the home '
                    f"{instance.root_directory} together have {settings.slots[name]} ({settings.origin_of(f'slots.{name}')}). Let it take "
                    f"fewer, or say there that there are more: {_setting(name, count)}."
                )
    if not needs:
        return None
    try:
        priority = priority_of(run.tags, f"the run {run.run_id}")
    except DagsterInvalidDefinitionError as error:
        raise DagsterUnmetExecutorRequirementsError(str(error)) from error
    return SharedSlots(settings.slots, needs, priority)


def _setting(name: str, count: int) -> str:
    """As it would stand in treadle.toml."""
    return f"[slots] {name if name.isidentifier() else json.dumps(name)} = {count}"


def count_cores() -> int:
    """The cores that this process may use: those that it is bound to, and no more than its container is allowed."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(count, _cores_of_group() or count))


def _cores_of_group(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What the control group of a container allows, in whole cores; None where nothing is said."""
    try:
        quota, period = (root / "cpu.max").read_text().split()[:2]
        return None if quota == "max" else max(1, -(-int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    try:
        quota_us = int((root / "cpu/cpu.cfs_quota_us").read_text())
        period_us = int((root / "cpu/cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return max(1, -(-quota_us // period_us)) if quota_us > 0 else None
