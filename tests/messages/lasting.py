"""What goes wrong with runs that last: settings and home, the store, recipes, execution again, resume, stored values."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from tests import recipe_jobs
from tests.contracts.test_store import a_run, begun, step
from tests.journeys import lasting_jobs
from tests.messages.catalogue import section
from tests.messages.loading import FLIGHTS, in_folder
from treadle import (
    DagsterEventType,
    DagsterInstance,
    FilesystemIOManager,
    In,
    Nothing,
    ReconstructableJob,
    ReexecutionOptions,
    build_output_context,
    build_reconstructable_job,
    execute_job,
    executors,
    graph,
    job,
    mem_io_manager,
    op,
    reconstructable,
    resume_run,
)
from treadle.cli import main
from treadle.definitions.artifacts import read_artifact, verify_artifact, write_artifact
from treadle.events import run_event
from treadle.payloads import StepOutputData, StepOutputHandle, StepSuccessData, TypeCheckData
from treadle.preparation import RunOptions, record_run, set_up_stored
from treadle.recipes import ReconstructableRepository, recipe_for
from treadle.settings import find_home, read_settings
from treadle.storage import database
from treadle.storage.sqlite import SqliteStore

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
RUN_ID = "7b0a0f6e-0000-4000-8000-00000000000c"
T = DagsterEventType


def warned(do: Callable[[], Any]) -> str:
    """The warnings that a call gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        do()
    return "\n".join(f"{each.category.__name__}: {each.message}" for each in caught)


def without_numbers(error: BaseException) -> str:
    """An error that tells the number of this process."""
    return f"{type(error).__name__}: {error}".replace(str(os.getpid()), "PID")


# -- settings and home ------------------------------------------------------------------------------------------------------

settings = section("settings and home")


def settings_of(folder: Path, text: str = "", **environ: str) -> Any:
    (folder / "treadle.toml").write_text(text)
    return read_settings(folder, environ, folder, {})


@settings
def every_kind_of_setting_wrong(folder: Path):
    settings_of(
        folder,
        'durability = "ful"\nhome = "x"\n[retention]\nmax_age = "a while"\nmax_runs = "many"\nmax_step_log = "3 pages"\n'
        '[lease]\nduration = -1\n[artifacts]\ndir = 3\n[storage]\npath = "x"\n',
        TREADLE_RETENTION_MAX_RUNS="-3",
    )


@settings
def slots_of_every_kind_wrong(folder: Path):
    settings_of(folder, "[slots]\ngpu = -1\n[slot]\ntape = 2\n", TREADLE_SLOTS="gpu")


@settings
def op_that_takes_more_slots_than_all_runs_have(folder: Path):
    @op(slots={"gpu": 3})
    def train() -> None:
        pass

    @job
    def training() -> None:
        train()

    (folder / "treadle.toml").write_text("[slots]\ngpu = 2\n")
    with DagsterInstance.from_config(str(folder)) as instance:
        training.execute_in_process(QUIET, instance=instance)


@settings
def table_for_a_value(folder: Path):
    settings_of(folder, "[durability]\nlevel = 'full'\n")


@settings
def memory_that_a_loss_of_power_would_take_away(folder: Path):
    settings_of(folder, "durability = 'full'\n[artifacts]\nhand_over = 'memory'\n")


@settings
def value_for_a_table(folder: Path):
    settings_of(folder, "retention = '30 days'\n")


@settings
def file_that_is_no_TOML(folder: Path):
    settings_of(folder, "durability = full\n")


@settings
def project_with_a_word_for_a_table(folder: Path):
    (folder / "pyproject.toml").write_text("[tool]\ntreadle = 'fast'\n")
    settings_of(folder)


@settings
def home_that_is_a_file(folder: Path):
    (folder / "runs.db").write_text("")
    find_home({"TREADLE_HOME": str(folder / "runs.db")}, folder)


@settings
def home_of_the_project_that_is_a_number(folder: Path):
    (folder / "pyproject.toml").write_text("[tool.treadle]\nhome = 3\n")
    find_home({}, folder)


@settings
def older_home_that_is_not_there(folder: Path):
    find_home({"DAGSTER_HOME": str(folder / "nowhere")}, folder)


@settings
def home_that_cannot_be_made(folder: Path):
    (folder / "file").write_text("")
    DagsterInstance.from_config(str(folder / "file" / "home"))


