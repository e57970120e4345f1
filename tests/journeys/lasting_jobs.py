"""Jobs of the tests about runs that last, where any process finds them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from treadle import (
    AssetMaterialization,
    Config,
    DynamicOut,
    DynamicOutput,
    Out,
    Output,
    fs_io_manager,
    graph,
    in_process_executor,
    job,
    mem_io_manager,
    op,
)


def mark(name: str) -> None:
    """Leave a line in the file that the environment names, if it names one."""
    path = os.environ.get("TREADLE_TEST_MARKS")
    if path:
        with Path(path).open("a") as file:
            file.write(f"{name}\n")


def is_broken(name: str) -> bool:
    """Whether the environment lists this step among the broken ones."""
    return name in os.environ.get("TREADLE_TEST_BROKEN", "").split()


def dies(name: str) -> None:
    if name in os.environ.get("TREADLE_TEST_DEADLY", "").split():
        os.kill(os.getpid(), 9)


class Size(Config):
    count: int = 3


@op
def start(config: Size) -> int:
    mark("start")
    dies("start")
    return config.count


@op(out=DynamicOut())
def fan(count: int):
    mark("fan")
    for number in range(count):
        yield DynamicOutput(number, mapping_key=f"k{number}")


@op
def work(context, x: int) -> int:
    key = f"work[{context.get_mapping_key()}]"
    mark(key)
    dies(key)
    if is_broken(key):
        raise ValueError(key)
    return x * 10


@op
def total(xs: list) -> int:
    mark("total")
    return sum(xs)


@op
def aside() -> str:
    mark("aside")
    if is_broken("aside"):
        raise ValueError("aside")
    return "aside"


@op
def last(x: int) -> int:
    mark("last")
    if is_broken("last"):
        raise ValueError("last")
    return x + 1


@graph
def ending(x):
    return last(x)


@job(executor_def=in_process_executor, tags={"team": "tests"})
def fanned():
    aside()
    ending(total(fan(start()).map(work).collect()))


@op(out={"yes": Out(is_required=False), "no": Out(is_required=False)})
def decide():
    yield Output(1, "yes")


@op
def after_yes(x: int) -> int:
    if is_broken("after_yes"):
        raise ValueError("after_yes")
    return x


@op
def after_no(x: int) -> int:
    return x


@job
def branching():
    yes, no = decide()
    after_yes(yes)
    after_no(no)


@op(resume="fail")
def pays_money() -> int:
    mark("pays_money")
    dies("pays_money")
    return 1


@op
def after_payment(x: int) -> int:
    mark("after_payment")
    return x


@job
def payment():
    after_payment(pays_money())


@job(resource_defs={"io_manager": mem_io_manager})
def forgetful():
    last(total.alias("sum")(fan(start()).map(work).collect()))


def make_changed(kind: str) -> Any:
    """A job that is another one each time the environment says so."""

    @op
    def first() -> int:
        mark("first")
        return 1

    @op
    def second(x: int) -> int:
        mark("second")
        dies("second")
        return x

    @op
    def extra() -> int:
        return 0

    @job(resource_defs={"io_manager": fs_io_manager})
    def changing():
        value = first()
        second(value if os.environ.get("TREADLE_TEST_SHAPE") != "changed" else extra())

    return changing


@op
def wait_for_word(context) -> int:
    """Waits until the file that the environment names is there."""
    mark("waiting")
    word = Path(os.environ["TREADLE_TEST_WORD"])
    until = time.monotonic() + 60
    while not word.exists() and time.monotonic() < until:
        time.sleep(0.01)
    context.log.info("the word came")
    return 1


@job(executor_def=in_process_executor)
def waiting():
    last(wait_for_word())


@op
def talks(context) -> int:
    for number in range(200):
        context.log.info(f"line {number} " + "x" * 100)
        context.log_event(AssetMaterialization("table", metadata={"row": number}))
    return 1


@job(executor_def=in_process_executor)
def talkative():
    last(talks())


@op
def big(size: int) -> bytes:
    mark("big")
    return bytes(size * 1_000_000)


@op
def total_size(data: bytes) -> int:
    return len(data)


@op
def harm(x: int) -> int:
    """Does to the home what the environment says."""
    mark("harm")
    home, what = Path(os.environ["TREADLE_HOME"]), os.environ.get("TREADLE_TEST_HARM", "")
    store = [home / f"treadle.db{end}" for end in ("", "-wal", "-shm")]
    if what == "delete store":
        for path in store:
            path.unlink()
    elif what == "move store":
        for path in store:
            path.rename(path.with_name(f"moved-{path.name}"))
    elif what == "file for folder":
        (home / "storage").rename(home / "values")
        (home / "storage").write_text("in the way")
    return x


@job(executor_def=in_process_executor)
def harmed():
    last(harm(start()))


@job(executor_def=in_process_executor)
def heavy():
    total_size(big(start()))
