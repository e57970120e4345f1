"""Mistakes in the definition of ops, types, resources and the rest: each is refused where it is written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol, Union

from tests.messages.catalogue import section
from treadle import (
    Array,
    Backoff,
    Config,
    ConfigMapping,
    ConfigurableResource,
    DagsterType,
    DynamicOutput,
    Enum,
    EnumValue,
    Field,
    In,
    IOManagerDefinition,
    Jitter,
    List,
    LoggerDefinition,
    Map,
    Noneable,
    Nothing,
    Out,
    OutputDefinition,
    PythonObjectDagsterType,
    ResourceDefinition,
    RetryPolicy,
    ScalarUnion,
    Selector,
    Shape,
    configured,
    dagster_type_loader,
    executor,
    failure_hook,
    graph,
    io_manager,
    job,
    logger,
    make_python_type_usable_as_dagster_type,
    multiprocess_executor,
    op,
    resource,
    success_hook,
    usable_as_dagster_type,
)
from treadle.definitions.executors import read_execution

ops = section("ops")


@op
def load():
    return 1


class Rows(Config):
    rows: int


class Airport:
    pass


@ops
def name_with_a_blank():
    op(name="a b")(lambda: 1)


@ops
def name_of_a_lambda():
    op(lambda: 1)


@ops
def name_that_is_reserved():
    op(name="context")(load.compute_fn)


@ops
def name_that_is_a_word_of_Python():
    op(name="class")(load.compute_fn)


@ops
def name_that_is_no_text():
    op(name=3)(load.compute_fn)


@ops
def decorator_without_a_function():
    op("load")


@ops
def varargs():
    @op
    def total(*rows):
        pass


@ops
def ins_names_no_parameter():
    @op(ins={"row": In(int)})
    def total(rows):
        pass


@ops
def ins_holds_no_In():
    @op(ins={"rows": int})
    def total(rows):
        pass


@ops
def Nothing_input_among_the_parameters():
    @op(ins={"start": In(Nothing)})
    def total(start):
        pass


@ops
def Nothing_input_with_a_default():
    @op(ins={"start": In(Nothing, default_value=3)})
    def total():
        pass


@ops
def default_of_another_type():
    @op
    def total(rows: int = "3"):
        pass


@ops
def out_holds_no_Out():
    @op(out={"rows": int})
    def total():
        pass


@ops
def out_is_a_type():
    @op(out=int)
    def total():
        pass


@ops
def output_name_with_a_blank():
    @op(out={"a b": Out()})
    def total():
        pass


@ops
def several_outputs_with_an_annotation_that_is_no_tuple():
    @op(out={"late": Out(), "early": Out()})
    def split() -> int:
        pass


@ops
def several_outputs_with_a_tuple_of_another_length():
    @op(out={"late": Out(), "early": Out()})
    def split() -> tuple[int, int, int]:
        pass


@ops
def same_output_twice():
    @op(output_defs=[OutputDefinition(name="late"), OutputDefinition(name="late")])
    def split():
        pass


@ops
def timeout_on_a_thread_without_a_promise():
    op(name="load", timeout=5, isolation="thread")(lambda: 1)


@ops
def memory_limit_on_a_thread():
    op(name="load", memory_limit="1 GB", isolation="thread")(lambda: 1)


@ops
def both_forms_of_outputs():
    @op(out=Out(), output_defs=[OutputDefinition()])
    def split():
        pass


@ops
def config_declared_twice():
    @op(config_schema={"rows": int})
    def total(config: Rows):
        pass


@ops
def config_schema_that_is_none():
    @op(config_schema={"rows": "int"})
    def total(context):
        pass


@ops
def resource_keys_in_a_string():
    op(required_resource_keys="db")(load.compute_fn)


@ops
def retry_policy_that_is_a_number():
    op(retry_policy=3)(load.compute_fn)


@ops
def tag_that_is_no_text():
    op(tags={"a": object})(load.compute_fn)


@ops
def tag_name_that_is_no_text():
    op(tags={3: "a"})(load.compute_fn)


@ops
def pool_with_a_blank():
    op(pool="a b")(load.compute_fn)


@ops
def priority_that_is_no_number():
    @job
    def nightly():
        load.tag({"dagster/priority": "high"})()

    nightly.execute_in_process()


@ops
def ins_in_a_list():
    op(ins=[In(int)])(load.compute_fn)


@ops
def input_that_is_called_context():
    @op(ins={"context": In(int)})
    def total():
        pass


@ops
def one_dynamic_output_annotated():
    @op
    def split() -> DynamicOutput:
        pass


@ops
def pool_that_a_tag_contradicts():
    op(pool="a", tags={"dagster/concurrency_key": "b"})(load.compute_fn)


# -- retry policies ------------------------------------------------------------------------------------------------

policies = section("retry policies")


@policies
def negative_number_of_retries():
    RetryPolicy(max_retries=-1)


@policies
def number_of_retries_that_is_text():
    RetryPolicy(max_retries="3")


@policies
def negative_delay():
    RetryPolicy(max_retries=1, delay=-1)


@policies
def delay_that_is_text():
    RetryPolicy(max_retries=1, delay="1s")


@policies
def backoff_without_delay():
    RetryPolicy(max_retries=1, backoff=Backoff.LINEAR)


@policies
def jitter_without_delay():
    RetryPolicy(max_retries=1, jitter=Jitter.FULL)


@policies
def backoff_by_its_name():
    RetryPolicy(max_retries=1, delay=1, backoff="LINEAR")


# -- types -----------------------------------------------------------------------------------------------------------

types = section("types")


class Lands(Protocol):
    def land(self) -> None: ...


def type_of(annotation: Any) -> None:
    @op(ins={"rows": In(annotation)})
    def total(rows):
        pass


@types
def union():
    type_of(Union[int, str])


@types
def literal():
    type_of(Literal["EWR", "JFK"])


@types
def callable_():
    type_of(Callable[[int], int])


@types
def iterator():
    type_of(Iterator[int])


@types
def tuple_of_any_length():
    type_of(tuple[int, ...])


@types
def name_of_a_class_as_text():
    type_of("Airport")


@types
def value_in_place_of_a_type():
    type_of(3)


@types
def list_of_types():
    type_of([int])


@types
def tuple_of_types():
    type_of((int, str))


@types
def config_type():
    type_of(Noneable(int))


@types
def protocol_that_cannot_be_checked():
    type_of(Lands)


@types
def annotation_that_names_nothing():
    @op
    def total(rows: Ariport):  # noqa: F821
        pass


@types
def too_many_parameters_of_List():
    List[int, str]


@types
def Nothing_in_a_list():
    List[Nothing]


@types
def without_a_name():
    DagsterType(lambda _, value: True)


@types
def check_function_without_a_context():
    DagsterType(lambda value: True, name="Even")


@types
def check_function_that_is_none():
    DagsterType(3, name="Even")


@types
def loader_that_is_a_function():
    DagsterType(lambda _, value: True, name="Even", loader=load)


@types
def typing_generic_as_a_python_object():
    PythonObjectDagsterType(list[int])


@types
def class_with_a_type_already():
    usable_as_dagster_type(usable_as_dagster_type(type("Plane", (), {})))


@types
def builtin_class_registered():
    make_python_type_usable_as_dagster_type(int, PythonObjectDagsterType(int, name="Number"))


@types
def class_registered_after_its_first_use():
    class Gate:
        pass

    type_of(Gate)
    make_python_type_usable_as_dagster_type(Gate, PythonObjectDagsterType(Gate))


@types
def registered_type_that_is_none():
    make_python_type_usable_as_dagster_type(Airport, int)


@types
def loader_function_without_a_context():
    dagster_type_loader(int)(lambda config: config)


@types
def two_types_of_one_name():
    one, other = (DagsterType(lambda _, value: True, name="Even") for _ in range(2))

    @job
    def nightly():
        @op(out=Out(one))
        def give():
            pass

        @op(ins={"rows": In(other)})
        def take(rows):
            pass

        take(give())


@types
def loader_of_a_value():
    dagster_type_loader(int)(3)


# -- resources, IO managers, loggers, hooks, executors -----------------------------------------------------------------

others = section("resources, hooks and loggers, defined")


@others
def resource_that_takes_more_than_a_context():
    @resource
    def db(context, url):
        pass


@others
def resource_made_of_a_value():
    ResourceDefinition(3)


@others
def resource_keys_as_a_string():
    @resource(required_resource_keys="db")
    def db(context):
        pass


@others
def resource_key_that_is_no_name():
    job(name="nightly", resource_defs={"my db": 3})(lambda: None)


@others
def resource_that_needs_one_that_is_missing():
    @resource(required_resource_keys={"dbx"})
    def report(context):
        pass

    @job(resource_defs={"report": report, "db": 3})
    def nightly():
        load()


@others
def resources_that_need_one_another():
    one = ResourceDefinition(lambda context: 1, required_resource_keys={"b"})
    other = ResourceDefinition(lambda context: 1, required_resource_keys={"a"})

    @job(resource_defs={"a": one, "b": other})
    def nightly():
        load()


@others
def io_manager_that_takes_more_than_a_context():
    @io_manager
    def files(context, folder):
        pass


@others
def io_manager_that_is_a_function():
    @job(resource_defs={"io_manager": lambda: 3})
    def nightly():
        load()

    nightly.execute_in_process()


@others
def hook_without_a_context():
    @success_hook
    def tell():
        pass


@others
def hook_of_two_parameters():
    @failure_hook
    def tell(context, error):
        pass


@others
def hook_of_a_value():
    success_hook(3)


@others
def hooks_that_are_functions():
    job(name="nightly", hooks={load.compute_fn})(lambda: None)


@others
def hooks_that_are_one_hook():
    @success_hook
    def tell(context):
        pass

    load.with_hooks(tell)


@others
def logger_of_two_parameters():
    @logger
    def console(init_context, level):
        pass


@others
def job_whose_logger_is_none():
    @job(logger_defs={"console": logging.getLogger("console")})
    def nightly():
        load()


@others
def logger_made_of_a_value():
    LoggerDefinition(3)


@others
def logger_that_makes_none():
    @logger
    def silent(init_context):
        return None

    @job(logger_defs={"silent": silent})
    def nightly():
        load()

    nightly.execute_in_process(run_config={"loggers": {"silent": {}}})


@others
def executor_of_no_parameter():
    @executor
    def threads():
        pass


@others
def configured_of_a_function():
    configured(load.compute_fn)


@others
def configured_by_a_function_of_two_parameters():
    @op(config_schema={"rows": int})
    def take(context):
        pass

    @configured(take)
    def take_three(config, more):
        pass


@others
def configured_without_a_name():
    @op(config_schema={"rows": int})
    def take(context):
        pass

    configured(take)({"rows": 3})


@others
def configured_graph_without_a_config_mapping():
    @graph
    def all_of_it():
        load()

    all_of_it.configured({}, name="less")


@others
def config_mapping_of_a_value():
    ConfigMapping(3)


@others
def graph_config_that_is_a_number():
    graph(name="all_of_it", config=3)(lambda: None)


@others
def io_manager_definition_of_a_value():
    IOManagerDefinition(3)


@others
def ConfigMapping_with_text_in_place_of_a_bool():
    ConfigMapping(lambda config: config, receive_processed_config_values="yes")


@others
def resource_field_of_a_class_of_ones_own():
    class Database(ConfigurableResource):
        airport: Airport

    job(name="nightly", resource_defs={"db": Database(airport=Airport())})(load)


@others
def nested_resource_launched_but_not_bound():
    class Inner(ConfigurableResource):
        url: str

    class Outer(ConfigurableResource):
        inner: Inner

    outer = Outer(inner=Inner.configure_at_launch())

    @job(resource_defs={"outer": outer})
    def nightly():
        load()

    nightly.execute_in_process()


@others
def multiprocess_executor_with_bad_numbers():
    multiprocess_executor.configured({"max_concurrent": -1, "isolation": "own"})
    read_execution("multiprocess", {"max_concurrent": -1, "isolation": "own"})


# -- config schemas ------------------------------------------------------------------------------------------------------

schemas = section("config schemas")


def schema(given: Any) -> None:
    op(name="load", config_schema=given)(lambda context: 1)


@schemas
def list_of_two_types():
    schema({"rows": [int, str]})


@schemas
def type_that_is_text():
    schema({"rows": "int"})


@schemas
def nested_deep():
    schema({"files": {"path": {"name": 3}}})


@schemas
def typing_List():

    schema({"rows": list[int]})


@schemas
def typing_Optional():
    import typing

    schema({"rows": typing.Optional[int]})


@schemas
def Treadles_own_List():
    schema({"rows": List[int]})


@schemas
def DagsterType_():
    schema({"rows": PythonObjectDagsterType(int)})


@schemas
def class_of_a_config_type():
    schema({"rows": Selector})


@schemas
def class_of_ones_own():
    schema({"rows": Airport})


@schemas
def map_of_two_types():
    schema({"rows": {str: int, int: str}})


@schemas
def key_that_is_a_number():
    schema({3: int})


@schemas
def Map_with_a_list_as_key():
    Map([int], int)


@schemas
def required_with_a_default():
    Field(int, default_value=3, is_required=True)


@schemas
def default_that_does_not_fit():
    Field({"rows": int}, default_value={"row": 3})


@schemas
def default_that_is_a_member_of_an_enum():
    import enum

    class Colour(enum.Enum):
        RED = 1

    Field(Enum.from_python_enum(Colour), default_value=Colour.RED)


@schemas
def Enum_with_a_value_twice():
    Enum("Colour", [EnumValue("red"), EnumValue("red")])


@schemas
def Enum_of_strings():
    Enum("Colour", ["red"])


@schemas
def alias_of_an_unknown_field():
    from treadle import Shape

    Shape({"rows": int}, field_aliases={"row": "r"})


@schemas
def description_that_is_a_number():
    Field(int, description=3)


@schemas
def tuple_field_in_a_Config_class():
    class Months(Config):
        months: tuple[int, int]

    Months.to_config_schema()


@schemas
def class_field_in_a_Config_class():
    class Where(Config):
        airport: Airport

    Where.to_config_schema()


@schemas
def config_Field_in_a_Config_class():
    class Wrong(Config):
        rows: int = Field(int)

    Wrong.to_config_schema()


@schemas
def union_of_Config_classes():
    class One(Config):
        a: int

    class Other(Config):
        b: int

    class Either(Config):
        which: Union[One, Other]

    Either.to_config_schema()


@schemas
def ScalarUnion_of_a_list():
    ScalarUnion([int], {"value": int})


@schemas
def ScalarUnion_of_two_scalars():
    ScalarUnion(int, str)


@schemas
def enum_of_Python():
    import enum

    class Colour(enum.Enum):
        RED = 1

    schema({"colour": Colour})


@schemas
def tuple_of_two_types():
    schema({"rows": (int, int)})


@schemas
def pydantic_class():
    import pydantic

    class Where(pydantic.BaseModel):
        airport: str

    schema(Where)


@schemas
def Field_of_a_Field():
    Field(Field(int))


@schemas
def map_of_text():
    schema({"counts": {str: "int"}})


@schemas
def list_of_text():
    schema({"counts": ["int"]})


@schemas
def Array_of_text():
    Array("int")


@schemas
def Shape_with_a_number_as_key():
    Shape({3: int})


@schemas
def one_alias_for_two_fields():
    Shape({"rows": int, "n": int}, field_aliases={"rows": "n"})


@schemas
def Config_class_that_contains_itself():
    Tree.to_config_schema()


@schemas
def Literal_of_numbers():
    class Where(Config):
        gate: Literal[1, 2]

    Where.to_config_schema()


@schemas
def dict_with_keys_of_ones_own():
    class Where(Config):
        counts: dict[tuple[int, int], int]

    Where.to_config_schema()


@schemas
def union_of_a_number_and_a_list():
    class Where(Config):
        rows: Union[int, list[int]]

    Where.to_config_schema()


@schemas
def pydantic_class_in_a_Config_class():
    import pydantic

    class Inner(pydantic.BaseModel):
        rows: int

    class Where(Config):
        inner: Inner

    Where.to_config_schema()


@schemas
def default_of_a_Config_class_that_does_not_fit():
    class Where(Config):
        rows: int = "many"

    Where.to_config_schema()


@schemas
def default_asked_of_a_field_without_one():
    Field(int).default_value


class Tree(Config):
    branches: list[Tree]
