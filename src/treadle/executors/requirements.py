"""What an executor needs of the job and the instance that it works for.

A run that lacks it is refused before it is recorded. Which executor has which needs, its definition says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from treadle.definitions.executors import ExecutorRequirement
from treadle.definitions.io_managers import mem_io_manager
from treadle.definitions.job import JobDefinition
from treadle.errors import DagsterUnmetExecutorRequirementsError
from treadle.instance import DagsterInstance
from treadle.runs import DagsterRun


def check(
    needs: Collection[ExecutorRequirement],
    words: tuple[str, str],
    job: JobDefinition,
    run: DagsterRun,
    instance: DagsterInstance,
) -> None:
    """Refuse a run for which a need is not met: DagsterUnmetExecutorRequirementsError.

    The words say whose needs they are, and what else may be done.
    """
    where, otherwise = f'The job "{run.job_name}" is {words[0]}', words[1]
    if ExecutorRequirement.NON_EPHEMERAL_INSTANCE in needs and not instance.is_persistent:
        raise DagsterUnmetExecutorRequirementsError(
            f"{where}, and the instance is in memory, where other processes cannot find it. Give an instance that lasts, such as "
            f"DagsterInstance.get() or local_temp(), {otherwise}."
        )
    if ExecutorRequirement.RECONSTRUCTABLE_JOB in needs and run.job_code_origin is None:
        raise DagsterUnmetExecutorRequirementsError(
            f"{where}, and nothing tells another process how it is made. Give execute_job reconstructable(...), {otherwise}."
        )
    if ExecutorRequirement.PERSISTENT_OUTPUTS in needs:
        _check_outputs(where, otherwise, job)
        place = instance.settings.artifacts_dir
        if isinstance(place, str) and place.startswith("memory:"):
            raise DagsterUnmetExecutorRequirementsError(
                f"{where}, and artifacts.dir of the instance is {place}, which is in the memory of one. Name a place "
                f"that all of them reach, {otherwise}."
            )


def _check_outputs(where: str, otherwise: str, job: JobDefinition) -> None:
    definitions: Mapping[str, Any] = job.resource_defs
    for path, op in job.wiring.ops.items():
        for name, port in op.definition.output_dict.items():
            if not port.is_nothing and definitions.get(port.io_manager_key) is mem_io_manager:
                raise DagsterUnmetExecutorRequirementsError(
                    f'{where}, and the IO manager "{port.io_manager_key}" of output "{name}" of "{path}" keeps values in the memory of '
                    f"one. Use one that stores them, such as fs_io_manager, {otherwise}."
                )
