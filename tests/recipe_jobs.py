"""What recipes point at."""

from __future__ import annotations

from typing import Any

from treadle import (
    Definitions,
    FilesystemIOManager,
    OpExecutionContext,
    graph,
    io_manager,
    job,
    mem_io_manager,
    op,
    repository,
)


@op
def one() -> int:
    return 1


@op
def inc(x: int) -> int:
    return x + 1


@op
def name_of_repository(context: OpExecutionContext) -> tuple[str, list[str]]:
    found = context.repository_def
    return found.name, sorted(found.job_names)


@job
def asking():
    name_of_repository()


@job(resource_defs={"io_manager": mem_io_manager})
def forgetting():
    one()


#: the event loops that the manager below was opened with
LOOPS: list[Any] = []


@io_manager(config_schema=str)
def looped(context: Any) -> Any:
    LOOPS.append(context.event_loop)
    return FilesystemIOManager(context.resource_config)


@job(resource_defs={"io_manager": looped})
def looping():
    one()


@job
def nightly():
    inc(one())


@graph
def daily():
    inc(one())


weekly = daily.to_job(name="weekly")
tagged = nightly.with_metadata({"a": 1})


def make_weekly():
    return daily.to_job(name="weekly")


def make_graph():
    return daily


def make_nothing():
    return None


def make_sized(size: int, name: str = "sized") -> Any:
    @job(name=f"{name}_{size}")
    def sized():
        value = one()
        for _ in range(size):
            value = inc(value)

    return sized


class Holder:
    @staticmethod
    def make():
        return nightly

    def bound(self):
        return nightly


defs = Definitions(jobs=[nightly, weekly])


@repository
def asked():
    return [asking, nightly]
