"""Events in, commands out: the machine by itself, without a clock, a process or an op."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.engine.limits import Limits
from treadle.engine.machine import Machine
from treadle.engine.track import (
    ABANDONED,
    ENDED,
    EXPANDED,
    FAILED,
    POSTPONED,
    RETRYING,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    InvalidTransition,
)
from treadle.events import DagsterEvent
from treadle.outcomes import Backoff, RetryPolicy, RetryRequested, retry_delay
from treadle.payloads import StepOutputData, StepOutputHandle, StepRetryData
from treadle.plan.model import (
    Command,
    Fan,
    FromCollect,
    FromList,
    FromOutput,
    Launch,
    Note,
    Plan,
    Skip,
    Step,
    StepInput,
    StepOutput,
    Wait,
)  # fmt: skip

PLAIN = (StepOutput("result"),)
DYNAMIC = (StepOutput("result", is_dynamic=True),)


def step(path: str, *sources: FromOutput | FromList | FromCollect, **fields: object) -> Step:
    """A step whose inputs are named i0, i1, ... and that has one output."""
    inputs = tuple(StepInput(f"i{number}", source) for number, source in enumerate(sources))
    return Step(path, inputs=inputs, **{"outputs": PLAIN, **fields})  # type: ignore[arg-type]


def of(path: str, is_dynamic: bool = False) -> FromOutput:
    return FromOutput(path, "result", is_dynamic)


def each(path: str) -> FromOutput:
    return of(path, is_dynamic=True)


def plan_of(*steps: Step) -> Plan:
    return Plan("job", {s.path: s for s in steps})


def event(kind: str, key: str, payload: object = None) -> DagsterEvent:
    return DagsterEvent(kind, "job", step_key=key, event_specific_data=payload)  # type: ignore[arg-type]


def output(key: str, mapping_key: str | None = None, name: str = "result") -> DagsterEvent:
    return event("STEP_OUTPUT", key, StepOutputData(StepOutputHandle(key, name, mapping_key)))


class Run:
    """A machine with everything that it was told and has answered; checks every invariant after each event."""

    def __init__(self, plan: Plan, **options: object) -> None:
        self.plan = plan
        self.machine = Machine(plan, **options)  # type: ignore[arg-type]
        self.log: list[DagsterEvent] = []
        self.commands: list[Command] = []
        self.put_off: list[tuple[str, int]] = []
        self._answer(self.machine.start())

    def _answer(self, commands: Iterable[Command]) -> None:
        for command in commands:
            self.commands.append(command)
            if isinstance(command, Skip):
                self.tell(event("STEP_SKIPPED", command.step_key))

    def tell(self, *events: DagsterEvent) -> None:
        for one in events:
            self.log.append(one)
            self._answer(self.machine.handle(one))
            self.machine.check()

    def resume(self, key: str) -> None:
        self._answer(self.machine.resume(key))
        self.machine.check()

    def postpone(self, key: str) -> None:
        self.put_off.append((key, self.machine.tracks[key].attempts))
        self._answer(self.machine.postpone(key))
        self.machine.check()

    def succeed(self, key: str, *mapping_keys: str, yields: bool = True) -> None:
        """The step produces its output (or, below a fan, one for each key) and succeeds."""
        track = self.machine.tracks[key]
        is_dynamic = track.step.outputs[0].is_dynamic
        if yields and not is_dynamic:
            self.tell(output(key))
        self.tell(*(output(key, mapping_key) for mapping_key in mapping_keys))
        self.tell(event("STEP_SUCCESS", key))

    def fail(self, key: str) -> None:
        self.tell(event("STEP_FAILURE", key))

    @property
    def launched(self) -> list[str]:
        return [c.step_key for c in self.commands if isinstance(c, Launch)]

    @property
    def skipped(self) -> list[str]:
        return [c.step_key for c in self.commands if isinstance(c, Skip)]

    @property
    def abandoned(self) -> list[str]:
        return [c.step_key for c in self.commands if isinstance(c, Note)]

    def launch_of(self, key: str) -> Launch:
        return next(c for c in reversed(self.commands) if isinstance(c, Launch) and c.step_key == key)

    def state(self, key: str) -> str:
        return self.machine.tracks[key].state


def test_steps_without_inputs_are_launched_at_once_in_plan_order() -> None:
    run = Run(plan_of(step("a"), step("b"), step("c", of("a"))))
    assert run.launched == ["a", "b"]


def test_step_is_launched_when_the_last_of_what_it_needs_has_succeeded() -> None:
    run = Run(plan_of(step("a"), step("b"), step("c", of("a"), of("b"))))
    run.succeed("a")
    assert "c" not in run.launched
    run.succeed("b")
    assert run.launched == ["a", "b", "c"]
    assert run.launch_of("c").inputs == {"i0": StepOutputHandle("a"), "i1": StepOutputHandle("b")}
    run.succeed("c")
    assert run.machine.is_done


def test_no_more_steps_run_at_once_than_the_limit_allows() -> None:
    run = Run(plan_of(*(step(name) for name in "abc")), limit=2)
    assert run.launched == ["a", "b"]
    run.succeed("a")
    assert run.launched == ["a", "b", "c"]


def test_ready_steps_go_by_priority_and_then_first_come_first_served() -> None:
    plan = plan_of(step("a"), step("b"), step("c", of("a")), step("d", of("a"), priority=5))
    run = Run(plan, limit=1)
    run.succeed("a")
    run.succeed("d")
    run.succeed("b")
    assert run.launched == ["a", "d", "b", "c"]


def test_failed_step_abandons_what_needs_it_and_nothing_else() -> None:
    run = Run(plan_of(step("a"), step("b"), step("c", of("a")), step("d", of("c")), step("e", of("b"))))
    run.fail("a")
    run.succeed("b")
    run.succeed("e")
    assert run.abandoned == ["c", "d"]
    assert "Dependencies for step d failed: ['c']" in [c.text for c in run.commands if isinstance(c, Note)][1]
    assert run.machine.failed == ["a"]
    assert run.machine.is_done


def test_step_is_skipped_when_a_needed_output_was_not_produced() -> None:
    run = Run(plan_of(step("a"), step("b", of("a")), step("c", of("b"))))
    run.succeed("a", yields=False)
    assert run.skipped == ["b", "c"]
    assert run.machine.is_done


def test_skip_wins_over_a_failure_upstream() -> None:
    run = Run(plan_of(step("a"), step("b"), step("c", of("a"), of("b"))))
    run.fail("b")
    run.succeed("a", yields=False)
    assert run.skipped == ["c"]
    assert run.abandoned == []


def test_skip_waits_for_all_that_is_upstream() -> None:
    run = Run(plan_of(step("a"), step("b"), step("c", of("a"), of("b"))))
    run.succeed("a", yields=False)
    assert run.skipped == []
    run.succeed("b")
    assert run.skipped == ["c"]


def test_fan_in_leaves_out_what_was_not_produced() -> None:
    run = Run(plan_of(step("a"), step("b"), step("c", FromList((of("a"), of("b"))))))
    run.succeed("a", yields=False)
    run.succeed("b")
    assert run.launch_of("c").inputs == {"i0": [StepOutputHandle("b")]}


def test_fan_in_of_which_nothing_was_produced_is_skipped() -> None:
    run = Run(plan_of(step("a"), step("b"), step("c", FromList((of("a"), of("b"))))))
    run.succeed("a", yields=False)
    run.succeed("b", yields=False)
    assert run.skipped == ["c"]


def test_empty_fan_in_runs_at_once_with_an_empty_list() -> None:
    run = Run(plan_of(step("a", FromList(()))))
    assert run.launch_of("a").inputs == {"i0": []}


def test_fan_in_with_a_failed_member_does_not_run() -> None:
    run = Run(plan_of(step("a"), step("b"), step("c", FromList((of("a"), of("b"))))))
    run.fail("a")
    run.succeed("b")
    assert run.abandoned == ["c"]


def test_nothing_input_orders_steps_and_is_not_loaded() -> None:
    ordered = Step("b", inputs=(StepInput("start", of("a"), has_value=False),), outputs=PLAIN)
    run = Run(plan_of(step("a"), ordered))
    assert run.launched == ["a"]
    run.succeed("a")
    assert run.launch_of("b").inputs == {}


# -- fan-out

FAN = (Fan("gen", "result"),)


def mapped() -> Plan:
    return plan_of(
        step("gen", outputs=DYNAMIC),
        step("inc", each("gen"), scope=FAN),
        step("more", of("inc"), scope=FAN),
        step("total", FromCollect("more", "result")),
    )


def test_mapped_step_becomes_one_branch_for_each_key_in_the_order_of_yielding() -> None:
    run = Run(mapped())
    run.succeed("gen", "z", "a")
    assert run.launched == ["gen", "inc[z]", "inc[a]"]
    assert run.launch_of("inc[z]").inputs == {"i0": StepOutputHandle("gen", "result", "z")}
    assert run.state("inc[?]") == EXPANDED


def test_branches_go_on_by_themselves_and_collect_waits_for_all() -> None:
    run = Run(mapped())
    run.succeed("gen", "z", "a")
    run.succeed("inc[z]")
    run.succeed("more[z]")
    assert "total" not in run.launched
    run.succeed("inc[a]")
    run.succeed("more[a]")
    assert run.launch_of("total").inputs == {"i0": [StepOutputHandle("more[z]"), StepOutputHandle("more[a]")]}


def test_collect_over_no_branches_runs_with_an_empty_list() -> None:
    run = Run(mapped())
    run.succeed("gen")
    assert run.launch_of("total").inputs == {"i0": []}
    run.succeed("total")
    assert run.machine.is_done


def test_collect_leaves_out_a_branch_that_produced_nothing() -> None:
    run = Run(mapped())
    run.succeed("gen", "k0", "k1")
    run.succeed("inc[k0]")
    run.succeed("inc[k1]", yields=False)
    run.succeed("more[k0]")
    assert run.skipped == ["more[k1]"]
    assert run.launch_of("total").inputs == {"i0": [StepOutputHandle("more[k0]")]}


def test_collect_of_which_every_branch_was_skipped_is_skipped() -> None:
    run = Run(mapped())
    run.succeed("gen", "k0")
    run.succeed("inc[k0]", yields=False)
    assert run.skipped == ["more[k0]", "total"]


def test_collect_over_a_failed_branch_does_not_run() -> None:
    run = Run(mapped())
    run.succeed("gen", "k0", "k1")
    run.fail("inc[k0]")
    run.succeed("inc[k1]")
    run.succeed("more[k1]")
    assert run.abandoned == ["more[k0]", "total"]
    assert run.machine.is_done


def test_branches_of_a_skipped_fan_are_never_told_of_and_collect_is_skipped() -> None:
    plan = mapped()
    steps = {"maybe": step("maybe"), **plan.steps, "gen": step("gen", of("maybe"), outputs=DYNAMIC)}
    run = Run(Plan("job", steps))
    run.succeed("maybe", yields=False)
    assert run.skipped == ["gen", "total"]
    assert run.machine.is_done


def test_branches_of_a_failed_fan_are_abandoned_with_what_collects_them() -> None:
    run = Run(mapped())
    run.fail("gen")
    assert run.abandoned == ["total"]
    assert run.machine.is_done


def test_dynamic_output_can_be_collected_directly() -> None:
    run = Run(plan_of(step("gen", outputs=DYNAMIC), step("total", FromCollect("gen", "result", True))))
    run.succeed("gen", "b", "a")
    wanted = [StepOutputHandle("gen", "result", "b"), StepOutputHandle("gen", "result", "a")]
    assert run.launch_of("total").inputs == {"i0": wanted}


def test_branch_may_need_a_plain_step_too() -> None:
    plan = plan_of(step("gen", outputs=DYNAMIC), step("slow"), step("inc", each("gen"), of("slow"), scope=FAN))
    run = Run(plan)
    run.succeed("gen", "k")
    assert run.launched == ["gen", "slow"]
    run.succeed("slow")
    wanted = {"i0": StepOutputHandle("gen", "result", "k"), "i1": StepOutputHandle("slow")}
    assert run.launch_of("inc[k]").inputs == wanted


def test_map_inside_map_multiplies_each_branch_by_its_own_keys() -> None:
    inner = Fan("split", "result")
    plan = plan_of(
        step("gen", outputs=DYNAMIC),
        step("split", each("gen"), scope=FAN, outputs=DYNAMIC),
        step("work", each("split"), of("gen2", False), scope=(*FAN, inner)),
        step("gen2"),
        step("inner_total", FromCollect("work", "result"), scope=FAN),
        step("total", FromCollect("inner_total", "result")),
    )
    run = Run(plan)
    run.succeed("gen2")
    run.succeed("gen", "a", "b")
    assert run.state("work[a][?]") == "waiting"
    run.succeed("split[a]", "x", "y")
    run.succeed("split[b]")
    assert {"work[a][x]", "work[a][y]", "inner_total[b]"} <= set(run.launched)
    assert run.launch_of("inner_total[b]").inputs == {"i0": []}
    run.succeed("work[a][x]")
    run.succeed("work[a][y]")
    wanted = [StepOutputHandle("work[a][x]"), StepOutputHandle("work[a][y]")]
    assert run.launch_of("inner_total[a]").inputs == {"i0": wanted}
    run.succeed("inner_total[b]")
    run.succeed("inner_total[a]")
    assert run.launch_of("total").inputs == {
        "i0": [StepOutputHandle("inner_total[a]"), StepOutputHandle("inner_total[b]")]
    }
    run.succeed("total")
    assert run.machine.is_done


def test_failed_inner_fan_abandons_only_its_own_branch() -> None:
    inner = Fan("split", "result")
    plan = plan_of(
        step("gen", outputs=DYNAMIC),
        step("split", each("gen"), scope=FAN, outputs=DYNAMIC),
        step("work", each("split"), scope=(*FAN, inner)),
        step("inner_total", FromCollect("work", "result"), scope=FAN),
    )
    run = Run(plan)
    run.succeed("gen", "a", "b")
    run.fail("split[a]")
    run.succeed("split[b]", "x")
    run.succeed("work[b][x]")
    assert run.state("work[a][?]") == ABANDONED
    assert run.abandoned == ["inner_total[a]"]
    assert "inner_total[b]" in run.launched


# -- retries, stopping, replay


def test_retry_without_a_wait_goes_to_the_back_of_the_queue() -> None:
    run = Run(plan_of(step("a"), step("b")), limit=1)
    run.tell(event("STEP_UP_FOR_RETRY", "a", StepRetryData(None, 0)))
    run.succeed("b")
    assert run.launched == ["a", "b", "a"]
    assert run.launch_of("a").attempt == 2


def test_retry_with_a_wait_leaves_its_place_to_others_until_it_is_resumed() -> None:
    run = Run(plan_of(step("a"), step("b")), limit=1)
    run.tell(event("STEP_UP_FOR_RETRY", "a", StepRetryData(None, 2.5)))
    assert Wait("a", 2.5) in run.commands
    assert run.state("a") == RETRYING
    run.succeed("b")
    assert not run.machine.is_done
    run.resume("a")
    assert run.launched == ["a", "b", "a"]


def test_step_that_is_put_off_leaves_its_place_to_others_and_has_the_next_turn() -> None:
    run = Run(plan_of(step("a"), step("b"), step("c"), step("d", priority=5)), limit=1)
    run.succeed("d")
    assert run.launched == ["d", "a"]
    run.postpone("a")
    assert (run.state("a"), run.launched) == (POSTPONED, ["d", "a", "b"])
    run.resume("a")
    assert run.launched == ["d", "a", "b"], "there is no room"
    run.succeed("b")
    assert run.launched == ["d", "a", "b", "a"], "before those that have come later"
    assert run.launch_of("a").attempt == 1, "the first was none"
    run.succeed("a")
    run.succeed("c")
    assert run.machine.is_done


def test_those_that_were_put_off_go_in_the_order_in_which_they_may_be_tried_again() -> None:
    run = Run(plan_of(step("a"), step("b"), step("c")), limit=1)
    run.postpone("a")
    run.postpone("b")
    run.resume("a")
    run.resume("b")
    assert run.launched == ["a", "b", "c"]
    run.succeed("c")
    run.succeed("a")
    assert run.launched == ["a", "b", "c", "a", "b"]


def test_step_that_is_put_off_gives_back_what_it_had_taken_within_the_run() -> None:
    limits = Limits({"license": 1}, {"a": [("license", 1)], "b": [("license", 1)]})
    run = Run(plan_of(step("a"), step("b")), limits=limits)
    assert run.launched == ["a"]
    run.postpone("a")
    assert run.launched == ["a", "b"]
    run.resume("a")
    assert run.launched == ["a", "b"]
    run.succeed("b")
    assert run.launched == ["a", "b", "a"]


def test_run_with_a_step_that_is_put_off_is_not_done_unless_it_is_stopped() -> None:
    run = Run(plan_of(step("a")))
    run.postpone("a")
    assert not run.machine.is_done
    run.machine.stop()
    assert run.machine.is_done
    run.resume("a")
    assert run.launched == ["a"]


def test_outputs_of_a_failed_attempt_are_forgotten() -> None:
    run = Run(plan_of(step("a"), step("b", of("a"))))
    run.tell(output("a"), event("STEP_UP_FOR_RETRY", "a", StepRetryData(None, 0)), event("STEP_RESTARTED", "a"))
    run.succeed("a", yields=False)
    assert run.skipped == ["b"]


def test_machine_that_stops_at_failure_starts_nothing_more() -> None:
    run = Run(plan_of(step("a"), step("b")), limit=1, stops_at_failure=True)
    run.fail("a")
    assert run.launched == ["a"]
    assert run.machine.is_done


def test_stopped_machine_is_done_when_the_last_running_step_has_ended() -> None:
    run = Run(plan_of(step("a"), step("b"), step("c", of("a"))))
    run.machine.stop()
    run.succeed("a")
    assert not run.machine.is_done
    run.succeed("b")
    assert run.launched == ["a", "b"]
    assert run.machine.is_done


def test_event_that_cannot_be_raises_with_the_story_of_the_step() -> None:
    run = Run(plan_of(step("a")))
    run.succeed("a")
    with pytest.raises(InvalidTransition, match="Step 'a' cannot go from succeeded to failed"):
        run.machine.handle(event("STEP_FAILURE", "a"))


def test_events_that_decide_nothing_are_passed_over() -> None:
    run = Run(plan_of(step("a")))
    assert run.machine.handle(event("HANDLED_OUTPUT", "a")) == []
    assert run.state("a") == RUNNING


@pytest.mark.parametrize(
    ("policy", "attempt", "options", "wanted"),
    [
        (None, 1, {}, None),
        (RetryPolicy(), 1, {}, 0),
        (RetryPolicy(), 2, {}, None),
        (RetryPolicy(max_retries=3, delay=2, backoff=Backoff.EXPONENTIAL), 3, {}, 14),
        (RetryPolicy(max_retries=3), 1, {"is_retryable": False}, None),
        (None, 1, {"requested": RetryRequested(max_retries=1, seconds_to_wait=4)}, 4),
        (RetryPolicy(max_retries=9), 2, {"requested": RetryRequested(max_retries=1)}, None),
        (None, 1, {"requested": RetryRequested(max_retries=0)}, None),
    ],
)
def test_retry_delay_is_the_policys_unless_the_op_asks_itself(
    policy: RetryPolicy | None, attempt: int, options: dict[str, object], wanted: float | None
) -> None:
    assert retry_delay(policy, attempt, **options) == wanted  # type: ignore[arg-type]


# -- any graph, any order

KEYS = ("k0", "k1", "k2")


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Plans of up to ten steps: any acyclic wiring, fan-ins, fan-outs one inside the other, collects."""
    steps: dict[str, Step] = {}
    for number in range(draw(st.integers(1, 10))):
        path = f"s{number}"
        scope: tuple[Fan, ...] = ()
        sources: list[FromOutput | FromList | FromCollect] = []
        for _ in range(draw(st.integers(0, 3))):
            source = draw(_sources(steps))
            if source is None:
                continue
            reached = _scope_of(steps, source)
            if reached[: len(scope)] == scope:
                scope = reached
            elif scope[: len(reached)] != reached:
                continue
            sources.append(source)
        is_dynamic = draw(st.booleans()) and len(scope) < 2
        steps[path] = step(
            path, *sources, scope=scope, outputs=DYNAMIC if is_dynamic else PLAIN, priority=draw(st.integers(-1, 1))
        )
    return Plan("job", steps)