@settings
def origin_of_an_unknown_setting(folder: Path):
    settings_of(folder).origin_of("retention.max_ages")


@settings
def settings_of_the_other_program(folder: Path):
    (folder / "dagster.yaml").write_text("run_launcher: {module: a, class: b}\nstorage: {postgres: {}}\n")
    return warned(lambda: settings_of(folder))


@settings
def settings_of_the_other_program_that_are_no_YAML(folder: Path):
    (folder / "dagster.yaml").write_text("storage: [\n")
    settings_of(folder)


@settings
def overrides_of_the_other_program(folder: Path):
    return warned(lambda: read_settings(folder, {}, folder, {"run_launcher": {}}))


# -- the store --------------------------------------------------------------------------------------------------------------

stores = section("the store")


@contextlib.contextmanager
def opened(folder: Path, **options: Any) -> Iterator[SqliteStore]:
    store = SqliteStore(folder / "treadle.db", **options)
    try:
        yield store
    finally:
        with contextlib.suppress(Exception):
            store.close()


def change(folder: Path, statement: str) -> None:
    """As somebody with a tool for databases does it."""
    with contextlib.closing(sqlite3.connect(folder / "treadle.db")) as connection, connection:
        connection.execute(statement)


@stores
def folder_that_is_gone(folder: Path):
    with opened(folder / "nowhere") as store:
        store.count_runs()


@stores
def file_that_is_no_database(folder: Path):
    (folder / "treadle.db").write_text("runs\n" * 1000)
    with opened(folder) as store:
        store.count_runs()


@stores
def database_of_another_program(folder: Path):
    change(folder, "CREATE TABLE birds (name TEXT)")
    with opened(folder) as store:
        store.count_runs()


