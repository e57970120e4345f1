"""Which executor carries a run out: from what its config asks for to an object with the Executor protocol.

Only the one that is asked for is imported. A new executor is a line here and a module beside it.
"""

from __future__ import annotations

import os

from treadle import later
from treadle.definitions.executors import DASK, IN_PROCESS, MULTIPROCESS, Execution
from treadle.definitions.job import JobDefinition
from treadle.engine.driver import Executor
from treadle.engine.workplace import Workplace
from treadle.errors import DagsterUnmetExecutorRequirementsError
from treadle.instance import DagsterInstance
from treadle.runs import DagsterRun

#: how many steps run at once, where config does not say
_VARIABLES = ("TREADLE_MULTIPROCESS_EXECUTOR_MAX_CONCURRENT", "DAGSTER_MULTIPROCESS_EXECUTOR_MAX_CONCURRENT")


def make_executor(execution: Execution, place: Workplace) -> Executor:
    """The executor of a run."""
    if execution.engine == MULTIPROCESS:
        from treadle.executors.multiprocess import MultiprocessExecutor

        return MultiprocessExecutor(place, execution, limit_of(execution) or count_cores())
    if execution.engine == DASK:
        from treadle.executors.dask import DaskExecutor

        return DaskExecutor(place, execution, count_cores())
    if execution.engine != IN_PROCESS:
        later.refuse("An executor of your own", "Executor", "Use in_process_executor.")
    from treadle.executors.local import InProcessExecutor

    return InProcessExecutor(place)


def check_requirements(execution: Execution, job: JobDefinition, run: DagsterRun, instance: DagsterInstance) -> None:
    """Refuse a run that its executor cannot carry out: DagsterUnmetExecutorRequirementsError, before anything is recorded."""
    if execution.engine == MULTIPROCESS:
        from treadle.executors import outside

        outside.check_requirements(job, run, instance, "multiprocess")
    elif execution.engine == DASK:
        from treadle.executors import outside

        _check_dask(run.job_name)
        outside.check_requirements(job, run, instance, "Dask")


def _check_dask(job_name: str) -> None:
    try:
        import treadle.executors.dask  # noqa: F401 - whether it can be
    except ImportError as error:
        raise DagsterUnmetExecutorRequirementsError(
            f'The job "{job_name}" is to run on Dask, and this Python has no Dask to run it with ({error}). Install it, here and '
            f"where the workers are: pip install 'treadle[dask]'. Or give the job another executor."
        ) from error


def limit_of(execution: Execution) -> int | None:
    """How many steps of the run may be under way at once: as config says, else the environment, else one for each core.

    None on Dask, where the cluster says it, from moment to moment.
    """
    if execution.max_concurrent is not None or execution.engine == DASK:
        return execution.max_concurrent
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
