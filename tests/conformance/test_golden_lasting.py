"""The golden event sequences by execute_job, in process on a lasting instance: the same events, kept in the same order."""

from __future__ import annotations

import pytest

from tests.conformance.notation import expand, observe, stop_at_first_failure
from tests.conformance.scenario import Scenario
from tests.conformance.test_golden import each_scenario
from treadle import build_reconstructable_job, execute_job, instance_for_test


def execute(scenario: Scenario, instance, **options):
    recipe = build_reconstructable_job("tests.conformance.by_number", "make", (scenario.number,))
    return execute_job(recipe, instance, **{**scenario.run, **options})


@each_scenario
def test_events_come_in_the_golden_order_and_are_read_back_so(scenario: Scenario):
    with instance_for_test() as instance:
        with execute(scenario, instance) as result:
            assert observe(result.all_events) == expand(scenario.events)
            assert result.success is scenario.is_success
            assert result.get_failed_step_keys() == set(scenario.failed)
            for output, value in scenario.outputs.items():
                node, name = output if isinstance(output, tuple) else (output, "result")
                if scenario.number not in IN_MEMORY:
                    assert result.output_for_node(node, name) == value, output
        stored = [entry.dagster_event for entry in instance.all_logs(result.run_id) if entry.dagster_event is not None]
        assert stored == result.all_events
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        assert run.status.value == ("SUCCESS" if scenario.is_success else "FAILURE")


#: scenarios whose own IO manager keeps nothing that can be read after the run
IN_MEMORY = {56, 57, 58, 59}


@each_scenario
def test_raising_stops_the_run_at_its_first_failure(scenario: Scenario):
    expected = scenario.events_when_raising or stop_at_first_failure(scenario.events)
    with instance_for_test() as instance:
        raised: BaseException | None = None
        try:
            execute(scenario, instance, raise_on_error=True)
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            raised = error
        assert type(raised) is (scenario.raises or type(None))
        (run,) = instance.get_runs()
        events = [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.dagster_event is not None]
        assert observe(events) == expand(expected)


def test_bad_config_leaves_no_run():
    from treadle import DagsterInvalidConfigError

    recipe = build_reconstructable_job("tests.conformance.by_number", "make", (55,))
    with instance_for_test() as instance:
        with pytest.raises(DagsterInvalidConfigError):
            execute_job(recipe, instance, {"ops": {"cfg": {"config": {"n": "three"}}}})
        assert instance.get_runs() == []
