"""Golden scenarios 1 to 22: how steps follow one another - chains, fans, branches, Nothing, mapped steps, nested graphs.

Each function builds the job of one scenario; `scenarios.py` collects them.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.conformance.scenario import golden
from treadle import (
    DagsterInvariantViolationError,
    DynamicOut,
    DynamicOutput,
    Failure,
    In,
    JobDefinition,
    Nothing,
    Out,
    Output,
    RetryPolicy,
    graph,
    job,
    op,
)


class Broken(Exception):
    """What a failing op of these scenarios raises where the class does not matter."""


@op
def one():
    return 1


@op
def inc(x):
    return x + 1


@op
def add(a, b):
    return a + b


@op
def total(numbers):
    return sum(numbers)


@op
def boom():
    raise ValueError("boom")


@op(out=Out(is_required=False))
def maybe() -> Iterator[Output]:
    """Yields nothing, so what needs it is skipped."""
    yield from ()


@op(out=DynamicOut())
def gen() -> Iterator[DynamicOutput]:
    yield DynamicOutput(1, mapping_key="k0")
    yield DynamicOutput(2, mapping_key="k1")


@op(out=DynamicOut())
def gen0() -> Iterator[DynamicOutput]:
    yield from ()


# -- in a line, side by side ------------------------------------------------------------------------


@golden(1, "P1 · one{SS SO HO SX} · OK", outputs={"one": 1})
def single() -> JobDefinition:
    @job
    def single_job():
        one()

    return single_job


@golden(2, "Pn · one{SS SO HO SX} inc{SS LI SI SO HO SX} · OK", outputs={"one": 1, "inc": 2})
def chain() -> JobDefinition:
    @job
    def chain_job():
        inc(one())

    return chain_job


@golden(
    3,
    "Pn · one{SS SO HO SX} left{SS LI SI SO HO SX} right{SS LI SI SO HO SX} add{SS LI LI SI SI SO HO SX} · OK",
    outputs={"left": 2, "right": 2, "add": 4},
)
def diamond() -> JobDefinition:
    @job
    def diamond_job():
        start = one()
        add(inc.alias("left")(start), inc.alias("right")(start))

    return diamond_job


@golden(
    4,
    "Pn · s1{SS SO HO SX} s2{SS SO HO SX} s3{SS SO HO SX} total{SS LI LI LI SI SO HO SX} · OK",
    outputs={"total": 3},
)
def fan_in() -> JobDefinition:
    @job
    def fan_in_job():
        total([one.alias("s1")(), one.alias("s2")(), one.alias("s3")()])

    return fan_in_job


# -- a step fails ------------------------------------------------------------------------------------


@golden(5, "P1 · boom{SS SF} · FAIL", failed=("boom",), raises=ValueError)
def op_exception() -> JobDefinition:
    @job
    def op_exception_job():
        boom()

    return op_exception_job


@golden(
    6,
    "Pn · boom{SS SF} one{SS SO HO SX} · FAIL",
    failed=("boom",),
    raises=ValueError,
    outputs={"one": 1},
    untouched=("inc",),
)
def exception_downstream() -> JobDefinition:
    @job
    def exception_downstream_job():
        inc(boom())
        one()

    return exception_downstream_job


@golden(
    7,
    "Pn · boom{SS SF} one{SS SO HO SX} inc{SS LI SI SO HO SX} · FAIL",
    failed=("boom",),
    raises=ValueError,
    outputs={"inc": 2},
)
def independent_continues() -> JobDefinition:
    @job
    def independent_continues_job():
        boom()
        inc(one())

    return independent_continues_job


def _failure_is_described(result):
    data = result.failure_data_for_node("fail_meta")
    assert data.error.cls_name == "Failure"
    assert data.user_failure_data.description == "no planes"
    assert data.user_failure_data.metadata["rows"].value == 0


@golden(8, "P1 · fail_meta{SS SF} · FAIL", failed=("fail_meta",), raises=Failure, check=_failure_is_described)
def failure_metadata() -> JobDefinition:
    @op
    def fail_meta():
        raise Failure(description="no planes", metadata={"rows": 0})

    @job
    def failure_metadata_job():
        fail_meta()

    return failure_metadata_job


@golden(
    9,
    "P1 · fail_noretry{SS SF} · FAIL",
    failed=("fail_noretry",),
    raises=Failure,
    retries={"fail_noretry": 0},
)
def failure_no_retries() -> JobDefinition:
    @op(retry_policy=RetryPolicy(max_retries=3))
    def fail_noretry():
        raise Failure(description="for good", allow_retries=False)

    @job
    def failure_no_retries_job():
        fail_noretry()

    return failure_no_retries_job


# -- a step is skipped ---------------------------------------------------------------------------------


@golden(
    10,
    "Pn · branch{SS SO HO SX} nottaken{SK} nottaken_2{SK} taken{SS LI SI SO HO SX} · OK",
    outputs={("branch", "a"): 1, "taken": 2},
    skipped=("nottaken", "nottaken_2"),
)
def branch_skip() -> JobDefinition:
    @op(out={"a": Out(is_required=False), "b": Out(is_required=False)})
    def branch():
        yield Output(1, "a")

    @job
    def branch_skip_job():
        a, b = branch()
        inc.alias("taken")(a)
        inc.alias("nottaken_2")(inc.alias("nottaken")(b))

    return branch_skip_job


@golden(11, "Pn · m1{SS SX} m2{SS SX} total{SK} · OK", skipped=("total",))
def optional_fan_in_all_skipped() -> JobDefinition:
    @job
    def optional_fan_in_all_skipped_job():
        total([maybe.alias("m1")(), maybe.alias("m2")()])

    return optional_fan_in_all_skipped_job


@golden(12, "Pn · m1{SS SX} one{SS SO HO SX} total{SS LI SI SO HO SX} · OK", outputs={"total": 1})
def optional_fan_in_some_skipped() -> JobDefinition:
    @job
    def optional_fan_in_some_skipped_job():
        total([maybe.alias("m1")(), one()])

    return optional_fan_in_some_skipped_job


# -- order without data -----------------------------------------------------------------------------------


@op(out=Out(Nothing))
def do_nothing():
    pass


@op(ins={"start": In(Nothing)})
def after():
    return "done"


@golden(13, "Pn · do_nothing{SS SO SX} after{SS SO HO SX} · OK", outputs={"do_nothing": None, "after": "done"})
def nothing_dep() -> JobDefinition:
    @job
    def nothing_dep_job():
        after(start=do_nothing())

    return nothing_dep_job


@golden(14, "Pn · n1{SS SO SX} n2{SS SO SX} after{SS SO HO SX} · OK", outputs={"after": "done"})
def nothing_fan_in() -> JobDefinition:
    @job
    def nothing_fan_in_job():
        after(start=[do_nothing.alias("n1")(), do_nothing.alias("n2")()])

    return nothing_fan_in_job


# -- mapped steps -------------------------------------------------------------------------------------------


@golden(
    15,
    "Pn · gen{SS SO HO SO HO SX} inc[k0]{SS LI SI SO HO SX} inc[k1]{SS LI SI SO HO SX} total{SS LI LI SI SO HO SX} · OK",
    outputs={"gen": {"k0": 1, "k1": 2}, "inc": {"k0": 2, "k1": 3}, "total": 5},
)
def dynamic() -> JobDefinition:
    @job
    def dynamic_job():
        total(gen().map(inc).collect())

    return dynamic_job


@golden(
    16,
    "Pn · gen{SS SO HO SO HO SX} inc[k0]{SS LI SI SO HO SX} inc[k1]{SS LI SI SO HO SX}"
    " inc2[k0]{SS LI SI SO HO SX} inc2[k1]{SS LI SI SO HO SX} · OK",
    outputs={"inc2": {"k0": 3, "k1": 4}},
)
def dynamic_nocollect() -> JobDefinition:
    @job
    def dynamic_nocollect_job():
        gen().map(lambda x: inc.alias("inc2")(inc(x)))

    return dynamic_nocollect_job


@golden(17, "Pn · gen{SS SO HO SO HO SX} total{SS LI LI SI SO HO SX} · OK", outputs={"total": 3})
def dynamic_direct_collect() -> JobDefinition:
    @job
    def dynamic_direct_collect_job():
        total(gen().collect())

    return dynamic_direct_collect_job


@golden(18, "Pn · gen0{SS SX} total{SS SI SO HO SX} · OK", outputs={"total": 0}, untouched=("inc",))
def dynamic_empty() -> JobDefinition:
    @job
    def dynamic_empty_job():
        total(gen0().map(inc).collect())

    return dynamic_empty_job


@golden(
    19,
    "Pn · gen{SS SO HO SO HO SX} inc_fail_k1[k0]{SS LI SI SO HO SX} inc_fail_k1[k1]{SS LI SI SF} · FAIL",
    failed=("inc_fail_k1[k1]",),
    raises=Broken,
    outputs={"inc_fail_k1": {"k0": 2}},
    untouched=("total",),
)
def dynamic_one_fails() -> JobDefinition:
    @op
    def inc_fail_k1(context, x):
        if context.get_mapping_key() == "k1":
            raise Broken("k1")
        return x + 1

    @job
    def dynamic_one_fails_job():
        total(gen().map(inc_fail_k1).collect())

    return dynamic_one_fails_job


@golden(
    20,
    "Pn · gen{SS SO HO SO HO SX} inc_skip_k1[k0]{SS LI SI SO HO SX} inc_skip_k1[k1]{SS LI SI SX}"
    " total{SS LI SI SO HO SX} · OK",
    outputs={"inc_skip_k1": {"k0": 2}, "total": 2},
)
def dynamic_one_skips() -> JobDefinition:
    @op(out=Out(is_required=False))
    def inc_skip_k1(context, x):
        if context.get_mapping_key() != "k1":
            yield Output(x + 1)

    @job
    def dynamic_one_skips_job():
        total(gen().map(inc_skip_k1).collect())

    return dynamic_one_skips_job


@golden(
    21,
    "Pn · gendup{SS SO HO SF} · FAIL",
    failed=("gendup",),
    raises=DagsterInvariantViolationError,
    untouched=("inc",),
)
def dynamic_duplicate_key() -> JobDefinition:
    @op(out=DynamicOut())
    def gendup():
        yield DynamicOutput(1, mapping_key="same")
        yield DynamicOutput(2, mapping_key="same")

    @job
    def dynamic_duplicate_key_job():
        gendup().map(inc)

    return dynamic_duplicate_key_job


# -- graphs in graphs -----------------------------------------------------------------------------------------


@golden(
    22,
    "Pn · outer.one{SS SO HO SX} outer.inner.inner_inc{SS LI SI SO HO SX} inc{SS LI SI SO HO SX} · OK",
    outputs={"outer.one": 1, "outer.inner.inner_inc": 2, "outer.inner": 2, "outer": 2, "inc": 3},
)
def nested_graph() -> JobDefinition:
    @graph
    def inner(x):
        return inc.alias("inner_inc")(x)

    @graph
    def outer():
        return inner(one())

    @job
    def nested_graph_job():
        inc(outer())

    return nested_graph_job
