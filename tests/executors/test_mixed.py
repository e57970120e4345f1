"""Ops of one run in different places: each where its author says, under one driver."""

from __future__ import annotations

import os
import threading
import time

import pytest

from tests.executors import mixed_jobs
from treadle import DagsterInvalidConfigError, execute_job, job, op, reconstructable

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


pytestmark = pytest.mark.usefixtures("traces")


def run(a_job, instance, **options):
    return execute_job(reconstructable(a_job), instance, QUIET, **options)


@pytest.mark.parametrize(
    ("a_job", "default"),
    [(mixed_jobs.in_processes, "process"), (mixed_jobs.in_process, "inline"), (mixed_jobs.on_threads, "thread")],
    ids=["multiprocess", "in process", "threads"],
)
def test_each_op_runs_where_it_says_and_others_where_the_executor_has_them(instance, a_job, default):
    with run(a_job, instance) as result:
        assert result.success
        at = {
            name: result.output_for_node(name)
            for name in ("inline", "thread", "on_loop", "process", "fresh", "fresh_2", "anywhere")
        }
        assert result.output_for_node("gather") == list(at.values())
    own = os.getpid()
    assert at["inline"] == (own, threading.current_thread().name)
    assert at["thread"][0] == at["on_loop"][0] == own
    assert at["thread"][1] != threading.current_thread().name
    others = {at[name][0] for name in ("process", "fresh", "fresh_2")}
    assert len(others) == 3
    assert own not in others
    if default == "process":
        assert at["anywhere"][0] not in {own, at["fresh"][0], at["fresh_2"][0]}
    elif default == "inline":
        assert at["anywhere"] == at["inline"]
    else:
        assert (at["anywhere"][0], at["anywhere"][1] != at["inline"][1]) == (own, True)


def test_steps_in_different_places_run_at_once(instance):
    with run(mixed_jobs.meeting, instance) as result:
        assert result.output_for_node("left") == os.getpid()
        assert result.output_for_node("right") != os.getpid()


def test_failures_are_told_and_tried_again_alike_everywhere(instance):
    result = run(mixed_jobs.failing, instance)
    assert result.get_failed_step_keys() == {"dies", "raises"}
    assert "exit code 5" in result.failure_data_for_node("dies").error.message
    assert result.retry_attempts_for_node("fails_once") == 1


def test_canceling_reaches_steps_everywhere(instance, traces):
    def cancel() -> None:
        while not all((traces / name).exists() for name in ("thread", "process")):
            time.sleep(0.01)
        instance.report_run_canceling(instance.get_runs()[0])

    canceler = threading.Thread(target=cancel)
    canceler.start()
    result = run(mixed_jobs.waiting, instance)
    canceler.join()
    assert instance.get_run_by_id(result.run_id).status.value == "CANCELED"
    assert not (traces / "after").exists()


def test_execute_in_process_runs_everything_here():
    @op(isolation="process")
    def where() -> int:
        return os.getpid()

    @job
    def nightly():
        where()

    assert nightly.execute_in_process().output_for_node("where") == os.getpid()


def test_tag_of_a_node_says_where_it_runs(instance):
    with run(tagged, instance) as result:
        assert result.output_for_node("anywhere")[0] != os.getpid()
        assert result.output_for_node("here")[0] == os.getpid()


def test_config_says_where_an_op_runs_whatever_the_op_says(instance):
    places = {"thread": "fresh_process", "anywhere": "thread"}
    with execute_job(
        reconstructable(mixed_jobs.freely),
        instance,
        {**QUIET, "execution": {"config": {"op_isolation": places}}},
    ) as result:
        assert result.output_for_node("thread")[0] != os.getpid()
        assert result.output_for_node("anywhere")[0] == os.getpid()


@pytest.mark.parametrize(
    ("places", "said"),
    [({"thraed": "thread"}, 'op_isolation names .*Did you mean "thread"'), ({"thread": "thraed"}, "expected one of")],
)
def test_config_that_names_no_op_or_no_place_is_refused_before_there_is_a_run(instance, places, said):
    config = {**QUIET, "execution": {"config": {"op_isolation": places}}}
    with pytest.raises(DagsterInvalidConfigError, match=said):
        execute_job(reconstructable(mixed_jobs.freely), instance, config)
    assert instance.get_runs() == []


@job(executor_def=mixed_jobs.in_process_executor)
def tagged():
    mixed_jobs.anywhere.tag({"treadle/isolation": "fresh_process"})()
    mixed_jobs.anywhere.alias("here")()
