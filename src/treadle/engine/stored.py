"""Values that a run has stored, read back outside any step.

Results of runs that have ended come here. An IO manager is opened when the first of its values is asked for, with the
resources that it needs and no others, and stays open until `close`. Nothing is logged: the run is over.
"""

from __future__ import annotations

from typing import Any

from treadle.contexts import InitResourceContext, RunFacts
from treadle.definitions.io_managers import InMemoryIOManager
from treadle.definitions.job import JobDefinition
from treadle.definitions.opening import OpenResources
from treadle.definitions.run_config import ResolvedConfig
from treadle.engine.workplace import Workplace
from treadle.errors import DagsterInvariantViolationError
from treadle.instance import DagsterInstance
from treadle.io_contexts import InputContext
from treadle.logs import RunLog
from treadle.names import split_step_key
from treadle.payloads import StepOutputHandle
from treadle.plan.model import Plan
from treadle.runs import DagsterRun


class StoredValues:
    """The values of one run, behind the IO managers that keep them."""

    def __init__(self, job: JobDefinition, config: ResolvedConfig, run: DagsterRun, instance: DagsterInstance) -> None:
        facts = RunFacts(run, job, instance, RunLog(run.run_id, job.name, []))
        self._place = Workplace(facts, Plan(job.name, {}), config, {})
        self._open = OpenResources(job.resource_defs, config.resources, self._init_context)

    def _init_context(self, key: str, **given: Any) -> InitResourceContext:
        facts = self._place.facts
        log = facts.log.for_resource(key)
        loop = self._place.event_loop
        return InitResourceContext(log=log, instance=facts.instance, run=facts.run, event_loop=loop, **given)

    def load(self, handle: StepOutputHandle) -> object:
        """One value, as `load_input` gives it. What the IO manager raises is raised."""
        place = self._place
        path = split_step_key(handle.step_key)[0]
        port = place.job.wiring.ops[path].definition.output_dict[handle.output_name]
        key = port.io_manager_key
        self._open.open([key])
        place.resources = self._open.values
        manager = place.resources[key]
        if type(manager) is InMemoryIOManager:
            raise DagsterInvariantViolationError(
                f'The value of output "{handle.output_name}" of step "{handle.step_key}" was kept in memory by the IO manager '
                f'"{key}", and went with the run. Give the output an IO manager that stores values, such as fs_io_manager.'
            )
        upstream = place.output_context(handle, place.facts.log.for_step(), output_metadata={})
        context = InputContext(
            name=f"{port.name}_of_result",
            job_name=place.facts.run.job_name,
            definition_metadata={},
            config=None,
            upstream_output=upstream,
            dagster_type=port.dagster_type,
            log=upstream.log,
            resource_config=place.config.resources.get(key),
            resources=upstream.resources,
            instance=place.facts.instance,
        )
        return manager.load_input(context)

    def close(self) -> None:
        """Close the IO managers. What goes wrong in that is not told: every value was read."""
        self._open.close()
        if self._place.loop is not None:
            self._place.loop.close()
            self._place.loop = None
