"""Mistakes in the body of a graph or job, and in what a job is bound to."""

from __future__ import annotations

import os

from tests.conformance.wiring import job_of
from tests.messages.catalogue import section
from treadle import (
    DependencyDefinition,
    DynamicOut,
    DynamicOutput,
    GraphDefinition,
    GraphIn,
    GraphOut,
    In,
    InputMapping,
    JobDefinition,
    MultiDependencyDefinition,
    Nothing,
    Out,
    OutputMapping,
    graph,
    job,
    op,
)

composition = section("composition")


@op
def load() -> list[int]:
    return [12, -3]


@op
def worst(delays: list[int]) -> int:
    return max(delays)


@op
def add(left: int, right: int = 0) -> int:
    return left + right


@op(out={"late": Out(int), "early": Out(int)})
def split():
    return 12, -3


@op(out=DynamicOut(int))
def spread():
    yield DynamicOutput(1, mapping_key="one")


@op(out=DynamicOut(int))
def spread_again():
    yield DynamicOutput(1, mapping_key="one")


@op
def take(values):
    pass


@op(out=Out(Nothing))
def clean():
    pass


@op
def give_text() -> str:
    return "EWR"


def body(function):
    """A job with this body, whatever it returns."""

    def nightly():
        function()

    return job(nightly)


@composition
def constant_as_argument():
    body(lambda: add(3))


@composition
def op_that_was_not_called():
    body(lambda: worst(load))


@composition
def dict_as_argument():
    body(lambda: take({"a": load()}))


@composition
def tuple_of_outputs_as_argument():
    body(lambda: take(split()))


@composition
def constant_in_a_list():
    body(lambda: take([load(), 3]))


@composition
def same_output_twice_in_a_list():
    def nightly():
        rows = load()
        take([rows, rows])

    body(nightly)


@composition
def unknown_input():
    body(lambda: worst(delay=load()))


@composition
def too_many_arguments():
    body(lambda: worst(load(), load()))


@composition
def argument_by_place_and_by_name():
    body(lambda: worst(load(), delays=load()))


@composition
def same_alias_twice():
    def nightly():
        load.alias("rows")()
        load.alias("rows")()

    body(nightly)


@composition
def alias_with_a_blank():
    load.alias("a b")


@composition
def two_ops_of_one_name():
    def nightly():
        op(name="load")(load.compute_fn)()
        load()

    body(nightly)


@composition
def iterating_an_output():
    body(lambda: [take(each) for each in load()])


@composition
def index_of_an_output():
    body(lambda: take(load()[0]))


@composition
def output_as_a_condition():
    body(lambda: take(load()) if load() else None)


@composition
def iterating_an_input_of_the_graph():
    @graph
    def each_of(rows):
        for row in rows:
            take(row)


@composition
def alias_after_the_call():
    body(lambda: load().alias("rows"))


@composition
def output_of_another_graph():
    rows = []

    @graph
    def inner():
        rows.append(load())

    @graph
    def outer():
        take(rows[0])


@composition
def unknown_output_of_several():
    body(lambda: take(split().lat))


@composition
def job_that_returns_something():
    job(name="nightly")(lambda: load())


@composition
def job_called():
    body(load)()


@composition
def graph_called_outside():
    graph(name="all_of_it")(lambda: load())()


@composition
def graph_input_that_is_not_used():
    @graph
    def all_of_it(rows):
        load()


@composition
def graph_of_varargs():
    @graph
    def all_of_it(*rows):
        take(rows)


@composition
def ins_names_no_parameter():
    @graph(ins={"row": GraphIn()})
    def all_of_it(rows):
        take(rows)


@composition
def graph_that_returns_a_constant():
    graph(name="all_of_it")(lambda: 3)


@composition
def graph_that_returns_nothing_of_what_it_declares():
    @graph(out={"rows": GraphOut()})
    def all_of_it():
        load()


@composition
def graph_that_returns_an_undeclared_output():
    @graph(out={"rows": GraphOut()})
    def all_of_it():
        return {"row": load()}


@composition
def graph_that_leaves_an_output_out():
    @graph(out={"rows": GraphOut(), "late": GraphOut()})
    def all_of_it():
        return {"rows": load()}


