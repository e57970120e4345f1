"""Older names: programs of the API's first years run, and what is no more says what to write instead."""

from __future__ import annotations

import gc
from typing import Any

import pytest

import treadle
from treadle import (
    AssetMaterialization,
    BindResourcesToJobs,
    DagsterEventType,
    DagsterInstance,
    DagsterInvariantViolationError,
    DagsterRunStatus,
    Definitions,
    ExpectationResult,
    In,
    InputDefinition,
    JobDefinition,
    MetadataEntry,
    MetadataValue,
    ModeDefinition,
    Output,
    OutputDefinition,
    ParameterCheckError,
    ResourceDefinition,
    composite_solid,
    default_executors,
    execute_pipeline,
    execute_pipeline_iterator,
    graph,
    in_process_executor,
    job,
    json_console_logger,
    lambda_solid,
    multiprocess_executor,
    op,
    pipeline,
    solid,
)


@solid(required_resource_keys={"db"}, config_schema={"factor": int}, output_defs=[OutputDefinition(int, "product")])
def read(context: Any) -> int:
    return context.solid_config["factor"] * context.resources.db


@lambda_solid(input_defs=[InputDefinition("number", int)], output_def=OutputDefinition(int))
def add_one(number: Any) -> int:
    return number + 1


MODES = [
    ModeDefinition(resource_defs={"db": ResourceDefinition.hardcoded_resource(2)}),
    ModeDefinition("big", {"db": ResourceDefinition.hardcoded_resource(100)}, {"json": json_console_logger}),
]


@pipeline(mode_defs=MODES, tags={"team": "a"})
def numbers() -> None:
    add_one(read())


CONFIG = {"solids": {"read": {"config": {"factor": 3}}}}


def names(events: Any) -> list[str]:
    return [event.event_type.name for event in events]


class TestExecutePipeline:
    def test_pipeline_runs_in_its_first_mode(self) -> None:
        result = execute_pipeline(numbers, run_config=CONFIG, tags={"why": "test"})
        assert result.success
        assert result.output_for_solid("add_one") == 7
        assert result.output_for_solid("read", "product") == 6
        assert dict(result.dagster_run.tags) == {"team": "a", "why": "test"}

    def test_pipeline_runs_in_the_mode_that_is_named(self) -> None:
        assert (
            execute_pipeline(numbers, {**CONFIG, "loggers": {"json": {}}}, mode="big").output_for_node("add_one") == 301
        )
        assert list(numbers.in_mode("big").loggers) == ["json"]

    def test_unknown_mode_suggests_the_nearest(self) -> None:
        with pytest.raises(DagsterInvariantViolationError, match='has no mode "bigg". Did you mean "big"'):
            execute_pipeline(numbers, CONFIG, mode="bigg")

    def test_job_takes_a_mode_as_an_object(self) -> None:
        @job
        def today() -> None:
            add_one(read())

        assert (
            execute_pipeline(today, {**CONFIG, "loggers": {"json": {}}}, mode=MODES[1]).output_for_node("add_one")
            == 301
        )
        with pytest.raises(DagsterInvariantViolationError, match='has no modes, so there is no mode "big"'):
            execute_pipeline(today, CONFIG, mode="big")

    def test_default_mode_of_a_job_is_the_job(self) -> None:
        @job
        def today() -> None:
            add_one.alias("first")()

        config = {"ops": {"first": {"inputs": {"number": 1}}}}
        assert execute_pipeline(today, config, mode="default").output_for_node("first") == 2

    def test_graph_is_made_a_job(self) -> None:
        @composite_solid
        def inner() -> Any:
            return add_one.alias("deep")()

        config = {"ops": {"deep": {"inputs": {"number": 1}}}}
        assert execute_pipeline(inner, config).output_for_node("deep") == 2

    def test_solid_selection_is_the_op_selection(self) -> None:
        config = {"ops": {"add_one": {"inputs": {"number": 1}}}}
        result = execute_pipeline(numbers, config, solid_selection=["add_one"])
        assert [event.step_key for event in result.get_step_success_events()] == ["add_one"]

    def test_executor_is_chosen_by_its_name_in_run_config(self) -> None:
        config = {**CONFIG, "execution": {"in_process": {"config": {"retries": {"disabled": {}}}}}}
        assert execute_pipeline(numbers, config).success
        assert execute_pipeline(numbers, {**CONFIG, "execution": {"in_process": {}}}).success

    def test_error_is_raised_unless_told_not_to(self) -> None:
        @op
        def fails() -> None:
            raise ValueError("no")

        @job
        def broken() -> None:
            fails()

        with pytest.raises(ValueError, match="no"):
            execute_pipeline(broken)
        assert not execute_pipeline(broken, raise_on_error=False).success

    def test_presets_are_refused(self) -> None:
        with pytest.raises(ParameterCheckError, match="presets are no more"):
            execute_pipeline(numbers, preset="dev")
        with pytest.raises(ParameterCheckError, match="presets are no more"):
            execute_pipeline_iterator(numbers, preset="dev")
        with pytest.raises(ParameterCheckError, match="preset_defs cannot be given. Use @job"):
            pipeline(preset_defs=[1])

    def test_only_jobs_can_be_executed(self) -> None:
        with pytest.raises(ParameterCheckError, match='Param "pipeline" is not a job'):
            execute_pipeline("numbers")  # type: ignore[arg-type]

    def test_pipeline_without_options(self) -> None:
        @pipeline
        def bare() -> None:
            add_one.alias("first")()

        assert isinstance(bare, JobDefinition)
        assert (bare.name, [mode.name for mode in bare.modes]) == ("bare", ["default"])

    def test_mode_with_one_executor_makes_it_the_jobs(self) -> None:
        @pipeline(mode_defs=[ModeDefinition("only", executor_defs=[multiprocess_executor])])
        def bare() -> None:
            add_one.alias("first")()

        assert bare.executor_def is multiprocess_executor
        assert bare.in_mode("only").executor_def is multiprocess_executor

    def test_default_executors(self) -> None:
        assert default_executors == [in_process_executor, multiprocess_executor]
        assert ModeDefinition().executor_defs == default_executors


