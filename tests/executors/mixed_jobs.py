"""Jobs whose ops run in different places."""

from __future__ import annotations

import asyncio
import os
import threading
import time

from tests.executors.process_jobs import trace, wait_for
from treadle import (
    In,
    Nothing,
    RetryPolicy,
    in_process_executor,
    job,
    multiprocess_executor,
    op,
    threaded_executor,
)


def _here() -> tuple[int, str]:
    return os.getpid(), threading.current_thread().name


@op(isolation="inline")
def inline() -> tuple:
    return _here()


@op(isolation="thread")
def thread() -> tuple:
    return _here()


@op(isolation="async")
async def on_loop() -> tuple:
    await asyncio.sleep(0.01)
    return _here()


@op(isolation="process")
def process() -> tuple:
    return _here()


@op(isolation="fresh_process")
def fresh() -> tuple:
    return _here()


@op
def anywhere() -> tuple:
    return _here()


@op
def gather(places: list) -> list:
    return places


def _everywhere() -> None:
    gather([inline(), thread(), on_loop(), process(), fresh(), fresh.alias("fresh_2")(), anywhere()])


@job(executor_def=multiprocess_executor.configured({"max_concurrent": 3}))
def in_processes():
    _everywhere()


@job(executor_def=multiprocess_executor)
def freely():
    _everywhere()


@job(executor_def=in_process_executor)
def in_process():
    _everywhere()


@job(executor_def=threaded_executor)
def on_threads():
    _everywhere()


@op(isolation="thread")
def left() -> int:
    trace("left")
    wait_for("right")
    return os.getpid()


@op(isolation="process")
def right() -> int:
    trace("right")
    wait_for("left")
    return os.getpid()


@job(executor_def=multiprocess_executor.configured({"max_concurrent": 2}))
def meeting():
    left()
    right()


@op(isolation="thread", retry_policy=RetryPolicy(max_retries=1, delay=0.05))
def fails_once(context) -> int:
    if context.retry_number == 0:
        raise ValueError("once")
    return 3


@op(isolation="process")
def dies() -> int:
    os._exit(5)


@op(isolation="inline")
def raises() -> int:
    raise KeyError("inline")


@job(executor_def=multiprocess_executor)
def failing():
    fails_once()
    dies()
    raises()


@op(isolation="thread")
def waits_on_thread() -> None:
    trace("thread")
    wait_for("ended")


@op(isolation="process")
def waits_in_process() -> None:
    trace("process")
    try:
        time.sleep(60)
    finally:
        trace("ended")


@op(ins={"start": In(Nothing)})
def after() -> None:
    trace("after")


@job(executor_def=multiprocess_executor.configured({"max_concurrent": 2}))
def waiting():
    after([waits_on_thread(), waits_in_process()])
