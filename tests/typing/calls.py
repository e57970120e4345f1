"""Ops called in graphs and in tests, as users write them. Read by mypy and pyright, never run.

What is wrong on purpose stands in wrong_calls.txt; here everything is right, and nothing may be found at fault.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Optional

from typing_extensions import assert_type

from treadle import (
    AssetMaterialization,
    Config,
    ConfigurableResource,
    DynamicOut,
    DynamicOutput,
    GraphDefinition,
    GraphOut,
    HookContext,
    In,
    JobDefinition,
    Nothing,
    OpDefinition,
    OpExecutionContext,
    Out,
    Output,
    ResourceParam,
    RetryPolicy,
    build_op_context,
    graph,
    job,
    op,
    success_hook,
)


@dataclass
class Plane:
    seats: int


class Threshold(Config):
    minutes: int = 15


class Hangar(ConfigurableResource[Any]):
    url: str = "http://x"


@success_hook
def cheer(context: HookContext) -> None:
    context.log.info("done")


# -- every way to write an op -------------------------------------------------------------------------------------------


@op
def start() -> int:
    return 1


@op
def add(left: int, right: int = 2) -> int:
    return left + right


@op
def tell(context: OpExecutionContext, number: int) -> str:
    context.log.info("%s", number)
    return str(number)


@op(name="shout_it", description="louder", tags={"kind": "text"}, retry_policy=RetryPolicy(max_retries=1))
def shout(_: OpExecutionContext, text: str, times: int = 1) -> str:
    return text.upper() * times


@op(config_schema={"limit": int}, required_resource_keys={"hangar"})
def old_style(context: OpExecutionContext, number: int) -> float:
    return float(context.op_config["limit"] + number + len(context.resources.hangar.url))


@op
def configured_first(config: Threshold, number: int) -> int:
    return config.minutes + number


@op
def configured_later(context: OpExecutionContext, number: int, text: str, config: Threshold) -> int:
    return config.minutes + number + len(text)


@op(out=Out(str, io_manager_key="files"))
def with_resource(context: OpExecutionContext, hangar: Hangar, number: int) -> str:
    return hangar.url * number


@op
def only_a_client(client: ResourceParam[Plane]) -> int:
    return client.seats


@op(ins={"number": In(int, description="how many")})
def with_param(number: int, client: ResourceParam[Plane]) -> int:
    return client.seats * number


@op
def announced(number: int) -> Output[int]:
    return Output(number, metadata={"rows": number})


@op
def streamed(number: int) -> Iterator[Output[int] | AssetMaterialization]:
    yield AssetMaterialization("x")
    yield Output(number)


@op
def generated(context: OpExecutionContext, number: int) -> Generator[Output[int], None, None]:
    yield Output(number)


@op
def iterated(number: int) -> Iterable[Output[int]]:
    yield Output(number)


@op
async def awaited(number: int) -> int:
    return number


@op
async def awaited_stream(number: int) -> AsyncIterator[Output[int]]:
    yield Output(number)


@op(out=DynamicOut(Plane))
def planes(count: int) -> Iterator[DynamicOutput[Plane]]:
    for index in range(count):
        yield DynamicOutput(Plane(index), mapping_key=f"plane_{index}")


@op(out=DynamicOut(int))
def seats(context: OpExecutionContext, plane: Plane) -> list[DynamicOutput[int]]:
    return [DynamicOutput(seat, mapping_key=f"seat_{seat}") for seat in range(plane.seats)]


@op(out={"small": Out(int, is_required=False), "large": Out(int, is_required=False)})
def split(number: int) -> Iterator[Output[int]]:
    yield Output(number, "large" if number > 3 else "small")


@op(out={"first": Out(), "second": Out()})
def pair(context: OpExecutionContext, number: int) -> tuple[int, str]:
    return number, str(number)


@op(out={"first": Out(), "second": DynamicOut()}, ins={"after": In(Nothing)})
def pair_after() -> Any: ...


@op
def as_tuple(number: int) -> tuple[int, str]:
    return number, str(number)


@op
def anything(value: Any) -> Any:
    return value


@op
def of_many(context: OpExecutionContext, table: dict[str, Any]) -> list[Any]:
    return [*table]


@op
def maybe(number: Optional[int] = None) -> Optional[int]:
    return number


@op
def total(numbers: list[int]) -> int:
    return sum(numbers)


@op(ins={"after": In(Nothing)})
def last() -> None:
    return None


@op
def save(number: int) -> None:
    return None


# -- graphs and jobs --------------------------------------------------------------------------------------------------


@graph
def double(number: int) -> int:
    return add(number, number)


@graph(name="other", description="the same", tags={"a": "b"}, out=GraphOut(description="more"))
def double_again(number: int) -> int:
    return double(double.alias("once_more")(number))


@graph(out={"number": GraphOut(), "text": GraphOut()})
def both(number: int) -> dict[str, Any]:
    return {"number": add(number), "text": tell(number)}


@graph
def branch_out(count: int) -> Any:
    return planes(count).map(seats)


@cheer
@job(resource_defs={"hangar": Hangar(), "client": Plane(3)}, hooks={cheer}, tags={"a": 1})
def whole() -> None:
    number = start()
    assert_type(number, int)
    assert_type(add(number), int)
    assert_type(add(left=number, right=start()), int)
    assert_type(tell(number), str)
    assert_type(shout(tell(number=number), times=start()), str)
    assert_type(old_style(number), float)
    assert_type(configured_first(number), int)
    assert_type(configured_later(number, text=tell(number)), int)
    assert_type(with_resource(number), str)
    assert_type(only_a_client(), int)
    assert_type(with_param(number), int)
    add(start.alias("from_config")())
    add()  # what is not connected comes from run config
    for same in (announced, streamed, iterated, awaited, awaited_stream):
        add(same(number))
    add(generated(number))
    total([number, add(number), announced(number)])
    total([])
    of_many(anything(number))
    total(of_many(anything(number)))
    anything(maybe(number))
    save(number)
    last(after=save(number))
    last(after=[save(number), start()])
    last.alias("very_last")(after=number)


@job
def several() -> None:
    parts = split(start())
    add(parts.small, parts.large)
    first, second = pair(start())
    shout(second, first)
    found = both(start())
    shout(found.text, found.number)
    number, text = both.alias("again")(start())
    shout(text, number)
    single = as_tuple(start())
    assert_type(single, tuple[int, str])
    double_again(double(start()))
    pair_after(after=start()).second.map(add).collect()


@job
def modified() -> None:
    assert_type(add.alias("a")(start()), int)
    assert_type(add.tag({"a": "b"})(start()), int)
    assert_type(tell.with_hooks({cheer})(start()), str)
    assert_type(tell.with_retry_policy(RetryPolicy()).alias("b").tag({"c": "d"})(number=start()), str)
    assert_type(configured_first.configured({"minutes": 3}, name="three")(start()), int)
    assert_type(double.alias("c")(start()), int)
    assert_type(cheer(add)(start()), int)
    assert_type(cheer(double)(start()), int)


# -- dynamic outputs --------------------------------------------------------------------------------------------------


@op
def board(plane: Plane, extra: int = 0) -> int:
    return plane.seats + extra


@op
def land(context: OpExecutionContext, plane: Plane) -> None:
    context.log.info("%s", plane)


@op
def fly(plane: Plane, config: Threshold) -> Plane:
    return plane


@op(out={"first": Out(), "second": Out()})
def halves(plane: Plane) -> tuple[int, int]:
    return 1, plane.seats - 1


@graph
def trip(plane: Plane) -> int:
    land(plane)
    return board(plane)


@job
def fan_out() -> None:
    found = planes(start())
    assert_type(found.map(board).collect(), list[int])
    assert_type(found.map(fly).map(board).collect(), list[int])
    assert_type(total(found.map(board).collect()), int)
    total(found.map(trip).collect())
    total(found.map(board.alias("other")).map(add).map(double).collect())
    total(found.map(lambda plane: add(board(plane), start())).collect())
    total(found.map(lambda plane: board(fly(plane), extra=start())).collect())
    last(after=found.map(land).collect())
    anything(found.collect())
    found.map(anything).collect()
    first, second = found.map(halves)
    total(first.collect())
    total(second.map(add).collect())
    total(found.map(lambda plane: halves(plane).first).collect())
    lefts, rights = found.map(lambda plane: (board(plane), board.alias("b")(plane)))
    total(lefts.collect())
    total(rights.collect())
    # a fan-out below a fan-out
    rows = found.map(seats)
    total(rows.collect().map(total).collect())
    total(rows.collect().map(lambda row: add(total(row))).collect())
    total(found.map(lambda plane: total(seats(plane).map(add).collect())).collect())
    branch_out(start()).collect()


# -- in a test --------------------------------------------------------------------------------------------------------


async def test_calls() -> None:
    context = build_op_context(op_config={"limit": 3}, resources={"hangar": Hangar()})
    assert_type(start() + add(1) + add(1, right=2), int)
    assert_type(tell(context, 1).upper(), str)
    assert_type(tell(build_op_context(), number=1), str)
    assert_type(tell(None, 1), str)
    assert_type(tell(context=context, number=1), str)
    assert_type(shout(context, "a", times=3), str)
    assert_type(old_style(context, 3), float)
    assert_type(configured_first(Threshold(minutes=3), 4), int)
    assert_type(configured_first(config=Threshold(), number=4), int)
    plain = build_op_context()
    assert_type(configured_later(plain, 3, "a", Threshold()), int)
    assert_type(configured_later(plain, number=3, text="a", config=Threshold()), int)
    assert_type(with_resource(plain, Hangar(), 3), str)
    assert_type(only_a_client(client=Plane(3)), int)
    assert_type(with_param(3, client=Plane(3)), int)
    assert announced(1).value == 1
    assert [type(outcome) for outcome in streamed(1)] == [AssetMaterialization, Output]
    assert next(generated(context, 1)).value == 1
    assert await awaited(1) == 1
    async for output in awaited_stream(1):
        assert output.value == 1
    for branch in planes(3):
        assert_type(branch.value, Plane)
        assert_type(branch.mapping_key, str)
    assert len(list(planes(3))) == 3
    assert next(planes(1)).value.seats == 0
    found = seats(context, Plane(3))
    assert len(found) == 3
    assert_type(found[0].value, int)
    number, text = pair(context, 3)
    assert (number, text) == (3, "3")
    save(3)


# -- the objects themselves ---------------------------------------------------------------------------------------------


def names_of(ops: list[OpDefinition]) -> list[str]:
    return [each.name for each in ops]


def describe(node: OpDefinition | GraphDefinition) -> str:
    return f"{node.name}: {node.description}, {[port.name for port in node.input_defs]}"


assert_type(names_of([start, add, tell, configured_first, last, split, planes, seats]), list[str])
assert_type(describe(double) + describe(tell), str)
assert_type(whole, JobDefinition)
assert_type(double.to_job(name="doubled", resource_defs={}, tags={"a": "b"}), JobDefinition)
made = OpDefinition(compute_fn=start.compute_fn, name="made")
made_graph = GraphDefinition(name="made", node_defs=[made, add])
