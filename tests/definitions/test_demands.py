"""What an op may ask of whoever runs it, and what it is told where that cannot be."""

from __future__ import annotations

import pytest

from treadle import DagsterInvalidDefinitionError, TreadleExecutorWarning, job, op


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"timeout": 5}, (5.0, None, {})),
        ({"timeout": "90 min"}, (5400.0, None, {})),
        ({"memory_limit": "2 GB"}, (None, 2_000_000_000, {})),
        ({"slots": {"gpu": 2}}, (None, None, {"gpu": 2})),
    ],
)
def test_op_says_what_it_asks_for(given, expected):
    @op(**given)
    def works():
        pass

    demands = works.demands
    assert demands is not None
    assert (demands.timeout, demands.memory_limit, demands.slots) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"timeout": 0}, "timeout must be more than nothing"),
        ({"timeout": float("inf")}, "timeout"),
        ({"timeout": "soon"}, 'Op "works": timeout is a duration'),
        ({"timeout": -1}, "timeout"),
        ({"memory_limit": "much"}, 'Op "works": memory_limit is a size'),
        ({"memory_limit": 1.5}, "memory_limit"),
        ({"slots": ["gpu"]}, "slots is a dict of names"),
        ({"slots": {"gpu": 0}}, 'slots "gpu", one or more; got 0'),
        ({"slots": {"gpu": True}}, "one or more"),
        ({"isolation": "proces"}, 'isolation is one of inline, .*Did you mean "process"'),
        ({"isolation": "thread", "timeout": 5}, "kept by ending a process.*check_cancelled.*cooperative=True"),
        (
            {"isolation": "thread", "memory_limit": "1 GB"},
            "kept by ending a process.*check_cancelled.*cooperative=True.*with all its steps",
        ),
        ({"cooperative": "yes"}, "cooperative is True .*got 'yes'"),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_written(given, said):
    with pytest.raises(DagsterInvalidDefinitionError, match=said):

        @op(**given)
        def works():
            pass


@pytest.mark.parametrize("isolation", ["inline", "thread", "async"])
def test_op_that_ends_when_it_is_asked_to_may_have_a_timeout_in_this_process(isolation):
    @op(isolation=isolation, timeout=5, cooperative=True)
    def looks():
        pass

    @op(isolation=isolation, timeout=5)
    async def waits():
        pass

    for each in (looks, waits):
        assert each.demands is not None
        assert (each.demands.timeout, each.demands.isolation, each.demands.is_cooperative) == (5.0, isolation, True)


def test_promise_alone_is_kept_and_none_is_none():
    @op(cooperative=True)
    def looks():
        pass

    @op
    async def waits():
        pass

    assert looks.demands is not None
    assert looks.demands.is_cooperative
    assert waits.demands is None


def test_tag_that_promises_in_other_words_is_refused():
    @op(tags={"treadle/cooperative": "maybe"})
    def looks():
        pass

    @job
    def nightly():
        looks()

    with pytest.raises(DagsterInvalidDefinitionError, match="Tag treadle/cooperative of op \"looks\".*got 'maybe'"):
        nightly.execute_in_process()


def test_limit_that_cannot_be_kept_in_process_is_told_in_a_warning_and_in_the_log():
    @op(timeout=5)
    def works():
        pass

    @job
    def nightly():
        works()

    with pytest.warns(TreadleExecutorWarning, match=r"\['works'\] is not kept"):
        result = nightly.execute_in_process()
    assert any("is not kept" in (event.message or "") for event in result.all_events)
