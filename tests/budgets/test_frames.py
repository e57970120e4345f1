"""How deep a user's function stands: at most eight of our own frames above it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import treadle

PACKAGE = f"{Path(treadle.__file__).parent}{os.sep}"
BUDGET = 8
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def own_frames_above() -> list[str]:
    """The frames of the package among the callers of the function that asks, innermost first."""
    found = []
    frame = sys._getframe(1)
    while frame := frame.f_back:
        code = frame.f_code
        if code.co_filename.startswith(PACKAGE):
            found.append(f"{Path(code.co_filename).name}:{code.co_name}")
    return found


def run_and_take(op: Any, taken: list[list[str]]) -> list[str]:
    @treadle.job(name="one_op")
    def one_op() -> None:
        op()

    assert one_op.execute_in_process(run_config=QUIET).success
    (frames,) = taken
    return frames


def plain(taken: list[list[str]]) -> Any:
    @treadle.op(name="plain")
    def plain_op() -> int:
        taken.append(own_frames_above())
        return 1

    return plain_op


def with_context(taken: list[list[str]]) -> Any:
    @treadle.op(name="with_context")
    def context_op(context) -> int:
        taken.append(own_frames_above())
        return 1

    return context_op


def generator(taken: list[list[str]]) -> Any:
    @treadle.op(name="generator", out=treadle.Out(int))
    def generator_op() -> Iterator[Any]:
        taken.append(own_frames_above())
        yield treadle.Output(1)

    return generator_op


@pytest.mark.parametrize("make_op", [plain, with_context, generator])
def test_at_most_eight_own_frames_stand_above_an_op(make_op: Callable[[list[list[str]]], Any]) -> None:
    taken: list[list[str]] = []
    frames = run_and_take(make_op(taken), taken)
    assert len(frames) <= BUDGET, f"{len(frames)} frames: {' < '.join(frames)}"


def test_depth_does_not_grow_with_the_place_in_a_chain() -> None:
    depths: list[int] = []

    @treadle.op
    def start() -> int:
        return 0

    @treadle.op
    def deeper(x: int) -> int:
        depths.append(len(own_frames_above()))
        return x

    @treadle.job
    def chain() -> None:
        value = start()
        for number in range(20):
            value = deeper.alias(f"deeper_{number}")(value)

    assert chain.execute_in_process(run_config=QUIET).success
    assert len(depths) == 20
    assert set(depths) == {depths[0]}
