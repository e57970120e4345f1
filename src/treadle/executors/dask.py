"""Steps on a Dask cluster: each attempt is a task, on a cluster that is there or on one made for the run.

The task runs in the event loop of a Dask worker and has the step run in a child of it, see `guest`. This process alone
writes the log: what happens is told by way of the scheduler, as it happens. No value passes through Dask, and no attempt is
begun twice, whatever Dask does with a task whose worker it has lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import dask
import distributed
import msgspec

from treadle.definitions.executors import Execution
from treadle.definitions.job import JobDefinition
from treadle.engine.workplace import Workplace
from treadle.errors import DagsterInvalidDefinitionError
from treadle.executors import guest
from treadle.executors.cluster import LOOK, PATIENCE, ClusterExecutor, Inbox, Site, Told

_NAME = "treadle"
#: what the run keeps at the scheduler, beside which worker has begun which attempt: how steps that are not wanted are to end,
#: and what changes as long as the run is there
_ENDING, _SIGN = "ending", "sign of life"
#: without types of their own
_LocalCluster: Any = distributed.LocalCluster
_Client: Any = distributed.Client

#: an op's tag of this name says which resources of Dask its worker must have
RESOURCES_TAG = "dagster-dask/resource_requirements"
#: seconds in which a scheduler answers at first
CONNECT = 10.0
#: seconds in which workers end what they have for a run that is over
TIDYING = 10.0


async def run_task(key: str, topic: str, run_id: str, assignment: bytes, task: bytes) -> str | None:
    """On a Dask worker, in its event loop: have an attempt run.

    Gives the address of the worker that has begun it before, and then runs nothing.
    """
    worker: Any = distributed.get_worker()
    scheduler, address = worker.scheduler, worker.address

    async def post(pid: int | None, messages: list[bytes]) -> None:
        await scheduler.log_event(topic=topic, msg={_NAME: key, "worker": address, "pid": pid, "told": messages})

    async def read(name: str) -> Any:
        return await scheduler.get_metadata(keys=[_NAME, run_id, name], default=None)

    def is_wanted() -> bool:
        known = worker.state.tasks.get(key)
        return known is not None and known.state in ("executing", "long-running")

    # Dask gives a task to another worker when one is lost; of a step that was begun nobody knows what it has done.
    earlier: str | None = await read(key)
    if earlier is None:
        await asyncio.gather(scheduler.set_metadata(keys=[_NAME, run_id, key], value=address), post(None, []))
        host = guest.Host(
            worker,
            f"a process of Dask worker {address}",
            str(worker.local_directory),
            {"DASK_SCHEDULER_ADDRESS": str(scheduler.address)},
            _memory_limit(worker),
            post,
            is_wanted,
            lambda: read(_ENDING),
            lambda: read(_SIGN),
        )
        await guest.perform(host, assignment, task)
    return earlier


def _memory_limit(worker: Any) -> int | None:
    """Bytes at which the nanny of a worker ends it: its children, which the nanny does not see, are held to the same."""
    fraction = dask.config.get("distributed.worker.memory.terminate", False)
    limit: int | None = worker.memory_manager.memory_limit
    return int(limit * fraction) if limit and fraction and worker.nanny is not None else None


async def leave(assignment: bytes, dask_worker: Any) -> None:
    """On each Dask worker, when the run is over."""
    await guest.leave(dask_worker, assignment)


class DaskLine:
    """The way to the cluster: an event loop in a thread of its own, and all that Dask has for the run. Ends with the run."""

    def __init__(self, kind: str, options: Mapping[str, Any], run_id: str, assignment: bytes) -> None:
        self._kind = kind
        self._options = options
        self._run_id = run_id
        self._assignment = assignment
        self.inbox = Inbox()
        self._loop = asyncio.new_event_loop()
        self._is_closing = asyncio.Event()
        self._client: Any = None
        self._futures: dict[str, Any] = {}
        self._signs = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._live, name="treadle-dask", daemon=True)
        self._thread.start()

    # -- from the thread of the run

    def submit(self, key: str, task: bytes, tags: Mapping[str, str]) -> None:
        """Have an attempt run somewhere."""
        self._call(self._submit, key, task, _read_resources(tags))

    def cancel(self, keys: list[str], *, at_once: bool = False) -> None:
        """Have Dask forget these: what has not begun does not begin, what has is ended where it runs."""
        self._call(self._begin, self._cancel(keys, guest.AT_ONCE if at_once else guest.IN_STAGES))

    def close(self) -> None:
        """Let go of everything; what still runs on a cluster of our own ends."""
        self._call(self._is_closing.set)
        self._thread.join(PATIENCE)

    def _call(self, fn: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself, and the reason is on its way
            self._loop.call_soon_threadsafe(fn, *args)

    # -- in its own thread

    def _live(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001 - whatever Dask raises ends the run, not the thread alone
            self.inbox.put(Told("down", value=error))
        finally:
            self._loop.run_until_complete(_end_tasks())
            self._loop.close()

    async def _serve(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            at: Any = self._options.get("address")
            if self._kind == "local":
                at = await stack.enter_async_context(_LocalCluster(**self._local_options(), asynchronous=True))
            self._client = client = await stack.enter_async_context(
                _Client(at, asynchronous=True, set_as_default=False, name=_NAME, timeout=CONNECT)
            )
            if self._kind == "local":
                await client.register_plugin(_Shield())
            # Dask clears what it keeps under a client's name some time after the client has gone.
            client.subscribe_topic(client.id, self._take)
            await self._give_sign(client)
            self.inbox.put(Told("pulse", value=await client.nthreads()))
            self.inbox.put(Told("up", client.scheduler.address))
            try:
                await self._stay(client)
                if client.status == "running":
                    with contextlib.suppress(
                        Exception
                    ):  # the scheduler may go just now: then there is nothing to tidy up
                        await asyncio.wait_for(self._tidy_up(client), TIDYING)
            finally:
                await guest.leave(None, self._assignment)  # workers may be threads of this process

    def _local_options(self) -> dict[str, Any]:
        """With nannies that tell how their workers end."""
        if "worker_class" in self._options or not self._options.get("processes", True):
            return dict(self._options)
        inbox = self.inbox

        class Nanny(distributed.Nanny):  # type: ignore[misc,unused-ignore]
            def _on_worker_exit_sync(self, exitcode: int | None) -> None:
                inbox.put(Told("exited", str(self.worker_address), exitcode))
                super()._on_worker_exit_sync(exitcode)  # type: ignore[no-untyped-call,unused-ignore]

        return {**self._options, "worker_class": Nanny}

    async def _give_sign(self, client: Any) -> None:
        self._signs += 1
        await client.set_metadata([_NAME, self._run_id, _SIGN], self._signs)

    async def _stay(self, client: Any) -> None:
        """Look at the cluster now and then, until the run is over. Raises where the scheduler does not answer."""
        closing = asyncio.ensure_future(self._is_closing.wait())
        while not closing.done():
            await asyncio.wait({closing}, timeout=LOOK)
            pulse = asyncio.ensure_future(self._take_pulse(client))
            pulse.add_done_callback(_forget)
            await asyncio.wait({closing, pulse}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            if pulse.done():
                self.inbox.put(Told("pulse", value=pulse.result()))
            elif not closing.done():
                raise TimeoutError(f"no answer in {PATIENCE:g} s")
            pulse.cancel()

    async def _take_pulse(self, client: Any) -> Any:
        await self._give_sign(client)
        return await client.nthreads()

    async def _tidy_up(self, client: Any) -> None:
        if self._futures:
            await client.cancel(list(self._futures.values()), force=True)
        client.unsubscribe_topic(client.id)
        await client.set_metadata([_NAME, self._run_id], {})  # workers that do not answer end by this when they can
        await client.run(leave, self._assignment, on_error="ignore")

    def _take(self, event: tuple[float, Any]) -> None:
        message = event[1]
        if isinstance(message, Mapping) and _NAME in message:
            self.inbox.put(Told("said", message[_NAME], message))

    def _submit(self, key: str, task: bytes, resources: Mapping[str, float] | None) -> None:
        future = self._futures[key] = self._client.submit(
            run_task, key, self._client.id, self._run_id, self._assignment, task,
            key=key, pure=False, retries=0, resources=resources,
        )  # fmt: skip
        self._begin(self._wait(key, future))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wait(self, key: str, future: Any) -> None:
        what = "ended"
        value: BaseException | None = None
        try:
            earlier = await future
        except distributed.KilledWorker as error:
            what, value = "lost", error
        except Exception as error:  # noqa: BLE001 - told as it is
            what, value = "cancelled" if future.cancelled() else "failed", error
        else:
            if earlier is not None:
                what = "lost"
        self._futures.pop(key, None)
        self.inbox.put(Told(what, key, value))

    async def _cancel(self, keys: list[str], ending: int) -> None:
        with contextlib.suppress(OSError):  # the scheduler has gone: that is told elsewhere
            await self._client.set_metadata([_NAME, self._run_id, _ENDING], ending)
            futures = [self._futures[key] for key in keys if key in self._futures]
            if futures:
                await self._client.cancel(futures, force=True)


def _forget(task: asyncio.Future[Any]) -> None:
    """Nobody may be left to ask what went wrong with it."""
    if not task.cancelled():
        task.exception()


class _Shield(distributed.WorkerPlugin):  # type: ignore[misc,unused-ignore]
    """Ctrl-C in a terminal reaches the worker processes of a local cluster too: the run's process alone is to take it."""

    name = "treadle-shield"

    def setup(self, worker: Any) -> None:
        """In each worker that there is and that comes."""
        if worker.nanny is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)


