"""What an op's annotations promise, and what is refused when it is defined or when it returns."""

from __future__ import annotations

from typing import Any

import pytest

from treadle import (
    DagsterInvalidDefinitionError,
    DagsterInvariantViolationError,
    DynamicOut,
    DynamicOutput,
    In,
    Nothing,
    Out,
    Output,
    job,
    op,
)


def run(definition: Any) -> Any:
    @job
    def alone() -> None:
        definition()

    return alone.execute_in_process().output_for_node(definition.name)


@op
def wrapped() -> Output[int]:
    return Output(1)


@op
def bare() -> Output[int]:
    return 1  # type: ignore[return-value]


@op
def bare_without_type() -> Output:  # type: ignore[type-arg]
    return 1  # type: ignore[return-value]


class TestOutputAnnotation:
    def test_output_that_was_promised_is_taken(self) -> None:
        assert run(wrapped) == 1

    @pytest.mark.parametrize("definition", [bare, bare_without_type])
    def test_bare_value_is_refused_where_an_output_was_promised(self, definition: Any) -> None:
        for call in (lambda: run(definition), definition):
            with pytest.raises(
                DagsterInvariantViolationError, match="has generic output annotation, but did not receive"
            ):
                call()

    def test_member_of_a_tuple_keeps_its_promise_too(self) -> None:
        @op(out={"a": Out(), "b": DynamicOut(), "c": Out()})
        def several(is_wrapped: bool = True) -> tuple[Output[int], list[DynamicOutput[str]], int]:
            return (Output(1) if is_wrapped else 1, [DynamicOutput("x", "k")], 3)  # type: ignore[return-value]

        assert several(True)[2] == 3
        with pytest.raises(DagsterInvariantViolationError, match="output 'a' has generic output annotation"):
            several(False)

    def test_single_dynamic_output_cannot_be_annotated(self) -> None:
        with pytest.raises(DagsterInvariantViolationError, match="can only be returned in the context of a List"):

            @op
            def one_branch() -> DynamicOutput[int]: ...


class TestInputs:
    @pytest.mark.parametrize("annotation", [None, type(None), Nothing])
    def test_parameter_annotated_with_nothing_is_refused(self, annotation: Any) -> None:
        def after(start: Any) -> None: ...

        after.__annotations__["start"] = annotation
        with pytest.raises(
            DagsterInvalidDefinitionError,
            match=r'"start" is annotated with Nothing\. Nothing type inputs must be used via In',
        ):
            op(after)

    def test_parameter_declared_as_nothing_is_refused(self) -> None:
        with pytest.raises(
            DagsterInvalidDefinitionError, match="which should not be included since no data will be passed"
        ):

            @op(ins={"start": In(Nothing)})
            def after(start: Any) -> None: ...

    def test_input_cannot_be_called_context(self) -> None:
        with pytest.raises(DagsterInvalidDefinitionError, match='"context" is not a valid name for an input'):

            @op(ins={"context": In(str)})
            def read(_: Any) -> None: ...
