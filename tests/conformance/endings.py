"""Golden scenarios 23 to 32, and 60 to 66: how a step ends - retries, hooks, interrupts, other sources of inputs, order.

Each function builds the job of one scenario; `scenarios.py` collects them.
"""

from __future__ import annotations

import sys

from tests.conformance.flows import add, boom, inc, maybe, one
from tests.conformance.scenario import golden
from treadle import (
    JobDefinition,
    RetryPolicy,
    RetryRequested,
    failure_hook,
    job,
    op,
    success_hook,
)
from treadle.errors import DagsterMaxRetriesExceededError

# -- retries ------------------------------------------------------------------------------------------


@golden(
    23,
    "Pn · flaky{SS UR RE UR RE SO HO SX} inc{SS LI SI SO HO SX} · OK",
    outputs={"flaky": 2, "inc": 3},
    retries={"flaky": 2, "inc": 0},
)
def retry_policy_success() -> JobDefinition:
    @op(retry_policy=RetryPolicy(max_retries=3))
    def flaky(context):
        if context.retry_number < 2:
            raise ValueError("not yet")
        return context.retry_number

    @job
    def retry_policy_success_job():
        inc(flaky())

    return retry_policy_success_job


@golden(24, "P1 · rr{SS UR RE SO HO SX} · OK", outputs={"rr": 1}, retries={"rr": 1})
def retry_requested() -> JobDefinition:
    @op
    def rr(context):
        if context.retry_number == 0:
            raise RetryRequested(max_retries=2)
        return context.retry_number

    @job
    def retry_requested_job():
        rr()

    return retry_requested_job


@golden(
    25,
    "P1 · boom{SS UR RE SF} · FAIL",
    failed=("boom",),
    raises=DagsterMaxRetriesExceededError,
    retries={"boom": 1},
)
def retry_exhausted() -> JobDefinition:
    @job
    def retry_exhausted_job():
        boom.with_retry_policy(RetryPolicy(max_retries=1))()

    return retry_exhausted_job


@golden(
    26,
    "P1 · rr_forever{SS UR RE SF} · FAIL",
    failed=("rr_forever",),
    raises=DagsterMaxRetriesExceededError,
    retries={"rr_forever": 1},
)
def retry_requested_exhausted() -> JobDefinition:
    @op
    def rr_forever():
        raise RetryRequested(max_retries=1)

    @job
    def retry_requested_exhausted_job():
        rr_forever()

    return retry_requested_exhausted_job


@golden(
    27,
    "P1 · boom{SS SF} · FAIL",
    run={"run_config": {"execution": {"config": {"in_process": {"retries": {"disabled": {}}}}}}},
    failed=("boom",),
    raises=ValueError,
    retries={"boom": 0},
)
def retry_disabled_executor() -> JobDefinition:
    """The original does not look at the executor's config in process; here `retries` holds there too (wart 10)."""

    @job
    def retry_disabled_executor_job():
        boom.with_retry_policy(RetryPolicy(max_retries=1))()

    return retry_disabled_executor_job


# -- hooks ----------------------------------------------------------------------------------------------


@success_hook
def when_good(context):
    pass


@failure_hook
def when_bad(context):
    pass


@success_hook
def raises_when_good(context):
    raise RuntimeError("hook")


@failure_hook
def raises_when_bad(context):
    raise RuntimeError("hook")


@golden(28, "P1 · one{SS SO HO SX HS HC} · OK")
def hook_success() -> JobDefinition:
    @job(hooks={when_good, when_bad})
    def hook_success_job():
        one()

    return hook_success_job


@golden(29, "P1 · boom{SS SF HC HS} · FAIL", failed=("boom",), raises=ValueError)
def hook_failure() -> JobDefinition:
    @job(hooks={when_good, when_bad})
    def hook_failure_job():
        boom()

    return hook_failure_job


@golden(30, "Pn · one{SS SO HO SX HE} inc{SS LI SI SO HO SX HE} · OK", outputs={"inc": 2})
def hook_raises_on_success() -> JobDefinition:
    @job(hooks={raises_when_good})
    def hook_raises_on_success_job():
        inc(one())

    return hook_raises_on_success_job


@golden(31, "P1 · boom{SS SF HE} · FAIL", failed=("boom",), raises=ValueError)
def hook_raises_on_failure() -> JobDefinition:
    @job(hooks={raises_when_bad})
    def hook_raises_on_failure_job():
        boom()

    return hook_raises_on_failure_job


@golden(32, "Pn · maybe{SS SX} inc{SK} maybe{HS HC} · OK", skipped=("inc",))
def hook_skipped_step() -> JobDefinition:
    @job(hooks={when_good, when_bad})
    def hook_skipped_step_job():
        inc(maybe())

    return hook_skipped_step_job


# -- interrupts raised by an op ------------------------------------------------------------------------------


@golden(
    61,
    "Pn · kbi{SS SF} -{RF}",
    failed=("kbi",),
    raises=KeyboardInterrupt,
    untouched=("inc",),
)
def keyboard_interrupt() -> JobDefinition:
    @op
    def kbi():
        raise KeyboardInterrupt

    @job
    def keyboard_interrupt_job():
        inc(kbi())

    return keyboard_interrupt_job


@golden(62, "Pn · sysexit{SS SF} · FAIL", failed=("sysexit",), raises=SystemExit, untouched=("inc",))
def system_exit() -> JobDefinition:
    @op
    def sysexit():
        sys.exit(3)

    @job
    def system_exit_job():
        inc(sysexit())

    return system_exit_job


# -- part of the job, inputs from elsewhere, order ----------------------------------------------------------


@op
def takes_int(x: int):
    return x


@golden(
    60,
    "Pn · one{SS SO HO SX} inc{SS LI SI SO HO SX} · OK",
    run={"op_selection": ["*inc"]},
    outputs={"inc": 2},
    untouched=("o2", "add"),
)
def selection_up() -> JobDefinition:
    @job
    def selection_up_job():
        add(inc(one()), one.alias("o2")())

    return selection_up_job


@golden(63, "P1 · default_in{SS SI SO HO SX} · OK", outputs={"default_in": 5})
def default_input() -> JobDefinition:
    @op
    def default_in(x: int = 5):
        return x

    @job
    def default_input_job():
        default_in()

    return default_input_job


@golden(
    64,
    "P1 · takes_int{SS SI SO HO SX} · OK",
    run={"run_config": {"ops": {"takes_int": {"inputs": {"x": 4}}}}},
    outputs={"takes_int": 4},
)
def config_input() -> JobDefinition:
    @job
    def config_input_job():
        takes_int()

    return config_input_job


@golden(65, "Pn · high{SS SO HO SX} mid{SS SO HO SX} low{SS SO HO SX} · OK")
def priority() -> JobDefinition:
    @job
    def priority_job():
        one.alias("low").tag({"dagster/priority": "-1"})()
        one.alias("mid")()
        one.alias("high").tag({"dagster/priority": "5"})()

    return priority_job


@golden(66, "-{RS EE LC EE OK}")
def empty_job() -> JobDefinition:
    @job
    def empty():
        pass

    return empty
