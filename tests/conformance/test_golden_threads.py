"""The golden event sequences by execute_job on threads and on an event loop, one step at a time: those in process."""

from __future__ import annotations

import pytest

from tests.conformance.notation import expand, observe
from tests.conformance.scenario import Scenario
from tests.conformance.scenarios import SCENARIOS
from tests.conformance.test_golden import each_scenario
from treadle import (
    JobDefinition,
    async_executor,
    build_reconstructable_job,
    execute_job,
    instance_for_test,
    threaded_executor,
)

EXECUTORS = {"threads": threaded_executor, "async": async_executor}


def make(number: int, name: str) -> JobDefinition:
    """The job of one scenario on the executor of this name."""
    job = next(scenario for scenario in SCENARIOS if scenario.number == number).build()
    retries = {"disabled": {}} if number == 27 else {"enabled": {}}
    return job.with_executor_def(EXECUTORS[name].configured({"max_concurrent": 1, "retries": retries}))


def execute(scenario: Scenario, name: str, instance, **options):
    recipe = build_reconstructable_job(__name__, "make", (scenario.number, name))
    given = {**scenario.run, **options}
    if "run_config" in given:
        given["run_config"] = {key: value for key, value in given["run_config"].items() if key != "execution"}
    return execute_job(recipe, instance, **given)


@pytest.mark.parametrize("name", EXECUTORS)
@each_scenario
def test_events_come_in_the_golden_order(scenario: Scenario, name: str):
    with instance_for_test() as instance:
        result = execute(scenario, name, instance)
        assert observe(result.all_events) == expand(scenario.events)
        assert result.success is scenario.is_success
        assert result.get_failed_step_keys() == set(scenario.failed)
        stored = [entry.dagster_event for entry in instance.all_logs(result.run_id) if entry.dagster_event is not None]
        assert stored == result.all_events


@pytest.mark.parametrize("name", EXECUTORS)
@each_scenario
def test_raising_gives_the_first_failure_as_its_author_raised_it(scenario: Scenario, name: str):
    with instance_for_test() as instance:
        raised: BaseException | None = None
        try:
            execute(scenario, name, instance, raise_on_error=True)
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            raised = error
        assert type(raised) is (scenario.raises or type(None))
        (run,) = instance.get_runs()
        events = [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.dagster_event is not None]
        assert observe(events) == expand(scenario.events), "other steps are let go on, as without raising"
