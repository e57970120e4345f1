"""What a graph's body says of ops that were modified and not called, and of ops that were not called at all."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from treadle import (
    DagsterInvalidDefinitionError,
    DagsterInvariantViolationError,
    In,
    Int,
    Out,
    RetryPolicy,
    graph,
    job,
    op,
    success_hook,
)


@op
def one() -> int:
    return 1


@op
def add(number: Any) -> Any:
    return number + 1


@op
def total(numbers: list[int]) -> int:
    return sum(numbers)


class TestUninvoked:
    def test_modified_op_that_is_not_called_is_told(self) -> None:
        with pytest.warns(
            UserWarning, match='received an uninvoked op or graph: "(first|second)" was given an alias'
        ) as told:

            @job
            def forgetful() -> None:
                one.alias("first")
                one.alias("second").tag({"a": "b"})

        assert [str(each.message).split('"')[1] for each in told] == ["first", "second"]
        assert forgetful.nodes == []

    def test_same_name_is_told_once(self) -> None:
        with pytest.warns(UserWarning, match="uninvoked op") as told:

            @job
            def forgetful() -> None:
                one.tag({})
                one.tag({})

        assert len(told) == 1

    def test_what_is_called_after_several_changes_is_not_told(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")

            @job
            def careful() -> None:
                one.alias("first").tag({"a": "b"}).with_retry_policy(RetryPolicy())()
                again = add.tag({"c": "d"})
                again(again(one()))

        assert [node.name for node in careful.nodes] == ["first", "one", "add", "add_2"]

    def test_nothing_is_told_where_the_body_fails(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(ZeroDivisionError):

                @job
                def broken() -> None:
                    one.alias("first")
                    1 / 0

    @pytest.mark.parametrize("argument", [one, one.alias("first")])
    def test_op_that_is_passed_without_a_call_is_refused(self, argument: Any) -> None:
        with pytest.raises(DagsterInvalidDefinitionError, match="was not invoked. Did you forget parentheses"):

            @job
            def forgetful() -> None:
                add(argument)

    def test_modifier_after_the_call_is_refused(self) -> None:
        with pytest.raises(DagsterInvariantViolationError, match="Consider checking the location of parentheses"):

            @job
            def late() -> None:
                one().alias("first")

    def test_list_of_constants_is_refused(self) -> None:
        with pytest.raises(DagsterInvalidDefinitionError, match="Lists can only contain the output from previous op"):

            @job
            def constants() -> None:
                total([1, 2])

    def test_two_ops_of_one_name_are_refused(self) -> None:
        @op(name="one")
        def other() -> None: ...

        with pytest.raises(DagsterInvalidDefinitionError, match="Detected conflicting node definitions with the same"):

            @job
            def conflict() -> None:
                one()
                other()


class TestModifiedGraph:
    def test_runs_with_what_was_added(self) -> None:
        seen: list[str] = []

        @success_hook
        def note(context: Any) -> None:
            seen.append(context.op.name)

        @note
        @graph
        def counted() -> Any:
            return add(one())

        assert counted.execute_in_process().output_value() == 2
        assert sorted(seen) == ["add", "one"]

    def test_becomes_a_job_under_its_alias(self) -> None:
        @graph
        def counted() -> Any:
            return add(one())

        made = counted.alias("renamed").tag({"a": "b"}).to_job(description="d")
        assert (made.name, dict(made.tags), made.description) == ("renamed", {"a": "b"}, "d")
        assert made.execute_in_process().success

    def test_op_cannot_become_a_job(self) -> None:
        with pytest.raises(DagsterInvariantViolationError, match='"first" is an op; only graphs can be made a job'):
            one.alias("first").to_job()


def test_ports_are_equal_by_the_type_that_they_mean() -> None:
    assert In(int) == In(Int)
    assert Out(int) == Out(Int)

    @op(ins={"number": In(metadata={"x": 1})}, out=Out(metadata={"y": 2}))
    def described(number: int) -> int: ...

    assert described.ins == {"number": In(Int, metadata={"x": 1})}
    assert described.outs == {"result": Out(Int, metadata={"y": 2})}


def test_job_knows_its_nodes_at_any_depth() -> None:
    @graph
    def inner() -> Any:
        return add.alias("deep")(one())

    @job
    def outer() -> None:
        inner()

    assert [outer.has_node(name) for name in ("inner", "deep", "one", "add")] == [True, True, True, False]


def test_input_mappings_come_in_the_order_of_the_graphs_inputs() -> None:
    @op
    def take(a: Any, b: Any) -> Any:
        return a, b

    @graph
    def maps(second: Any, first: Any) -> Any:
        return take(first, b=second)

    assert [mapping.graph_input_name for mapping in maps.input_mappings] == ["second", "first"]
    assert maps.execute_in_process(input_values={"first": 1, "second": 2}).output_value() == (1, 2)
