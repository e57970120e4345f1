"""Mistakes in where a job is: files and modules, Definitions and repositories, names of later stages, the instance."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import treadle
from tests.messages.catalogue import section
from treadle import (
    AssetKey,
    DagsterEventType,
    DagsterInstance,
    DataVersion,
    Definitions,
    EventRecordsFilter,
    MetadataValue,
    ModeDefinition,
    Output,
    TableColumn,
    TableRecord,
    execute_pipeline,
    in_process_executor,
    instance_for_test,
    job,
    load_definitions_from_modules,
    multiprocess_executor,
    op,
    pipeline,
    repository,
    with_resources,
)
from treadle.cli import main

shell = section("treadle run")

FLIGHTS = """
from treadle import job, graph, op

@op(config_schema={"rows": int})
def load(context):
    pass

@op
def fails():
    raise ValueError("no such plane")

@graph
def delays():
    load()

@job
def nightly():
    load()

@job
def weekly():
    fails()

answer = 42

def make(rows):
    return nightly

async def make_later():
    return nightly

def broken():
    raise LookupError("no table")
"""


@contextlib.contextmanager
def in_folder(folder: Path) -> Iterator[None]:
    """As a shell that stands in the folder, which has a file with jobs."""
    here, path, modules = Path.cwd(), list(sys.path), set(sys.modules)
    (folder / "flights.py").write_text(FLIGHTS)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


def called(folder: Path, *arguments: str, **files: str) -> str:
    """What `treadle run` prints on stderr, with its exit code."""
    with in_folder(folder), contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(io.StringIO()):
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)
        code = main(("run", *arguments))
    return f"{err.getvalue()}(exit code {code})"


@shell
def without_a_target(folder: Path):
    return called(folder)


@shell
def file_that_is_not_there(folder: Path):
    return called(folder, "flihgts.py")


@shell
def folder_(folder: Path):
    return called(folder, ".")


@shell
def folder_that_is_not_there(folder: Path):
    return called(folder, "jobs/flights.py")


@shell
def file_of_another_kind(folder: Path):
    (folder / "flights.txt").write_text("")
    return called(folder, "./flights.txt")


@shell
def module_that_is_not_there(folder: Path):
    return called(folder, "no_such_module")


@shell
def target_without_a_name(folder: Path):
    return called(folder, "flights.py:")


@shell
def several_jobs(folder: Path):
    return called(folder, "flights.py")


@shell
def unknown_job(folder: Path):
    return called(folder, "flights.py:nigthly")


@shell
def op_(folder: Path):
    return called(folder, "flights.py:load")


@shell
def value_(folder: Path):
    return called(folder, "flights.py:answer")


@shell
def function_with_parameters(folder: Path):
    return called(folder, "flights.py:make")


@shell
def async_function(folder: Path):
    return called(folder, "flights.py:make_later")


@shell
def function_that_raises(folder: Path):
    return called(folder, "flights.py:broken")


@shell
def file_without_a_job(folder: Path):
    return called(folder, "empty.py", empty="from treadle import op\n\n@op\ndef load():\n    pass\n")


@shell
def file_with_a_graph_only(folder: Path):
    return called(folder, "empty.py", empty="from treadle import graph\n\n@graph\ndef delays():\n    pass\n")


@shell
def file_that_imports_what_is_not_there(folder: Path):
    return called(folder, "broken.py", broken="import no_such_module\n")


@shell
def file_with_a_mistake_in_a_job(folder: Path):
    text = "from treadle import job, op\n\n@op\ndef load(): pass\n\ndef nightly():\n    load(3)\n\nnightly = job(nightly)\n"
    return called(folder, "broken.py", broken=text)


@shell
def missing_config(folder: Path):
    return called(folder, "flights.py:nightly")


@shell
def config_of_another_type(folder: Path):
    return called(folder, "flights.py:nightly", "--set", "ops.load.config.rows=many")


@shell
def mistake_in_a_file(folder: Path):
    (folder / "run.yaml").write_text("ops:\n  load:\n    config:\n      row: 3\n")
    return called(folder, "flights.py:nightly", "-c", "run.yaml")


@shell
def config_file_that_is_not_there(folder: Path):
    return called(folder, "flights.py:nightly", "-c", "rum.yaml")


@shell
def setting_without_a_value(folder: Path):
    return called(folder, "flights.py:nightly", "--set", "ops.load.config.rows")


@shell
def tag_without_a_value(folder: Path):
    return called(folder, "flights.py:nightly", "--tag", "team")


@shell
def quiet_and_verbose(folder: Path):
    return called(folder, "flights.py:nightly", "--quiet", "--verbose")


@shell
def unknown_command():
    with contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(("rum", "flights.py"))
    return f"{err.getvalue()}(exit code {code})"


@shell
def folder_with_a_slash(folder: Path):
    (folder / "jobs.d").mkdir()
    (folder / "jobs.d" / "nightly.py").write_text("")
    return called(folder, "jobs.d/")


@shell
def two_words(folder: Path):
    return called(folder, "night ly")


@shell
def file_called_as_a_library(folder: Path):
    return called(folder, "json.py", json="")


@shell
def function_that_returns_a_value(folder: Path):
    return called(folder, "flights.py:number", flights=FLIGHTS + "\ndef number():\n    return 3\n")


@shell
def Definitions_with_several_jobs(folder: Path):
    text = FLIGHTS + "\nfrom treadle import Definitions\nall_of_it = Definitions(jobs=[nightly, weekly])\n"
    return called(folder, "flights.py:all_of_it", flights=text)


@shell
def Definitions_without_a_job(folder: Path):
    text = "from treadle import Definitions\nall_of_it = Definitions()\n"
    return called(folder, "empty.py:all_of_it", empty=text)


@shell
def module_that_raises(folder: Path):
    return called(folder, "broken", broken="raise LookupError('no table')\n")


@shell
def job_that_lacks_a_resource(folder: Path):
    text = (
        "from treadle import job, op\n\n@op(required_resource_keys={'db'})\ndef query(context): pass\n\n"
        "@job\ndef nightly():\n    query()\n"
    )
    return called(folder, "queries.py", queries=text)


@shell
def setting_that_is_no_YAML(folder: Path):
    return called(folder, "flights.py:nightly", "--set", "ops.load.config.rows=[1")


@shell
def setting_without_a_path(folder: Path):
    return called(folder, "flights.py:nightly", "--set", "=3")


# -- containers ----------------------------------------------------------------------------------------------------------------

containers = section("Definitions and repositories")


@op(name="load")
def load():
    pass


@op(name="load")
def another_load():
    pass


@op(required_resource_keys={"db"})
def query(context):
    pass


@job
def nightly():
    load()


@job
def queries():
    query()


def another(name="nightly", of=load):
    def body():
        of()

    return job(name=name)(body)


@containers
def unknown_job_asked_for():
    Definitions(jobs=[nightly]).get_job_def("nigthly")


@containers
def job_twice():
    Definitions(jobs=[nightly, another()]).get_job_def("nightly")


@containers
def one_job_in_place_of_a_list():
    Definitions(jobs=nightly)


@containers
def op_among_the_jobs():
    Definitions(jobs=[load])


@containers
def job_without_its_resource():
    Definitions(jobs=[queries], resources={"bd": 3}).get_job_def("queries").execute_in_process()


@containers
def executor_by_its_name():
    Definitions(executor="in_process")


@containers
def logger_that_is_none():
    Definitions(loggers={"console": 3})


@containers
def merge_of_two_resources_of_one_key():
    Definitions.merge(Definitions(resources={"db": 1}), Definitions(resources={"db": 2}))


@containers
def two_ops_of_one_name():
    Definitions.validate_loadable(Definitions(jobs=[nightly, another("weekly", another_load)]))


@containers
def repository_that_returns_a_job():
    @repository
    def all_of_it():
        return nightly


@containers
def repository_with_an_op_in_its_list():
    @repository
    def all_of_it():
        return [load]


@containers
def repository_of_an_unknown_part():
    @repository
    def all_of_it():
        return {"job": {}}


@containers
def repository_job_under_another_name():
    @repository
    def all_of_it():
        return {"jobs": {"weekly": nightly}}

    all_of_it.get_job("weekly")


@containers
def repository_with_a_parameter():
    @repository
    def all_of_it(context):
        return []


@containers
def with_resources_config_of_an_unknown_key():
    with_resources([queries], {"database": 3}, {"databse": {"config": {}}})


@containers
def merge_of_two_executors():
    Definitions.merge(Definitions(executor=in_process_executor), Definitions(executor=multiprocess_executor))


@containers
def merge_of_a_job():
    Definitions.merge(nightly)


@containers
def reconstruction_metadata_that_is_a_number():
    Definitions().with_reconstruction_metadata({"a": 3})


@containers
def module_by_its_name():
    load_definitions_from_modules(["flights"])


@containers
def with_resources_of_a_value():
    with_resources([3], {})


@containers
def unknown_job_of_a_repository():
    @repository
    def all_of_it():
        return [nightly]

    all_of_it.get_job("nigthly")


@containers
def repository_with_a_value_under_a_name():
    @repository
    def all_of_it():
        return {"jobs": {"nightly": 3}}


@containers
def repository_with_a_function_that_gives_no_job():
    @repository
    def all_of_it():
        return {"jobs": {"nightly": lambda: 3}}

    all_of_it.get_job("nightly")


@containers
def unknown_member_of_a_repository():
    Definitions(jobs=[nightly]).get_repository_def().get_jbo


# -- later and older names ---------------------------------------------------------------------------------------------------------

names = section("names of later stages and older names")


@names
def materialize_():
    treadle.materialize([])


@names
def partitions():
    treadle.StaticPartitionsDefinition(["a"])


@names
def execute_job():
    treadle.execute_job(nightly, instance=None)


@names
def attribute_of_a_later_name():
    treadle.AssetSelection.all()


@names
def class_derived_from_a_later_name():
    class Mine(treadle.PartitionsDefinition):
        pass


@names
def unknown_name():
    treadle.grahp


@names
def mode_of_a_job():
    execute_pipeline(nightly, mode="prod")


@names
def preset():
    execute_pipeline(nightly, preset="prod")


@names
def pipeline_that_is_none():
    execute_pipeline(3)


@names
def reexecution():
    treadle.reexecute_pipeline(nightly, "run")


@names
def assets_in_Definitions():
    Definitions(assets=[3])


@names
def presets_of_a_pipeline():
    @pipeline(preset_defs=[3])
    def old():
        pass


@names
def unknown_mode_of_a_pipeline():
    @pipeline(mode_defs=[ModeDefinition(name="prod")])
    def old():
        load()

    execute_pipeline(old, mode="prd")


# -- the instance -----------------------------------------------------------------------------------------------------------------

instances = section("instance, events and metadata")


@instances
def run_twice():
    instance = DagsterInstance.ephemeral()
    run_id = nightly.execute_in_process(instance=instance).run_id
    nightly.execute_in_process(instance=instance, run_id=run_id)


@instances
def runs_by_a_dict():
    DagsterInstance.ephemeral().get_runs({"job_name": "nightly"})


@instances
def runs_in_an_unknown_order():
    DagsterInstance.ephemeral().get_run_records(order_by="age")


@instances
def settings_of_a_test_instance(folder: Path):
    with instance_for_test({"durabilty": "full", "retention": {"max_age": "long"}}, temp_dir=str(folder)):
        pass


@instances
def unknown_kind_of_event():
    DagsterEventType("STEP_STARTED")


@instances
def asset_key_of_a_number():
    AssetKey(3)


@instances
def output_name_that_is_a_number():
    Output(1, output_name=3)


@instances
def data_version_as_text():
    Output(1, data_version="v1")


@instances
def table_cell_that_is_a_list():
    TableRecord({"rows": [1]})


@instances
def table_column_with_a_class_as_type():
    TableColumn("rows", int)


@instances
def tag_of_an_output_that_is_a_number():
    Output(1, tags={"rows": 3})


@instances
def log_level():
    nightly.execute_in_process(run_config={"loggers": {"console": {"config": {"log_level": "DEBG"}}}})


@instances
def home_that_is_not_absolute():
    home = os.environ.pop("DAGSTER_HOME", None)
    os.environ["DAGSTER_HOME"] = "home"
    try:
        DagsterInstance.get()
    finally:
        del os.environ["DAGSTER_HOME"]
        if home is not None:
            os.environ["DAGSTER_HOME"] = home


@instances
def records_by_a_kind_of_event():
    DagsterInstance.ephemeral().get_event_records(DagsterEventType.STEP_START)


@instances
def kind_of_event_as_text():
    EventRecordsFilter("STEP_START")


@instances
def data_version_of_a_number():
    DataVersion(3)


@instances
def table_column_that_is_a_number():
    TableRecord({3: 1})


@instances
def table_without_rows_and_schema():
    MetadataValue.table([])


@instances
def table_with_different_rows():
    MetadataValue.table([TableRecord({"a": 1}), TableRecord({"b": 1})])
