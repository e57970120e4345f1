"""The golden event sequences on a real Dask cluster, one step at a time: those of a process for each attempt."""

from __future__ import annotations

from collections.abc import Iterator

import distributed
import pytest

from tests.conformance.notation import expand, observe
from tests.conformance.scenario import Scenario
from tests.conformance.scenarios import SCENARIOS
from tests.conformance.test_golden_multiprocess import OWN_FAILED, in_workers
from treadle import JobDefinition, build_reconstructable_job, dask_executor, execute_job, instance_for_test


@pytest.fixture(scope="module")
def cluster() -> Iterator[distributed.LocalCluster]:
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as made:
        yield made


def make(number: int) -> JobDefinition:
    """The job of one scenario on Dask."""
    return next(each for each in SCENARIOS if each.number == number).build().with_executor_def(dask_executor)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.id)
def test_events_come_in_the_golden_order(scenario: Scenario, cluster: distributed.LocalCluster) -> None:
    executor = {
        "cluster": {"existing": {"address": cluster.scheduler_address}},
        "max_concurrent": 1,
        "retries": {"disabled": {}} if scenario.number == 27 else {"enabled": {}},
    }
    given = scenario.run.get("run_config", {})
    run_config = {**given, "execution": {"config": executor}}
    with instance_for_test() as instance:
        recipe = build_reconstructable_job(__name__, "make", (scenario.number,))
        result = execute_job(recipe, instance, **{**scenario.run, "run_config": run_config})
        assert observe(result.all_events) == expand(in_workers(scenario))
        assert result.success is scenario.is_success
        assert result.get_failed_step_keys() == OWN_FAILED.get(scenario.number, set(scenario.failed))
