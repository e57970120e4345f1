"""A module whose import starts a thread: what it makes must not be forked."""

from __future__ import annotations

import threading

from tests.executors.process_jobs import inc, one
from treadle import dask_executor, job, multiprocess_executor

threading.Thread(target=threading.Event().wait, name="of-the-module", daemon=True).start()


@job(executor_def=multiprocess_executor)
def threaded():
    inc(one())


@job(executor_def=dask_executor)
def threaded_on_dask():
    inc(one())
