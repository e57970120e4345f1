"""When steps of a run ask for slots that all runs share: at a store in memory, where other runs have some."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator, Mapping

import pytest

from tests.contracts.stores import begun
from treadle.engine.claims import Claims, SharedSlots
from treadle.events import DagsterEvent
from treadle.logs import RunLog
from treadle.plan.model import Launch, Plan, Step
from treadle.storage.sqlite import SqliteStore
from treadle.storage.store import SlotClaim, SlotRequest
from treadle.storage.writer import SqliteWriter

NEEDS = {"train": {"gpu": 1}, "tune": {"gpu": 2}, "load": {"db": 1}, "both": {"gpu": 1, "db": 1}}


class Bench:
    """The claims of one run, another run that has slots, and how often the store was asked."""

    def __init__(self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch, **priorities: int) -> None:
        self.store = store
        self.asked: list[str] = []
        self.said: list[tuple[int, str, str | None]] = []
        self.now = 100.0
        monkeypatch.setattr("treadle.engine.claims.monotonic", lambda: self.now)
        self.run, self.writer = begun(store)
        self.other_run, self.other = begun(store)
        real = SqliteWriter.ask_for_slots

        def ask(writer: SqliteWriter, request: SlotRequest, limits: Mapping[str, int]) -> list[SlotClaim]:
            if writer is self.writer:
                self.asked.append(request.step_key)
            return real(writer, request, limits)

        monkeypatch.setattr(SqliteWriter, "ask_for_slots", ask)
        plan = Plan("job", {path: Step(path, priority=priorities.get(path, 0)) for path in (*NEEDS, "free")})
        log = RunLog(
            self.run.run_id, "job", [], lambda level, text, key, _extra: self.said.append((level, text, key)), {}
        )
        self.claims = Claims(SharedSlots({"gpu": 2, "db": 1}, NEEDS), plan, self.writer, log)

    def occupy(self, **slots: int) -> None:
        assert self.other.ask_for_slots(SlotRequest("theirs", slots), {"gpu": 2, "db": 1}) == []

    def leave(self) -> None:
        self.other.give_slots_back("theirs")

    def take(self, key: str) -> bool:
        return self.claims.take(Launch(key, key.partition("[")[0], (), 1, {}))

    def due(self) -> list[str]:
        """What may ask again when it is time."""
        self.now = max(self.now, self.claims.due)
        return self.claims.take_due()

    def end(self, key: str, kind: str = "STEP_SUCCESS") -> None:
        self.claims.heed(DagsterEvent(kind, "job", step_key=key))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    store = SqliteStore(None)
    yield Bench(store, monkeypatch)
    store.close()


def test_step_that_needs_nothing_is_not_asked_about(bench: Bench) -> None:
    assert bench.take("free")
    bench.end("free")
    assert (bench.asked, bench.claims.due) == ([], math.inf)


@pytest.mark.parametrize("kind", ["STEP_SUCCESS", "STEP_FAILURE", "STEP_UP_FOR_RETRY"])
def test_what_an_attempt_has_is_given_back_when_it_ends(bench: Bench, kind: str) -> None:
    assert bench.take("tune")
    assert [claim.step_key for claim in bench.store.slot_claims()] == ["tune"]
    bench.end("tune", "STEP_OUTPUT")
    bench.end("train", kind)
    assert len(bench.store.slot_claims()) == 1
    bench.end("tune", kind)
    assert bench.store.slot_claims() == []


def test_step_that_is_refused_asks_again_ever_more_seldom_until_it_has_its_slots(bench: Bench) -> None:
    bench.occupy(gpu=2)
    times = []
    assert not bench.take("train")
    for _ in range(200):
        times.append(bench.claims.due)
        assert bench.due() == ["train"]
        assert not bench.take("train")
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(0.049 < wait < 0.501 for wait in waits)
    assert waits[0] < 0.06
    assert waits[-1] > 0.49
    bench.leave()
    assert bench.due() == ["train"]
    assert bench.take("train")
    assert bench.claims.due == math.inf


def test_it_is_said_once_who_has_what_a_step_waits_for(bench: Bench) -> None:
    bench.occupy(gpu=1)
    assert not bench.take("tune")
    assert bench.due() == ["tune"]
    assert not bench.take("tune")
    text = f'Step tune waits for 2 of the 2 slots "gpu": step theirs of run {bench.other_run.run_id} has 1 "gpu".'
    assert bench.said == [(logging.INFO, text, "tune")]


def test_nothing_is_said_of_a_step_that_waits_for_its_own_run(bench: Bench) -> None:
    assert bench.take("tune")
    assert not bench.take("train")
    assert bench.said == []


def test_step_whose_run_gives_back_what_it_waits_for_asks_at_once(bench: Bench) -> None:
    assert bench.take("tune")
    assert not bench.take("train")
    before = bench.claims.due
    assert before > bench.now
    bench.end("tune")
    assert bench.claims.due == bench.now
    assert bench.due() == ["train"]
    assert bench.take("train")


def test_of_those_that_need_the_same_only_the_first_asks(bench: Bench) -> None:
    bench.occupy(gpu=2)
    keys = [f"train[{number}]" for number in range(10_000)]
    assert not any(bench.take(key) for key in keys)
    assert bench.asked == keys[:1]
    assert [claim.step_key for claim in bench.store.slot_claims()] == ["theirs", "train[0]"]
    bench.leave()
    done = []
    while len(done) < 50:
        for key in bench.due():
            if bench.take(key):
                done.append(key)
        if len(bench.store.slot_claims()) > 1:
            bench.end(done[-2])
    assert done == keys[:50], "in their order"
    assert len(bench.asked) < 200


def test_step_of_higher_priority_asks_before_one_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(None)
    bench = Bench(store, monkeypatch, tune=3, both=-1)
    bench.occupy(gpu=2)
    assert not bench.take("train")
    assert not bench.take("both")
    assert not bench.take("tune")
    assert bench.asked == ["train", "tune"]
    bench.leave()
    assert bench.due() == ["tune"]
    assert bench.take("tune")
    assert bench.due() == ["train"]
    assert not bench.take("train")
    store.close()


def test_those_that_need_different_slots_do_not_wait_for_each_other(bench: Bench) -> None:
    bench.occupy(gpu=2)
    assert not bench.take("train")
    assert not bench.take("both"), "it needs what the first one waits for"
    assert bench.take("load")
    assert bench.asked == ["train", "load"]
    bench.end("load")
    assert bench.due() == ["train"], "the other has its turn when this one has had its own"
