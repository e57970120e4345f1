"""What every store promises about the slots that runs share: never more taken than there are, all or nothing, by turns, and
nothing is lost with who had it.
"""

from __future__ import annotations

import itertools
import math
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.stores import Backend, begun
from treadle.errors import CheckError, DagsterRunNotFoundError, LeaseLostError
from treadle.storage import presence
from treadle.storage.claims import SILENCE
from treadle.storage.leases import LeaseTerms
from treadle.storage.sqlite import SqliteStore
from treadle.storage.store import Owner, SlotRequest, Store

GPU = {"gpu": 2}


def ask(
    writer: Any, key: str, priority: tuple[int, int] = (0, 0), limits: dict[str, int] | None = None, **slots: int
) -> bool:
    """Whether the step has got what it asks for."""
    request = SlotRequest(key, slots or {"gpu": 1}, priority)
    return not writer.ask_for_slots(request, limits if limits is not None else GPU)


def taken(store: Store) -> list[str]:
    return [claim.step_key for claim in store.slot_claims() if claim.granted is not None]


def waiting(store: Store) -> list[str]:
    return [claim.step_key for claim in store.slot_claims() if claim.granted is None]


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def turned(backend: Backend, clock: Clock) -> Store:
    """A store whose clock a test turns."""
    return backend.store(terms=LeaseTerms(heartbeat=math.inf, clock=clock))


def test_slots_are_taken_as_long_as_there_are_some_and_free_again_when_given_back(store: Store) -> None:
    (first, one), (second, two) = begun(store), begun(store)
    assert ask(one, "a")
    assert ask(two, "b")
    in_the_way = two.ask_for_slots(SlotRequest("c", {"gpu": 1}), GPU)
    assert [(claim.run_id, claim.step_key, claim.slots) for claim in in_the_way] == [
        (first.run_id, "a", {"gpu": 1}),
        (second.run_id, "b", {"gpu": 1}),
    ]
    assert (taken(store), waiting(store)) == (["a", "b"], ["c"])
    one.give_slots_back("a")
    assert ask(two, "c")
    assert (taken(store), waiting(store)) == (["b", "c"], [])


def test_claim_tells_what_was_asked_for_and_when(turned: Store, clock: Clock) -> None:
    run, writer = begun(turned)
    _, other = begun(turned)
    assert ask(other, "x", gpu=2)
    assert not ask(writer, "a", (3, -1), gpu=2)
    clock.now += 1
    assert not ask(writer, "a", (3, -1), gpu=2)
    other.give_slots_back("x")
    clock.now += 1
    assert ask(writer, "a", (3, -1), gpu=2)
    (claim,) = turned.slot_claims()
    assert (claim.run_id, claim.step_key, claim.slots, claim.priority) == (run.run_id, "a", {"gpu": 2}, (3, -1))
    assert (claim.asked, claim.granted) == (1_000_000.0, 1_000_002.0)


def test_who_has_its_slots_may_ask_again_and_give_back_again(store: Store) -> None:
    _, writer = begun(store)
    assert ask(writer, "a", gpu=2)
    assert ask(writer, "a", gpu=2)
    assert taken(store) == ["a"]
    writer.give_slots_back("a")
    writer.give_slots_back("a")
    writer.give_slots_back("never asked")
    assert store.slot_claims() == []


def test_all_is_taken_or_nothing(store: Store) -> None:
    (_, one), (_, two), (_, three) = begun(store), begun(store), begun(store)
    limits = {"gpu": 1, "db": 1, "tape": 1}
    assert ask(one, "a", limits=limits, gpu=1)
    assert not ask(two, "b", limits=limits, gpu=1, db=1)
    assert ask(three, "c", limits=limits, tape=1)
    assert taken(store) == ["a", "c"]
    # whoever waits holds nothing: two that want the same two can never hold one each
    assert not ask(one, "d", limits=limits, gpu=1, db=1)
    one.give_slots_back("a")
    assert not ask(one, "d", limits=limits, gpu=1, db=1), "the other has asked before"
    assert ask(two, "b", limits=limits, gpu=1, db=1)


def test_those_who_wait_have_their_turn_by_priority_of_run_then_of_step_then_by_time(
    turned: Store, clock: Clock
) -> None:
    (_, holder), (_, writer), (_, other) = begun(turned), begun(turned), begun(turned)
    assert ask(holder, "x", gpu=2)
    asking: dict[str, tuple[Any, tuple[int, int]]] = {
        "low": (other, (0, -5)), "early": (writer, (0, 0)), "late": (other, (0, 0)), "high": (other, (0, 7)),
        "run first": (writer, (1, -9)), "huge": (other, (2**70, 0)),
    }  # fmt: skip
    for key, (who, priority) in asking.items():
        clock.now += 0.1
        assert not ask(who, key, priority, gpu=2)
    order = ["huge", "run first", "high", "early", "late", "low"]
    assert waiting(turned) == order
    holder.give_slots_back("x")
    for key, behind in itertools.pairwise(order):
        assert not ask(asking[behind][0], behind, asking[behind][1], gpu=2)
        assert ask(asking[key][0], key, asking[key][1], gpu=2)
        asking[key][0].give_slots_back(key)


