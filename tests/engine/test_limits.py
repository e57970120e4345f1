"""Counted slots: never more taken than there are, and nobody waits for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from treadle.engine.limits import Limits


@given(st.data())
def test_no_more_is_taken_than_there_is_and_every_step_gets_its_turn(data):
    capacities = {"a": data.draw(st.integers(1, 4)), "b": data.draw(st.integers(1, 4))}
    needs = {}
    for number in range(data.draw(st.integers(1, 12))):
        names = data.draw(st.sets(st.sampled_from(["a", "b"])))
        needs[f"s{number}"] = [(name, data.draw(st.integers(1, capacities[name]))) for name in sorted(names)]
    limits = Limits(capacities, needs)
    ready, running, ended = list(needs), [], []
    while ready or running:
        while ready:
            key = ready.pop(data.draw(st.integers(0, len(ready) - 1)))
            if limits.take(key, key):
                running.append(key)
        for name, capacity in capacities.items():
            assert sum(count for key in running for each, count in needs[key] if each == name) <= capacity
        assert running, "somebody waits, and nobody runs"
        key = running.pop(data.draw(st.integers(0, len(running) - 1)))
        ended.append(key)
        ready += limits.give_back(key)
    assert sorted(ended) == sorted(needs)
    assert limits.waiting == 0


def test_ten_thousand_that_wait_for_one_slot_are_asked_about_once_each():
    limits = Limits({"gpu": 1}, {"branch": [("gpu", 1)]})
    keys = [f"branch[{number}]" for number in range(10_000)]
    started = [key for key in keys if limits.take(key, "branch")]
    assert started == keys[:1]
    for number in range(1, 10_000):
        assert limits.give_back("branch") == [keys[number]]
        assert limits.take(keys[number], "branch")
