"""Mistakes in what a run is given: run config, by dict, by file and by class."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import Field as PydanticField
from pydantic import field_validator

from tests.conformance.wiring import job_of
from tests.messages.catalogue import section
from treadle import (
    BoolSource,
    Config,
    ConfigMapping,
    Enum,
    EnumValue,
    EnvVar,
    Field,
    IntSource,
    Noneable,
    RunConfig,
    ScalarUnion,
    Selector,
    Shape,
    StringSource,
    config_from_files,
    config_from_pkg_resources,
    config_from_yaml_strings,
    configured,
    graph,
    in_process_executor,
    job,
    op,
    resource,
    validate_run_config,
)

values = section("run config")


@op(
    config_schema={
        "airport": str,
        "limit": Field(int, default_value=3),
        "inner": Field({"deep": int}, is_required=False),
        "months": Field([int], is_required=False),
        "kind": Field(Enum("Kind", [EnumValue("late"), EnumValue("early")]), is_required=False),
        "where": Field(Selector({"file": str, "table": str}), is_required=False),
        "counts": Field({str: int}, is_required=False),
        "maybe": Field(Noneable(int), is_required=False),
        "either": Field(ScalarUnion(int, {"value": int}), is_required=False),
        "named": Field(Shape({"rows": int}, field_aliases={"rows": "n"}), is_required=False),
        "password": Field(StringSource, is_required=False),
        "retries": Field(IntSource, is_required=False),
        "strict": Field(BoolSource, is_required=False),
    }
)
def delays(context):
    pass


@resource(config_schema={"url": str})
def database(context):
    return context.resource_config["url"]


@op(required_resource_keys={"database"})
def query(context):
    pass


@job
def flights():
    delays()


@job(resource_defs={"database": database})
def queries():
    query()


class Report(Config):
    threshold: float = PydanticField(gt=0)
    months: list[int] = [1]

    @field_validator("months")
    @classmethod
    def at_most_twelve(cls, months: list[int]) -> list[int]:
        if max(months) > 12:
            raise ValueError("a year has twelve months")
        return months


@op
def report(config: Report):
    pass


@job
def reports():
    report()


def give(config: Any, to: Any = flights) -> None:
    to.execute_in_process(run_config=config)


def of_delays(**config: Any) -> None:
    give({"ops": {"delays": {"config": {"airport": "EWR", **config}}}})


@values
def unknown_section():
    give({"resorces": {}, "ops": {"delays": {"config": {"airport": "EWR"}}}})


@values
def unknown_op():
    give({"ops": {"delay": {}}})


@values
def unknown_entry():
    of_delays(limt=3)


@values
def several_unknown_entries():
    of_delays(limt=3, month=[1])


@values
def missing_entry():
    give({"ops": {"delays": {"config": {"limit": 3}}}})


@values
def nothing_at_all():
    give({})


@values
def None_for_a_section():
    give({"ops": None})


@values
def text_for_a_number():
    of_delays(limit="3")


@values
def number_for_text():
    of_delays(airport=3)


@values
def bool_for_a_number():
    of_delays(limit=True)


@values
def number_for_a_list():
    of_delays(months=3)


@values
def item_of_a_list():
    of_delays(months=[1, "2"])


@values
def list_for_a_section():
    of_delays(inner=[1])


@values
def value_of_a_map():
    of_delays(counts={"EWR": "many"})


@values
def key_of_a_map():
    of_delays(counts={3: 1})


@values
def value_that_is_not_in_an_enum():
    of_delays(kind="lat")


@values
def selector_with_two():
    of_delays(where={"file": "a", "table": "b"})


@values
def selector_with_none():
    of_delays(where={})


@values
def selector_with_an_unknown_one():
    of_delays(where={"flie": "a"})


@values
def text_for_Noneable():
    of_delays(maybe="3")


@values
def text_for_a_scalar_union():
    of_delays(either="3")


@values
def section_of_a_scalar_union():
    of_delays(either={"valu": 3})


@values
def field_and_its_alias():
    of_delays(named={"rows": 1, "n": 1})


@values
def environment_variable_that_is_not_set():
    of_delays(password={"env": "TREADLE_TEST_UNSET"})


@values
def environment_variable_that_is_no_number():
    os.environ["TREADLE_TEST_TEXT"] = "many"
    try:
        of_delays(retries={"env": "TREADLE_TEST_TEXT"})
    finally:
        del os.environ["TREADLE_TEST_TEXT"]


@values
def environment_variable_that_is_no_bool():
    os.environ["TREADLE_TEST_TEXT"] = "perhaps"
    try:
        of_delays(strict={"env": "TREADLE_TEST_TEXT"})
    finally:
        del os.environ["TREADLE_TEST_TEXT"]


@values
def several_mistakes_at_once():
    give({"ops": {"delays": {"config": {"limit": "3", "month": 1}}}, "loggers": {"consol": {}}})


@values
def resource_without_its_config():
    give({}, queries)


@values
def unknown_resource():
    give({"resources": {"databse": {"config": {"url": "x"}}}}, queries)


@values
def config_beside_the_key_config():
    give({"ops": {"delays": {"airport": "EWR"}}})


@values
def input_that_is_connected():
    @op
    def give_one():
        return 1

    @op
    def take(rows: int):
        pass

    @job
    def nightly():
        take(give_one())

    give({"ops": {"take": {"inputs": {"rows": 3}}}}, nightly)


@values
def input_of_another_type():
    @op
    def take(rows: int):
        pass

    @job
    def nightly():
        take()

    give({"ops": {"take": {"inputs": {"rows": "many"}}}}, nightly)


@values
def missing_input():
    @op
    def take(rows: int):
        pass

    give({}, job_of(take, "nightly"))


@values
def executor_that_the_job_does_not_have():
    validate_run_config(
        job(executor_def=in_process_executor, name="nightly")(nothing),
        {"execution": {"config": {"retries": {"sometimes": {}}}}},
    )


def nothing():
    pass


@values
def config_of_the_job_itself():
    @job(config={"ops": {"delays": {"config": {"airprt": "EWR"}}}})
    def nightly():
        delays()


@values
def job_that_is_none():
    validate_run_config(3, {})


@values
def config_of_a_graph_that_has_a_mapping():
    @graph(config=ConfigMapping(lambda airport: {"delays": {"config": {"airport": airport}}}, config_schema=str))
    def all_of_it():
        delays()

    give({"ops": {"all_of_it": {"config": 3}}}, job_of(all_of_it, "nightly"))


@values
def config_mapping_that_raises():
    @graph(config=ConfigMapping(lambda airport: {}["airport"], config_schema=str))
    def all_of_it():
        delays()

    give({"ops": {"all_of_it": {"config": "EWR"}}}, job_of(all_of_it, "nightly"))


@values
def config_mapping_that_gives_what_does_not_fit():
    @graph(config=ConfigMapping(lambda airport: {"delays": {"config": {"airprt": airport}}}, config_schema=str))
    def all_of_it():
        delays()

    give({"ops": {"all_of_it": {"config": "EWR"}}}, job_of(all_of_it, "nightly"))


@values
def config_mapping_of_a_job_that_gives_what_does_not_fit():
    mapping = ConfigMapping(lambda airport: {"ops": {"delay": {"config": airport}}}, config_schema=str)
    give("EWR", job_of(delays, "nightly", config=mapping))


@values
def configured_that_gives_what_does_not_fit():
    at_newark = configured(delays, name="at_newark")({"airprt": "EWR"})
    give({}, job_of(at_newark, "nightly"))


@values
def configured_that_raises():
    @configured(delays, config_schema={"city": str})
    def by_city(config):
        return {"airport": {}[config["city"]]}

    give({"ops": {"by_city": {"config": {"city": "Newark"}}}}, job_of(by_city, "nightly"))


@values
def bool_for_a_float():
    @op(config_schema=float)
    def take(context):
        pass

    give({"ops": {"take": {"config": "much"}}}, job_of(take, "nightly"))


@values
def text_for_a_bool():
    @op(config_schema=bool)
    def take(context):
        pass

    give({"ops": {"take": {"config": "yes"}}}, job_of(take, "nightly"))


@values
def list_for_a_map():
    of_delays(counts=[1])


@values
def config_mapping_of_a_job_that_raises():
    mapping = ConfigMapping(lambda config: {}["ops"], config_schema={"airport": str})
    give({"airport": "EWR"}, job_of(delays, "nightly", config=mapping))


@values
def what_a_config_mapping_of_a_job_does_not_take():
    mapping = ConfigMapping(lambda config: {}, config_schema={"airport": str})
    give({"airprt": "EWR"}, job_of(delays, "nightly", config=mapping))


@values
def what_a_config_mapping_of_a_job_gives_does_not_fit():
    mapping = ConfigMapping(lambda config: {"ops": {"delay": {"config": config}}}, config_schema={"airport": str})
    give({"airport": "EWR"}, job_of(delays, "nightly", config=mapping))


@values
def config_of_a_graph_itself_that_does_not_fit():
    @graph(config={"delays": {"config": {"airprt": "EWR"}}})
    def all_of_it():
        delays()

    job_of(all_of_it, "nightly")


# -- classes ---------------------------------------------------------------------------------------------------------------

classes = section("config classes")


@classes
def missing_field():
    give({"ops": {"report": {"config": {}}}}, reports)


@classes
def constraint():
    give({"ops": {"report": {"config": {"threshold": 0}}}}, reports)


@classes
def validator():
    give({"ops": {"report": {"config": {"threshold": 1.5, "months": [13]}}}}, reports)


@classes
def constraint_in_Python():
    Report(threshold=0)


@classes
def field_changed():
    Report(threshold=1).threshold = 2


@classes
def environment_variable_in_a_text():
    "{}-x".format(EnvVar("PASSWORD"))


@classes
def environment_variable_as_a_number():
    int(EnvVar.int("RETRIES"))


@classes
def RunConfig_of_an_unknown_op():
    give(RunConfig(ops={"reports": Report(threshold=1)}), reports)


# -- files -----------------------------------------------------------------------------------------------------------------------

files = section("config files")


@files
def file_that_is_not_there(folder: Path):
    (folder / "run.yaml").write_text("ops: {}")
    config_from_files([str(folder / "rum.yaml")])


@files
def pattern_without_files(folder: Path):
    config_from_files([str(folder / "*.yaml")])


@files
def folder_in_place_of_a_file(folder: Path):
    config_from_files([str(folder)])


@files
def text_in_place_of_a_list():
    config_from_files("run.yaml")


@files
def broken_YAML(folder: Path):
    (folder / "run.yaml").write_text("ops:\n  load: {config: [1, 2}\n")
    config_from_files([str(folder / "run.yaml")])


@files
def tab_in_YAML(folder: Path):
    (folder / "run.yaml").write_text("ops:\n\tload: 3\n")
    config_from_files([str(folder / "run.yaml")])


@files
def key_twice(folder: Path):
    (folder / "run.yaml").write_text("ops:\n  load: {}\n  load: {}\n")
    config_from_files([str(folder / "run.yaml")])


@files
def list_at_the_top(folder: Path):
    (folder / "run.yaml").write_text("- ops\n")
    config_from_files([str(folder / "run.yaml")])


@files
def bytes_that_are_no_text(folder: Path):
    (folder / "run.yaml").write_bytes(b"ops: \xff")
    config_from_files([str(folder / "run.yaml")])


@files
def text_that_is_no_mapping():
    config_from_yaml_strings(["3"])


@files
def package_that_is_not_there():
    config_from_pkg_resources([("no_such_package", "run.yaml")])


@files
def file_that_a_package_does_not_have():
    config_from_pkg_resources([("treadle", "run.yaml")])


@files
def mistake_in_a_file(folder: Path):
    (folder / "run.yaml").write_text("ops:\n  delays:\n    config:\n      airport: EWR\n      limt: 3\n")
    give(config_from_files([str(folder / "run.yaml")]))


@files
def name_that_is_a_number():
    config_from_files([3])


@files
def package_without_a_file():
    config_from_pkg_resources(["treadle"])


@files
def anchor_that_holds_itself(folder: Path):
    (folder / "run.yaml").write_text("ops: &all\n  load: *all\n")
    config_from_files([str(folder / "run.yaml")])


@files
def key_that_is_a_list(folder: Path):
    (folder / "run.yaml").write_text("ops:\n  [load, save]: {}\n")
    config_from_files([str(folder / "run.yaml")])
