"""Mistakes in tests of ops, resources and the rest: direct calls, and contexts that are built by hand."""

from __future__ import annotations

from typing import Any

from tests.messages.catalogue import section
from treadle import (
    Config,
    DagsterRunStatus,
    DynamicOut,
    DynamicOutput,
    HookDefinition,
    In,
    IOManager,
    Nothing,
    OpDefinition,
    Out,
    Output,
    ResourceParam,
    build_hook_context,
    build_init_logger_context,
    build_init_resource_context,
    build_input_context,
    build_op_context,
    build_output_context,
    graph,
    job,
    logger,
    op,
    resource,
    success_hook,
)

calls = section("ops, called")


class Rows(Config):
    rows: int


@op
def add(left: int, right: int) -> int:
    return left + right


@op
def tell(context, rows: int):
    context.log.info(rows)


@op(config_schema={"rows": int})
def limited(context):
    return context.op_config["rows"]


@op
def typed(config: Rows):
    return config.rows


@op(required_resource_keys={"db"})
def query(context):
    return context.resources.db


@op(ins={"start": In(Nothing)})
def after():
    pass


@calls
def missing_input():
    add(1)


@calls
def too_many_inputs():
    add(1, 2, 3)


@calls
def unknown_input():
    add(1, rigth=2)


@calls
def input_by_place_and_by_name():
    add(1, 2, left=3)


@calls
def input_of_another_type():
    add(1, "2")


@calls
def output_of_another_type():
    @op
    def text() -> int:
        return "3"

    text()


@calls
def without_a_context():
    tell(3)


@calls
def without_anything():
    tell()


@calls
def value_for_a_Nothing_input():
    after(start=3)


@calls
def without_config():
    limited(build_op_context())


@calls
def with_config_that_does_not_fit():
    limited(build_op_context(op_config={"row": 3}))


@calls
def without_the_config_parameter():
    typed()


@calls
def config_in_both_places():
    @op
    def both(context, config: Rows):
        pass

    both(build_op_context(op_config={"rows": 3}), config=Rows(rows=3))


@calls
def without_a_resource():
    query(build_op_context())


@calls
def misspelt_resource():
    query(build_op_context(resources={"bd": 3}))


@calls
def output_that_was_not_given():
    @op(out={"late": Out(), "early": Out()})
    def split():
        yield Output(1, "late")

    list(split())


@calls
def output_of_an_unknown_name():
    @op(out={"late": Out(), "early": Out()})
    def split():
        yield Output(1, "lat")

    list(split())


@calls
def bare_value_yielded():
    @op
    def one():
        yield 1

    list(one())


@calls
def run_of_a_context_without_one():
    build_op_context().run


@calls
def op_of_a_context_outside_a_body():
    build_op_context().op_def


@calls
def both_names_of_op_config():
    build_op_context(op_config={}, config={})


@calls
def resources_in_a_list():
    build_op_context(resources=[3])


@calls
def instance_that_is_a_path():
    build_op_context(instance="/tmp/home")


@calls
def generator_resource_outside_a_block():
    @resource
    def db():
        yield 3

    build_op_context(resources={"db": db}).resources.db


@calls
def context_by_place_and_by_name():
    tell(build_op_context(), 3, context=build_op_context())


@calls
def input_by_place_and_by_name_of_one():
    tell(build_op_context(), 3, rows=3)


@calls
def unknown_input_beside_all_others():
    @op
    def count(rows: int, limit: int = 3):
        pass

    count(1, limt=4)


@calls
def op_of_an_OpDefinition():
    OpDefinition(lambda context, inputs: 1, "load")()


@calls
def resources_in_both_places():
    @op
    def ask(context, db: ResourceParam[int]):
        pass

    ask(build_op_context(resources={"other": 3}), db=3)


@calls
def output_twice():
    @op
    def one():
        yield Output(1)
        yield Output(2)

    list(one())


@calls
def plain_output_for_a_dynamic_one():
    @op(out=DynamicOut())
    def spread():
        yield Output(1)

    list(spread())


# -- the rest ------------------------------------------------------------------------------------------------------------------

rest = section("resources, hooks and loggers, called")


@resource(config_schema={"url": str})
def database(context):
    return context.resource_config["url"]


@resource
def constant():
    return 3


@success_hook(required_resource_keys={"chat"})
def announce(context):
    pass


@success_hook
def announce_op(context):
    context.op_output_values
    context.op


@logger(config_schema={"level": str})
def console(init_context):
    pass


@rest
def resource_without_a_context():
    database()