def _scope_of(steps: dict[str, Step], source: FromOutput | FromList | FromCollect) -> tuple[Fan, ...]:
    if isinstance(source, FromList):
        return max((_scope_of(steps, item) for item in source.items), key=len, default=())
    origin = steps[source.path]
    full = (*origin.scope, Fan(source.path, source.output)) if origin.outputs[0].is_dynamic else origin.scope
    return full[:-1] if isinstance(source, FromCollect) else full


@st.composite
def _sources(draw: st.DrawFn, steps: dict[str, Step]) -> FromOutput | FromList | FromCollect | None:
    if not steps:
        return None
    path = draw(st.sampled_from(sorted(steps)))
    origin = steps[path]
    is_dynamic = origin.outputs[0].is_dynamic
    kind = draw(st.sampled_from(["one", "list", "collect"]))
    if kind == "collect":
        return FromCollect(path, "result", is_dynamic) if is_dynamic or origin.scope else None
    if kind == "list" and not is_dynamic:
        items = [path, *draw(st.lists(st.sampled_from(sorted(steps)), max_size=3))]
        unscoped = [i for i in dict.fromkeys(items) if not steps[i].outputs[0].is_dynamic and not steps[i].scope]
        return FromList(tuple(of(i) for i in unscoped))
    return of(path, is_dynamic)


