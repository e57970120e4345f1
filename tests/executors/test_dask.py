"""Runs on a real Dask cluster: what comes out, what is told, and what is told when something breaks."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import distributed
import msgspec
import psutil
import pytest

import treadle.executors
from tests.conformance.notation import expand, observe
from tests.executors.dask_run import JOBS, QUIET
from tests.ftp_server import serving
from tests.journeys import remote_jobs
from treadle import (
    DagsterEventType,
    DagsterExecutionInterruptedError,
    DagsterInstance,
    DagsterInvalidConfigError,
    DagsterInvalidDefinitionError,
    DagsterRunStatus,
    DagsterUnmetExecutorRequirementsError,
    build_reconstructable_job,
    execute_job,
    reconstructable,
    resume_run,
)
from treadle.executors import cluster as executor_module
from treadle.executors import dask as engine_module
from treadle.executors import guest
from treadle.executors.capture import files_of
from treadle.executors.outside import make_assignment
from treadle.recipes import ReconstructableJob
from treadle.runs import make_run_id

#: what Dask keeps in a process that has used it once
OF_DASK = "Dask-Offload"


@pytest.fixture(scope="module")
def cluster() -> Iterator[distributed.LocalCluster]:
    """One worker process that takes two steps at once, for all tests of this module."""
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0") as made:
        yield made


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp(str(tmp_path / "home")) as made:
        yield made


class Bed:
    """Runs jobs of dask_jobs on one cluster, and reads what they leave."""

    def __init__(self, instance: DagsterInstance, folder: Path, cluster: dict[str, Any]) -> None:
        self.instance = instance
        self.folder = folder
        self.cluster = cluster
        self.run_id = make_run_id()

    def run(self, name: str, **config: Any) -> Any:
        recipe = build_reconstructable_job(JOBS, "make", (name,))
        execution = {"config": {"cluster": self.cluster, **config}}
        return execute_job(
            recipe,
            self.instance,
            {**QUIET, "execution": execution},
            tags={"folder": str(self.folder)},
            run_id=self.run_id,
        )

    def marks(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().split() if path.exists() else []

    def wait_for(self, name: str) -> None:
        deadline = time.monotonic() + 20
        while not self.marks(name):
            assert time.monotonic() < deadline, f"{name} never came"
            time.sleep(0.02)

    def messages(self, kind: DagsterEventType = DagsterEventType.ENGINE_EVENT) -> list[str]:
        return [entry.dagster_event.message or "" for entry in self.instance.all_logs(self.run_id, of_type=kind)]

    @property
    def status(self) -> DagsterRunStatus:
        return self.instance.get_run_by_id(self.run_id).status


@pytest.fixture
def bed(instance: DagsterInstance, tmp_path: Path, cluster: distributed.LocalCluster) -> Bed:
    return Bed(instance, tmp_path, {"existing": {"address": cluster.scheduler_address}})


@pytest.fixture
def in_thread() -> Iterator[Callable[..., concurrent.futures.Future]]:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        yield pool.submit


# -- what comes out -----------------------------------------------------------------------------------------------------


def test_values_go_from_step_to_step_by_io_managers(bed: Bed) -> None:
    with bed.run("chain") as result:
        assert result.success
        assert result.output_for_node("plus_one_2") == 3


def test_events_are_those_of_a_process_for_each_attempt_and_all_are_in_the_log(bed: Bed) -> None:
    result = bed.run("chain", max_concurrent=1)
    assert observe(result.all_events) == expand(
        "M · one«SS SO HO SX} plus_one«SS LI SI SO HO SX} plus_one_2«SS LI SI SO HO SX} · OK"
    )
    logged = [entry.dagster_event for entry in bed.instance.all_logs(bed.run_id) if entry.dagster_event is not None]
    assert logged == result.all_events


def test_branches_run_at_once_and_are_collected_in_their_order(bed: Bed) -> None:
    with bed.run("meeting") as result:
        assert result.output_for_node("join") == "AB"
    pids = set(bed.marks("here a") + bed.marks("here b"))
    assert len(pids) == 2
    assert str(os.getpid()) not in pids


def test_attempts_are_repeated_by_the_engine_and_never_by_dask(bed: Bed) -> None:
    result = bed.run("retried")
    assert result.success
    assert result.retry_attempts_for_node("third_time") == 2
    assert result.retry_attempts_for_node("asks_again") == 1
    assert len(bed.marks("tries")) == 3
    assert len(bed.marks("asked")) == 2


def test_no_attempt_is_repeated_where_config_says_so(bed: Bed) -> None:
    result = bed.run("retried", retries={"disabled": {}})
    assert result.get_failed_step_keys() == {"third_time", "asks_again"}
    assert len(bed.marks("tries")) == 1


def test_failure_is_told_in_the_words_of_the_op_and_other_steps_go_on(bed: Bed) -> None:
    result = bed.run("failing")
    assert result.get_failed_step_keys() == {"boom"}
    assert result.is_node_success("one")
    assert result.is_node_untouched("plus_one")
    assert "the op's own words" in result.failure_data_for_node("boom").error.to_string()
    assert bed.status is DagsterRunStatus.FAILURE


def test_messages_of_steps_are_in_the_log_in_their_order(bed: Bed) -> None:
    bed.run("chain")
    said = [entry for entry in bed.instance.all_logs(bed.run_id) if entry.dagster_event is None]
    assert [(entry.step_key, entry.level, entry.user_message) for entry in said] == [
        ("one", 20, "one is here"),
        ("one", 30, "and says more"),
    ]


def test_what_steps_print_is_kept_for_each_of_them_with_that_of_their_programs(bed: Bed) -> None:
    assert bed.run("printing").success
    folder = Path(bed.instance.storage_directory(), bed.run_id, "compute_logs")
    keys = {
        key: entry.dagster_event.event_specific_data.file_key
        for entry in bed.instance.all_logs(bed.run_id, of_type=DagsterEventType.LOGS_CAPTURED)
        for key in entry.dagster_event.event_specific_data.step_keys
    }
    for name in ("ann", "bob"):
        out, err = files_of(folder, keys[f"prints[{name}]"])
        assert out.read_text() == f"{name}\n" * 100 + f"a program of {name}\n"
        assert err.read_text() == f"trouble of {name}\n"


def test_resources_are_opened_and_closed_for_each_step_in_its_worker(bed: Bed) -> None:
    with bed.run("with_resource") as result:
        assert result.success
        assert result.output_for_node("uses") != os.getpid()
        assert [str(each.label) for each in result.asset_materializations_for_node("uses")] == ["report"]
    texts = [entry.user_message for entry in bed.instance.all_logs(bed.run_id) if entry.dagster_event is None]
    assert texts == ["opened", "closed"]


def test_job_without_an_executor_of_its_own_goes_to_dask_by_its_config(bed: Bed) -> None:
    recipe = build_reconstructable_job(__name__, "make_plain")
    config = {"config": {"dask": {"cluster": bed.cluster}}}
    result = execute_job(recipe, bed.instance, {**QUIET, "execution": config}, run_id=bed.run_id)
    assert result.success
    assert any("Dask executor" in text for text in bed.messages())


def make_plain() -> Any:
    from tests.executors.dask_jobs import chain

    return chain.graph.to_job()


def test_step_goes_to_a_worker_that_has_what_its_tag_asks_for(instance: DagsterInstance, tmp_path: Path) -> None:
    bed = Bed(instance, tmp_path, {"local": {"n_workers": 1, "processes": False, "resources": {"GPU": 1}}})
    assert bed.run("picky").success


def test_attempt_of_an_op_that_wants_a_process_of_its_own_has_one(bed: Bed) -> None:
    assert bed.run("freshly", max_concurrent=1).success
    assert len(set(bed.marks("fresh"))) == 2


def test_step_reaches_its_cluster_as_a_client(bed: Bed) -> None:
    with bed.run("asking_dask", max_concurrent=1) as result:
        assert result.output_for_node("asks_dask") == 3


# -- what breaks --------------------------------------------------------------------------------------------------------


def pids_of(cluster: distributed.LocalCluster) -> set[int]:
    return {nanny.pid for nanny in cluster.workers.values()}


def test_killed_process_of_a_step_is_one_truthful_failure_and_harms_nothing_else(
    bed: Bed, cluster: distributed.LocalCluster
) -> None:
    before = pids_of(cluster)
    result = bed.run("killed")
    assert len(bed.marks("begun")) == 1
    assert result.get_failed_step_keys() == {"kills_worker"}
    assert result.is_node_success("goes_on")
    assert result.is_node_untouched("plus_one")
    (lost,) = [text for text in bed.messages() if "unexpectedly exited" in text]
    assert 'child process for step "kills_worker" on tcp://' in lost
    (pid,) = bed.marks("begun")
    error = result.failure_data_for_node("kills_worker").error
    assert error.cls_name == "ChildProcessCrashException"
    assert f"Process {pid} was ended by signal 9 (SIGKILL)" in error.message
    events = observe(result.events_for_node("kills_worker"))
    assert [seen.type_name for seen in events][-2:] == ["STEP_START", "STEP_FAILURE"]
    assert pids_of(cluster) == before


def test_policy_has_a_step_whose_process_was_killed_tried_again(bed: Bed) -> None:
    result = bed.run("killed_once")
    assert result.success
    assert result.retry_attempts_for_node("kills_worker") == 1
    assert len(bed.marks("begun")) == 2


def test_lost_dask_worker_is_one_failure_that_says_how_it_ended_and_dask_begins_the_step_nowhere_else(
    instance: DagsterInstance, tmp_path: Path
) -> None:
    bed = Bed(instance, tmp_path, {"local": {"n_workers": 2}})
    result = bed.run("bereft")
    assert result.get_failed_step_keys() == {"kills_dask_worker"}
    assert result.is_node_success("one")
    (lost,) = [text for text in bed.messages() if "was lost" in text]
    assert lost.endswith('was lost (signal 9, SIGKILL) while it was at step "kills_dask_worker".')
    error = result.failure_data_for_node("kills_dask_worker").error
    assert error.cls_name == "ChildProcessCrashException"
    assert "was lost (signal 9, SIGKILL), and its children go with it" in error.cause.message
    (pid,) = bed.marks("begun")
    assert f"Process {pid} ended, and nobody knows how" in error.message
    wait_until_gone(int(pid))
    assert bed.marks("outlived") == []


def test_policy_has_a_step_tried_again_whose_dask_worker_of_somebody_else_was_lost(
    bed: Bed, cluster: distributed.LocalCluster
) -> None:
    result = bed.run("bereft_once")
    assert result.success, bed.messages()
    assert result.retry_attempts_for_node("kills_dask_worker") == 1
    assert len(bed.marks("begun")) == 2
    cluster.wait_for_workers(1)


def test_lost_fork_server_costs_its_step_alone_and_is_told(bed: Bed) -> None:
    result = bed.run("forkless", max_concurrent=1)
    assert result.success, bed.messages()
    assert result.retry_attempts_for_node("kills_what_forks") == 1
    assert any("The process that starts the workers has ended (signal 9, SIGKILL)" in text for text in bed.messages())


def test_job_whose_import_starts_threads_is_not_forked_and_that_is_told(
    bed: Bed, cluster: distributed.LocalCluster
) -> None:
    recipe = ReconstructableJob.for_file(str(Path(__file__).with_name("threaded_module.py")), "threaded_on_dask")
    config = {**QUIET, "execution": {"config": {"cluster": bed.cluster}}}
    assert execute_job(recipe, bed.instance, config, run_id=bed.run_id).success
    assert len([text for text in bed.messages() if "not forked, since" in text and "of-the-module" in text]) == 1
    left = [child for pid in pids_of(cluster) for child in psutil.Process(pid).children(recursive=True)]
    assert [child.cmdline() for child in left] == []


def test_step_that_floods_its_output_and_dies_keeps_all_of_it_and_its_exit_code(
    bed: Bed, capsys: pytest.CaptureFixture[str]
) -> None:
    result = bed.run("flooding")
    assert result.get_failed_step_keys() == {"floods"}
    assert "ended with exit code 7" in result.failure_data_for_node("floods").error.message
    (out,) = Path(bed.instance.storage_directory(), bed.run_id, "compute_logs").glob("*.out")
    assert out.stat().st_size == 100_000_000
    assert "... and 98,951,424 bytes more: treadle logs" in capsys.readouterr().out


def test_step_that_has_more_memory_than_its_op_may_is_killed_and_tried_again(bed: Bed) -> None:
    result = bed.run("too_large")
    assert result.success, bed.messages()
    (told,) = [event for event in result.all_events if event.event_type is DagsterEventType.STEP_UP_FOR_RETRY]
    error = told.event_specific_data.error
    assert error.cls_name == "StepMemoryError"
    assert "more than its op's memory_limit of 300,000,000" in error.message


def test_step_that_has_more_memory_than_its_dask_worker_may_is_killed_and_the_worker_is_not(
    instance: DagsterInstance, tmp_path: Path
) -> None:
    result = Bed(instance, tmp_path, {"local": {"n_workers": 1, "memory_limit": "600MB"}}).run("large")
    assert result.get_failed_step_keys() == {"has_much"}
    assert result.is_node_success("one")
    error = result.failure_data_for_node("has_much").error
    assert error.cls_name == "StepMemoryError"
    assert "the memory limit of Dask worker tcp://" in error.message
    assert "570,000,000" in error.message


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_run_whose_scheduler_is_killed_or_hangs_fails_and_says_so(
    instance: DagsterInstance,
    tmp_path: Path,
    in_thread: Callable[..., concurrent.futures.Future],
    monkeypatch: pytest.MonkeyPatch,
    blow: signal.Signals,
) -> None:
    monkeypatch.setattr(engine_module, "PATIENCE", 2.0)
    with cluster_program() as process:
        address = process.stdout.readline().strip()
        bed = Bed(instance, tmp_path, {"existing": {"address": address}})
        running = in_thread(bed.run, "slow")
        bed.wait_for("begun")
        process.send_signal(blow)
        struck = time.monotonic()
        result = running.result(timeout=60)
        assert time.monotonic() - struck < 20
        process.kill()
    assert not result.success
    assert bed.status is DagsterRunStatus.FAILURE
    assert f"The Dask scheduler {address} was lost" in result.failure_data_for_node("takes_long").error.message
    assert any("Nobody knows how far these steps came: ['takes_long']" in text for text in bed.messages())


def test_run_whose_scheduler_is_started_anew_fails_and_the_next_run_succeeds(
    instance: DagsterInstance, tmp_path: Path, in_thread: Callable[..., concurrent.futures.Future]
) -> None:
    with cluster_program() as process:
        address = process.stdout.readline().strip()
        bed = Bed(instance, tmp_path, {"existing": {"address": address}})
        running = in_thread(bed.run, "slow")
        bed.wait_for("begun")
        process.kill()
    with cluster_program(address.rpartition(":")[2]) as process:
        assert process.stdout.readline().strip() == address
        result = running.result(timeout=60)
        assert result.get_failed_step_keys() == {"takes_long"}
        assert bed.status is DagsterRunStatus.FAILURE
        assert Bed(instance, tmp_path, bed.cluster).run("chain").success


def cluster_program(*arguments: str) -> subprocess.Popen[str]:
    """A cluster in a process of its own; leaving its block ends it."""
    command = [sys.executable, "-m", "tests.executors.dask_cluster", *arguments]
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nowhere, text=True)


def test_scheduler_that_is_not_there_is_told_before_any_step(
    instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "CONNECT", 1.0)
    result = Bed(instance, tmp_path, {"existing": {"address": "tcp://127.0.0.1:9"}}).run("chain")
    assert observe(result.all_events) == expand("-{RS RF}")
    assert "No Dask scheduler answers at tcp://127.0.0.1:9" in str(result.all_events[-1].event_specific_data.error)


def test_what_a_worker_cannot_import_fails_the_step_with_that_error(bed: Bed, tmp_path: Path) -> None:
    (tmp_path / "here_alone.py").write_text(
        "from treadle import dask_executor, job, op\n@op\ndef one():\n    return 1\n"
        "@job(executor_def=dask_executor)\ndef small():\n    one()\ndef make():\n    return small\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        recipe = build_reconstructable_job("here_alone", "make")
        execution = {"config": {"cluster": bed.cluster}}
        result = execute_job(recipe, bed.instance, {**QUIET, "execution": execution}, run_id=bed.run_id)
    finally:
        sys.path.remove(str(tmp_path))
        del sys.modules["here_alone"]
    assert "here_alone" in result.failure_data_for_node("one").error.to_string()
    assert bed.status is DagsterRunStatus.FAILURE


def test_step_that_takes_longer_than_its_timeout_is_ended_and_fails(bed: Bed) -> None:
    result = bed.run("too_slow")
    assert result.get_failed_step_keys() == {"takes_too_long"}
    error = result.failure_data_for_node("takes_too_long").error
    assert error.cls_name == "StepTimeoutError"
    assert "timeout of 0.5 s" in error.message
    assert observe(result.events_for_node("takes_too_long"))[-1].type_name == "STEP_FAILURE"
    assert bed.messages(DagsterEventType.RUN_FAILURE)[0].endswith("Steps failed: ['takes_too_long'].")


@pytest.fixture
def in_this_process(instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bed:
    """A Dask worker whose own code can be changed: it is quick to lose its patience."""
    monkeypatch.setattr(guest, "GRACE", 0.5)
    return Bed(instance, tmp_path, {"local": {"processes": False, "n_workers": 1, "threads_per_worker": 2}})


def test_step_that_takes_too_long_and_hears_nothing_is_killed_and_its_dask_worker_is_not(in_this_process: Bed) -> None:
    result = in_this_process.run("too_slow_and_deaf")
    assert result.get_failed_step_keys() == {"too_long_and_deaf"}
    assert result.is_node_success("one")
    assert result.failure_data_for_node("too_long_and_deaf").error.cls_name == "StepTimeoutError"


def test_step_that_no_worker_takes_is_told_and_can_be_canceled(
    bed: Bed, in_thread: Callable[..., concurrent.futures.Future], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor_module, "WAITING", 0.5)
    running = in_thread(bed.run, "picky")
    deadline = time.monotonic() + 20
    while not [text for text in bed.messages() if "for a Dask worker to take it" in text]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    bed.instance.report_run_canceling(bed.instance.get_run_by_id(bed.run_id))
    running.result(timeout=60)
    assert bed.status is DagsterRunStatus.CANCELED
    assert bed.marks("begun") == []


# -- canceling ----------------------------------------------------------------------------------------------------------


def test_canceled_run_interrupts_its_steps_which_clean_up(
    bed: Bed, in_thread: Callable[..., concurrent.futures.Future]
) -> None:
    running = in_thread(bed.run, "slow")
    bed.wait_for("begun")
    bed.instance.report_run_canceling(bed.instance.get_run_by_id(bed.run_id))
    result = running.result(timeout=60)
    assert bed.status is DagsterRunStatus.CANCELED
    assert len(bed.marks("cleaned up")) == 1
    assert result.failure_data_for_node("takes_long").error.cls_name == "DagsterExecutionInterruptedError"
    assert result.is_node_untouched("plus_one")


def test_step_that_does_not_end_is_ended_in_stages_each_of_them_told(
    in_this_process: Bed, in_thread: Callable[..., concurrent.futures.Future]
) -> None:
    bed = in_this_process
    running = in_thread(bed.run, "deaf")
    bed.wait_for("begun")
    bed.instance.report_run_canceling(bed.instance.get_run_by_id(bed.run_id))
    running.result(timeout=60)
    assert bed.status is DagsterRunStatus.CANCELED
    told = [text for text in bed.messages() if "did not end in" in text]
    assert [text.rpartition("sending ")[2] for text in told] == ["SIGTERM to all of it.", "SIGKILL to all of it."]
    (pid,) = bed.marks("begun")
    assert not psutil.pid_exists(int(pid))
    assert bed.marks("slept") == []
    assert_nothing_is_left()


def test_run_ends_without_a_step_of_whose_end_nothing_is_heard(
    bed: Bed,
    cluster: distributed.LocalCluster,
    in_thread: Callable[..., concurrent.futures.Future],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guest, "GRACE", 0.5)
    monkeypatch.setattr(engine_module, "TIDYING", 1.0)
    running = in_thread(bed.run, "slow")
    bed.wait_for("begun")
    for pid in pids_of(cluster):
        os.kill(pid, signal.SIGSTOP)
    try:
        bed.instance.report_run_canceling(bed.instance.get_run_by_id(bed.run_id))
        running.result(timeout=60)
    finally:
        for pid in pids_of(cluster):
            os.kill(pid, signal.SIGCONT)
    assert bed.status is DagsterRunStatus.CANCELED
    assert any("nothing was heard of the end of ['takes_long']" in text for text in bed.messages())
    wait_until_deserted(cluster)


def test_interrupt_from_the_keyboard_ends_the_run_and_its_steps(bed: Bed) -> None:
    def interrupt() -> None:
        bed.wait_for("begun")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(DagsterExecutionInterruptedError):  # it was meant for the whole program
        bed.run("slow")
    thread.join()
    assert bed.status is DagsterRunStatus.FAILURE  # nobody had canceled it
    assert len(bed.marks("cleaned up")) == 1


def test_interrupt_from_a_terminal_reaches_steps_of_a_local_cluster_through_the_run_alone(
    instance: DagsterInstance, tmp_path: Path
) -> None:
    bed = Bed(instance, tmp_path, {"local": {"n_workers": 1}})
    with subprocess.Popen(
        [sys.executable, "-m", "tests.executors.dask_run", str(tmp_path), bed.run_id, "slow", "local"],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        bed.wait_for("begun")
        os.killpg(process.pid, signal.SIGINT)
    assert len(bed.marks("cleaned up")) == 1
    assert bed.status is DagsterRunStatus.FAILURE
    assert [text for text in bed.messages() if "was lost" in text] == []


# -- what is left -------------------------------------------------------------------------------------------------------


def assert_nothing_is_left() -> None:
    names = {thread.name for thread in threading.enumerate()}
    assert not [name for name in names if name.startswith("treadle-dask")]
    assert [client.status for client in distributed.Client._instances if client.status != "closed"] == []


def test_local_cluster_and_all_of_its_processes_and_threads_go_with_the_run(
    instance: DagsterInstance, tmp_path: Path
) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    threads = {thread.name for thread in threading.enumerate()}
    result = Bed(instance, tmp_path, {"local": {"n_workers": 1}}).run("chain")
    assert result.success, result.all_events[-1]
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    assert [child.cmdline() for child in left if "resource_tracker" not in " ".join(child.cmdline())] == []
    new = {thread.name for thread in threading.enumerate()} - threads
    assert [name for name in new if not name.startswith((OF_DASK, "treadle-keeper"))] == []


def wait_until_gone(pid: int) -> None:
    """Wait until a process is no more, or only its remains, which are for somebody else to clear away."""
    deadline = time.monotonic() + 30
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.05)


def wait_until_deserted(cluster: distributed.LocalCluster) -> None:
    """Wait until the workers of a cluster have no children any more, and assert that this comes about."""
    deadline = time.monotonic() + 30
    while any(psutil.Process(pid).children(recursive=True) for pid in pids_of(cluster)):
        assert time.monotonic() < deadline, "children of the Dask workers are left"
        time.sleep(0.05)


def test_nothing_of_a_run_is_left_on_a_cluster_of_others(bed: Bed, cluster: distributed.LocalCluster) -> None:
    assert bed.run("meeting").success
    left = [child for pid in pids_of(cluster) for child in psutil.Process(pid).children(recursive=True)]
    assert [child.cmdline() for child in left] == []
    assert cluster.scheduler.task_metadata.get("treadle", {}).get(bed.run_id) == {}


def test_run_whose_process_was_killed_goes_on_when_its_steps_were_killed_too(
    bed: Bed, tmp_path: Path, cluster: distributed.LocalCluster, in_thread: Callable[..., concurrent.futures.Future]
) -> None:
    address = bed.cluster["existing"]["address"]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.executors.dask_run", str(tmp_path), bed.run_id, "long_chain", address],
        stderr=subprocess.DEVNULL,
    ) as process:
        bed.wait_for("begun")
        process.kill()
    (first,) = bed.marks("begun")
    running = in_thread(resume_run, bed.run_id, instance=bed.instance)  # at once
    deadline = time.monotonic() + 30
    while len(bed.marks("begun")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not psutil.pid_exists(int(first)), "both attempts are at work"
    (tmp_path / "go").touch()
    assert running.result(timeout=60).success
    assert len(bed.marks("begun")) == 2
    assert len(bed.marks("ended")) == 1
    wait_until_deserted(cluster)


def test_workers_may_be_threads_of_the_runs_own_process(instance: DagsterInstance, tmp_path: Path) -> None:
    bed = Bed(instance, tmp_path, {"local": {"processes": False, "n_workers": 1, "threads_per_worker": 2}})
    assert bed.run("meeting").success
    assert len({*bed.marks("here a"), *bed.marks("here b")} - {str(os.getpid())}) == 2
    assert_nothing_is_left()


# -- what is refused ----------------------------------------------------------------------------------------------------


def test_python_without_dask_says_what_to_install(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "treadle.executors.dask", raising=False)
    monkeypatch.delattr(treadle.executors, "dask", raising=False)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DagsterUnmetExecutorRequirementsError, match=r"pip install 'treadle\[dask\]'"):
        execute_job(build_reconstructable_job(JOBS, "make", ("chain",)), instance)


def test_instance_in_memory_is_refused(tmp_path: Path) -> None:
    refused = pytest.raises(DagsterUnmetExecutorRequirementsError, match=r"Dask executor.*the instance is in memory")
    with DagsterInstance.ephemeral() as instance, refused:
        execute_job(build_reconstructable_job(JOBS, "make", ("chain",)), instance)


def test_config_is_as_users_of_dagster_dask_know_it(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, instance: DagsterInstance
) -> None:
    monkeypatch.setenv("SCHEDULER", bed.cluster["existing"]["address"])
    bed.cluster = {"existing": {"address": {"env": "SCHEDULER"}}}
    assert bed.run("chain", max_concurrent=None, retries={"enabled": {}}).success
    with pytest.raises(
        DagsterInvalidConfigError, match='unexpected config entry "yarn" at path root:execution:config:cluster'
    ):
        Bed(instance, bed.folder, {"yarn": {}}).run("chain")


def test_tag_that_asks_for_resources_of_dask_in_no_known_way_is_refused(instance: DagsterInstance) -> None:
    refused = r'op "needs_lots": the tag dagster-dask/resource_requirements'
    with pytest.raises(DagsterInvalidDefinitionError, match=refused):
        execute_job(build_reconstructable_job(JOBS, "make", ("greedy",)), instance, QUIET)
    assert instance.get_runs() == []


# -- where workers are far ----------------------------------------------------------------------------------------------


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the instance that no worker sees, nor the folder of its outputs."""
    folder = tmp_path / "on another machine"

    def assign(place: Any, _folder: Path) -> Any:
        return msgspec.structs.replace(make_assignment(place, folder / "run" / "logs"), home=str(folder))

    monkeypatch.setattr(executor_module, "make_assignment", assign)
    return folder


