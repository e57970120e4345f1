"""Which executor carries a run out: from what its config asks for to an object with the Executor protocol.

Only the one that is asked for is imported. A new executor is a line here and a module beside it.
"""

from __future__ import annotations

import os

from treadle import later
from treadle.definitions.executors import ASYNC, IN_PROCESS, MULTIPROCESS, THREADED, Execution
from treadle.definitions.job import JobDefinition
from treadle.engine.driver import Executor
from treadle.engine.workplace import Workplace
from treadle.instance import DagsterInstance
from treadle.runs import DagsterRun

#: how many steps run at once, where config does not say
_VARIABLES = ("TREADLE_MULTIPROCESS_EXECUTOR_MAX_CONCURRENT", "DAGSTER_MULTIPROCESS_EXECUTOR_MAX_CONCURRENT")
#: where config does not say, and the machine would let more
THREADED_LIMIT, ASYNC_LIMIT = 32, 100


def make_executor(execution: Execution, place: Workplace) -> Executor:
    """The executor of a run."""
    if execution.engine == MULTIPROCESS:
        from treadle.executors.multiprocess import MultiprocessExecutor

        return MultiprocessExecutor(place, execution, limit_of(execution))
    if execution.engine in (THREADED, ASYNC):
        from treadle.executors.threads import ThreadedExecutor

        return ThreadedExecutor(place, limit_of(execution), is_async=execution.engine == ASYNC)
    if execution.engine != IN_PROCESS:
        later.refuse("An executor of your own", "Executor", "Use in_process_executor.")
    from treadle.executors.local import InProcessExecutor

    return InProcessExecutor(place)


def check_requirements(execution: Execution, job: JobDefinition, run: DagsterRun, instance: DagsterInstance) -> None:
    """Refuse a run that its executor cannot carry out: DagsterUnmetExecutorRequirementsError, before anything is recorded."""
    if execution.engine == MULTIPROCESS:
        from treadle.executors import multiprocess

        multiprocess.check_requirements(job, run, instance)


def limit_of(execution: Execution) -> int:
    """How many steps of the run may be under way at once: as config says, else the environment, else one for each core.

    Steps on threads and on an event loop mostly wait: there may be more of them.
    """
    if execution.max_concurrent is not None:
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


def count_cores() -> int:
    """The cores that this process may use: those that it is bound to, and no more than its container is allowed."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(count, _cores_of_group() or count))


def _cores_of_group() -> int | None:
    """What the control group of a container allows, in whole cores; None where nothing is said."""
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:  # noqa: PTH123 - a file of the kernel's
            quota, period = file.read().split()[:2]
        return None if quota == "max" else max(1, -(-int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    try:
        with open("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", encoding="ascii") as file:  # noqa: PTH123
            quota_us = int(file.read())
        with open("/sys/fs/cgroup/cpu/cpu.cfs_period_us", encoding="ascii") as file:  # noqa: PTH123
            return max(1, -(-quota_us // int(file.read()))) if quota_us > 0 else None
    except (OSError, ValueError):
        return None