def play(plan: Plan, choose: Callable[[int], int], limit: int | None) -> Run:
    """Run a plan to its end; `choose(n)` says which of n things happens next."""
    run = Run(plan, limit=limit)
    endings = 0
    while not run.machine.is_done:
        endings += 1
        assert endings < 2000, "the run does not end"
        moves = sorted(run.machine.running) + sorted(run.machine.retrying | run.machine.postponed)
        key = moves[choose(len(moves))]
        if key not in run.machine.running:
            run.resume(key)
            continue
        track = run.machine.tracks[key]
        if choose(6) == 5:
            run.postpone(key)
            continue
        if track.attempts > 1:
            run.tell(event("STEP_RESTARTED", key))
        what = choose(8)
        if what == 0:
            run.fail(key)
        elif what == 1 and track.attempts < 3:
            run.tell(output(key, KEYS[0] if track.step.outputs[0].is_dynamic else None))
            run.tell(event("STEP_UP_FOR_RETRY", key, StepRetryData(None, choose(2))))
        elif what == 2:
            run.succeed(key, yields=False)
        else:
            run.succeed(key, *(KEYS[: choose(4)] if track.step.outputs[0].is_dynamic else ()))
    return run


@given(st.data(), plans(), st.sampled_from([None, 1, 2]))
def test_any_completion_order_ends_every_step_exactly_once(data: st.DataObject, plan: Plan, limit: int | None) -> None:
    run = play(plan, lambda n: data.draw(st.integers(0, n - 1)), limit)
    states = {key: track.state for key, track in run.machine.tracks.items()}
    assert set(states.values()) <= ENDED
    told = [c.step_key for c in run.commands if isinstance(c, (Skip, Note))]
    assert len(told) == len(set(told)), "a step was given up twice"
    attempts = Counter((c.step_key, c.attempt) for c in run.commands if isinstance(c, Launch))
    attempts.subtract(run.put_off)
    assert set(attempts.values()) <= {1}, "an attempt was launched twice"
    for key, state in states.items():
        assert (state in (SUCCEEDED, FAILED)) == (run.machine.tracks[key].attempts > 0), key
        assert state != SKIPPED or "?" in key or key in run.skipped