def test_what_steps_print_where_their_files_are_not_seen_is_sent_cut_where_it_is_long(bed: Bed, far: Path) -> None:
    result = bed.run("far_and_loud")
    assert result.get_failed_step_keys() == {"floods"}
    keys = {
        key: entry.dagster_event.event_specific_data.file_key
        for entry in bed.instance.all_logs(bed.run_id, of_type=DagsterEventType.LOGS_CAPTURED)
        for key in entry.dagster_event.event_specific_data.step_keys
    }
    folder = Path(bed.instance.storage_directory(), bed.run_id, "compute_logs")
    for name in ("ann", "bob"):
        out, err = files_of(folder, keys[f"prints[{name}]"])
        assert out.read_text() == f"{name}\n" * 100 + f"a program of {name}\n"
        assert err.read_text() == f"trouble of {name}\n"
    text = files_of(folder, keys["floods"])[0].read_text()
    assert len(text) < 70_000
    assert "... and 99,934,464 bytes more, which were not sent from tcp://" in text
    assert not far.exists()


def test_worker_that_does_not_see_the_instance_says_what_to_do(bed: Bed, far: Path) -> None:
    result = bed.run("chain")
    assert result.get_failed_step_keys() == {"one"}
    text = result.failure_data_for_node("one").error.to_string()
    assert "a folder that this machine does not see" in text
    assert "artifacts.dir" in text
    assert not far.exists()


def test_worker_that_does_not_see_the_instance_runs_steps_whose_values_are_kept_elsewhere(bed: Bed, far: Path) -> None:
    result = bed.run("stored_elsewhere")
    assert result.get_failed_step_keys() == {"calls_home"}
    assert result.is_node_success("plus_one")
    assert str(far) in result.failure_data_for_node("calls_home").error.to_string()


def test_steps_need_no_folder_that_machines_share_where_values_are_at_a_url(tmp_path: Path, far: Path) -> None:
    recipe, tags = reconstructable(remote_jobs.on_dask), {"folder": str(tmp_path)}
    config = {"execution": {"config": {"cluster": {"local": {"n_workers": 1, "threads_per_worker": 2}}}}}
    with (
        serving(tmp_path / "served") as url,
        DagsterInstance.local_temp(str(tmp_path / "home"), overrides={"artifacts.dir": url}) as instance,
        execute_job(recipe, instance, {**QUIET, **config}, tags=tags) as result,
    ):
        assert result.success, [event.message for event in result.all_events]
        assert result.output_for_node("add") == 6
    assert not far.exists()
