"""IOManagerContract: what every IO manager promises to a run, as a class of tests.

Users subclass it in a test file and get the tests for an IO manager of theirs; Treadle does the same for its own.
Written for pytest, which it does not import: only the fixture `tmp_path` is asked for, by name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from treadle import types
from treadle.definitions.graph import graph
from treadle.definitions.io_managers import IOManager
from treadle.definitions.op import op
from treadle.definitions.opening import build_resources
from treadle.definitions.ports import DynamicOut
from treadle.io_contexts import InputContext, OutputContext
from treadle.outcomes import AssetMaterialization, DynamicOutput, RetryRequested

JOB = "contract"


class IOManagerContract:
    """The promises of an IO manager, each a test. Derive from it in a test file, under a name that pytest collects
    (`class TestShelf(IOManagerContract)`), and write `make_io_manager`.
    """

    #: Values that the manager can keep: at least two, all different. What it is not made for is left out here.
    values: Sequence[Any] = (
        None, 0, "text", b"", [1, {"a": (2, 3)}], {"x"}, b"long" * 50_000, bytearray(200_000),
    )  # fmt: skip

    #: whether a second manager, made for the same folder, finds what the first one stored
    is_lasting: bool = True

    def make_io_manager(self, folder: Path) -> Any:
        """The manager, as it would stand in `resource_defs`; `folder` is there, empty, and of this test alone."""
        raise NotImplementedError(f"{type(self).__name__}.make_io_manager has to return the IO manager to test.")

    def is_same(self, stored: Any, loaded: Any) -> bool:
        """Whether a value came back as it was; to be overridden for values whose `==` gives no bool, such as tables."""
        return type(stored) is type(loaded) and bool(stored == loaded)

    # -- tools

    @contextlib.contextmanager
    def opened(self, folder: Path) -> Iterator[IOManager]:
        """The manager as a run would open it."""
        with build_resources({"io_manager": self.make_io_manager(folder)}) as resources:
            manager = resources.io_manager
            assert isinstance(manager, IOManager), f"make_io_manager gave {manager!r}, which is not an IOManager"
            yield manager

    def store(self, manager: IOManager, output: OutputContext, value: Any) -> None:
        """Store a value as a step does."""
        given = manager.handle_output(output, value)
        for part in given if hasattr(given, "__next__") else () if given is None else [given]:
            assert isinstance(part, (AssetMaterialization, Mapping)), (
                f"handle_output gave {part!r}: it returns None, or gives metadata and AssetMaterializations"
            )

    def check(self, manager: IOManager, output: OutputContext, value: Any) -> None:
        """Load a value as a step does; it has to be as it was."""
        loaded = manager.load_input(input_from(output))
        assert self.is_same(value, loaded), f"{value!r:.200} was stored, {loaded!r:.200} was loaded"

    # -- promises

    def test_value_comes_back_as_it_was(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as manager:
            for number, value in enumerate(self.values):
                self.store(manager, output_of(f"step_{number}"), value)
                self.check(manager, output_of(f"step_{number}"), value)

    def test_value_can_be_loaded_by_many_steps(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as manager:
            self.store(manager, output_of("load"), self.values[-1])
            for _ in range(3):
                self.check(manager, output_of("load"), self.values[-1])

    def test_every_output_of_every_step_of_every_run_is_apart(self, tmp_path: Path) -> None:
        outputs = [
            output_of("load"),
            output_of("load", "other"),
            output_of("graph.load"),
            output_of("load[a]"),
            output_of("load", run_id="run-2"),
            output_of("load", "many", mapping_key="a"),
            output_of("load", "many", mapping_key="b"),
        ]
        stored = [self.values[number % len(self.values)] for number in range(len(outputs))]
        with self.opened(tmp_path) as manager:
            for output, value in zip(outputs, stored, strict=True):
                self.store(manager, output, value)
            for output, value in zip(outputs, stored, strict=True):
                self.check(manager, output, value)

    def test_second_attempt_replaces_what_the_first_one_stored(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as manager:
            for value in (self.values[0], self.values[-1], self.values[0]):
                self.store(manager, output_of("load"), value)
                self.check(manager, output_of("load"), value)

    def test_value_that_was_never_stored_is_an_error(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as manager:
            self.store(manager, output_of("load"), self.values[0])
            try:
                loaded = manager.load_input(input_from(output_of("load", "never")))
            except Exception:  # noqa: BLE001 - which exception it is, is the manager's choice
                return
        raise AssertionError(f"nothing was stored, and yet {loaded!r:.200} was loaded")

    def test_what_was_stored_lasts_if_it_is_meant_to(self, tmp_path: Path) -> None:
        if not self.is_lasting:
            return
        with self.opened(tmp_path) as manager:
            self.store(manager, output_of("load"), self.values[-1])
        with self.opened(tmp_path) as manager:
            self.check(manager, output_of("load"), self.values[-1])

    def test_run_passes_values_through_it(self, tmp_path: Path) -> None:
        """From step to step, through a map and its collect, and after a retry."""
        values = list(self.values)

        @op(out=DynamicOut())
        def branch() -> Iterator[DynamicOutput[Any]]:
            for number, value in enumerate(values):
                yield DynamicOutput(value, f"branch_{number}")

        @op
        def give_on(context: Any, value: Any) -> Any:
            if context.retry_number == 0:
                raise RetryRequested(max_retries=1)
            return value

        seen = []

        @op(out={})
        def take(collected: Any) -> None:
            seen.extend(collected)

        @graph(name=JOB)
        def passing() -> None:
            take(branch().map(give_on).collect())

        passing.to_job(resource_defs={"io_manager": self.make_io_manager(tmp_path)}).execute_in_process()
        assert len(seen) == len(values), f"{len(values)} values were stored, {len(seen)} were loaded"
        for value, loaded in zip(values, seen, strict=True):
            assert self.is_same(value, loaded), f"{value!r:.200} was stored, {loaded!r:.200} was loaded"


def output_of(
    step_key: str, name: str = "result", *, run_id: str = "run-1", mapping_key: str | None = None
) -> OutputContext:
    """The context of an output, with what the engine gives where nothing is configured."""
    return OutputContext(
        run_id=run_id,
        job_name=JOB,
        step_key=step_key,
        name=name,
        mapping_key=mapping_key,
        dagster_type=types.Any,
        config=None,
        resource_config=None,
        definition_metadata={},
        output_metadata={},
        version=None,
    )


def input_from(output: OutputContext) -> InputContext:
    """The context of an input that takes the value of an output."""
    return InputContext(
        name="value",
        job_name=JOB,
        upstream_output=output,
        dagster_type=types.Any,
        config=None,
        resource_config=None,
        definition_metadata={},
    )
