"""Executors of users' own: what their function is given, what it may return, and what is told where that is wrong."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from treadle import (
    DagsterInvalidConfigError,
    DagsterInvariantViolationError,
    DagsterUnmetExecutorRequirementsError,
    Executor,
    ExecutorDefinition,
    ExecutorRequirement,
    InitExecutorContext,
    RetryPolicy,
    build_reconstructable_job,
    execute_job,
    executor,
    instance_for_test,
    job,
    mem_io_manager,
    op,
)

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
SEEN: dict[str, Any] = {}


class OwnExecutor(Executor):
    def start(self, work: Any) -> None:
        threading.Thread(target=work).start()


@op(retry_policy=RetryPolicy(max_retries=2))
def flaky(context: Any) -> int:
    SEEN["attempts"] = context.retry_number + 1
    raise ValueError("no")


@op
def value() -> int:
    return 1


@executor(config_schema={"size": int, "max_concurrent": int, "retries": dict})
def own(init_context: InitExecutorContext) -> Executor:
    SEEN["context"] = init_context
    return OwnExecutor(init_context)


@executor
def plain(init_context: InitExecutorContext) -> Executor:
    SEEN["context"] = init_context
    return OwnExecutor(init_context)


@executor(config_schema=int)
def numbered(init_context: InitExecutorContext) -> Executor:
    SEEN["context"] = init_context
    return OwnExecutor(init_context)


@executor
def raising(init_context: InitExecutorContext) -> Executor:
    raise KeyError("no cluster")


class OfTheOriginal:
    retries = None

    def execute(self, plan_context: Any, execution_plan: Any) -> Any: ...


@executor
def of_the_original(init_context: InitExecutorContext) -> Any:
    return OfTheOriginal()


@executor
def empty(init_context: InitExecutorContext) -> Any:
    return None


class Lazy(Executor):
    pass


@executor
def lazy(init_context: InitExecutorContext) -> Executor:
    return Lazy(init_context)


@executor(requirements=list(ExecutorRequirement))
def demanding(init_context: InitExecutorContext) -> Executor:
    return OwnExecutor(init_context)


@executor(config_schema={"lasts": bool}, requirements=lambda config: NEEDS[config["lasts"]])
def choosy(init_context: InitExecutorContext) -> Executor:
    return OwnExecutor(init_context)


NEEDS = {True: [ExecutorRequirement.NON_EPHEMERAL_INSTANCE], False: []}
unmakeable = ExecutorDefinition("unmakeable")
configured = own.configured({"size": 3, "max_concurrent": 1, "retries": {"disabled": {}}}, name="small")


def make(name: str, a_op: str = "value", *, is_in_memory: bool = False) -> Any:
    resources = {"io_manager": mem_io_manager} if is_in_memory else {}

    @job(executor_def=globals()[name], resource_defs=resources)
    def one() -> None:
        globals()[a_op]()

    return one


def run(name: str, instance: Any, *more: Any, config: Any = None, raise_on_error: bool = False) -> Any:
    execution = {} if config is None else {"execution": {"config": config}}
    recipe = build_reconstructable_job(__name__, "make", (name, *more))
    return execute_job(recipe, instance, {**QUIET, **execution}, raise_on_error=raise_on_error)


def test_function_is_given_the_run_and_the_config() -> None:
    with instance_for_test() as instance, run("plain", instance) as result:
        assert result.output_for_node("value") == 1
        context = SEEN["context"]
        assert context.job.name == "one"
        assert context.executor_def is plain
        assert context.instance is instance
        assert context.run.run_id == result.run_id
        assert context.max_concurrent is None
        first, *_, last = [e.message for e in result.all_events if e.event_type.name == "ENGINE_EVENT"]
        assert first.startswith('Executing steps by the executor "plain" (pid: ')
        assert last.startswith('Finished steps by the executor "plain" (pid: ')


def test_config_is_checked_and_what_the_engine_knows_of_it_holds() -> None:
    with instance_for_test() as instance:
        config = {"size": 2, "max_concurrent": 5, "retries": {"enabled": {}}}
        assert not run("own", instance, "flaky", config=config).success
        assert SEEN["context"].executor_config == config
        assert SEEN["context"].max_concurrent == 5
        assert SEEN["attempts"] == 3
        with pytest.raises(DagsterInvalidConfigError, match="size"):
            run("own", instance, config={"max_concurrent": 5, "retries": {}})


def test_configured_executor_has_its_config() -> None:
    with instance_for_test() as instance:
        assert not run("configured", instance, "flaky").success
        assert SEEN["context"].executor_def.name == "small"
        assert SEEN["context"].executor_config["size"] == 3
        assert SEEN["attempts"] == 1, "retries are disabled"


def test_config_may_be_anything_that_its_schema_says() -> None:
    with instance_for_test() as instance:
        assert run("numbered", instance, config=7).success
        assert SEEN["context"].executor_config == 7


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("raising", KeyError, "no cluster"),
        ("empty", DagsterInvariantViolationError, '@executor "empty" returned None'),
        ("of_the_original", DagsterInvariantViolationError, "it asks for one step after another"),
        ("unmakeable", DagsterInvariantViolationError, 'The executor "unmakeable" has no function that makes it'),
    ],
)
def test_executor_that_cannot_be_made_ends_the_run_before_its_first_step(name: str, error: Any, message: str) -> None:
    with instance_for_test() as instance:
        result = run(name, instance)
        assert [e.event_type.name for e in result.all_events] == ["RUN_START", "RUN_FAILURE"]
        assert message in result.all_events[-1].job_failure_data.error.message
        with pytest.raises(error, match=message):
            run(name, instance, raise_on_error=True)


def test_executor_without_a_way_to_start_says_so() -> None:
    with instance_for_test() as instance:
        with pytest.raises(NotImplementedError, match="Lazy.start has to have"):
            run("lazy", instance)
        assert [a_run.status.value for a_run in instance.get_runs()] == ["FAILURE"]


def test_requirements_are_looked_after_before_anything_is_recorded() -> None:
    from treadle import DagsterInstance

    with DagsterInstance.ephemeral() as instance:
        with pytest.raises(
            DagsterUnmetExecutorRequirementsError, match='on the executor "demanding", whose steps other'
        ):
            run("demanding", instance)
        with pytest.raises(DagsterUnmetExecutorRequirementsError, match="the instance is in memory"):
            run("choosy", instance, config={"lasts": True})
        assert instance.get_runs() == []
        assert run("choosy", instance, config={"lasts": False}).success
    with instance_for_test() as instance:
        assert run("demanding", instance).success
        recipe = build_reconstructable_job(__name__, "make", ("demanding",), {"is_in_memory": True})
        with pytest.raises(DagsterUnmetExecutorRequirementsError, match="keeps values in the memory"):
            execute_job(recipe, instance, QUIET)


def test_execute_in_process_takes_no_notice_of_it() -> None:
    assert make("raising").execute_in_process(run_config=QUIET).output_for_node("value") == 1
