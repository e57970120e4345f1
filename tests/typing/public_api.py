"""The public API as users write it. Read by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Iterator

from treadle import (
    Config,
    DynamicOut,
    DynamicOutput,
    Field,
    In,
    Nothing,
    OpExecutionContext,
    Out,
    Output,
    RetryPolicy,
    graph,
    job,
    op,
    resource,
)


class Threshold(Config):
    minutes: int = 15


@op
def start() -> int:
    return 1


@op(config_schema={"limit": Field(int, default_value=3)}, retry_policy=RetryPolicy(max_retries=2))
def with_context(context: OpExecutionContext, number: int) -> int:
    context.log.info("got %s in run %s", number, context.run_id)
    return number


@op(ins={"number": In(int)}, out={"small": Out(int, is_required=False), "large": Out(int, is_required=False)})
def sort_out(number: int, config: Threshold) -> Iterator[Output[int]]:
    yield Output(number, output_name="large" if number > config.minutes else "small")


@op(out=DynamicOut(int))
def branches() -> Iterator[DynamicOutput[int]]:
    for number in range(3):
        yield DynamicOutput(number, mapping_key=str(number))


@op
def total(numbers: list[int]) -> int:
    return sum(numbers)


@op(ins={"after": In(Nothing)}, required_resource_keys={"folder"})
def last() -> None:
    return None


@resource(config_schema={"path": str})
def folder() -> str:
    return "."


@graph
def inner(number: int) -> int:
    return with_context(number)


@job(resource_defs={"folder": folder})
def whole() -> None:
    inner(start())
    last(after=total(branches().map(with_context).collect()))


def run_it() -> int:
    result = whole.execute_in_process(run_config={"ops": {"total": {}}}, raise_on_error=False)
    value: int = result.output_for_node("total")
    for event in result.all_events:
        print(event.event_type_value, event.step_key)
    return value if result.success else 0
