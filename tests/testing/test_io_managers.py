"""treadle.testing.io_managers: each promise is broken once, and the contract says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from treadle.definitions.io_managers import IOManager
from treadle.io_contexts import InputContext, OutputContext
from treadle.testing.io_managers import IOManagerContract


class Kept(IOManager):
    """Keeps its promises within a process; each subclass breaks one."""

    shelf: dict[Any, Any]

    def __init__(self) -> None:
        self.shelf = {}

    def key(self, context: OutputContext) -> Any:
        return tuple(context.get_identifier())

    def handle_output(self, context: OutputContext, obj: Any) -> Any:
        self.shelf[self.key(context)] = obj

    def load_input(self, context: InputContext) -> Any:
        assert context.upstream_output is not None
        return self.shelf[self.key(context.upstream_output)]


class ForgetsTheRun(Kept):
    def key(self, context: OutputContext) -> Any:
        return (context.step_key, context.name, context.mapping_key)


class MergesBranches(Kept):
    def key(self, context: OutputContext) -> Any:
        return (context.run_id, context.step_key, context.name)


class KeepsTheFirst(Kept):
    def handle_output(self, context: OutputContext, obj: Any) -> Any:
        self.shelf.setdefault(self.key(context), obj)


class GivesTheValueOnce(Kept):
    def load_input(self, context: InputContext) -> Any:
        assert context.upstream_output is not None
        return self.shelf.pop(self.key(context.upstream_output), None)


class GivesNoneForWhatIsMissing(Kept):
    def load_input(self, context: InputContext) -> Any:
        assert context.upstream_output is not None
        return self.shelf.get(self.key(context.upstream_output))


class ChangesTheType(Kept):
    def load_input(self, context: InputContext) -> Any:
        value = super().load_input(context)
        return bytes(value) if isinstance(value, bytearray) else value


class ReturnsThePath(Kept):
    def handle_output(self, context: OutputContext, obj: Any) -> Any:
        super().handle_output(context, obj)
        return "/some/path"


def contract_of(make: Callable[[], Any], **settings: Any) -> IOManagerContract:
    contract: IOManagerContract = type("Made", (IOManagerContract,), settings)()
    contract.make_io_manager = lambda folder: make()  # type: ignore[method-assign]
    return contract


def broken(contract: IOManagerContract, folder: Path) -> set[str]:
    """Names of the tests that fail."""
    failed = set()
    for name in (name for name in dir(contract) if name.startswith("test_")):
        own = folder / name
        own.mkdir()
        try:
            getattr(contract, name)(own)
        except Exception:
            failed.add(name)
    return failed


def test_manager_that_keeps_its_promises_passes(tmp_path: Path) -> None:
    assert broken(contract_of(Kept, is_lasting=False), tmp_path) == set()


@pytest.mark.parametrize(
    ("make", "promise"),
    [
        (Kept, "test_what_was_stored_lasts_if_it_is_meant_to"),
        (ForgetsTheRun, "test_every_output_of_every_step_of_every_run_is_apart"),
        (MergesBranches, "test_every_output_of_every_step_of_every_run_is_apart"),
        (MergesBranches, "test_run_passes_values_through_it"),
        (KeepsTheFirst, "test_second_attempt_replaces_what_the_first_one_stored"),
        (GivesTheValueOnce, "test_value_can_be_loaded_by_many_steps"),
        (GivesTheValueOnce, "test_run_passes_values_through_it"),
        (GivesNoneForWhatIsMissing, "test_value_that_was_never_stored_is_an_error"),
        (ChangesTheType, "test_value_comes_back_as_it_was"),
        (ReturnsThePath, "test_value_comes_back_as_it_was"),
    ],
)
def test_broken_promise_is_found(make: Callable[[], Any], promise: str, tmp_path: Path) -> None:
    assert promise in broken(contract_of(make), tmp_path)


def test_something_else_than_an_io_manager_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="which is not an IOManager"):
        contract_of(lambda: 5).test_value_comes_back_as_it_was(tmp_path)


def test_contract_without_a_manager_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(NotImplementedError, match="make_io_manager has to return"):
        IOManagerContract().test_value_comes_back_as_it_was(tmp_path)


def test_values_without_a_plain_equality_can_be_compared_by_the_user(tmp_path: Path) -> None:
    class Table:
        def __init__(self, rows: list[int]) -> None:
            self.rows = rows

        def __eq__(self, other: object) -> Any:
            return [True]

        __hash__ = None  # type: ignore[assignment]

    contract = contract_of(
        Kept, values=(Table([1]), Table([2])), is_lasting=False, is_same=lambda self, a, b: a.rows == b.rows
    )
    assert broken(contract, tmp_path) == set()