@composition
def graph_that_returns_too_few_outputs():
    @graph(out={"rows": GraphOut(), "late": GraphOut()})
    def all_of_it():
        return load()


@composition
def default_of_a_graph_input_of_another_type():
    @graph
    def all_of_it(rows: int = "3"):
        take(rows)


@composition
def input_that_nothing_can_give():
    class Plane:
        pass

    @op(ins={"plane": In(Plane)})
    def land(plane):
        pass

    body(lambda: land())


@composition
def list_element_that_is_connected_to_nothing():
    @graph
    def inner(rows):
        take([rows, load()])

    body(lambda: inner())


# -- types at the two ends ------------------------------------------------------------------------------------------------

ends = section("types of connected ends")


@ends
def text_to_a_number():
    body(lambda: add(give_text()))


@ends
def number_to_a_list():
    body(lambda: worst(add(worst(load()))))


@ends
def nothing_to_a_number():
    body(lambda: add(clean()))


@ends
def list_to_a_number():
    body(lambda: add([worst(load())]))


@ends
def text_to_a_number_where_it_is_an_error():
    os.environ["TREADLE_WIRING"] = "strict"
    try:
        body(lambda: add(give_text()))
    finally:
        del os.environ["TREADLE_WIRING"]


# -- dynamic ---------------------------------------------------------------------------------------------------------------

dynamic = section("dynamic outputs, composed")


@dynamic
def passed_to_an_op():
    body(lambda: take(spread()))


@dynamic
def mapped_and_passed_to_an_op():
    body(lambda: take(spread().map(add)))


@dynamic
def in_a_list():
    body(lambda: take([load(), spread()]))


@dynamic
def collected_in_a_list():
    body(lambda: take([load(), spread().collect()]))


@dynamic
def map_of_a_plain_output():
    body(lambda: load().map(take))


@dynamic
def collect_of_a_plain_output():
    body(lambda: take(load().collect()))


@dynamic
def collected_twice():
    body(lambda: take(spread().collect().collect()))


@dynamic
def map_takes_no_function():
    body(lambda: spread().map(3))


@dynamic
def map_of_a_function_that_gives_a_constant():
    body(lambda: spread().map(lambda each: 3))


@dynamic
def below_two_fan_outs():
    body(lambda: add(spread(), spread_again()))


@dynamic
def below_two_fan_outs_by_map():
    body(lambda: spread().map(lambda a: spread_again().map(lambda b: add(a, b))))


@dynamic
def modifier_after_the_call():
    body(lambda: spread().with_hooks(set()))


# -- without a function --------------------------------------------------------------------------------------------------

written_out = section("graphs from dependencies")


def made(dependencies, node_defs=(load, worst), **options):
    GraphDefinition("made", node_defs=list(node_defs), dependencies=dependencies, **options)


@written_out
def function_without_a_decorator():
    made({}, [load.compute_fn])


@written_out
def two_definitions_of_one_name():
    made({}, [load, op(name="load")(load.compute_fn)])


@written_out
def node_that_is_not_defined():
    made({"lod": {}})


@written_out
def edge_from_an_unknown_node():
    made({"worst": {"delays": DependencyDefinition("laod")}})


@written_out
def edge_from_an_unknown_output():
    made({"worst": {"delays": DependencyDefinition("load", "resul")}})


@written_out
def edge_to_an_unknown_input():
    made({"worst": {"delay": DependencyDefinition("load")}})


@written_out
def edge_that_is_a_name():
    made({"worst": {"delays": "load"}})


@written_out
def circle():
    one, other = (op(name=name)(lambda value: value) for name in ("one", "other"))
    made(
        {"one": {"value": DependencyDefinition("other")}, "other": {"value": DependencyDefinition("one")}}, [one, other]
    )


@written_out
def input_mapped_to_nothing():
    made({}, input_mappings=[InputMapping("rows", "worst", "delay")])


@written_out
def output_mapped_from_nothing():
    made({}, output_mappings=[OutputMapping("rows", "lod")])


@written_out
def output_mapped_twice():
    made({}, output_mappings=[OutputMapping("rows", "load"), OutputMapping("rows", "worst")])


@written_out
def dynamic_output_in_a_fan_in():
    GraphDefinition(
        "made",
        node_defs=[spread, take],
        dependencies={"take": {"values": MultiDependencyDefinition([DependencyDefinition("spread")])}},
    ).to_job()


