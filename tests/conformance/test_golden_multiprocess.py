"""The golden event sequences by execute_job with the multiprocess executor, one step at a time, and how they differ.

Workers are warm, yet the events are those of a process for each attempt: a worker tells that it has taken a step, and
opens and closes the step's own resources.
"""

from __future__ import annotations

import re

import pytest

from tests.conformance.notation import expand, observe
from tests.conformance.scenario import Scenario
from tests.conformance.scenarios import SCENARIOS
from tests.conformance.test_golden import each_scenario
from treadle import (
    DagsterSubprocessError,
    JobDefinition,
    build_reconstructable_job,
    execute_job,
    instance_for_test,
    multiprocess_executor,
)

#: sequences that do not follow from those in process
OWN = {
    27: "M · boom«SS SF} · FAIL",
    32: "M · maybe«SS SX} inc{SK} maybe{HC HS} · OK",
    40: "-{RS EE} use_r{WS WD RI RX SF} -{RF}",
    41: "-{RS EE} use_r«SS SO HO SX} use_r2{WS WD RI RX SF} -{RF}",
    44: "M · use_r«SS SO HO SX EE} boom_in«SS LI SI SF} · FAIL",
    61: "-{RS EE} kbi«SS SF} -{RF}",
    66: "-{RS EE EE OK}",
}
#: steps that fail here alone
OWN_FAILED = {40: {"use_r"}, 41: {"use_r2"}}


def in_workers(scenario: Scenario) -> str:
    """The sequence with a worker around each attempt."""
    if scenario.number in OWN:
        return OWN[scenario.number]
    head, *rest = scenario.events.split("·")
    assert head.strip() in ("Pn", "P1"), scenario.events
    text = " · ".join(["M", *(part.strip() for part in rest)])
    text = re.sub(r"([\w.\[\]]+){([^}]*) RE ", r"\1{\2} \1{RE ", text)
    while (parted := re.sub(r"([\w.\[\]]+){([^}]*) RE ", r"\1{\2} \1{RE ", text)) != text:
        text = parted
    return re.sub(r"{(SS|RE)\b", r"«\1", text)


def make(number: int) -> JobDefinition:
    """The job of one scenario on the multiprocess executor."""
    job = next(scenario for scenario in SCENARIOS if scenario.number == number).build()
    retries = {"disabled": {}} if number == 27 else {"enabled": {}}
    return job.with_executor_def(multiprocess_executor.configured({"max_concurrent": 1, "retries": retries}))


def execute(scenario: Scenario, instance, **options):
    recipe = build_reconstructable_job(__name__, "make", (scenario.number,))
    given = {**scenario.run, **options}
    if "run_config" in given:
        given["run_config"] = {key: value for key, value in given["run_config"].items() if key != "execution"}
    return execute_job(recipe, instance, **given)


@each_scenario
def test_events_come_in_the_golden_order(scenario: Scenario):
    with instance_for_test() as instance:
        result = execute(scenario, instance)
        assert observe(result.all_events) == expand(in_workers(scenario))
        assert result.success is scenario.is_success
        assert result.get_failed_step_keys() == OWN_FAILED.get(scenario.number, set(scenario.failed))
        stored = [entry.dagster_event for entry in instance.all_logs(result.run_id) if entry.dagster_event is not None]
        assert stored == result.all_events


@pytest.mark.parametrize("number", [1, 5, 40, 61])
def test_raising_tells_of_a_failure_once_all_steps_have_ended(number: int):
    scenario = next(each for each in SCENARIOS if each.number == number)
    with instance_for_test() as instance:
        if scenario.is_success:
            assert execute(scenario, instance, raise_on_error=True).success
            return
        with pytest.raises(DagsterSubprocessError, match="(?s)(boom|resource|kbi)"):
            execute(scenario, instance, raise_on_error=True)
        (run,) = instance.get_runs()
        events = [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.dagster_event is not None]
        assert observe(events) == expand(in_workers(scenario))
