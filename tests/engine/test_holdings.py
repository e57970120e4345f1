"""Which values in memory are let go: never one that a step still takes, and in the end each that was taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hypothesis import given
from hypothesis import strategies as st

from tests.engine.test_machine import DYNAMIC, KEYS, each, event, of, output, plan_of, plans, step
from treadle.engine.holdings import Holdings, find_takers
from treadle.engine.machine import Machine
from treadle.engine.track import EXPANDED, SUCCEEDED
from treadle.events import DagsterEvent
from treadle.metadata import MetadataValue
from treadle.payloads import HandledOutputData, StepOutputHandle, StepRetryData
from treadle.plan import past
from treadle.plan.model import NO_PAST, Command, Fan, FromCollect, Launch, Past, Plan, Skip, StepInput


def handled(key: str, *, is_in_memory: bool = True) -> DagsterEvent:
    metadata = {"hand_over": MetadataValue.text("memory")} if is_in_memory else {}
    return event("HANDLED_OUTPUT", key, HandledOutputData("result", "io_manager", metadata))


class Run:
    """A run with its log, and the values that were let go by it; no launch may take one of these."""

    def __init__(self, plan: Plan, *, past: Past = NO_PAST, needs_success: bool = True) -> None:
        self.plan = plan
        self.machine = Machine(plan, past=past, needs_success=needs_success)
        self.holdings = Holdings(self.machine)
        self.log: list[DagsterEvent] = []
        self.gone: list[StepOutputHandle] = []
        #: value -> the steps that have taken it
        self.taken: dict[StepOutputHandle, set[str]] = {}
        self.take(self.machine.start())

    def take(self, commands: Iterable[Command]) -> None:
        for command in commands:
            if isinstance(command, Skip):
                self.tell(event("STEP_SKIPPED", command.step_key))
            elif isinstance(command, Launch):
                for handle in inputs_of(command):
                    assert handle not in self.gone, f"{command.step_key} takes {handle}, which is gone"
                    if handle.step_key not in command.origins:
                        self.taken.setdefault(handle, set()).add(command.step_key)
                self.tell(event("STEP_START" if command.attempt == 1 else "STEP_RESTARTED", command.step_key))

    def tell(self, *events: DagsterEvent) -> None:
        for one in events:
            self.log.append(one)
            commands = [] if one.event_type_value == "STEP_SKIPPED" else self.machine.handle(one)
            gone = self.holdings.follow(one)
            assert not set(gone) & set(self.gone), "let go twice"
            self.gone += gone
            self.take(commands)

    def give(self, key: str, *mapping_keys: str | None) -> None:
        for mapping_key in mapping_keys:
            self.tell(output(key, mapping_key), handled(key))

    def succeed(self, key: str, *mapping_keys: str) -> None:
        self.give(key, *(mapping_keys or (None,)))
        self.tell(event("STEP_SUCCESS", key))

    def go_on(self, choose: Callable[[int], int]) -> Run:
        """To the end; `choose(n)` says which of n things happens next."""
        while not self.machine.is_done:
            moves = sorted(self.machine.running)
            key = moves[choose(len(moves))]
            track = self.machine.tracks[key]
            is_dynamic = track.step.outputs[0].is_dynamic
            what = choose(8)
            if what == 0:
                if choose(2):
                    self.give(key, KEYS[0] if is_dynamic else None)
                self.tell(event("STEP_FAILURE", key))
            elif what == 1 and track.attempts < 3:
                self.give(key, KEYS[0] if is_dynamic else None)
                self.tell(event("STEP_UP_FOR_RETRY", key, StepRetryData(None, 0)))
            else:
                self.give(key, *(KEYS[: choose(4)] if is_dynamic else [None] if what > 2 else []))
                self.tell(event("STEP_SUCCESS", key))
        return self


def inputs_of(launch: Launch) -> Iterable[StepOutputHandle]:
    for handles in launch.inputs.values():
        yield from handles if isinstance(handles, list) else [handles]


def chooser(data: st.DataObject) -> Callable[[int], int]:
    return lambda n: data.draw(st.integers(0, n - 1))


@given(st.data(), plans(), st.booleans())
def test_value_goes_when_all_steps_that_take_it_have_succeeded_and_never_before(
    data: st.DataObject, plan: Plan, needs_success: bool
) -> None:
    run = Run(plan, needs_success=needs_success).go_on(chooser(data))
    states = {key: track.state for key, track in run.machine.tracks.items()}
    for handle in run.gone:
        assert run.taken.get(handle), f"{handle} is gone, and nobody has taken it"
        assert all(states[key] == SUCCEEDED for key in run.taken[handle])
    if set(states.values()) <= {SUCCEEDED, EXPANDED}:
        # Each was taken by some step, and every step has succeeded.
        assert set(run.gone) == set(run.taken)


@given(st.data(), plans(), st.floats(0, 1))
def test_run_that_is_cut_off_anywhere_and_resumed_takes_nothing_that_is_gone(
    data: st.DataObject, plan: Plan, part: float
) -> None:
    whole = Run(plan).go_on(chooser(data))
    cut = whole.log[: int(len(whole.log) * part)]
    dead = Run.__new__(Run)
    dead.plan, dead.machine = plan, Machine(plan)
    dead.machine.start()
    dead.holdings = Holdings(dead.machine)
    gone: list[StepOutputHandle] = []
    for one in cut:
        if one.event_type_value == "STEP_RESTARTED" and one.step_key in dead.machine.retrying:
            dead.machine.resume(one.step_key or "")
        dead.machine.handle(one)
        gone += dead.holdings.follow(one)
    after = Run.__new__(Run)
    after.plan, after.machine, after.log, after.gone, after.taken = plan, Machine(plan), [], gone, {}
    commands = after.machine.recall(cut)
    after.holdings = Holdings(after.machine)  # what was in memory is on disk by now
    lost = sorted(after.machine.running - {command.step_key for command in commands})
    after.take(commands)
    for key in lost:
        after.tell(event("STEP_UP_FOR_RETRY", key, StepRetryData(None, 0, is_interruption=True)))
    after.go_on(chooser(data))


@given(st.data(), plans(), st.floats(0, 1), st.booleans())
def test_execution_from_failure_takes_nothing_that_is_gone(
    data: st.DataObject, plan: Plan, part: float, needs_success: bool
) -> None:
    parent = Run(plan, needs_success=needs_success).go_on(chooser(data))
    known = past.fold("parent", parent.log)
    child = Run.__new__(Run)
    child.plan, child.log, child.gone, child.taken = plan, [], [], {}
    child.machine = Machine(plan, past=past.from_failure(plan, known, None), needs_success=needs_success)
    child.holdings = Holdings(child.machine)
    launched: list[Launch] = []
    take = child.take

    def look(commands: Iterable[Command]) -> None:
        commands = list(commands)
        launched.extend(command for command in commands if isinstance(command, Launch))
        take(commands)

    child.take = look  # type: ignore[method-assign]
    child.take(child.machine.start())
    child.go_on(chooser(data))
    for launch in launched:
        for handle in inputs_of(launch):
            if launch.origins.get(handle.step_key) == "parent":
                assert handle not in parent.gone, f"{launch.step_key} takes {handle}, which is gone"


def value(key: str, mapping_key: str | None = None) -> StepOutputHandle:
    return StepOutputHandle(key, "result", mapping_key)


def test_value_goes_with_the_success_of_the_last_step_that_takes_it() -> None:
    run = Run(plan_of(step("a"), step("b", of("a")), step("c", of("a")), step("d", of("b"), of("c"))))
    run.succeed("a")
    run.succeed("c")
    assert run.gone == []
    run.succeed("b")
    assert run.gone == [value("a")]
    run.succeed("d")
    assert run.gone == [value("a"), value("c"), value("b")]
    assert run.holdings.held == [value("d")]


def test_value_on_disk_stays_there() -> None:
    run = Run(plan_of(step("a"), step("b", of("a"))))
    run.tell(output("a"), handled("a", is_in_memory=False), event("STEP_SUCCESS", "a"))
    run.succeed("b")
    assert run.gone == []


def test_value_of_an_attempt_that_failed_is_not_let_go_before_its_step_succeeds() -> None:
    run = Run(plan_of(step("a"), step("b", of("a"))))
    run.give("a", None)
    run.tell(event("STEP_UP_FOR_RETRY", "a", StepRetryData(None, 0)))
    run.succeed("a")
    run.succeed("b")
    assert run.gone == [value("a")]


def test_value_that_a_step_needs_which_failed_stays() -> None:
    run = Run(plan_of(step("a"), step("b", of("a")), step("c", of("a"))))
    run.succeed("a")
    run.succeed("b")
    run.tell(event("STEP_FAILURE", "c"))
    assert run.gone == []
    assert set(run.holdings.held) == {value("a"), value("b")}


def test_step_that_is_only_ordered_takes_nothing() -> None:
    after = step("b")
    after = type(after)("b", inputs=(StepInput("start", of("a"), has_value=False),), outputs=after.outputs)
    plan = plan_of(step("a"), after)
    assert find_takers(plan) == {}
    run = Run(plan)
    run.succeed("a")
    run.succeed("b")
    assert run.gone == []


def test_values_of_a_map_go_one_by_one_and_those_of_its_collect_together() -> None:
    fan = Fan("fan", "result")
    run = Run(
        plan_of(
            step("whole"),
            step("fan", outputs=DYNAMIC),
            step("branch", each("fan"), of("whole"), scope=(fan,)),
            step("total", FromCollect("branch", "result")),
        )
    )
    run.succeed("whole")
    run.succeed("fan", "k0", "k1")
    run.succeed("branch[k1]")
    assert run.gone == [value("fan", "k1")]
    run.succeed("branch[k0]")
    assert set(run.gone[1:]) == {value("whole"), value("fan", "k0")}
    run.succeed("total")
    assert set(run.gone[3:]) == {value("branch[k0]"), value("branch[k1]")}


def test_value_that_is_collected_as_it_is_goes_with_the_step_that_collects_it() -> None:
    run = Run(plan_of(step("fan", outputs=DYNAMIC), step("total", FromCollect("fan", "result", is_dynamic=True))))
    run.succeed("fan", "k0", "k1")
    assert run.gone == []
    run.succeed("total")
    assert set(run.gone) == {value("fan", "k0"), value("fan", "k1")}


def test_what_a_parent_run_knows_has_not_taken_the_value_of_this_one() -> None:
    plan = plan_of(step("a"), step("b", of("a")))
    first = Run(plan)
    first.succeed("a")
    first.succeed("b")
    known = past.fold("parent", first.log)
    again = Run(plan, past=past.from_selection(plan, known, ["a"]))
    again.succeed("a")
    assert again.gone == []


def test_wide_map_is_followed_in_linear_time() -> None:
    fan = Fan("fan", "result")
    keys = [f"k{number}" for number in range(3000)]
    run = Run(
        plan_of(step("whole"), step("fan", outputs=DYNAMIC), step("branch", of("whole"), each("fan"), scope=(fan,)))
    )
    run.succeed("whole")
    run.succeed("fan", *keys)
    looks = 0
    holding = next(each for held in run.holdings._waiting.values() for each in held if each.handle == value("whole"))
    pending = holding.pending

    def count() -> Iterable[object]:
        nonlocal looks
        for track in pending:
            looks += 1
            yield track

    holding.pending = count()  # type: ignore[assignment]
    for key in keys:
        run.succeed(f"branch[{key}]")
    assert value("whole") in run.gone
    assert looks <= len(keys)