@written_out
def unknown_node_asked_for():
    GraphDefinition("made", node_defs=[load]).node_named("lod")


# -- jobs --------------------------------------------------------------------------------------------------------------------

jobs = section("jobs")


@op(required_resource_keys={"database"})
def query(context):
    pass


@op(out=Out(io_manager_key="files"))
def store():
    return 1


@op(ins={"rows": In(int, input_manager_key="tables")})
def read(rows):
    pass


def run(function, resource_defs=None, **options):
    job_of(function, "nightly", resource_defs=resource_defs).execute_in_process(**options)


@jobs
def name_with_a_blank():
    job(name="a b")(lambda: None)


@jobs
def resource_defs_in_a_list():
    job(name="nightly", resource_defs=["database"])(lambda: None)


@jobs
def missing_resource():
    run(lambda: query(), {"databse": 3})


@jobs
def missing_io_manager():
    run(lambda: store(), {"file": 3})


@jobs
def missing_input_manager():
    run(lambda: read())


@jobs
def input_manager_that_is_a_value():
    run(lambda: read(), {"tables": 3})


@jobs
def executor_by_its_name():
    job(name="nightly", executor_def="in_process")(lambda: None)


@jobs
def retry_policy_that_is_a_number():
    job(name="nightly", op_retry_policy=3)(lambda: None)


@jobs
def hooks_that_are_text():
    job(name="nightly", hooks="tell")(lambda: None)


@jobs
def metadata_that_cannot_be():
    job(name="nightly", metadata={"a": object()})(lambda: None)


@jobs
def owner_that_is_no_address():
    job(name="nightly", owners=["jo"])(lambda: None)


@jobs
def run_config_as_text():
    run(lambda: load(), run_config="run.yaml")


@jobs
def instance_that_is_a_path():
    run(lambda: load(), instance="/tmp/home")


@jobs
def run_id_that_is_none():
    run(lambda: load(), run_id="tonight")


@jobs
def tags_that_are_no_text():
    run(lambda: load(), tags={"a": object()})


@jobs
def partition_key():
    run(lambda: load(), partition_key="2013-01-01")


@jobs
def unknown_input_value():
    @graph
    def all_of_it(rows):
        take(rows)

    all_of_it.execute_in_process(input_values={"row": 3})


@jobs
def input_without_a_value():
    @graph
    def all_of_it(rows: int):
        add(rows)

    all_of_it.execute_in_process()


@jobs
def input_without_a_value_that_config_cannot_give():
    class Plane:
        pass

    @op(ins={"plane": In(Plane)})
    def land(plane):
        pass

    @graph
    def all_of_it(plane):
        land(plane)

    all_of_it.execute_in_process()


@jobs
def job_of_an_op():
    JobDefinition(graph_def=load)


@jobs
def op_selection_in_the_definition():
    graph(name="all_of_it")(lambda: load()).to_job(op_selection="load")


@jobs
def resource_key_that_is_a_number():
    job(name="nightly", resource_defs={3: 3})(lambda: None)


@jobs
def input_values_of_an_unknown_input():
    @graph
    def all_of_it(rows):
        take(rows)

    all_of_it.to_job(input_values={"row": 3})


@jobs
def team_without_a_name():
    job(name="nightly", owners=["team:"])(lambda: None)


@jobs
def partitions():
    job(name="nightly", partitions_def=3)(lambda: None)


# -- selection ---------------------------------------------------------------------------------------------------------------

selections = section("selection")


@graph
def inner():
    return worst(load())


@job
def outer():
    take(inner())


def select(*clauses):
    outer.execute_in_process(op_selection=list(clauses))


@selections
def misspelt_name():
    select("takes")


@selections
def two_misspelt_names():
    select("takes", "*innr")


@selections
def name_inside_a_graph_that_is_not_there():
    select("inner.worts")


@selections
def name_inside_an_op():
    select("take.rows")


@selections
def operator_with_a_dotted_name():
    select("*inner.worst")


@selections
def graph_that_is_not_there():
    select("iner.worst")


@selections
def one_text_in_place_of_a_list():
    outer.execute_in_process(op_selection="take")
