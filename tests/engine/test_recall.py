"""The machine goes on from a log, and from what parent runs know: any plan, cut off anywhere."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.test_machine import DYNAMIC, KEYS, each, event, of, output, plan_of, plans, step
from treadle.engine.limits import Limits
from treadle.engine.machine import Machine
from treadle.engine.track import ABANDONED, ENDED, EXCLUDED, EXPANDED, SKIPPED, SUCCEEDED
from treadle.errors import DagsterExecutionStepNotFoundError
from treadle.events import DagsterEvent
from treadle.payloads import StepRetryData
from treadle.plan import past
from treadle.plan.model import NO_PAST, Fan, FromCollect, KnownStep, Launch, Past, Plan, Skip


class Log:
    """A run whose log is kept, with the events that only a log has: the beginnings of attempts."""

    def __init__(self, plan: Plan, limit: int | None, *, past: Past = NO_PAST) -> None:
        self.plan, self.limit = plan, limit
        self.machine = Machine(plan, limit=limit, past=past)
        self.events: list[DagsterEvent] = []
        #: step key -> attempts that were begun
        self.begun: dict[str, int] = {}
        self.take(self.machine.start())

    def take(self, commands: object) -> None:
        for command in list(commands):  # type: ignore[call-overload]
            if isinstance(command, Skip):
                self.tell(event("STEP_SKIPPED", command.step_key))
            elif isinstance(command, Launch):
                self.begun[command.step_key] = command.attempt
                self.tell(event("STEP_START" if command.attempt == 1 else "STEP_RESTARTED", command.step_key))

    def tell(self, one: DagsterEvent) -> None:
        self.events.append(one)
        if one.event_type_value != "STEP_SKIPPED":
            self.take(self.machine.handle(one))
        self.machine.check()

    def end(self, key: str) -> None:
        """One step ends in the way that its key says, however often and wherever it is run."""
        fate = sum(key.encode()) % 6
        dynamic = self.machine.tracks[key].step.outputs[0].is_dynamic
        if fate == 0:
            self.tell(event("STEP_FAILURE", key))
            return
        if fate == 5 and self.machine.tracks[key].attempts - self.machine.tracks[key].interruptions == 1:
            self.tell(output(key, KEYS[0] if dynamic else None))
            self.tell(event("STEP_UP_FOR_RETRY", key, StepRetryData(None, 0)))
            return
        for mapping_key in KEYS[: fate - 2] if dynamic else [None] if fate > 1 else []:
            self.tell(output(key, mapping_key))
        self.tell(event("STEP_SUCCESS", key))

    def go_on(self, order: Callable[[int], int]) -> Log:
        while not self.machine.is_done:
            moves = sorted(self.machine.running)
            self.end(moves[order(len(moves))])
        return self

    @property
    def states(self) -> dict[str, str]:
        return {key: track.state for key, track in self.machine.tracks.items()}


def resume(log: Log, cut: int) -> Log:
    """A new process that has only the first events of the log."""
    machine = Machine(log.plan, limit=log.limit)
    after = Log.__new__(Log)
    after.plan, after.limit, after.machine = log.plan, log.limit, machine
    after.events, after.begun = list(log.events[:cut]), {}
    commands = machine.recall(after.events)
    launched = {command.step_key for command in commands}
    lost = sorted(machine.running - launched)
    after.take(commands)
    for key in lost:
        after.tell(event("STEP_UP_FOR_RETRY", key, StepRetryData(None, 0, is_interruption=True)))
    return after


def successes(events: list[DagsterEvent]) -> list[str]:
    return [e.step_key or "" for e in events if e.event_type_value == "STEP_SUCCESS"]


@given(st.data(), plans(), st.sampled_from([None, 1, 2]), st.floats(0, 1))
def test_run_cut_off_anywhere_and_resumed_ends_as_if_nothing_had_happened(
    data: st.DataObject, plan: Plan, limit: int | None, part: float
) -> None:
    def order(n: int) -> int:
        return data.draw(st.integers(0, n - 1))

    undisturbed = Log(plan, limit).go_on(order)
    cut = int(len(undisturbed.events) * part)
    resumed = resume(undisturbed, cut)
    done = set(successes(undisturbed.events[:cut]))
    assert not done & set(resumed.begun), "a step with a logged success is run again"
    resumed.go_on(order)
    assert resumed.states == undisturbed.states
    assert sorted(successes(resumed.events)) == sorted(successes(undisturbed.events))
    skipped = [e.step_key for e in resumed.events if e.event_type_value == "STEP_SKIPPED"]
    assert len(skipped) == len(set(skipped)), "a skip is told twice"


@given(st.data(), plans(), st.lists(st.floats(0, 1), max_size=4))
def test_run_that_is_cut_off_again_and_again_ends_as_if_nothing_had_happened(
    data: st.DataObject, plan: Plan, parts: list[float]
) -> None:
    def order(n: int) -> int:
        return data.draw(st.integers(0, n - 1))

    undisturbed = Log(plan, None).go_on(order)
    log = Log(plan, None)
    for part in parts:
        log.go_on(order)
        log = resume(log, int(len(log.events) * part))
    log.go_on(order)
    assert log.states == undisturbed.states
    assert sorted(successes(log.events)) == sorted(successes(undisturbed.events))


def test_interrupted_attempts_do_not_count_as_failures() -> None:
    log = Log(plan_of(step("a")), None)
    after = resume(resume(log, 1), 3)
    launch = after.machine.tracks["a"]
    assert (launch.attempts, launch.interruptions) == (3, 2)
    machine = Machine(log.plan)
    machine.recall([event("STEP_START", "a")])
    (order,) = machine.handle(event("STEP_UP_FOR_RETRY", "a", StepRetryData(None, 0, is_interruption=True)))
    assert isinstance(order, Launch)
    assert (order.attempt, order.failures) == (2, 0)


def test_worker_that_was_told_to_start_counts_as_an_attempt() -> None:
    machine = Machine(plan_of(step("a")))
    assert machine.recall([event("STEP_WORKER_STARTING", "a"), event("STEP_START", "a")]) == []
    assert machine.running == {"a"}
    assert machine.tracks["a"].attempts == 1


def test_step_that_waited_for_another_attempt_waits_no_more() -> None:
    machine = Machine(plan_of(step("a")))
    log = [event("STEP_START", "a"), event("STEP_UP_FOR_RETRY", "a", StepRetryData(None, 60))]
    (order,) = machine.recall(log)
    assert isinstance(order, Launch)
    assert (order.attempt, order.failures) == (2, 1)


# -- parents


@given(st.data(), plans(), st.floats(0, 1))
def test_execution_from_failure_runs_exactly_what_did_not_succeed(data: st.DataObject, plan: Plan, part: float) -> None:
    def order(n: int) -> int:
        return data.draw(st.integers(0, n - 1))

    parent = Log(plan, None).go_on(order)
    seen = parent.events[: int(len(parent.events) * part)]
    known = past.fold("parent", seen)
    child = Log(plan, None, past=past.from_failure(plan, known, None)).go_on(order)
    assert set(child.states.values()) <= ENDED
    done = set(successes(seen))
    assert not done & set(child.begun), "a step that has succeeded is run again"
    # steps that fail do so each time: what is different is only who has run it
    assert child.states == parent.states


def test_inputs_of_known_steps_come_from_the_run_that_has_them() -> None:
    plan = plan_of(step("a"), step("b", of("a")), step("c", of("b")))
    known = {"a": KnownStep("a", "first", (("result", None),)), "b": None}
    machine = Machine(plan, past=past.from_failure(plan, known, None))
    (order,) = machine.start()
    assert isinstance(order, Launch)
    assert (order.step_key, dict(order.origins)) == ("b", {"a": "first"})


def test_nearest_run_that_ran_a_step_knows_what_became_of_it() -> None:
    first = past.fold("first", [event("STEP_START", "a"), output("a"), event("STEP_SUCCESS", "a")])
    second = past.fold("second", [event("STEP_START", "a"), event("STEP_FAILURE", "a")])
    assert past.merge([second, first]) == {"a": None}
    assert past.merge([{}, first]) == {"a": KnownStep("a", "first", (("result", None),))}


def fan_out() -> tuple[Plan, past.Known]:
    plan = plan_of(
        step("gen", outputs=DYNAMIC),
        step("inc", each("gen"), scope=(Fan("gen", "result"),)),
        step("total", FromCollect("inc", "result")),
    )
    known: past.Known = {
        "gen": KnownStep("gen", "parent", (("result", "x"), ("result", "y"), ("result", "z"))),
        "inc[x]": KnownStep("inc[x]", "parent", (("result", None),)),
        "inc[y]": None,
    }
    return plan, known


def test_half_done_fan_out_runs_the_branches_that_failed_and_those_that_never_started() -> None:
    plan, known = fan_out()
    log = Log(plan, None, past=past.from_failure(plan, known, None))
    assert list(log.begun) == ["inc[y]", "inc[z]"]
    assert log.machine.tracks["inc[x]"].run_id == "parent"
    assert log.machine.tracks["inc[?]"].state == EXPANDED


def test_one_branch_can_be_selected_with_what_is_below_it() -> None:
    plan, known = fan_out()
    known["inc[y]"], known["inc[z]"] = (KnownStep(key, "parent", (("result", None),)) for key in ("inc[y]", "inc[z]"))
    machine = Machine(plan, past=past.from_selection(plan, known, ["inc[y]+"]))
    (order,) = machine.start()
    assert order.step_key == "inc[y]"  # type: ignore[union-attr]
    assert machine.to_do == ["inc[y]", "total"]


def test_dynamic_step_that_is_run_again_makes_its_branches_anew() -> None:
    plan, known = fan_out()
    machine = Machine(plan, past=past.from_selection(plan, known, ["gen*"]))
    machine.start()
    assert machine.to_do == ["gen", "inc[?]", "total"]
    machine.handle(output("gen", "w"))
    (order,) = machine.handle(event("STEP_SUCCESS", "gen"))
    assert order.step_key == "inc[w]"  # type: ignore[union-attr]
    assert "inc[x]" not in machine.tracks


def test_branch_that_was_selected_alone_is_the_only_one_made_of_a_dynamic_step_that_runs_again() -> None:
    plan, _known = fan_out()
    machine = Machine(plan, past=Past((), frozenset({"gen", "inc[x]"})))
    machine.start()
    for key in ("x", "y"):
        machine.handle(output("gen", key))
    machine.handle(event("STEP_SUCCESS", "gen"))
    assert (machine.tracks["inc[x]"].state, machine.tracks["inc[y]"].state) == ("running", EXCLUDED)
    machine.check()


def test_step_whose_source_nobody_knows_cannot_be_run() -> None:
    plan = plan_of(step("a"), step("b", of("a")))
    machine = Machine(plan, past=Past((), frozenset({"b"})))
    machine.start()
    assert (machine.tracks["a"].state, machine.tracks["b"].state) == (EXCLUDED, ABANDONED)
    assert machine.is_done


def test_unknown_step_in_a_selection_is_named_with_the_nearest_key() -> None:
    plan, known = fan_out()
    with pytest.raises(
        DagsterExecutionStepNotFoundError, match=r'unknown step: inc\[q\]\..*Did you mean "inc\['
    ) as caught:
        past.from_selection(plan, known, ["gen", "inc[q]+"])
    assert caught.value.step_keys == ["inc[q]"]


def test_known_step_below_one_that_is_run_again_keeps_what_it_gave() -> None:
    plan = plan_of(step("a"), step("b", of("a")), step("c", of("b")))
    known: past.Known = {key: KnownStep(key, "parent", (("result", None),)) for key in "abc"}
    log = Log(plan, None, past=past.from_selection(plan, known, ["a", "c"]))
    assert list(log.begun) == ["a", "c"]
    assert log.machine.tracks["b"].state == SUCCEEDED
    log.go_on(lambda n: 0)
    assert log.machine.is_done


def test_step_that_the_log_tells_was_skipped_is_not_skipped_again() -> None:
    plan = plan_of(step("a"), step("b", of("a")))
    told = [event("STEP_START", "a"), event("STEP_SUCCESS", "a")]
    assert Machine(plan).recall(told) == [Skip("b", "b")]
    machine = Machine(plan)
    assert machine.recall([*told, event("STEP_SKIPPED", "b")]) == []
    assert (machine.tracks["b"].state, machine.is_done) == (SKIPPED, True)


def test_branch_whose_fan_out_is_run_anew_is_forgotten() -> None:
    plan, known = fan_out()
    branch = known["inc[x]"]
    assert branch is not None
    machine = Machine(plan, past=Past((branch,), frozenset(plan.step_keys)))
    (order,) = machine.start()
    assert order.step_key == "gen"  # type: ignore[union-attr]
    machine.handle(output("gen", "x"))
    assert [command.step_key for command in machine.handle(event("STEP_SUCCESS", "gen"))] == ["inc[x]"]
    assert machine.tracks["inc[x]"].run_id is None


def test_fan_out_that_is_run_alone_makes_no_branches() -> None:
    plan, _known = fan_out()
    machine = Machine(plan, past=Past((), frozenset({"gen"})))
    machine.start()
    machine.handle(output("gen", "x"))
    assert machine.handle(event("STEP_SUCCESS", "gen")) == []
    assert machine.tracks["inc[?]"].state == EXCLUDED
    assert machine.is_done


def test_from_failure_runs_again_what_took_a_value_of_a_step_that_failed() -> None:
    plan = plan_of(step("a"), step("b", of("a")), step("c", of("b")), step("d"))
    known: past.Known = {key: KnownStep(key, "parent", (("result", None),)) for key in "bcd"}
    known["a"] = None
    log = Log(plan, None, past=past.from_failure(plan, known, None))
    assert [known_step.step_key for known_step in log.machine.past.known] == ["d"]
    assert list(log.begun) == ["a"]
    assert log.machine.to_do == ["a", "b", "c"]


def test_events_of_the_run_itself_say_nothing_of_steps() -> None:
    of_the_run = msgspec.structs.replace(event("STEP_SUCCESS", "a"), step_key=None)
    known = past.fold("run", [of_the_run, event("STEP_START", "a"), event("STEP_SUCCESS", "a")])
    assert known == {"a": KnownStep("a", "run")}


def test_step_that_was_under_way_holds_its_slots_when_a_run_goes_on() -> None:
    plan = plan_of(step("a"), step("b"))
    needs = {"a": [("db", 1)], "b": [("db", 1)]}
    machine = Machine(plan, limits=Limits({"db": 1}, needs))
    assert machine.recall([event("STEP_START", "a")]) == []  # b waits for the slot of a, which may run still
    (order,) = machine.handle(event("STEP_SUCCESS", "a"))
    assert order.step_key == "b"  # type: ignore[union-attr]