class TestExecutePipelineIterator:
    def test_events_come_as_they_happen(self) -> None:
        done: list[str] = []

        @op
        def first() -> None:
            done.append("first")

        @op(ins={"start": In(treadle.Nothing)})
        def second() -> None:
            done.append("second")

        @job
        def two() -> None:
            second(start=first())

        seen = []
        for event in execute_pipeline_iterator(two):
            if event.is_step_start:
                seen.append((event.step_key, list(done)))
        assert seen == [("first", []), ("second", ["first"])]
        assert done == ["first", "second"]

    def test_each_event_is_logged_before_it_is_given(self) -> None:
        with DagsterInstance.ephemeral() as instance:
            for count, event in enumerate(execute_pipeline_iterator(numbers, CONFIG, instance=instance), start=1):
                (run,) = instance.get_runs()
                logged = [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.is_dagster_event]
                assert (len(logged), logged[-1]) == (count, event)
            assert instance.get_runs()[0].status is DagsterRunStatus.SUCCESS

    @pytest.mark.parametrize("how", ["dropped", "closed"])
    @pytest.mark.parametrize("stop_at", [DagsterEventType.RUN_START, DagsterEventType.STEP_START])
    def test_dropped_early_it_ends_the_run(self, how: str, stop_at: DagsterEventType) -> None:
        closed: list[str] = []

        @treadle.resource
        def db(_: Any) -> Any:
            yield 2
            closed.append("db")

        with DagsterInstance.ephemeral() as instance:
            mode = ModeDefinition(resource_defs={"db": db})
            events = execute_pipeline_iterator(numbers, CONFIG, mode=mode, instance=instance)
            for event in events:
                if event.event_type is stop_at:
                    break
            if how == "closed":
                events.close()  # type: ignore[attr-defined]
            del events
            gc.collect()
            (run,) = instance.get_runs()
            assert run.status is DagsterRunStatus.FAILURE
            last = instance.all_logs(run.run_id)[-1].get_dagster_event()
            assert last.event_type is DagsterEventType.RUN_FAILURE
            assert "closed before the run ended" in str(last.event_specific_data)
        assert closed == (["db"] if stop_at is DagsterEventType.STEP_START else [])

    def test_failure_is_an_event_and_is_not_raised(self) -> None:
        @op
        def fails() -> None:
            raise ValueError("no")

        @job
        def broken() -> None:
            fails()

        assert names(execute_pipeline_iterator(broken))[-3:] == ["STEP_FAILURE", "ENGINE_EVENT", "RUN_FAILURE"]

    def test_bad_config_is_told_before_the_first_event(self) -> None:
        with DagsterInstance.ephemeral() as instance:
            with pytest.raises(treadle.DagsterInvalidConfigError):
                execute_pipeline_iterator(numbers, {"ops": {"red": {}}}, instance=instance)
            assert instance.get_runs() == []