def test_step_that_needs_much_is_not_passed_by_those_that_need_little(turned: Store, clock: Clock) -> None:
    (_, small), (_, big), (_, later) = begun(turned), begun(turned), begun(turned)
    limits = {"gpu": 4}
    for key in ("a", "b", "c"):
        assert ask(small, key, limits=limits)
    clock.now += 0.1
    assert not ask(big, "big", limits=limits, gpu=3)
    clock.now += 0.1
    assert not ask(later, "d", limits=limits), "one is free, and the one before needs it"
    small.give_slots_back("a")
    assert not ask(later, "d", limits=limits)
    small.give_slots_back("b")
    assert ask(big, "big", limits=limits, gpu=3)
    assert not ask(later, "d", limits=limits)
    small.give_slots_back("c")
    assert ask(later, "d", limits=limits)


def test_who_waits_holds_up_nobody_for_whom_there_is_enough(turned: Store, clock: Clock) -> None:
    (_, one), (_, two), (_, three) = begun(turned), begun(turned), begun(turned)
    limits = {"gpu": 4, "db": 1}
    assert ask(one, "a", limits=limits, db=1)
    assert not ask(two, "b", limits=limits, db=1, gpu=3)
    clock.now += 0.1
    assert ask(three, "c", limits=limits, gpu=1), "besides what the one before needs, one is left"
    assert not ask(three, "d", limits=limits, gpu=1)


def test_who_is_silent_holds_up_nobody_and_keeps_its_place(turned: Store, clock: Clock) -> None:
    (_, one), (_, two), (_, three) = begun(turned), begun(turned), begun(turned)
    assert ask(one, "a", gpu=2)
    assert not ask(two, "b", gpu=2)
    clock.now += SILENCE - 0.1
    assert not ask(three, "c", gpu=2)
    one.give_slots_back("a")
    assert not ask(three, "c", gpu=2)
    clock.now += 0.2
    assert ask(three, "c", gpu=2), "who was first does not come any more"
    assert not ask(one, "d", gpu=2)
    assert not ask(two, "b", gpu=2)
    assert waiting(turned) == ["b", "d"]


def test_more_than_there_is_is_not_waited_for(store: Store) -> None:
    _, writer = begun(store)
    with pytest.raises(CheckError, match='asks for 3 of the slots "gpu", and there are 2: it would wait for ever'):
        ask(writer, "a", gpu=3)
    with pytest.raises(CheckError, match='asks for 1 of the slots "db", and there are 0'):
        ask(writer, "a", db=1)
    assert store.slot_claims() == []


def test_slots_are_free_when_the_lease_is_given_up(store: Store) -> None:
    (_, one), (_, two) = begun(store), begun(store)
    assert ask(one, "a", gpu=2)
    assert not ask(one, "b")
    assert not ask(two, "c")
    one.close()
    assert waiting(store) == ["c"]
    assert ask(two, "c", gpu=2)
    one.close()


def test_slots_are_free_when_another_takes_the_run(store: Store) -> None:
    run, former = begun(store)
    _, other = begun(store)
    assert ask(former, "a", gpu=2)
    assert not ask(former, "b")
    new = store.open_writer(run.run_id, steals=True)
    assert store.slot_claims() == []
    with pytest.raises(LeaseLostError):
        ask(former, "b")
    assert ask(other, "c", gpu=2)
    assert not ask(new, "a", gpu=2)
    with pytest.raises(LeaseLostError):
        ask(former, "b")
    with pytest.raises(LeaseLostError):
        former.give_slots_back("a")
    other.give_slots_back("c")
    assert ask(new, "a", gpu=2)


def test_slots_of_a_dead_owner_are_free(shared: Backend, clock: Clock) -> None:
    count = iter(range(100))

    def somebody() -> Owner:
        return Owner("elsewhere", "boot", 1, 1, f"token {next(count)}")

    terms = LeaseTerms(10.0, math.inf, clock, somebody)
    dying, living = shared.store(terms=terms), shared.store(terms=terms)
    (run, one), (_, two) = begun(dying), begun(living)
    assert ask(one, "a", gpu=2)
    assert not ask(one, "b")
    assert not ask(two, "c")
    clock.now += 9
    living.renew([two])  # type: ignore[attr-defined]
    assert not ask(two, "c")
    assert taken(living) == ["a"]
    clock.now += 2
    assert waiting(living) == ["c"], "what it had, and what it waited for, is gone"
    assert ask(two, "c", gpu=2)
    again = living.open_writer(run.run_id)
    assert not ask(again, "a", gpu=2)
    assert (taken(living), waiting(living)) == (["c"], ["a"])