@stores
def store_that_was_cut_short(folder: Path):
    with opened(folder) as store:
        _, writer = begun(store)
        for number in range(500):
            writer.append(step(T.STEP_START, key=f"op_{number}"))
        writer.close()
    path = folder / "treadle.db"
    change(folder, "PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with opened(folder) as store:
        store.check()


@stores
def table_that_is_gone(folder: Path):
    with opened(folder) as store:
        store.count_runs()
    change(folder, "DROP TABLE runs")
    with opened(folder) as store:
        store.count_runs()


@stores
def store_of_a_newer_version(folder: Path):
    with opened(folder) as store:
        store.count_runs()
    change(folder, "INSERT INTO schema_version VALUES (99, 0)")
    with opened(folder) as store:
        store.count_runs()


@stores
def row_that_cannot_be_read(folder: Path):
    with opened(folder) as store:
        run, writer = begun(store)
        writer.append(run_event(T.RUN_START, "job"))
        writer.append(step(T.STEP_SUCCESS, StepSuccessData(1.0)))
        writer.close()
        change(folder, "UPDATE events SET body = '{' WHERE id = 2")
        store.read_log(run.run_id)


@stores
def row_of_an_unknown_kind(folder: Path):
    with opened(folder) as store:
        run, writer = begun(store)
        writer.append(run_event(T.RUN_START, "job"))
        writer.close()
        change(folder, "UPDATE events SET type = 'RUN_PAUSED'")
        store.read_log(run.run_id)


def written_after(folder: Path, do: Callable[[Path], Any]) -> None:
    """A commit after something happened to the file."""
    interval = database._CHECK_INTERVAL
    database._CHECK_INTERVAL = 0.0
    try:
        with opened(folder) as store:
            _, writer = begun(store)
            do(folder / "treadle.db")
            writer.append(run_event(T.RUN_START, "job"))
            writer.commit()
    finally:
        database._CHECK_INTERVAL = interval


@stores
def file_that_was_moved_while_it_was_used(folder: Path):
    written_after(folder, lambda path: path.rename(folder / "moved.db"))


@stores
def file_that_was_replaced_while_it_was_used(folder: Path):
    def replace(path: Path) -> None:
        path.rename(folder / "moved.db")
        path.write_bytes(b"")

    written_after(folder, replace)


@stores
def full_disk(folder: Path):
    with opened(folder) as store:
        _, writer = begun(store)
        connection = store._open()._writer
        assert connection is not None
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        for number in range(2_000):
            writer.append(step(T.STEP_START, key=f"op_{number}"))
        writer.commit()


@stores
def store_that_another_process_keeps_locked(folder: Path):
    patience = database._PATIENCE
    with opened(folder) as store:
        database._PATIENCE = 0.05
        try:
            _, writer = begun(store)
        finally:
            database._PATIENCE = patience
        other = sqlite3.connect(folder / "treadle.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        writer.append(run_event(T.RUN_START, "job"))
        try:
            writer.commit()
        finally:
            other.close()


@stores
def store_that_cannot_be_written(folder: Path):
    with opened(folder) as store:
        store.count_runs()
    with opened(folder) as store:
        base = store._open()
        base._writer = base._open_to_read()
        store.add_run(a_run())


@stores
def older_store_that_cannot_be_written(folder: Path):
    with opened(folder) as store:
        store.count_runs()
    change(folder, "DELETE FROM schema_version")
    with opened(folder) as store:
        store._open()._open_to_read()


@stores
def store_on_a_network_file_system(folder: Path):
    kind, database.network_kind = database.network_kind, lambda _path: "nfs4"
    try:
        with opened(folder) as store:
            return warned(store.count_runs)
    finally:
        database.network_kind = kind


@stores
def memory_in_a_forked_process():
    store = SqliteStore(None)
    store.add_run(a_run())
    store.count_runs()
    store._open()._pid = 1
    store.count_runs()


@stores
def memory_for_another_process():
    DagsterInstance.ephemeral().get_ref()


@stores
def step_that_says_too_much(folder: Path):
    with opened(folder, max_step_log=40) as store:
        run, writer = begun(store)
        for _ in range(3):
            writer.append_message(20, "a message of 25 characters", "load")
        writer.close()
        return "\n".join(record.event_log_entry.user_message for record in store.read_log(run.run_id))


@stores
def damage_that_treadle_check_finds(folder: Path):
    with lasting(folder) as instance:
        run_id = execute_job(FANNED, instance, QUIET).run_id
    value = folder / "storage" / run_id / "total" / "result"
    value.write_bytes(value.read_bytes()[:-3])
    change(folder, "UPDATE events SET body = '{' WHERE id = 2")
    return shell(folder, "check")


# -- who owns a run -----------------------------------------------------------------------------------------------------------

owners = section("who owns a run")


@contextlib.contextmanager
def lasting(folder: Path, **overrides: Any) -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp(str(folder), overrides) as instance:
        yield instance


def told(do: Callable[[], Any]) -> str:
    try:
        do()
    except Exception as error:
        return without_numbers(error)
    return ""


@owners
def run_that_this_process_runs(folder: Path):
    with opened(folder) as store:
        run, _ = begun(store)
        return told(lambda: store.open_writer(run.run_id))


@owners
def run_that_another_process_runs(folder: Path):
    with opened(folder) as store:
        run, _ = begun(store)
        change(folder, f"UPDATE leases SET owner = replace(owner, '\"pid\":{os.getpid()}', '\"pid\":1')")
        change(folder, 'UPDATE leases SET owner = replace(owner, \'"started":\', \'"started":0,"was":\')')
        host = os.uname().nodename
        return told(lambda: store.open_writer(run.run_id)).replace(f"on {host}", "on HOST")


@owners
def deletion_of_a_run_that_is_under_way(folder: Path):
    with opened(folder) as store:
        run, _ = begun(store)
        return told(lambda: store.delete_run(run.run_id))


@owners
def run_that_was_taken_over(folder: Path):
    with opened(folder) as store:
        run, writer = begun(store)
        store.open_writer(run.run_id, steals=True)
        writer.append(run_event(T.RUN_START, "job"))
        writer.commit()


@owners
def log_of_a_run_in_a_forked_process(folder: Path):
    with opened(folder) as store:
        _, writer = begun(store)
        writer.append(run_event(T.RUN_START, "job"))
        writer.pid = 1
        writer.commit()


@owners
def unknown_run():
    DagsterInstance.ephemeral().add_run_tags(RUN_ID, {"team": "books"})


@owners
def event_of_a_step_from_outside():
    store = SqliteStore(None)
    run, _ = begun(store)
    store.append(run.run_id, step(T.STEP_START))


@owners
def cursor_that_no_page_gave():
    DagsterInstance.ephemeral().get_records_for_run(RUN_ID, cursor="eyJ0eXBlIjogIlNUT1JBR0VfSUQifQ==")


@owners
def runs_in_buckets():
    DagsterInstance.ephemeral().get_runs(bucket_by="job")


# -- recipes ----------------------------------------------------------------------------------------------------------------

recipes = section("reconstructable")


@recipes
def text():
    reconstructable("nightly")


@recipes
def op_in_place_of_a_job():
    reconstructable(recipe_jobs.one)


@recipes
def job_of_to_job():
    reconstructable(recipe_jobs.weekly)


@recipes
def function_of_no_name():
    reconstructable(lambda: recipe_jobs.nightly)


@recipes
def job_in_a_function():
    @job
    def inner():
        recipe_jobs.one()

    reconstructable(inner)


@recipes
def function_in_a_class():
    reconstructable(recipe_jobs.Holder.make)


@recipes
def function_with_parameters():
    reconstructable(recipe_jobs.make_sized)


@recipes
def function_that_returns_a_graph():
    reconstructable(recipe_jobs.make_graph)


@recipes
def function_that_returns_nothing():
    reconstructable(recipe_jobs.make_nothing)


@recipes
def partial_function():
    reconstructable(functools.partial(recipe_jobs.make_weekly))


@recipes
def arguments_in_a_list():
    build_reconstructable_job("jobs", "make", [3])  # type: ignore[arg-type]


@recipes
def arguments_by_name_in_a_list():
    build_reconstructable_job("jobs", "make", (), ["rows"])  # type: ignore[arg-type]


@recipes
def arguments_that_JSON_cannot_hold():
    build_reconstructable_job("jobs", "make", (Path,))


@recipes
def module_that_is_not_there():
    build_reconstructable_job("no_such_jobs", "make", (), {}, "FOLDER").get_definition()


@recipes
def function_that_is_not_there():
    build_reconstructable_job("tests.recipe_jobs", "make_weekli").get_definition()


@recipes
def file_that_is_gone(folder: Path):
    place = str(folder / "jobs.py")
    ReconstructableJob(ReconstructableRepository("file", place, "nightly"), "nightly").get_definition()


@recipes
def selection_as_text():
    reconstructable(recipe_jobs.nightly).get_subset(op_selection="one")  # type: ignore[arg-type]


@recipes
def repository_that_is_a_job():
    ReconstructableRepository("module", "tests.recipe_jobs", "nightly").get_definition()


@recipes
def value_that_cannot_be_read():
    ReconstructableJob(ReconstructableRepository("value", value="bm90aGluZw=="), "lost").get_definition()


SESSION = """
from treadle import DagsterInstance, execute_job, job, op, reconstructable

class Connection:
    def __reduce__(self):
        raise TypeError("a connection is of one process")

database = Connection()

@op
def one():
    return 1

@op
def read(x):
    return database

@job
def nightly():
    one()

@job
def reading():
    read(one())
"""


def python(folder: Path, code: str, *arguments: str) -> str:
    """The last line that a program prints on stderr, but for a line of its own that stands below a warning."""
    if not arguments:
        (folder / "script.py").write_text(code)
        arguments = ("script.py",)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "TREADLE_HOME": str(folder / "home")},
        check=False,
    )
    return [line for line in done.stderr.splitlines() if line and not line.startswith(" ")][-1]


