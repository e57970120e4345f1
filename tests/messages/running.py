"""What goes wrong while a job runs: what the ops give, types of values, resources, IO managers, hooks."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.conformance.wiring import job_of
from tests.messages.catalogue import section
from treadle import (
    AssetMaterialization,
    AssetObservation,
    ConfigurableResource,
    DagsterType,
    DynamicOut,
    DynamicOutput,
    ExpectationResult,
    Failure,
    FilesystemIOManager,
    In,
    IOManager,
    LocalFileHandle,
    LocalFileManager,
    MetadataValue,
    Noneable,
    Nothing,
    OpExecutionContext,
    Out,
    Output,
    PythonObjectDagsterType,
    RetryRequested,
    TypeCheck,
    UPathIOManager,
    build_input_context,
    build_output_context,
    build_resources,
    check_dagster_type,
    custom_path_fs_io_manager,
    dagster_type_loader,
    fs_io_manager,
    graph,
    io_manager,
    job,
    make_values_resource,
    op,
    resource,
    success_hook,
)

outputs = section("what an op gives")


def run(body, /, resource_defs=None, run_config=None, **settings):
    one = op(name="load", **settings)(body)
    job_of(one, "nightly", resource_defs=resource_defs).execute_in_process(run_config=run_config)


TWO = {"late": Out(int), "early": Out(int)}


@outputs
def one_value_for_two_outputs():
    run(lambda: 1, out=TWO)


@outputs
def three_values_for_two_outputs():
    run(lambda: (1, 2, 3), out=TWO)


@outputs
def outputs_in_the_wrong_order():
    run(lambda: (Output(1, "early"), Output(2, "late")), out=TWO)


@outputs
def output_of_an_unknown_name():
    def body():
        yield Output(1, "lat")

    run(body, out=TWO)


@outputs
def output_of_another_name_returned():
    run(lambda: Output(1, "late"))


@outputs
def output_twice():
    def body():
        yield Output(1)
        yield Output(2)

    run(body)


@outputs
def output_left_out():
    def body():
        yield Output(1, "late")

    run(body, out=TWO)


@outputs
def nothing_yielded():
    def body():
        yield ExpectationResult(success=True)

    run(body)


@outputs
def bare_value_yielded():
    def body():
        yield 1

    run(body)


@outputs
def value_where_there_are_no_outputs():
    run(lambda: 1, out={})


@outputs
def event_returned():
    run(lambda: AssetMaterialization("flights"))


@outputs
def value_for_an_output_of_type_Nothing():
    run(lambda: 1, out=Out(Nothing))


@outputs
def plain_output_for_a_dynamic_one():
    def body():
        yield Output(1)

    run(body, out=DynamicOut())


@outputs
def dynamic_output_for_a_plain_one():
    def body():
        yield DynamicOutput(1, mapping_key="one")

    run(body)


@outputs
def dynamic_output_returned_for_a_plain_one():
    run(lambda: DynamicOutput(1, mapping_key="one"))


@outputs
def value_for_a_dynamic_output():
    run(lambda: 1, out=DynamicOut())


@outputs
def list_of_values_for_a_dynamic_output():
    run(lambda: [1], out=DynamicOut())


@outputs
def mapping_key_twice():
    def body():
        yield DynamicOutput(1, mapping_key="one")
        yield DynamicOutput(2, mapping_key="one")

    run(body, out=DynamicOut())


@outputs
def mapping_key_with_a_dash():
    run(lambda: [DynamicOutput(1, mapping_key="2013-01-01")], out=DynamicOut())


@outputs
def mapping_key_that_is_a_number():
    run(lambda: [DynamicOutput(1, mapping_key=1)], out=DynamicOut())


@outputs
def mapping_key_that_is_a_word_of_Python():
    run(lambda: [DynamicOutput(1, mapping_key="class")], out=DynamicOut())


@outputs
def metadata_for_an_unknown_output():
    def body(context):
        context.add_output_metadata({"rows": 1}, output_name="lat")

    run(body, out=TWO)


@outputs
def metadata_without_saying_for_which_output():
    def body(context):
        context.add_output_metadata({"rows": 1})

    run(body, out=TWO)


@outputs
def metadata_after_the_output():
    def body(context):
        yield Output(1)
        context.add_output_metadata({"rows": 1})

    run(body)


@outputs
def metadata_for_a_dynamic_output_without_its_branch():
    def body(context):
        context.add_output_metadata({"rows": 1}, output_name="result")

    run(body, out=DynamicOut())


@outputs
def metadata_that_cannot_be():
    run(lambda: Output(1, metadata={"rows": object()}))


@outputs
def metadata_that_is_no_dict():
    run(lambda: Output(1, metadata=[3]))


@outputs
def metadata_key_that_is_no_text():
    run(lambda: Output(1, metadata={3: 3}))


@outputs
def JSON_metadata_that_is_none():
    MetadataValue.json({"a": object()})


@outputs
def event_that_is_none():
    def body(context):
        context.log_event("rows")

    run(body)


@outputs
def asset_key_that_is_empty():
    AssetObservation([])


@outputs
def expectation_without_a_bool():
    ExpectationResult(success="yes")


@outputs
def number_of_retries_asked_for_is_negative():
    raise RetryRequested(max_retries=-1)


@outputs
def failure_with_a_number_as_description():
    raise Failure(3)


@outputs
def context_outside_an_op():
    OpExecutionContext.get()


@outputs
def partition_of_a_run():
    def body(context):
        return context.partition_key

    run(body)


@outputs
def unknown_member_of_the_context():
    def body(context):
        return context.op_confg

    run(body)


@outputs
def plain_value_for_an_annotated_Output():
    def body() -> Output[int]:
        return 1

    run(body)


@outputs
def dynamic_output_of_another_name():
    run(lambda: [DynamicOutput(1, "one", "late")], out=DynamicOut())


@outputs
def value_left_out_by_an_annotated_stream():
    def body() -> Iterator[Output]:
        yield Output(1, "late")

    run(body, out=TWO)


@outputs
def text_metadata_of_a_number():
    MetadataValue.text(3)


@outputs
def path_metadata_of_a_number():
    MetadataValue.path(3)


@outputs
def bool_metadata_of_a_number():
    MetadataValue.bool(3)


@outputs
def float_metadata_of_a_bool():
    MetadataValue.float(True)


@outputs
def python_artifact_of_a_value():
    MetadataValue.python_artifact(3)


@outputs
def timestamp_without_a_time_zone():
    import datetime

    MetadataValue.timestamp(datetime.datetime(2013, 1, 1))  # noqa: DTZ001 - that is the mistake


@outputs
def int_metadata_that_is_too_long():
    MetadataValue.int(10**5000)


@outputs
def metadata_changed():
    Output(1).metadata["rows"] = 3


@outputs
def asset_key_of_a_materialized_file_that_is_a_number():
    AssetMaterialization.file(3)


@outputs
def allow_retries_as_text():
    Failure("late", allow_retries="yes")


@outputs
def assets_of_an_op():
    def body(context):
        return context.assets_def

    run(body)


# -- types of values ---------------------------------------------------------------------------------------------------------

checks = section("types of values")


def is_even(context, value):
    return TypeCheck(value % 2 == 0, description=f"{value} is odd")


Even = DagsterType(is_even, name="Even")


@checks
def output_of_another_type():
    run(lambda: "3", out=Out(int))


@checks
def input_of_another_type():
    @op
    def text():
        return "3"

    @op
    def take(rows: int):
        pass

    @job
    def nightly():
        take(text())

    nightly.execute_in_process()


@checks
def item_of_a_list():
    run(lambda: [1, "2"], out=Out(list[int]))


@checks
def value_of_a_dict():
    run(lambda: {"a": "1"}, out=Out(dict[str, int]))


@checks
def length_of_a_tuple():
    run(lambda: (1, 2, 3), out=Out(tuple[int, int]))


@checks
def int_where_a_float_is_wanted():
    run(lambda: 1, out=Out(float))


@checks
def tuple_where_a_list_is_wanted():
    run(lambda: (1,), out=Out(list))


@checks
def None_where_a_value_is_wanted():
    run(lambda: None, out=Out(int))


@checks
def instance_of_another_class():
    run(lambda: "x", out=Out(Fraction))


@checks
def own_check_that_says_why():
    run(lambda: 3, out=Out(Even))


@checks
def own_check_that_does_not_say_why():
    run(lambda: 3, out=Out(DagsterType(lambda _, value: False, name="Never")))


@checks
def own_check_that_raises():
    run(lambda: "x", out=Out(Even))


@checks
def own_check_that_gives_no_verdict():
    run(lambda: 3, out=Out(DagsterType(lambda _, value: None, name="Unsure")))


@checks
def verdict_without_a_bool():
    TypeCheck(success="yes")


@checks
def generic_of_Python_checked_by_hand():
    check_dagster_type(list[int], [1])


@checks
def config_type_checked_by_hand():
    check_dagster_type(Noneable(int), 1)


@checks
def resource_that_a_check_does_not_ask_for():
    check_dagster_type(DagsterType(lambda context, value: context.resources.db, name="Stored"), 1)


@checks
def loader_that_raises():
    @dagster_type_loader(str)
    def load_plane(context, tail):
        raise LookupError(f"no plane has the tail number {tail}")

    @op(ins={"plane": In(PythonObjectDagsterType(Path, name="Plane", loader=load_plane))})
    def land(plane):
        pass

    job_of(land).execute_in_process(run_config={"ops": {"land": {"inputs": {"plane": "N1"}}}})


@checks
def JSON_file_that_is_not_there(folder: Path):
    @op
    def take(rows: int):
        pass

    given = {"json": {"path": str(folder / "rows.json")}}
    job_of(take).execute_in_process(run_config={"ops": {"take": {"inputs": {"rows": given}}}})


@checks
def JSON_file_without_a_value(folder: Path):
    (folder / "rows.json").write_text("[3]")

    @op
    def take(rows: int):
        pass

    given = {"json": {"path": str(folder / "rows.json")}}
    job_of(take).execute_in_process(run_config={"ops": {"take": {"inputs": {"rows": given}}}})


@checks
def JSON_file_that_is_none(folder: Path):
    (folder / "rows.json").write_text("[3")

    @op
    def take(rows: int):
        pass

    given = {"json": {"path": str(folder / "rows.json")}}
    job_of(take).execute_in_process(run_config={"ops": {"take": {"inputs": {"rows": given}}}})


@checks
def pickle_that_is_none(folder: Path):
    (folder / "rows.pickle").write_bytes(b"rows")

    @op
    def take(rows: int):
        pass

    given = {"pickle": {"path": str(folder / "rows.pickle")}}
    job_of(take).execute_in_process(run_config={"ops": {"take": {"inputs": {"rows": given}}}})


@checks
def tuple_of_another_length_from_config():
    @op
    def take(pair: tuple[int, int]):
        pass

    job_of(take).execute_in_process(run_config={"ops": {"take": {"inputs": {"pair": [1, 2, 3]}}}})


# -- resources -----------------------------------------------------------------------------------------------------------------

resources = section("resources")


@resource
def broken():
    raise ConnectionError("no route to host")


@resources
def resource_that_raises():
    run(lambda context: 1, {"db": broken}, required_resource_keys={"db"})


@resources
def resource_that_yields_nothing():
    @resource
    def empty():
        if os.environ.get("TREADLE_NEVER"):
            yield 3

    run(lambda context: 1, {"db": empty}, required_resource_keys={"db"})


@resources
def resource_that_was_not_asked_for():
    run(lambda context: context.resources.database, {"db": 3}, required_resource_keys={"db"})


@resources
def resource_misspelt():
    run(lambda context: context.resources.databse, {"database": 3}, required_resource_keys={"database"})


@resources
def configurable_resource_without_its_config():
    class Database(ConfigurableResource):
        url: str

    run(lambda context: 1, {"db": Database.configure_at_launch()}, required_resource_keys={"db"})


@resources
def configurable_resource_changed():
    class Database(ConfigurableResource):
        url: str

    Database(url="x").url = "y"


@resources
def configurable_resource_launched_with_an_unknown_field():
    class Database(ConfigurableResource):
        url: str

    Database.configure_at_launch(ulr="x")


@resources
def build_resources_of_a_list():
    with build_resources([3]):
        pass


@resources
def unknown_resource_of_build_resources():
    with build_resources({"db": 3}) as opened:
        return opened.database


@resources
def value_that_make_values_resource_does_not_have():
    run(
        lambda context: context.resources.places.ctiy,
        {"places": make_values_resource(city=str)},
        {"resources": {"places": {"config": {"city": "Newark"}}}},
        required_resource_keys={"places"},
    )


# -- IO managers ----------------------------------------------------------------------------------------------------------------

storage = section("IO managers")


class Full(IOManager):
    def handle_output(self, context, obj):
        raise OSError("no space left on device")

    def load_input(self, context):
        raise FileNotFoundError("rows.pickle")


class Empty(Full):
    def handle_output(self, context, obj):
        pass


class Chatty(Empty):
    def handle_output(self, context, obj):
        return 3


@op
def give():
    return 1


@op
def take(rows):
    pass


def pass_on(manager: Any) -> None:
    @job(resource_defs={"io_manager": manager})
    def nightly():
        take(give())

    nightly.execute_in_process()


@storage
def handle_output_that_raises():
    pass_on(Full())


@storage
def load_input_that_raises():
    pass_on(Empty())


@storage
def handle_output_that_returns_a_value():
    pass_on(Chatty())


@storage
def function_that_makes_no_manager():
    @io_manager
    def files():
        return 3

    pass_on(files)


@storage
def value_that_cannot_be_pickled(folder: Path):
    run(lambda: threading.Lock(), {"io_manager": FilesystemIOManager(base_dir=str(folder))})


@storage
def file_that_is_gone(folder: Path):
    class Forgetful(FilesystemIOManager):
        def handle_output(self, context, obj):
            pass

    pass_on(Forgetful(base_dir=str(folder)))


@storage
def input_that_is_connected_to_nothing():
    fs_io_manager(None).load_input(build_input_context(name="rows"))


@storage
def metadata_given_twice():
    class Telling(Empty):
        def handle_output(self, context, obj):
            context.add_output_metadata({"rows": 1})
            context.add_output_metadata({"rows": 2})

    pass_on(Telling())


@storage
def path_that_the_output_does_not_have(folder: Path):
    run(
        lambda: 1,
        {"io_manager": custom_path_fs_io_manager},
        {"resources": {"io_manager": {"config": {"base_dir": str(folder)}}}},
    )


@storage
def extension_without_a_dot(folder: Path):
    class Texts(UPathIOManager):
        extension = "txt"

        def dump_to_path(self, context, obj, path):
            path.write_text(str(obj))

        def load_from_path(self, context, path):
            return path.read_text()

    pass_on(Texts(base_path=folder))


@storage
def base_path_that_is_a_number():
    class Texts(UPathIOManager):
        def dump_to_path(self, context, obj, path):
            pass

        def load_from_path(self, context, path):
            pass

    Texts(base_path=3)


@storage
def file_manager_given_text(folder: Path):
    LocalFileManager(str(folder)).write_data("rows")


@storage
def Nothing_to_an_input_that_needs_a_value():
    @op(out=Out(Nothing))
    def clean():
        pass

    @op
    def count(rows):
        pass

    @graph
    def all_of_it():
        count(clean())

    all_of_it.execute_in_process()


@storage
def file_that_was_cut_off(folder: Path):
    class Cut(FilesystemIOManager):
        def handle_output(self, context, obj):
            super().handle_output(context, obj)
            for path in folder.rglob("result"):
                path.write_bytes(path.read_bytes()[:-1])

    pass_on(Cut(base_dir=str(folder)))


@storage
def file_of_something_else(folder: Path):
    class Other(FilesystemIOManager):
        def handle_output(self, context, obj):
            super().handle_output(context, obj)
            for path in folder.rglob("result"):
                path.write_bytes(b"rows")

    pass_on(Other(base_dir=str(folder)))


@storage
def filesystem_manager_by_hand_without_a_folder():
    FilesystemIOManager().handle_output(build_output_context("give", "result"), 3)


@storage
def mode_of_a_file_manager(folder: Path):
    with LocalFileManager(str(folder)).read(LocalFileHandle(str(folder / "rows")), mode="w"):
        pass


@storage
def file_handle_of_a_number():
    LocalFileHandle(3)


@storage
def file_manager_given_a_path(folder: Path):
    LocalFileManager(str(folder)).write("rows")


@storage
def event_of_an_IO_manager_that_is_none():
    class Telling(Empty):
        def handle_output(self, context, obj):
            context.log_event("rows")

    pass_on(Telling())


# -- hooks ---------------------------------------------------------------------------------------------------------------------

hooks = section("hooks")


@hooks
def hook_that_raises():
    @success_hook
    def tell(context):
        raise ConnectionError("no route to host")

    result = job_of(give, hooks={tell}).execute_in_process()
    (event,) = [event for event in result.all_events if event.is_hook_event]
    return f"{event.message}\n{event.hook_errored_data.error.message.strip()}"


@hooks
def hook_that_needs_a_missing_resource():
    @success_hook(required_resource_keys={"chat"})
    def tell(context):
        pass

    job_of(give, "nightly", hooks={tell}, resource_defs={"chta": 3}).execute_in_process()
