"""Mistakes in config, resources, hooks, jobs and results that a type checker finds: see calls.py."""

from __future__ import annotations

from typing import Any

from treadle import (
    Config,
    ConfigurableIOManager,
    ConfigurableResource,
    DagsterInstance,
    Definitions,
    Field,
    HookContext,
    In,
    InputContext,
    Nothing,
    OpExecutionContext,
    Out,
    OutputContext,
    RetryPolicy,
    RunConfig,
    build_op_context,
    job,
    mem_io_manager,
    op,
    success_hook,
)


class Settings(Config):
    limit: int = 3


class Client(ConfigurableResource[Any]):
    url: str

    def get(self, path: str) -> bytes:
        return f"{self.url}{path}".encode()


class Folder(ConfigurableIOManager):
    path: str

    def handle_output(self, context: OutputContext, obj: object) -> None:
        print(context.step_ky)  # expect-error

    def load_input(self, context: InputContext) -> object:
        return context.upstream_output.step_key  # expect-error


@op
def read(context: OpExecutionContext, config: Settings, client: Client) -> int:
    context.log.inform("x")  # expect-error
    context.run_ids  # expect-error
    context.add_output_metadata(3)  # expect-error
    config.limits  # expect-error
    text: str = config.limit  # expect-error
    client.get(3)  # expect-error
    return text  # expect-error


@op(ins={"after": In(Nothing)}, out=Out(int, is_required="no"))  # expect-error
def last() -> int:
    return 1


@success_hook
def cheer(context: HookContext) -> None:
    context.job_nam  # expect-error


@success_hook  # expect-error
def no_context(number: int) -> None: ...


@job(hooks={cheer})
def whole() -> None:
    last(after=read())


@job(op_retry_policy=3)  # expect-error
def other() -> None:
    read()


Settings(limit="a")  # expect-error
Settings(limt=3)  # expect-error
Client()  # expect-error
RunConfig(op={"read": Settings()})  # expect-error
Field(int, is_required="no")  # expect-error
RetryPolicy(max_retries="3")  # expect-error
Definitions(job=[whole])  # expect-error
mem_io_manager.configure({})  # expect-error
build_op_context(resource={})  # expect-error
DagsterInstance.ephemerial()  # expect-error
whole.with_hook({cheer})  # expect-error
result = whole.execute_in_process()
result.failure_data_for_node("read").error  # expect-error
result.is_node_success(read)  # expect-error
result.all_event  # expect-error
