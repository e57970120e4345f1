"""The golden event sequences, in process: every event of each run in its order, and what the result says of it.

Scenarios are defined in `flows`, `endings` and `values`, their notation in `notation`.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.notation import expand, observe, stop_at_first_failure
from tests.conformance.scenario import LAST_OF_FRAME, Scenario
from tests.conformance.scenarios import SCENARIOS


def _param(scenario: Scenario) -> Any:
    marks = [pytest.mark.golden(scenario.number)]
    if scenario.number > LAST_OF_FRAME:
        marks.append(pytest.mark.later)
    return pytest.param(scenario, id=scenario.id, marks=marks)


each_scenario = pytest.mark.parametrize("scenario", [_param(scenario) for scenario in SCENARIOS])


def test_every_number_in_process_has_its_scenario():
    assert [scenario.number for scenario in SCENARIOS] == list(range(1, 67))


@each_scenario
def test_events_come_in_the_golden_order(scenario: Scenario):
    result = scenario.execute(raise_on_error=False)

    assert observe(result.all_events) == expand(scenario.events)


@each_scenario
def test_result_says_how_the_run_went(scenario: Scenario):
    result = scenario.execute(raise_on_error=False)

    assert result.success is scenario.is_success
    assert result.dagster_run.status.value == ("SUCCESS" if scenario.is_success else "FAILURE")
    assert result.get_failed_step_keys() == set(scenario.failed)
    assert {node: result.retry_attempts_for_node(node) for node in scenario.retries} == scenario.retries
    assert {node for node in scenario.skipped if not result.is_node_skipped(node)} == set()
    assert {node for node in scenario.untouched if not result.is_node_untouched(node)} == set()
    for output, value in scenario.outputs.items():
        node, name = output if isinstance(output, tuple) else (output, "result")
        assert result.output_for_node(node, name) == value, output
    if scenario.check:
        scenario.check(result)


@each_scenario
def test_error_is_raised_when_asked_for(scenario: Scenario):
    raised: BaseException | None = None
    try:
        scenario.execute(raise_on_error=True)
    except (Exception, KeyboardInterrupt, SystemExit) as exc:
        raised = exc

    assert type(raised) is (scenario.raises or type(None))


@each_scenario
def test_raising_stops_the_run_at_its_first_failure(scenario: Scenario):
    expected = scenario.events_when_raising or stop_at_first_failure(scenario.events)

    events, _ = scenario.execute_logged(raise_on_error=True)

    assert observe(events) == expand(expected)


@each_scenario
def test_log_of_the_instance_holds_the_same_events(scenario: Scenario):
    events, raised = scenario.execute_logged(raise_on_error=False)

    assert raised is None
    assert observe(events) == expand(scenario.events)
