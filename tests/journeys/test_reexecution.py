"""A run is executed again: from failure, from selected steps, along a whole line of runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.journeys import lasting_jobs
from treadle import (
    CheckError,
    DagsterExecutionStepNotFoundError,
    DagsterInstance,
    DagsterInvalidConfigError,
    DagsterInvariantViolationError,
    ParameterCheckError,
    ReexecutionOptions,
    RunsFilter,
    execute_job,
    instance_for_test,
    reconstructable,
)
from treadle.errors import DagsterExecutionStepExecutionError

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
FANNED = reconstructable(lasting_jobs.fanned)
BRANCHING = reconstructable(lasting_jobs.branching)


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with instance_for_test() as made:
        yield made


@pytest.fixture
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    path = tmp_path / "marks"
    monkeypatch.setenv("TREADLE_TEST_MARKS", str(path))

    def take() -> list[str]:
        found = path.read_text().split() if path.exists() else []
        path.write_text("")
        return found

    return take


def broken(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setenv("TREADLE_TEST_BROKEN", " ".join(names))


def again(instance: DagsterInstance, run_id: str, selection: list[str] | None = None, **more: Any) -> Any:
    options = ReexecutionOptions(run_id, selection) if selection else ReexecutionOptions.from_failure(run_id, instance)
    return execute_job(FANNED, instance, reexecution_options=options, **more)


def test_run_is_recorded_with_its_values_and_read_from_another_instance(instance: DagsterInstance) -> None:
    config = {**QUIET, "ops": {"start": {"config": {"count": 2}}}}
    with execute_job(FANNED, instance, config, tags={"who": "me"}) as result:
        assert result.success
        assert result.output_for_node("ending.last") == 11
        assert result.output_for_node("work") == {"k0": 0, "k1": 10}
        run = result.dagster_run
    assert run.tags == {"team": "tests", "who": "me"}
    assert run.run_config == config
    with DagsterInstance.from_ref(instance.get_ref()) as other:
        assert other.get_run_by_id(run.run_id) == run
        events = [entry.dagster_event for entry in other.all_logs(run.run_id) if entry.dagster_event is not None]
        assert events == result.all_events


def test_values_are_read_only_while_the_result_is_open_and_nothing_is_added_to_the_log(
    instance: DagsterInstance,
) -> None:
    result = execute_job(FANNED, instance, QUIET)
    entries = len(instance.all_logs(result.run_id))
    with pytest.raises(DagsterInvariantViolationError, match="must be opened as a context manager"):
        result.output_for_node("total")
    with result:
        assert result.output_for_node("total") == 30
        with pytest.raises(DagsterInvariantViolationError, match="has no op named totl.*Did you mean"):
            result.output_for_node("totl")
    with pytest.raises(DagsterInvariantViolationError, match="must be opened as a context manager"):
        result.output_value()
    assert len(instance.all_logs(result.run_id)) == entries


def test_half_done_fan_out_runs_exactly_the_branches_that_did_not_succeed(
    instance: DagsterInstance, marks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, "work[k1]")
    first = execute_job(FANNED, instance, QUIET)
    assert not first.success
    marks()
    broken(monkeypatch)
    with again(instance, first.run_id) as result:
        assert result.success
        assert marks() == ["work[k1]", "total", "last"]
        assert result.output_for_node("ending.last") == 31
        with pytest.raises(DagsterInvariantViolationError, match="Did not find result result in node start"):
            result.output_for_node("start")
        assert result.output_for_node("work") == {"k1": 10}
    run = result.dagster_run
    assert (run.parent_run_id, run.root_run_id) == (first.run_id, first.run_id)
    assert run.step_keys_to_execute == ["work[k1]", "total", "ending.last"]
    assert run.tags["dagster/parent_run_id"] == first.run_id
    assert run.tags["dagster/root_run_id"] == first.run_id
    assert run.tags["dagster/is_resume_retry"] == "true"
    assert run.is_resume_retry
    assert [r.run_id for r in instance.get_runs(RunsFilter(tags={"dagster/parent_run_id": first.run_id}))] == [
        run.run_id
    ]


def test_inputs_are_found_along_the_whole_line_of_runs(
    instance: DagsterInstance, marks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = ""
    for names in (["work[k0]", "work[k2]", "aside"], ["work[k2]", "last"], ["last"]):
        broken(monkeypatch, *names)
        result = again(instance, run_id) if run_id else execute_job(FANNED, instance, QUIET)
        assert not result.success
        run_id, root = result.run_id, result.dagster_run.root_run_id
    assert marks().count("work[k2]") == 3
    broken(monkeypatch)
    with again(instance, run_id) as result:
        assert marks() == ["last"]
        assert result.output_for_node("ending.last") == 31
        assert result.dagster_run.root_run_id == root
        assert result.dagster_run.parent_run_id == run_id


def test_selected_steps_are_run_again_with_what_the_others_gave(instance: DagsterInstance, marks: Any) -> None:
    first = execute_job(FANNED, instance, QUIET)
    marks()
    for selection, wanted in (
        (["total+"], ["total", "last"]),
        (["work[k1]"], ["work[k1]"]),
        (["work[k1]*"], ["work[k1]", "total", "last"]),
        (["work[?]"], ["work[k0]", "work[k1]", "work[k2]"]),
        (["aside", "ending.last"], ["aside", "last"]),
        (["*"], ["aside", "start", "fan", "work[k0]", "work[k1]", "work[k2]", "total", "last"]),
    ):
        result = again(instance, first.run_id, selection)
        assert result.success
        assert marks() == wanted, selection
        assert result.dagster_run.tags.get("dagster/is_resume_retry") is None


def test_all_steps_are_run_again_without_a_selection(instance: DagsterInstance, marks: Any) -> None:
    first = execute_job(FANNED, instance, QUIET)
    marks()
    assert execute_job(FANNED, instance, reexecution_options=ReexecutionOptions(first.run_id)).success
    assert len(marks()) == 8


def test_config_and_tags_are_those_of_the_parent_unless_given(instance: DagsterInstance) -> None:
    config = {**QUIET, "ops": {"start": {"config": {"count": 1}}}}
    first = execute_job(FANNED, instance, config, tags={"who": "me", "day": "1"})
    same = again(instance, first.run_id, ["*"])
    assert same.dagster_run.run_config == config
    assert same.dagster_run.tags["who"] == "me"
    other = again(instance, first.run_id, ["*"], run_config=QUIET, tags={"day": "2"})
    assert other.dagster_run.run_config == QUIET
    assert (other.dagster_run.tags["who"], other.dagster_run.tags["day"]) == ("me", "2")
    with pytest.raises(DagsterInvalidConfigError):
        again(instance, first.run_id, ["*"], run_config={"ops": {"strt": {}}})


def test_skipped_steps_stay_skipped(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, "after_yes")
    first = execute_job(BRANCHING, instance, QUIET)
    assert first.is_node_skipped("after_no")
    broken(monkeypatch)
    options = ReexecutionOptions.from_failure(first.run_id, instance)
    result = execute_job(BRANCHING, instance, reexecution_options=options)
    assert result.success
    assert result.dagster_run.step_keys_to_execute == ["after_yes"]
    assert result.is_node_untouched("after_no")


def test_one_step_is_told_as_in_a_plan_of_one_step(instance: DagsterInstance) -> None:
    first = execute_job(FANNED, instance, QUIET)
    result = again(instance, first.run_id, ["total"])
    kinds = [(event.event_type.name, event.step_key) for event in result.all_events]
    assert kinds[2:4] == [("RESOURCE_INIT_STARTED", "total"), ("RESOURCE_INIT_SUCCESS", "total")]


@pytest.mark.parametrize(
    ("selection", "error", "message"),
    [
        (["totl"], DagsterExecutionStepNotFoundError, "unknown step: totl.*Did you mean"),
        (["total", "x+"], DagsterExecutionStepNotFoundError, r"unknown step: x\."),
        (["work[k9]"], DagsterExecutionStepNotFoundError, r"unknown step: work\[k9\]"),
    ],
)
def test_step_that_is_not_there_is_refused_before_anything_is_recorded(
    instance: DagsterInstance, selection: list[str], error: type[Exception], message: str
) -> None:
    first = execute_job(FANNED, instance, QUIET)
    with pytest.raises(error, match=message):
        again(instance, first.run_id, selection)
    assert instance.get_runs_count() == 1


def test_step_whose_input_nobody_has_is_refused(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, "work[k1]")
    first = execute_job(FANNED, instance, QUIET)
    with pytest.raises(DagsterInvariantViolationError, match=r'"total" cannot be run: it needs outputs of'):
        again(instance, first.run_id, ["total"])


def test_wrong_calls_are_refused(instance: DagsterInstance) -> None:
    first = execute_job(FANNED, instance, QUIET)
    options = ReexecutionOptions(first.run_id)
    with pytest.raises(DagsterInvariantViolationError, match="run that is not failed or canceled"):
        again(instance, first.run_id)
    with pytest.raises(CheckError, match="no run with id nothing"):
        execute_job(FANNED, instance, reexecution_options=ReexecutionOptions("nothing"))
    with pytest.raises(DagsterInvariantViolationError, match="cannot be used together"):
        execute_job(FANNED, instance, op_selection=["aside"], reexecution_options=options)
    with pytest.raises(ParameterCheckError, match='"job" is not a ReconstructableJob'):
        execute_job(lasting_jobs.fanned, instance)  # type: ignore[arg-type]
    with pytest.raises(ParameterCheckError, match='"instance" is not a DagsterInstance'):
        execute_job(FANNED, None)  # type: ignore[arg-type]
    with pytest.raises(CheckError, match="step_selection"):
        ReexecutionOptions(first.run_id, "total")


def test_raise_on_error_raises_the_users_own_exception(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, "aside")
    with pytest.raises(ValueError, match="aside"):
        execute_job(FANNED, instance, QUIET, raise_on_error=True)
    (run,) = instance.get_runs()
    assert run.is_failure
    failure = next(e for e in instance.all_logs(run.run_id) if e.dagster_event and e.dagster_event.is_step_failure)
    error = failure.get_dagster_event().step_failure_data.error
    assert error.cls_name == DagsterExecutionStepExecutionError.__name__


def test_selection_of_ops_is_kept_in_the_record_and_followed_by_re_execution(
    instance: DagsterInstance, marks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, "work[k1]")
    first = execute_job(FANNED, instance, QUIET, op_selection=["*work"])
    assert first.dagster_run.op_selection == ["*work"]
    assert first.dagster_run.resolved_op_selection == {"start", "fan", "work"}
    marks()
    broken(monkeypatch)
    assert again(instance, first.run_id).success
    assert marks() == ["work[k1]"]


def test_same_run_id_runs_nothing_twice(instance: DagsterInstance, marks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = "7b0a0f6e-0000-4000-8000-00000000000b"
    with execute_job(FANNED, instance, QUIET, run_id=run_id) as first:
        assert first.output_for_node("total") == 30
    marks()
    with execute_job(FANNED, instance, QUIET, run_id=run_id) as second:
        assert second.output_for_node("total") == 30
    assert marks() == []
    assert second.all_events == first.all_events
    for other in ({"run_config": {}}, {"op_selection": ["aside"], "run_config": QUIET}):
        with pytest.raises(
            Exception, match="exists already, and it is another: its (run config at loggers|op selection) is"
        ):
            execute_job(FANNED, instance, run_id=run_id, **other)  # type: ignore[arg-type]
    with pytest.raises(Exception, match="exists already, and it is another: its job is 'fanned'"):
        execute_job(BRANCHING, instance, QUIET, run_id=run_id)
    with pytest.raises(CheckError, match="must be a valid UUID"):
        execute_job(FANNED, instance, QUIET, run_id="tonight")
