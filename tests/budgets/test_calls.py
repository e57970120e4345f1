"""How much of our own code one more op costs in process: at most 150 calls, and as many at any length."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import treadle

PACKAGE = f"{Path(treadle.__file__).parent}{os.sep}"
BUDGET = 150
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def chain_of(length: int) -> Any:
    """A job of distinct ops, each of which gives on what it gets."""

    def make_op(number: int) -> Any:
        @treadle.op(name=f"op_{number}")
        def give_on(x: int) -> int:
            return x

        return give_on

    @treadle.op
    def start() -> int:
        return 0

    ops = [make_op(number) for number in range(length)]

    @treadle.job(name=f"chain_of_{length}")
    def chain() -> None:
        value = start()
        for op in ops:
            value = op(value)

    return chain


def own_calls(job: Any) -> int:
    """The calls of functions of the package while a job runs; a generator that resumes counts as one."""
    count = 0

    def observe(frame: FrameType, event: str, _arg: Any) -> None:
        nonlocal count
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            count += 1

    before = sys.getprofile()
    sys.setprofile(observe)
    try:
        result = job.execute_in_process(run_config=QUIET)
    finally:
        sys.setprofile(before)
    assert result.success
    return count


def test_one_further_op_costs_at_most_150_own_calls() -> None:
    short, long = chain_of(20), chain_of(120)
    own_calls(short)  # what is loaded on first use is loaded now
    per_op = (own_calls(long) - own_calls(short)) / 100
    assert per_op <= BUDGET, f"{per_op} own calls for one further op"


def test_cost_of_a_further_op_does_not_grow_with_the_length_of_the_chain() -> None:
    lengths = [50, 100, 200, 250]
    own_calls(chain_of(5))
    a, b, c, d = (own_calls(chain_of(length)) for length in lengths)
    assert abs((d - c) / 50 - (b - a) / 50) < 1
