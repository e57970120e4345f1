"""The stores that the contract suites are about; a new backend is one kind more.

A fixture gives a `Backend`: how to make a store, and how another process would open the same one, where that can be.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from treadle.errors import LeaseLostError
from treadle.events import DagsterEvent, ResolvedFromDynamicStepHandle, StepHandle
from treadle.events import DagsterEventType as T
from treadle.names import NodeHandle
from treadle.outcomes import AssetMaterialization, ExpectationResult
from treadle.payloads import (
    StepExpectationResultData,
    StepMaterializationData,
    StepOutputData,
    StepOutputHandle,
    StepRetryData,
    StepSuccessData,
)
from treadle.runs import DagsterRun, RunsFilter, make_run_id
from treadle.storage.sqlite import SqliteStore
from treadle.storage.store import Store


@dataclass
class Backend:
    """A kind of store, and the stores that a test has made of it."""

    make: Callable[..., Store]
    stores: list[Store] = field(default_factory=list)

    def store(self, **options: Any) -> Store:
        made = self.make(**options)
        self.stores.append(made)
        return made


#: kinds of stores, and those of them that several processes can open
KINDS = ["sqlite file", "sqlite memory"]
SHARED = ["sqlite file"]


def backend_of(kind: str, folder: Path) -> Iterator[Backend]:
    path = folder / "treadle.db" if kind == "sqlite file" else None
    found = Backend(lambda **options: SqliteStore(path, **options))
    yield found
    for store in found.stores:
        with contextlib.suppress(LeaseLostError):
            store.close()


def a_run(name: str = "job", **fields: Any) -> DagsterRun:
    return DagsterRun(**{"job_name": name, "run_id": make_run_id(), **fields})


def step(kind: T, payload: Any = None, key: str = "load", run: DagsterRun | None = None) -> DagsterEvent:
    """An event of a step as the engine makes it."""
    path = key.partition("[")[0]
    handle = NodeHandle.from_string(path)
    step_handle: Any = StepHandle(handle, key)
    if path != key:
        step_handle = ResolvedFromDynamicStepHandle(handle, key.rpartition("[")[2][:-1], key)
    tags = {"run_id": run.run_id if run else "", "job_name": "job", "step_key": key}
    tags |= {"op_name": path.rpartition(".")[2], "resource_name": "None", "resource_fn_name": "None"}
    tags |= dict(run.tags) if run else {}
    return DagsterEvent(kind.value, "job", step_handle, handle, "COMPUTE", tags, payload, None, 7, key)


def begun(store: Store, **fields: Any) -> tuple[DagsterRun, Any]:
    run = a_run(**fields)
    store.add_run(run)
    return run, store.open_writer(run.run_id)


def write(store: Store, run: DagsterRun, *events: DagsterEvent) -> None:
    writer = store.open_writer(run.run_id)
    for event in events:
        writer.append(event)
    writer.close()


def ids(store: Store, filters: RunsFilter | None = None, **options: Any) -> list[str]:
    return [record.dagster_run.run_id for record in store.find_runs(filters, **options)]


def an_output(key: str) -> StepOutputData:
    return StepOutputData(StepOutputHandle(key))


def an_event(kind: T, key: str) -> DagsterEvent:
    """An event of a step with a payload as it has."""
    payloads: dict[T, Any] = {
        T.STEP_SUCCESS: StepSuccessData(1.0),
        T.STEP_UP_FOR_RETRY: StepRetryData(None, 0),
        T.STEP_OUTPUT: an_output(key),
        T.ASSET_MATERIALIZATION: StepMaterializationData(AssetMaterialization("a")),
        T.STEP_EXPECTATION_RESULT: StepExpectationResultData(ExpectationResult(True)),
    }
    return step(kind, payloads.get(kind), key)