@recipes
def job_of_a_session(folder: Path):
    return python(folder, "", "-c", f"{SESSION}reconstructable(nightly)")


@recipes
def job_of_a_session_that_cannot_be_pickled(folder: Path):
    return python(folder, "", "-W", "ignore", "-c", f"{SESSION}reconstructable(reading)")


@recipes
def script_without_a_guard(folder: Path):
    return python(folder, f"{SESSION}execute_job(reconstructable(nightly), DagsterInstance.get())")


@recipes
def script_of_another_name(folder: Path):
    (folder / "script").write_text(
        f'{SESSION}if __name__ == "__main__":\n    execute_job(reconstructable(nightly), DagsterInstance.get())'
    )
    return python(folder, "", "script")


# -- execute_job ------------------------------------------------------------------------------------------------------------

FANNED = reconstructable(lasting_jobs.fanned)
NIGHTLY = reconstructable(recipe_jobs.nightly)

executions = section("execute_job")


@executions
def job_that_is_no_recipe():
    execute_job(recipe_jobs.nightly, DagsterInstance.ephemeral())  # type: ignore[arg-type]


@executions
def without_an_instance():
    execute_job(NIGHTLY, None)  # type: ignore[arg-type]


@executions
def selection_of_assets():
    execute_job(NIGHTLY, DagsterInstance.ephemeral(), asset_selection=["flights"])