class TestMembersOfResults:
    @pytest.fixture
    def result(self) -> Any:
        @op(
            out={"a": treadle.Out(), "b": treadle.Out(is_required=False)},
            retry_policy=treadle.RetryPolicy(max_retries=1),
        )
        def choose(context: Any) -> Any:
            yield AssetMaterialization("table")
            yield ExpectationResult(success=True)
            if context.retry_number == 0:
                raise ValueError("once")
            yield Output(1, "a")

        @op
        def take(number: Any) -> Any:
            return number

        @op
        def fails() -> None:
            raise ValueError("always")

        @graph
        def around(number: Any) -> Any:
            return take(number)

        @job
        def older() -> None:
            a, b = choose()
            around(a)
            take.alias("never")(b)
            fails()

        return older.execute_in_process(raise_on_error=False)

    def test_of_the_run(self, result: Any) -> None:
        assert result.event_list == result.all_events
        assert result.step_event_list == [event for event in result.all_events if event.is_step_event]
        assert set(result.events_by_step_key) == {"choose", "around.take", "never", "fails"}
        assert result.events_by_step_key["never"] == result.events_for_node("never")
        assert [each.handle.name for each in result.solid_result_list] == ["choose", "around", "never", "fails"]
        assert result.pipeline_def is result.job_def
        assert result.result_for_solid("choose").success is True
        assert result.output_for_solid("around.take") == 1

    def test_result_for_handle(self, result: Any) -> None:
        handle = treadle.NodeHandle("take", treadle.NodeHandle("around"))
        assert result.result_for_handle(handle).output_value() == 1
        assert result.result_for_handle("around.take").handle == handle
        with pytest.raises(DagsterInvariantViolationError, match="has no op named"):
            result.result_for_handle("around.tak")

    def test_of_a_node(self, result: Any) -> None:
        chosen = result.result_for_node("choose")
        assert chosen.step_events == chosen.compute_step_events == result.events_for_node("choose")
        assert chosen.retry_attempts == 1
        assert (chosen.skipped, result.result_for_node("never").skipped) == (False, True)
        assert chosen.get_step_success_event().event_type is DagsterEventType.STEP_SUCCESS
        assert len(chosen.materializations_during_compute) == 2
        assert chosen.materializations_during_compute[0].asset_key == treadle.AssetKey("table")
        assert chosen.expectation_results_during_compute[0].success
        assert names(chosen.output_events_during_compute) == ["STEP_OUTPUT"]
        assert names(result.result_for_handle("around.take").input_events_during_compute) == ["STEP_INPUT"]
        assert chosen.solid_def is chosen.node_def

    def test_of_a_node_that_failed(self, result: Any) -> None:
        failed = result.result_for_node("fails")
        assert failed.failure_data.error.cause.message == "ValueError: always\n"
        assert failed.compute_step_failure_event.event_type is DagsterEventType.STEP_FAILURE
        assert result.result_for_node("choose").failure_data is None
        with pytest.raises(DagsterInvariantViolationError, match="no event of type STEP_SUCCESS"):
            failed.get_step_success_event()

    def test_unknown_member_suggests_the_nearest(self, result: Any) -> None:
        with pytest.raises(AttributeError, match='Did you mean "output_for_node"'):
            result.outputs_for_node


class TestSmallThings:
    def test_metadata_entry_is_deprecated_and_holds_its_value(self) -> None:
        with pytest.warns(DeprecationWarning, match="MetadataEntry is deprecated: write metadata="):
            entry = MetadataEntry("rows", description="how many", value=3)
        assert (entry.label, entry.value, entry.entry_data) == ("rows", MetadataValue.int(3), MetadataValue.int(3))
        with pytest.warns(DeprecationWarning, match="MetadataEntry"):
            assert entry == MetadataEntry("rows", "how many", 3)
        assert hash(entry) == hash(("rows", "how many"))
        assert repr(entry).startswith("MetadataEntry(label='rows'")

    def test_mark_on_jobs_is_a_list(self) -> None:
        @job(resource_defs={"db": 1})
        def marked() -> None:
            add_one.alias("first")()

        assert Definitions(jobs=BindResourcesToJobs([marked])).get_job_def("marked") is marked
