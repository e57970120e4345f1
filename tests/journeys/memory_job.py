"""A job whose values are handed over in memory, and the program that runs it: large values of every shape.

    python memory_job.py HOME RUN_ID JOB [never | event:N | commit:N | wait]

`event:N` kills the process when the N-th entry of its log is made, `commit:N` at the N-th commit, before it counts. The same call again goes on with the run. With
MEMORY_HOLDS in the environment the step `last` waits until the file that it names is there.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
import zlib
from pathlib import Path

from treadle import (
    DagsterInstance,
    DynamicOut,
    DynamicOutput,
    ReconstructableJob,
    execute_job,
    in_process_executor,
    job,
    multiprocess_executor,
    op,
    threaded_executor,
)

SIZE = 2 << 20


class Block:
    """Bytes that go from process to process as arrays do."""

    def __init__(self, data: object) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: object) -> object:
        return Block, (pickle.PickleBuffer(self.data),)  # type: ignore[arg-type]


def filled(number: int) -> Block:
    return Block(bytearray([number % 256]) * SIZE)


def first_of(block: Block) -> int:
    return memoryview(block.data)[0]  # type: ignore[arg-type]


@op
def source() -> Block:
    return filled(1)


@op
def handed_on(block: Block) -> Block:
    first_of(block)
    return block


@op
def more(block: Block) -> Block:
    return filled(first_of(block) + 1)


@op(out=DynamicOut())
def fan(block: Block):
    for number in range(3):
        yield DynamicOutput(filled(first_of(block) + number), mapping_key=f"k{number}")


@op
def branch(block: Block, whole: Block) -> Block:
    return filled(first_of(block) + first_of(whole))


@op
def total(blocks: list) -> Block:
    return filled(sum(first_of(block) for block in blocks))


@op
def last(block: Block) -> Block:
    name = os.environ.get("MEMORY_HOLDS")
    if name:
        Path(name + ".there").touch()
        deadline = time.monotonic() + 60
        while not Path(name).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
    if os.environ.get("MEMORY_FAILS"):
        raise ValueError("not this time")
    return filled(first_of(block) + 1)


@job(executor_def=multiprocess_executor.configured({"max_concurrent": 2}))
def in_workers():
    whole = handed_on(source())
    last(total(fan(more(whole)).map(lambda block: branch(block, whole)).collect()))


in_fresh_processes = in_workers.with_executor_def(
    multiprocess_executor.configured({"max_concurrent": 2, "isolation": "step"})
)
spawned = in_workers.with_executor_def(
    multiprocess_executor.configured({"max_concurrent": 2, "start_method": {"spawn": {}}})
)
on_threads = in_workers.with_executor_def(threaded_executor.configured({"max_concurrent": 2}))
one_by_one = in_workers.with_executor_def(in_process_executor)
mixed = in_workers.with_executor_def(
    multiprocess_executor.configured({"max_concurrent": 2, "op_isolation": {"more": "thread", "total": "inline"}})
)

STEPS = ["source", "handed_on", "more", "fan", "branch[k0]", "branch[k1]", "branch[k2]", "total", "last"]
#: 2, 3, 4 from the fan, one more each from the branches; the sum, and one more
RESULT = {"success": True, "last": zlib.crc32(bytes([2 + 3 + 4 + 3 + 1]) * SIZE)}


def main(home: str, run_id: str, name: str, how: str = "never") -> None:
    recipe = ReconstructableJob.for_file(__file__, name)
    from kill_job import arm  # beside this program

    with DagsterInstance.from_config(home) as instance:
        arm(how, instance, run_id)
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        with execute_job(recipe, instance, quiet, run_id=run_id) as result:
            value = zlib.crc32(result.output_for_node("last").data) if result.success else None
            print(json.dumps({"success": result.success, "last": value}))


if __name__ == "__main__":
    main(*sys.argv[1:])