@executions
def op_selection_and_reexecution():
    again = ReexecutionOptions(RUN_ID)
    execute_job(NIGHTLY, DagsterInstance.ephemeral(), op_selection=["one"], reexecution_options=again)


@executions
def id_that_is_no_UUID():
    execute_job(NIGHTLY, DagsterInstance.ephemeral(), run_id="nightly-1")


@executions
def id_from_the_shell_that_is_no_UUID(folder: Path):
    with in_folder(folder):
        return shell(folder, "run", "flights.py:nightly", "--run-id", "nightly-1")


@executions
def id_from_the_shell_of_a_run_that_is_under_way(folder: Path):
    with in_folder(folder), lasting(folder) as instance:
        config = {"ops": {"load": {"config": {"rows": 1}}}}
        record_run(
            set_up_stored(recipe_for("flights.py:nightly"), config, RunOptions(instance, run_id=RUN_ID)), instance
        )
        instance.open_writer(RUN_ID)
        return shell(folder, "run", "flights.py:nightly", "--set", "ops.load.config.rows=1", "--run-id", RUN_ID)


@executions
def id_from_the_shell_of_a_run_of_another_config(folder: Path):
    with in_folder(folder), lasting(folder) as instance:
        config = {"ops": {"load": {"config": {"rows": 1}}}}
        record_run(
            set_up_stored(recipe_for("flights.py:nightly"), config, RunOptions(instance, run_id=RUN_ID)), instance
        )
    with in_folder(folder):
        return shell(folder, "run", "flights.py:nightly", "--set", "ops.load.config.rows=2", "--run-id", RUN_ID)


@executions
def value_of_a_result_that_is_not_open():
    execute_job(NIGHTLY, DagsterInstance.ephemeral(), QUIET).output_for_node("inc")


@executions
def value_of_a_step_that_did_not_run():
    with execute_job(NIGHTLY, DagsterInstance.ephemeral(), QUIET, op_selection=["one"]) as result:
        result.output_for_node("inc")


@executions
def id_of_a_run_of_another_job(folder: Path):
    with lasting(folder) as instance:
        execute_job(NIGHTLY, instance, QUIET, run_id=RUN_ID)
        execute_job(FANNED, instance, QUIET, run_id=RUN_ID)


@executions
def id_of_a_run_of_another_config(folder: Path):
    with lasting(folder) as instance:
        execute_job(FANNED, instance, QUIET, run_id=RUN_ID)
        execute_job(FANNED, instance, {**QUIET, "ops": {"start": {"config": {"count": 1}}}}, run_id=RUN_ID)


@executions
def id_of_a_run_of_other_ops(folder: Path):
    with lasting(folder) as instance:
        execute_job(NIGHTLY, instance, QUIET, run_id=RUN_ID)
        execute_job(NIGHTLY, instance, QUIET, op_selection=["one"], run_id=RUN_ID)


@executions
def executor_of_processes(folder: Path):
    with DagsterInstance.ephemeral() as instance:
        execute_job(NIGHTLY, instance, {**QUIET, "execution": {"config": {"multiprocess": {}}}})


@executions
def executor_of_a_package_that_is_not_there(folder: Path):
    ours = "treadle.executors.dask"
    hidden = dict.fromkeys(("distributed", ours))
    with lasting(folder) as instance, mock.patch.dict(sys.modules, hidden), mock.patch.dict(vars(executors)):
        sys.modules.pop(ours)
        vars(executors).pop("dask", None)
        execute_job(NIGHTLY, instance, {**QUIET, "execution": {"config": {"dask": {}}}})


@executions
def cluster_of_a_kind_that_is_not_made(folder: Path):
    with lasting(folder) as instance:
        execute_job(NIGHTLY, instance, {**QUIET, "execution": {"config": {"dask": {"cluster": {"yarn": {}}}}}})


@executions
def resources_of_dask_that_nobody_understands(folder: Path):
    with lasting(folder) as instance:
        recipe = build_reconstructable_job("tests.executors.dask_jobs", "make", ("greedy",))
        execute_job(recipe, instance, QUIET)


# -- executing again --------------------------------------------------------------------------------------------------------

