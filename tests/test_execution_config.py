"""What is heeded of an executor's config where the steps run in this process."""

from __future__ import annotations

import os
import warnings
from typing import Any

import pytest

from treadle import (
    DagsterInvalidConfigError,
    Out,
    Output,
    RetryPolicy,
    build_reconstructable_job,
    execute_job,
    in_process_executor,
    instance_for_test,
    job,
    multi_or_in_process_executor,
    multiprocess_executor,
    op,
)

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
DISABLED = {"retries": {"disabled": {}}}


@op(retry_policy=RetryPolicy(max_retries=2))
def boom() -> None:
    raise ValueError("boom")


@job
def plain():
    boom()


@job(executor_def=in_process_executor.configured(DISABLED, name="once"))
def configured():
    boom()


@job(executor_def=multi_or_in_process_executor.configured({"in_process": DISABLED}))
def chosen():
    boom()


@pytest.mark.parametrize(
    ("a_job", "execution", "attempts"),
    [
        (plain, None, 3),
        (plain, {"config": {"retries": {"enabled": {}}}}, 3),
        (plain, {"config": DISABLED}, 1),
        (plain, {"config": {"in_process": DISABLED}}, 1),
        (plain, {"config": {"multiprocess": DISABLED}}, 1),
        (plain, {"config": {"threaded": DISABLED}}, 1),
        (plain, {"config": {"async": DISABLED}}, 1),
        (plain, {"in_process": {"config": DISABLED}}, 1),
        (plain, {"config": "nonsense"}, 3),
        (configured, None, 1),
        (chosen, None, 1),
    ],
)
def test_retries_are_as_the_config_of_the_executor_says_in_process_too(
    a_job: Any, execution: Any, attempts: int
) -> None:
    config = QUIET if execution is None else {**QUIET, "execution": execution}
    result = a_job.execute_in_process(run_config=config, raise_on_error=False)
    assert result.retry_attempts_for_node("boom") == attempts - 1


@pytest.mark.parametrize(("needs", "is_run"), [(True, False), (False, True)])
def test_step_may_use_what_a_failed_step_had_yielded_where_config_says_so(needs: bool, is_run: bool) -> None:
    config = {"step_dependency_config": {"require_upstream_step_success": needs}}
    with instance_for_test() as instance:
        recipe = build_reconstructable_job(__name__, "make_half")
        result = execute_job(recipe, instance, {**QUIET, "execution": {"config": {"in_process": config}}})
        assert not result.success
        assert result.is_node_success("use") is is_run
        assert result.is_node_untouched("miss")


@op(out={"first": Out(), "second": Out()})
def half():
    yield Output(1, "first")
    raise ValueError("no second")


@op
def use(x: int) -> int:
    return x


@op
def miss(x: int) -> int:
    return x


def make_half() -> Any:
    @job
    def halves():
        first, second = half()
        use(first)
        miss(second)

    return halves


def make_elsewhere(kind: str) -> Any:
    @job(executor_def={"multiprocess": multiprocess_executor, "none": None}[kind])
    def elsewhere():
        use(give())

    return elsewhere


@op
def give() -> int:
    return 1


@pytest.mark.parametrize(
    ("kind", "execution"), [("multiprocess", {}), ("none", {"execution": {"config": {"multiprocess": {}}}})]
)
def test_steps_that_are_to_run_in_processes_do(kind: str, execution: dict[str, Any]) -> None:
    with instance_for_test() as instance:
        recipe = build_reconstructable_job(__name__, "make_elsewhere", (kind,))
        result = execute_job(recipe, instance, {**QUIET, **execution})
        assert result.success
        pids = {event.pid for event in result.all_events if event.event_type_value == "STEP_START"}
        assert pids
        assert os.getpid() not in pids


@pytest.mark.parametrize(
    "config",
    [
        {"max_concurrent": -1},
        {"max_steps_per_worker": 0},
        {"max_worker_rss": -5},
        {"worker_idle_timeout": -0.5},
        {"isolation": "own"},
        {"tag_concurrency_limits": [{"key": "db", "limit": 0}]},
    ],
)
def test_config_that_no_run_could_go_by_is_refused_before_there_is_a_run(config: dict[str, Any]) -> None:
    with instance_for_test() as instance:
        recipe = build_reconstructable_job(__name__, "make_elsewhere", ("multiprocess",))
        with pytest.raises(DagsterInvalidConfigError, match=f"multiprocess executor(?s:.*){next(iter(config))}"):
            execute_job(recipe, instance, {**QUIET, "execution": {"config": config}})
        assert instance.get_runs() == []


def test_job_that_says_nothing_runs_here_without_a_word() -> None:
    with instance_for_test() as instance, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert execute_job(build_reconstructable_job(__name__, "make_elsewhere", ("none",)), instance, QUIET).success


@pytest.mark.parametrize(
    ("chosen", "where"),
    [("in_process", "in process"), ("threaded", "on threads"), ("async", "on threads and an event loop")],
)
def test_run_config_chooses_the_executor_of_a_job_that_names_none(chosen: str, where: str) -> None:
    with instance_for_test() as instance:
        recipe = build_reconstructable_job(__name__, "make_half")
        result = execute_job(recipe, instance, {**QUIET, "execution": {"config": {chosen: {}}}})
        (first, *_) = [e.message for e in result.all_events if e.event_type.name == "ENGINE_EVENT"]
        assert (first or "").startswith(f"Executing steps {where} (pid: ")