def test_slots_of_a_dead_owner_count_while_processes_of_its_run_linger(shared: Backend, clock: Clock) -> None:
    there = {"a run"}
    terms = LeaseTerms(
        10.0, math.inf, clock, lambda: Owner("elsewhere", "boot", 1, 1, str(clock.now)), lambda run_id, _token: run_id in there
    )  # fmt: skip
    store = shared.store(terms=terms)
    dead, one = begun(store)
    assert ask(one, "a", gpu=2)
    assert not ask(one, "b")
    there.add(dead.run_id)
    clock.now += 11
    _, two = begun(store)
    assert not ask(two, "c")
    assert (taken(store), waiting(store)) == (["a"], ["c"])
    there.remove(dead.run_id)
    assert ask(two, "c")
    # a run that goes on has waited for such processes itself, so what it had in its former life does not count for it
    clock.now += 11
    _, three = begun(store)
    again = store.open_writer(dead.run_id)
    assert ask(again, "a", gpu=2)
    assert not ask(three, "d")


def test_lingering_is_told_by_the_lock_of_the_run_and_has_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lingerers = presence.Lingerers(tmp_path)
    assert not lingerers.are_there("never ran anything", "t0")
    descriptor = presence.hold(tmp_path / "run")
    assert descriptor is not None
    assert lingerers.are_there("run", "t1")
    monkeypatch.setattr(presence, "LINGERING", 0.0)
    assert not lingerers.are_there("run", "t1"), "whoever holds it longer is nobody who was at work for it"


def test_lock_is_held_although_somebody_looks_at_it_in_that_moment(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            presence.wait_until_free(folder, 0.0)

    lookers = [threading.Thread(target=look) for _ in range(4)]
    for looker in lookers:
        looker.start()
    try:
        held = [presence.hold(folder) for _ in range(200)]
    finally:
        is_over.set()
        for looker in lookers:
            looker.join()
    assert None not in held


def test_slots_go_with_the_run(store: Store) -> None:
    run, writer = begun(store)
    assert ask(writer, "a")
    writer.close()
    store.delete_run(run.run_id)
    with pytest.raises(DagsterRunNotFoundError):
        store.open_writer(run.run_id)
    assert store.slot_claims() == []


def test_of_many_that_ask_at_once_no_more_get_slots_than_there_are(backend: Backend) -> None:
    store = backend.store()
    # in memory each store is one of its own
    stores = [store, *(backend.store() for _ in range(0 if store.is_in_memory else 3))]  # type: ignore[attr-defined]
    writers = [begun(stores[number % len(stores)])[1] for number in range(8)]
    limit, most, errors = {"gpu": 3}, [0], []
    lock, inside = threading.Lock(), [0]

    def work(writer: Any, number: int) -> None:
        try:
            for turn in range(5):
                size = 1 + (number + turn) % 3
                while not ask(writer, f"s{turn}", limits=limit, gpu=size):
                    pass
                with lock:
                    inside[0] += size
                    most[0] = max(most[0], inside[0])
                with lock:
                    inside[0] -= size
                writer.give_slots_back(f"s{turn}")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(writer, number)) for number, writer in enumerate(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert 1 < most[0] <= 3
    assert stores[0].slot_claims() == []


def test_who_waits_does_not_write_each_time(shared: Backend, clock: Clock) -> None:
    store = shared.store(terms=LeaseTerms(heartbeat=math.inf, clock=clock))
    (_, one), (_, two) = begun(store), begun(store)
    assert ask(one, "a", gpu=2)
    assert not ask(two, "b")
    before = store.version()
    for _ in range(5):
        assert not ask(two, "b")
    assert store.version() == before
    clock.now += SILENCE / 2
    assert not ask(two, "b")
    assert store.version() != before, "it is there, and that must be known"
    before = store.version()
    assert not ask(two, "b", (5, 0))
    assert store.version() != before


def test_run_that_claims_nothing_ends_without_a_look_at_claims(shared: Backend) -> None:
    store = shared.store()
    said: list[str] = []
    assert isinstance(store, SqliteStore)
    with store._open().writing() as connection:
        connection.set_trace_callback(said.append)
    _, writer = begun(store)
    writer.give_slots_back("a")
    writer.close()
    assert [text for text in said if "claims" in text] == []
    assert any("leases" in text for text in said)