again = section("executing again")


def executed_again(instance: DagsterInstance, options: ReexecutionOptions, **more: Any) -> Any:
    return execute_job(FANNED, instance, QUIET, reexecution_options=options, **more)


@contextlib.contextmanager
def broken(*names: str) -> Iterator[None]:
    os.environ["TREADLE_TEST_BROKEN"] = " ".join(names)
    try:
        yield
    finally:
        del os.environ["TREADLE_TEST_BROKEN"]


@again
def run_that_is_not_there(folder: Path):
    with lasting(folder) as instance:
        executed_again(instance, ReexecutionOptions(RUN_ID))


@again
def from_failure_of_a_run_that_succeeded(folder: Path):
    with lasting(folder) as instance:
        run_id = execute_job(FANNED, instance, QUIET).run_id
        executed_again(instance, ReexecutionOptions.from_failure(run_id, instance))


@again
def from_failure_of_a_run_that_is_under_way(folder: Path):
    with lasting(folder) as instance:
        _, writer = begun(instance.store, run_id=RUN_ID)
        writer.append(run_event(T.RUN_START, "fanned"))
        executed_again(instance, ReexecutionOptions.from_failure(RUN_ID, instance))


@again
def unknown_step(folder: Path):
    with lasting(folder) as instance:
        run_id = execute_job(FANNED, instance, QUIET).run_id
        executed_again(instance, ReexecutionOptions(run_id, ["totl", "work[k9]", "start"]))


@again
def branch_as_an_op(folder: Path):
    with lasting(folder) as instance:
        run_id = execute_job(FANNED, instance, QUIET).run_id
        executed_again(instance, ReexecutionOptions(run_id, ["work"]))


@again
def step_whose_input_nobody_has(folder: Path):
    with lasting(folder) as instance, broken("work[k1]"):
        run_id = execute_job(FANNED, instance, QUIET).run_id
        executed_again(instance, ReexecutionOptions(run_id, ["total"]))


@again
def selection_as_a_text():
    ReexecutionOptions(RUN_ID, "total")


@again
def run_in_place_of_its_id(folder: Path):
    with lasting(folder) as instance:
        ReexecutionOptions(execute_job(FANNED, instance, QUIET).dagster_run)  # type: ignore[arg-type]


@again
def value_of_a_step_of_the_earlier_run(folder: Path):
    with lasting(folder) as instance:
        run_id = execute_job(FANNED, instance, QUIET).run_id
        with executed_again(instance, ReexecutionOptions(run_id, ["total"])) as result:
            result.output_for_node("start")


# -- resume -----------------------------------------------------------------------------------------------------------------

resuming = section("resume")


@op
def first() -> int:
    return 1


@op
def second(x: int) -> int:
    return x


@op(ins={"start": In(Nothing)})
def third():
    pass


@graph
def both():
    third(start=second(first()))


@graph
def other():
    second(first.alias("start")())
    third()


def dead_run(instance: DagsterInstance, job_def: Any) -> str:
    """A run whose process died when its first step had succeeded."""
    recipe = build_reconstructable_job("tests.recipe_jobs", "make_weekly")
    setup = set_up_stored(_Recipe(recipe, job_def), None, RunOptions(instance, run_id=RUN_ID))  # type: ignore[arg-type]
    record_run(setup, instance)
    writer = instance.open_writer(RUN_ID)
    writer.append(run_event(T.RUN_START, setup.run.job_name))
    writer.append(step(T.STEP_START, key="first"))
    output = StepOutputData(StepOutputHandle("first"), TypeCheckData(True, "result"))
    writer.append(step(T.STEP_OUTPUT, output, key="first"))
    writer.append(step(T.STEP_SUCCESS, StepSuccessData(1.0), key="first"))
    writer.close()
    return RUN_ID


class _Recipe:
    """A recipe that has its job already."""

    def __init__(self, recipe: ReconstructableJob, job_def: Any) -> None:
        self._recipe = recipe
        self._job = job_def

    def get_definition(self) -> Any:
        return self._job

    def to_dict(self) -> Any:
        return self._recipe.to_dict()


@resuming
def run_that_is_unknown(folder: Path):
    with lasting(folder) as instance:
        resume_run(RUN_ID, instance=instance)


