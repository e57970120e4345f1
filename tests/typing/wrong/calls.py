"""Mistakes that a type checker finds: each line that ends in `expect-error` is one, and no other line.

test_checkers.py runs mypy and pyright on this file and compares the lines with what they find.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from treadle import (
    Config,
    DagsterInstance,
    DynamicOut,
    DynamicOutput,
    GraphOut,
    In,
    Nothing,
    OpExecutionContext,
    Out,
    Output,
    RetryPolicy,
    graph,
    job,
    op,
)


class Threshold(Config):
    minutes: int = 15


class Plane:
    seats = 3


class Jet(Plane):
    pass


@op
def start() -> int:
    return 1


@op
def add(left: int, right: int = 2) -> int:
    return left + right


@op
def tell(context: OpExecutionContext, number: int) -> str:
    return str(number)


@op(name="loud")
def shout(text: str) -> str:
    return text.upper()


@op
def configured(config: Threshold) -> int:
    return config.minutes


@op
def save(number: int) -> None:
    return None


@op(ins={"after": In(Nothing)})
def last() -> str:
    return "a"


@op
def fly(plane: Jet) -> Plane:
    return plane


@op(out=DynamicOut(int))
def numbers(context: OpExecutionContext) -> Iterator[DynamicOutput[int]]:
    yield DynamicOutput(1, "a")


@op
def total(numbers: list[int]) -> int:
    return sum(numbers)


@op(out={"small": Out(), "large": Out()})
def split(number: int) -> tuple[int, int]:
    return number, number


@graph
def double(number: int) -> int:
    return add(number, number)


@graph
def tell_twice(number: int) -> str:
    tell(number)
    return tell.alias("again")(number)


@graph(out={"number": GraphOut(), "text": GraphOut()})
def both(number: int) -> dict[str, Any]:
    return {"number": add(number), "text": tell(number)}


@graph
def of_another_type(number: int) -> str:
    return add(number)  # expect-error


# -- in a graph ---------------------------------------------------------------------------------------------------------


@job
def wrong_types() -> None:
    number = start()
    shout(number)  # expect-error
    shout(text=number)  # expect-error
    shout(double(number))  # expect-error
    shout(configured())  # expect-error
    add(tell(number))  # expect-error
    add(last(after=number))  # expect-error
    add(number, right=tell(number))  # expect-error
    add(save(number))  # expect-error
    tell(shout("a"))  # expect-error
    total(number)  # expect-error
    total([number, tell(number)])  # expect-error
    double(tell(number))  # expect-error
    double(tell_twice(number))  # expect-error
    split(tell(number))  # expect-error
    both(tell(number))  # expect-error
    fly(fly(Jet()))  # expect-error


@job
def wrong_shapes() -> None:
    number = start()
    add(number, number, number)  # expect-error
    add(number, middle=number)  # expect-error
    add(number, left=number)  # expect-error
    start(number)  # expect-error
    double(number, number)  # expect-error
    number.map(add)  # expect-error


@job
def wrong_modifiers() -> None:
    shout.alias("other")(start())  # expect-error
    add.tag({"a": "b"}).alias("other")(number=start())  # expect-error
    tell.with_hooks(set()).with_retry_policy(RetryPolicy())(shout("a"))  # expect-error
    double.alias("other")(shout("a"))  # expect-error
    add.alias(3)  # expect-error
    add.aliased("a")  # expect-error


@job
def wrong_branches() -> None:
    found = numbers()
    total(found)  # expect-error
    add(found)  # expect-error
    found.map(shout)  # expect-error
    found.map(tell).map(add)  # expect-error
    found.map(lambda number: shout(number))  # expect-error
    total(found.map(tell).collect())  # expect-error
    add(found.map(add))  # expect-error
    add(found.map(add).collect())  # expect-error
    total(found.map(save).collect())  # expect-error
    found.collect().map(add)  # expect-error


# -- in a test ----------------------------------------------------------------------------------------------------------


def test_calls() -> None:
    tell(3, 3)  # expect-error
    tell(None, "a")  # expect-error
    add("a")  # expect-error
    add(None, 3)  # expect-error
    add(1, context=None)  # expect-error
    add(1).upper()  # expect-error
    text: str = add(1)  # expect-error
    for number in numbers(None):
        number.value.upper()  # expect-error
    print(text)


# -- definitions --------------------------------------------------------------------------------------------------------


@op(nam="other")  # expect-error
def misspelt() -> None: ...


@op(ins={"number": Out(int)})  # expect-error
def out_for_in(number: int) -> None: ...


@op(out=In(int))  # expect-error
def in_for_out() -> None: ...


@op(retry_policy=3)  # expect-error
def three_retries() -> None: ...


@op
def wrong_output() -> Output[int]:
    return Output("a")  # expect-error


@graph(descripton="other")  # expect-error
def misspelt_too() -> None: ...


@job(resource_def={})  # expect-error
def misspelt_again() -> None: ...


# -- running ------------------------------------------------------------------------------------------------------------

result = wrong_types.execute_in_process(run_config={}, raise_on_eror=False)  # expect-error
result.sucess  # expect-error
result.output_for_node(3)  # expect-error
double.to_job(resources={})  # expect-error
double.to_job("doubled").execute_in_process(instance="here")  # expect-error
double.execute_in_process(instance=DagsterInstance.ephemeral(), raise_on_error="no")  # expect-error
fly.configured({}, nam="other")  # expect-error