@given(st.data(), plans(), st.sampled_from([None, 1, 2]))
def test_order_of_events_does_not_change_how_steps_end(data: st.DataObject, plan: Plan, limit: int | None) -> None:
    """What each step does is fixed by its key; only the order in which steps end is drawn."""

    def finish(order: Callable[[int], int], limit: int | None) -> dict[str, str]:
        run = Run(plan, limit=limit)
        while not run.machine.is_done:
            moves = sorted(run.machine.running)
            key = moves[order(len(moves))]
            fate = sum(key.encode()) % 6
            if fate == 0:
                run.fail(key)
            elif fate == 1:
                run.succeed(key, yields=False)
            else:
                dynamic = run.machine.tracks[key].step.outputs[0].is_dynamic
                run.succeed(key, *(KEYS[: fate - 2] if dynamic else ()))
        return {key: track.state for key, track in run.machine.tracks.items()}

    assert finish(lambda n: 0, None) == finish(lambda n: data.draw(st.integers(0, n - 1)), limit)


@given(st.data(), plans(), st.floats(0, 1))
def test_replay_of_any_prefix_of_the_log_gives_the_same_state(data: st.DataObject, plan: Plan, part: float) -> None:
    run = play(plan, lambda n: data.draw(st.integers(0, n - 1)), None)
    cut = int(len(run.log) * part)

    def fold(events: Iterable[DagsterEvent]) -> dict[str, tuple[object, ...]]:
        machine = Machine(plan)
        machine.start()
        for one in events:
            machine.handle(one)
            if one.event_type_value == "STEP_RESTARTED" and one.step_key in machine.retrying:
                machine.resume(one.step_key or "")
            machine.check()
        return {
            key: (t.state, t.attempts, t.waiting_for, {n: k and tuple(k) for n, k in t.produced.items()})
            for key, t in machine.tracks.items()
        }

    assert fold(run.log[:cut]) == fold(run.log[:cut])
    whole = fold(run.log)
    assert {key: state[0] for key, state in whole.items()} == {k: t.state for k, t in run.machine.tracks.items()}