@resuming
def run_that_succeeded(folder: Path):
    with lasting(folder) as instance:
        resume_run(execute_job(NIGHTLY, instance, QUIET).run_id, instance=instance)


@resuming
def run_that_failed(folder: Path):
    with lasting(folder) as instance, broken("aside"):
        resume_run(execute_job(FANNED, instance, QUIET).run_id, instance=instance)


@resuming
def run_that_is_under_way(folder: Path):
    with lasting(folder) as instance:
        begun(instance.store, run_id=RUN_ID)
        return told(lambda: resume_run(RUN_ID, instance=instance))


@resuming
def run_of_execute_in_process(folder: Path):
    with lasting(folder) as instance:
        instance.create_run_for_job(recipe_jobs.nightly, run_id=RUN_ID)
        resume_run(RUN_ID, instance=instance)


@resuming
def job_by_its_name(folder: Path):
    with lasting(folder) as instance:
        instance.create_run_for_job(recipe_jobs.nightly, run_id=RUN_ID)
        resume_run(RUN_ID, instance=instance, job="nightly")  # type: ignore[arg-type]


@resuming
def without_the_instance():
    resume_run(RUN_ID, instance=None)  # type: ignore[arg-type]


@resuming
def job_that_has_changed(folder: Path):
    with lasting(folder) as instance:
        run_id = dead_run(instance, both.to_job(name="nightly"))
        resume_run(run_id, instance=instance, job=other.to_job(name="weekly"))


@resuming
def values_that_were_in_memory(folder: Path):
    with lasting(folder) as instance:
        forgetful = both.to_job(name="nightly", resource_defs={"io_manager": mem_io_manager})
        run_id = dead_run(instance, forgetful)
        resume_run(run_id, instance=instance, job=forgetful)


@resuming
def parent_that_was_deleted(folder: Path):
    with lasting(folder) as instance:
        parent = execute_job(FANNED, instance, QUIET).run_id
        child = executed_again(instance, ReexecutionOptions(parent, ["total"])).run_id
        instance.delete_run(parent)
        change(folder, f"UPDATE runs SET status = 'STARTED' WHERE run_id = '{child}'")
        resume_run(child, instance=instance)


@resuming
def attempt_that_was_under_way(folder: Path):
    with lasting(folder) as instance:
        record_run(set_up_stored(NIGHTLY, QUIET, RunOptions(instance, run_id=RUN_ID)), instance)
        writer = instance.open_writer(RUN_ID)
        writer.append(run_event(T.RUN_START, "nightly"))
        writer.append(step(T.STEP_START, key="one"))
        writer.close()
        result = resume_run(RUN_ID, instance=instance)
        (retried,) = (event for event in result.all_events if event.event_type is T.STEP_UP_FOR_RETRY)
        noted = next(event.message for event in result.all_events if "Resuming" in (event.message or ""))
        return f"{noted}\n{retried.event_specific_data.error.message}".replace(f"pid: {os.getpid()}", "pid: PID")


@resuming
def op_that_is_to_be_left_alone():
    op(resume="never")(recipe_jobs.make_nothing)  # type: ignore[arg-type]


def shell(folder: Path, *arguments: str) -> str:
    """What a command prints, with its exit code, on the instance in the folder."""
    home = os.environ.get("TREADLE_HOME")
    os.environ["TREADLE_HOME"] = str(folder)
    try:
        with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(io.StringIO()) as out:
            code = main(arguments)
    finally:
        if home is None:
            del os.environ["TREADLE_HOME"]
        else:
            os.environ["TREADLE_HOME"] = home
    return f"{out.getvalue()}{err.getvalue()}(exit code {code})"


@resuming
def from_the_shell_without_an_id(folder: Path):
    return shell(folder, "resume")


@resuming
def from_the_shell_by_an_unknown_id(folder: Path):
    return shell(folder, "resume", "5a0f")


@resuming
def from_the_shell_by_an_id_cut_too_short(folder: Path):
    with lasting(folder) as instance:
        for number in (1, 2):
            instance.create_run_for_job(recipe_jobs.nightly, run_id=RUN_ID[:-1] + str(number))
    return shell(folder, "resume", RUN_ID[:5])