@rest
def resource_without_its_config():
    database(None)


@rest
def resource_with_config_that_does_not_fit():
    database(build_init_resource_context(config={"ulr": "x"}))


@rest
def resource_that_takes_no_context():
    constant(build_init_resource_context())


@rest
def hook_without_a_context():
    announce()


@rest
def hook_with_a_value():
    announce(3)


@rest
def hook_without_its_resource():
    announce(build_hook_context(resources={"chta": 3}))


@rest
def hook_that_asks_for_an_op():
    announce_op(build_hook_context())


@rest
def hook_context_of_a_job():
    build_hook_context(op=job(name="nightly")(lambda: None))


@rest
def logger_without_a_context():
    console()


@rest
def logger_context_of_an_op():
    build_init_logger_context(job_def=add)


class Files(IOManager):
    def handle_output(self, context, obj):
        return context.step_key

    def load_input(self, context):
        return context.upstream_output.step_key


@rest
def output_context_without_a_step():
    Files().handle_output(build_output_context(), 3)


@rest
def input_context_of_a_value():
    build_input_context(upstream_output=3)


@rest
def resource_of_two_contexts():
    database(None, None)


@rest
def resource_with_a_misnamed_context():
    database(contxt=None)


@rest
def resource_of_a_value():
    database(3)


@rest
def resource_without_the_one_that_it_needs():
    @resource(required_resource_keys={"url"})
    def db(context):
        pass

    db(build_init_resource_context())


@rest
def hook_with_a_misnamed_context():
    announce(contxt=None)


@rest
def hook_made_without_a_decorator():
    HookDefinition(name="tell", hook_fn=lambda context, events: None)(None)


@rest
def hook_context_without_an_instance():
    build_hook_context().instance


@rest
def hook_context_without_a_run():
    build_hook_context().run_id


@rest
def both_names_of_the_metadata_of_an_output():
    build_output_context(metadata={"a": 1}, definition_metadata={"a": 1})


@rest
def identifier_of_an_input_without_an_output():
    build_input_context().get_identifier()


@rest
def partition_of_an_input():
    build_input_context().partition_key


@rest
def logger_of_a_value():
    console(3)


# -- results -------------------------------------------------------------------------------------------------------------------

results = section("results")


@op(out={"late": Out(int, is_required=False), "early": Out(int, is_required=False)})
def judge():
    yield Output(12, "late")


@op
def complain(delay: int):
    raise ValueError(f"{delay} minutes late")


@op
def praise(delay: int):
    pass


@op
def follow(value):
    pass


@job
def nightly():
    late, early = judge()
    follow(complain(late))
    praise(early)


def result() -> Any:
    return nightly.execute_in_process(raise_on_error=False)


@results
def unknown_node():
    result().output_for_node("judg")


@results
def unknown_output():
    result().output_for_node("judge", "lat")


@results
def output_named_result_that_is_not_there():
    result().output_for_node("judge")


@results
def output_that_was_not_given_by_an_op():
    result().output_for_node("judge", "early")


@results
def output_of_a_failed_op():
    result().output_for_node("complain")


@results
def output_of_a_skipped_op():
    result().output_for_node("praise")


@results
def output_of_an_op_that_never_started():
    result().output_for_node("follow")


@results
def output_of_a_job():
    result().output_value()


@results
def node_inside_an_op():
    result().output_for_node("judge.late")


@results
def event_that_did_not_happen():
    result().get_run_success_event()


@results
def unknown_member():
    result().output_for_nod("judge")


@results
def node_result_that_is_not_there():
    result().result_for_node("prais")


@results
def data_of_another_kind_of_event():
    result().all_events[0].step_output_data


@results
def asset():
    result().asset_value("flights")


@results
def unknown_status():
    DagsterRunStatus("DONE")


@results
def output_of_a_graph_that_it_does_not_have():
    @graph
    def all_of_it():
        return add.alias("two")(judge()[0], judge()[0])

    job_result = all_of_it.execute_in_process(raise_on_error=False)
    job_result.output_value("sum")


@results
def branch_by_its_key():
    @op(out=DynamicOut())
    def spread():
        return [DynamicOutput(1, "one")]

    @graph
    def all_of_it():
        spread().map(follow)

    all_of_it.execute_in_process().output_for_node("follow[one]")


@results
def mapped_over_nothing():
    @op(out=DynamicOut())
    def spread():
        return []

    @graph
    def all_of_it():
        spread().map(follow)

    all_of_it.execute_in_process().output_for_node("follow")


@results
def node_of_a_run_event():
    result().all_events[0].node_name
