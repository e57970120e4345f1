"""Jobs that tests run on Dask: workers import this module."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from treadle import (
    DynamicOut,
    DynamicOutput,
    Failure,
    JobDefinition,
    RetryPolicy,
    dask_executor,
    job,
    op,
    resource,
)


@op
def one(context) -> int:
    context.log.info("one is here")
    return 1


@op
def plus_one(number: int) -> int:
    return number + 1


@job(executor_def=dask_executor)
def chain():
    plus_one(plus_one(one()))


def make_chain() -> JobDefinition:
    return chain