def after_the_file_changed(folder: Path, text: str | None) -> str:
    """What `treadle resume` says of a run whose file has changed, or is gone; in a process that has not imported it yet."""
    with in_folder(folder), lasting(folder) as instance:
        config = {"ops": {"load": {"config": {"rows": 1}}}}
        record_run(
            set_up_stored(recipe_for("flights.py:nightly"), config, RunOptions(instance, run_id=RUN_ID)), instance
        )
    file = folder / "flights.py"
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "treadle", "resume", RUN_ID],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "TREADLE_HOME": str(folder)},
        check=False,
    )
    return f"{done.stdout}{done.stderr}(exit code {done.returncode})"


@resuming
def from_the_shell_a_job_whose_file_is_gone(folder: Path):
    return after_the_file_changed(folder, None)


@resuming
def from_the_shell_a_job_whose_file_is_broken(folder: Path):
    return after_the_file_changed(folder, "import no_such_library\n")


@resuming
def from_the_shell_a_job_that_has_another_name_now(folder: Path):
    return after_the_file_changed(folder, FLIGHTS.replace("def nightly", "def nightly_report"))


@resuming
def from_the_shell_on_a_store_that_is_damaged(folder: Path):
    (folder / "treadle.db").write_text("runs\n" * 1000)
    return shell(folder, "resume", RUN_ID)


@resuming
def runs_on_a_store_that_is_damaged(folder: Path):
    (folder / "treadle.db").write_text("runs\n" * 1000)
    return shell(folder, "runs")


@resuming
def runs_on_an_instance_without_any(folder: Path):
    return shell(folder, "runs")


@resuming
def clean_up_of_an_unknown_age(folder: Path):
    return shell(folder, "gc", "--max-age", "a while")


@resuming
def settings_that_are_wrong_for_the_shell(folder: Path):
    (folder / "treadle.toml").write_text("durabilty = 'full'\n")
    return shell(folder, "runs")


# -- stored values ----------------------------------------------------------------------------------------------------------

artifacts = section("stored values")


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("a connection is of one process")

    def __repr__(self) -> str:
        return "<Connection to flights>"


@artifacts
def value_that_cannot_be_pickled(folder: Path):
    write_artifact(folder / "result", Unpicklable())


@artifacts
def value_nested_too_deep(folder: Path):
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    try:
        write_artifact(folder / "result", value)
    except Exception as error:
        # how the list is shown, and what Python says of its depth, differs from version to version
        text = str(error)
        return f"{type(error).__name__}: ... {text[text.index('(a list)') :]}"


def stored(folder: Path, value: Any = (1, 2, 3)) -> Path:
    path = folder / "result"
    write_artifact(path, value)
    return path


@artifacts
def value_that_is_gone(folder: Path):
    read_artifact(folder / "result")


@artifacts
def value_that_was_cut_off(folder: Path):
    path = stored(folder)
    path.write_bytes(path.read_bytes()[:-3])
    read_artifact(path)


@artifacts
def value_whose_bytes_have_changed(folder: Path):
    path = stored(folder, "flights")
    path.write_bytes(path.read_bytes().replace(b"flights", b"flighty"))
    read_artifact(path)


@artifacts
def buffer_whose_bytes_have_changed(folder: Path):
    path = folder / "result"
    import pickle

    class Table:
        def __reduce_ex__(self, _protocol: Any) -> Any:
            return bytes, (pickle.PickleBuffer(bytes(100_000)),)

    write_artifact(path, Table())
    content = bytearray(path.read_bytes())
    content[50_000] = 1
    path.write_bytes(content)
    verify_artifact(path)


@artifacts
def value_that_has_grown(folder: Path):
    path = stored(folder)
    path.write_bytes(b"more" + path.read_bytes())
    read_artifact(path)


@artifacts
def value_of_a_newer_version(folder: Path):
    path = stored(folder)
    content = bytearray(path.read_bytes())
    content[-16] = 9
    path.write_bytes(content)
    read_artifact(path)


@artifacts
def folder_that_is_a_file(folder: Path):
    (folder / "kept").write_text("")
    manager = FilesystemIOManager(base_dir=str(folder / "kept"))
    manager.handle_output(build_output_context(step_key="load", name="result", run_id="some_run"), 1)


@artifacts
def value_on_a_full_disk(folder: Path):
    import resource
    import signal

    before, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        write_artifact(folder / "result", "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


@artifacts
def value_that_was_handed_over_in_memory_and_let_go(folder: Path):
    path = folder / "value"
    path.symlink_to(folder / "memory" / "value")
    read_artifact(path)