async def _end_tasks() -> None:
    """End what Dask has left in the loop of this thread."""
    loop = asyncio.get_running_loop()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


def _read_resources(tags: Mapping[str, str]) -> dict[str, float] | None:
    """What of Dask's resources an op's worker must have."""
    given = tags.get(RESOURCES_TAG)
    return msgspec.json.decode(given, type=dict[str, float]) if given else None


def check_tags(job: JobDefinition) -> None:
    """Refuse tags that ask for resources in a way that nobody understands: DagsterInvalidDefinitionError."""
    for path, op in job.wiring.ops.items():
        try:
            _read_resources(op.tags)
        except msgspec.MsgspecError as error:
            raise DagsterInvalidDefinitionError(
                f'op "{path}": the tag {RESOURCES_TAG} holds how much of which resources of Dask a worker must have, such as '
                f'{{"GPU": 1}}; it is {op.tags[RESOURCES_TAG]} ({error}).'
            ) from error


def make_executor(place: Workplace, execution: Execution, cores: int) -> ClusterExecutor:
    """The executor of a run, for what config asks for.

    A local cluster has a process for each step that may run at once, unless config says else.
    """
    given = execution.options.get("cluster") or {"local": {}}
    kind = next(iter(given))
    options = dict(given[kind] or {})
    if kind == "local":
        defaults: dict[str, Any] = {"n_workers": execution.max_concurrent or cores, "threads_per_worker": 1}
        if "dashboard_address" not in options:
            # a scheduler has a server even where nobody asks for a dashboard: on no fixed port, and not for the network
            defaults |= {"dashboard_address": "127.0.0.1:0", "scheduler_kwargs": {"dashboard": False}}
        options = {**defaults, **options}
    run_id = place.facts.run.run_id
    site = Site("Dask", options.get("address"), lambda assignment: DaskLine(kind, options, run_id, assignment))
    return ClusterExecutor(place, execution.max_concurrent, site)
