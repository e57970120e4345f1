"""Config, resources, IO managers, hooks, loggers, jobs and results, as users write them. Read by type checkers, never run."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any, Literal, Optional, Union

from pydantic import Field as PyField
from pydantic import field_validator
from typing_extensions import assert_type

from treadle import (
    AssetMaterialization,
    Config,
    ConfigMapping,
    ConfigurableIOManager,
    ConfigurableIOManagerFactory,
    ConfigurableResource,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    Definitions,
    EnvVar,
    ExecuteInProcessResult,
    Failure,
    Field,
    HookContext,
    In,
    InitLoggerContext,
    InitResourceContext,
    InputContext,
    IOManager,
    JobDefinition,
    MetadataValue,
    OpExecutionContext,
    Out,
    OutputContext,
    PermissiveConfig,
    ResourceDependency,
    RetryPolicy,
    RunConfig,
    Shape,
    StringSource,
    build_hook_context,
    build_init_resource_context,
    build_input_context,
    build_op_context,
    build_output_context,
    build_resources,
    config_mapping,
    configured,
    failure_hook,
    fs_io_manager,
    graph,
    in_process_executor,
    io_manager,
    job,
    logger,
    mem_io_manager,
    op,
    resource,
    success_hook,
    validate_run_config,
)

# -- config -----------------------------------------------------------------------------------------------------------


class Mode(Enum):
    FAST = "fast"
    SLOW = "slow"


class Source(Config):
    kind: Literal["file"] = "file"
    path: str


class Table(Config):
    kind: Literal["table"] = "table"
    name: str = PyField(min_length=1, description="of the table")


class Settings(Config):
    limit: int = PyField(default=3, ge=0)
    mode: Mode = Mode.FAST
    names: list[str] = []
    sizes: dict[str, float] = {}
    note: Optional[str] = None
    source: Union[Source, Table] = PyField(discriminator="kind", default=Source(path="x"))

    @field_validator("names")
    @classmethod
    def no_blanks(cls, names: list[str]) -> list[str]:
        return [name for name in names if name]


class Free(PermissiveConfig):
    limit: int


@op
def read(context: OpExecutionContext, config: Settings) -> list[str]:
    assert_type(config.limit, int)
    assert_type(config.mode, Mode)
    assert_type(config.source, Union[Source, Table])
    context.log.info("in run %s, attempt %s", context.run_id, context.retry_number)
    context.add_output_metadata({"rows": 3, "table": MetadataValue.md("# x")})
    context.log_event(AssetMaterialization("x"))
    if context.has_tag("owner"):
        context.log.info("%s", context.get_tag("owner"))
    return config.names


@op(
    config_schema={
        "path": StringSource,
        "limit": Field(int, default_value=3, is_required=False, description="how many"),
        "more": Shape({"deep": Field([str])}),
    },
    ins={"names": In(list, input_manager_key="files")},
    out=Out(dict, io_manager_key="files", metadata={"kind": "counts"}),
)
def count(context: OpExecutionContext, names: list[str]) -> dict[str, int]:
    limit: int = context.op_config["limit"]
    return dict.fromkeys(names, limit)


# -- resources --------------------------------------------------------------------------------------------------------


class Client:
    def get(self, path: str) -> bytes:
        return path.encode()

    def close(self) -> None: ...


class Credentials(ConfigurableResource):
    user: str
    password: str = "x"


class Service(ConfigurableResource[Client]):
    url: str
    credentials: Credentials
    shared: ResourceDependency[Client]

    def create_resource(self, context: InitResourceContext) -> Client:
        assert context.log is not None
        return Client()

    def fetch(self, path: str) -> bytes:
        return f"{self.url}/{path}/{self.credentials.user}".encode()


class Connection(ConfigurableResource[Any]):
    host: str

    def setup_for_execution(self, context: InitResourceContext) -> None:
        self._client = Client()

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        self._client.close()


class Pool(ConfigurableResource):
    size: int = 3

    @contextmanager
    def yield_for_execution(self, context: InitResourceContext) -> Generator[Pool, None, None]:
        yield self


@resource
def plain() -> Client:
    return Client()


@resource(config_schema={"url": str}, required_resource_keys={"credentials"})
def client(context: InitResourceContext) -> Iterator[Client]:
    made = Client()
    try:
        yield made
    finally:
        made.close()


near = client.configured({"url": "http://near"})


@configured(client, config_schema={"host": str})
def by_host(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"url": f"http://{config['host']}"}


@op
def use_them(service: Service, connection: Connection, credentials: Credentials) -> int:
    assert_type(service.fetch("x"), bytes)
    assert_type(connection.host, str)
    return len(credentials.password)


# -- IO managers ------------------------------------------------------------------------------------------------------


class Folder(ConfigurableIOManager):
    path: str = "."

    def handle_output(self, context: OutputContext, obj: object) -> None:
        context.add_output_metadata({"path": "/".join([self.path, *context.get_identifier()])})
        context.log.info("%s %s %s", context.step_key, context.name, context.metadata)

    def load_input(self, context: InputContext) -> object:
        upstream = context.upstream_output
        assert upstream is not None
        return [upstream.step_key, context.name, context.dagster_type.display_name]


class Plain(IOManager):
    def __init__(self, path: str) -> None:
        self.path = path

    def handle_output(self, context: OutputContext, obj: Any) -> None: ...

    def load_input(self, context: InputContext) -> Any:
        return self.path


class Factory(ConfigurableIOManagerFactory[Plain]):
    path: str

    def create_io_manager(self, context: InitResourceContext) -> Plain:
        return Plain(self.path)


@io_manager(config_schema={"path": str})
def older(context: InitResourceContext) -> Plain:
    return Plain(context.resource_config["path"])


# -- hooks and loggers --------------------------------------------------------------------------------------------------


@success_hook
def cheer(context: HookContext) -> None:
    context.log.info("%s of %s", context.op.name, context.job_name)


@failure_hook(required_resource_keys={"client"})
def cry(context: HookContext) -> None:
    if isinstance(context.op_exception, Failure):
        context.log.error("%s", context.op_exception.description)
    context.resources.client.get("x")


@success_hook(name="named")
def also(context: HookContext) -> None: ...


@logger(config_schema={"level": str}, description="to a file")
def to_file(context: InitLoggerContext) -> logging.Logger:
    return logging.getLogger(str(context.logger_config["level"]))


# -- graphs, jobs, containers -------------------------------------------------------------------------------------------


@config_mapping(config_schema={"limit": int})
def simple(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"read": {"config": {"limit": config["limit"]}}}


@graph(config=simple, tags={"a": "b"})
def counted() -> dict[str, int]:
    return count(read())


@job(
    resource_defs={"files": Folder(path="/x"), "client": near, "io_manager": fs_io_manager, "value": 3},
    config=RunConfig(ops={"read": Settings(limit=3)}),
    executor_def=in_process_executor,
    logger_defs={"file": to_file},
    hooks={cheer, cry},
    op_retry_policy=RetryPolicy(max_retries=2),
    tags={"team": "a"},
    metadata={"rows": 3},
)
def whole() -> None:
    counted()
    use_them()


mapped: JobDefinition = counted.to_job(
    name="mapped",
    resource_defs={"files": mem_io_manager.configured({})},
    config=ConfigMapping(config_fn=lambda config: {"ops": config}, config_schema={"limit": int}),
    hooks={cheer},
)
hooked = whole.with_hooks({also}).with_executor_def(in_process_executor)
defs = Definitions(
    jobs=[whole, mapped],
    resources={
        "service": Service(url=EnvVar("URL"), credentials=Credentials(user="a"), shared=plain),
        "connection": Connection(host="x"),
        "credentials": Credentials.configure_at_launch(),
        "files": Factory(path="x"),
    },
    loggers={"file": to_file},
    executor=in_process_executor,
)
assert_type(defs.get_job_def("whole"), JobDefinition)


# -- running ------------------------------------------------------------------------------------------------------------


def run() -> list[str]:
    config = RunConfig(ops={"read": Settings(), "count": {"config": {"path": "x"}}}, resources={"files": Folder()})
    validate_run_config(whole, config)
    with DagsterInstance.ephemeral() as instance:
        result = whole.execute_in_process(
            run_config=config,
            instance=instance,
            raise_on_error=False,
            op_selection=["*count"],
            tags={"a": "b"},
            resources={"client": Client()},
        )
    assert_type(result, ExecuteInProcessResult)
    assert_type(result.success, bool)
    assert_type(result.run_id, str)
    assert_type(result.all_events, list[DagsterEvent])
    assert_type(result.output_for_node("count"), Any)
    assert_type(result.output_value("result"), Any)
    assert_type(result.is_node_success("count"), bool)
    started = result.filter_events(lambda event: event.event_type == DagsterEventType.STEP_START)
    for event in started:
        assert_type(event.step_key, Optional[str])
        assert_type(event.message, Optional[str])
    failed = result.failure_data_for_node("count")
    if failed is not None and failed.error is not None:
        print(failed.error.to_string())
    for materialization in result.asset_materializations_for_node("count"):
        assert_type(materialization, AssetMaterialization)
    counted.execute_in_process(run_config={"ops": {}}, resources={"files": mem_io_manager}, raise_on_error=False)
    counted.alias("other").execute_in_process()
    return [event.event_type_value for event in result.events_for_node("count")]


def test_parts() -> None:
    with build_op_context(resources={"client": Client()}, op_config={"limit": 3}) as context:
        assert count(context, ["a"]) == {"a": 3}
    with build_resources({"client": near, "value": 3}) as resources:
        assert resources.client.get("x") == b"x"
    assert read(build_op_context(), Settings(names=["a"])) == ["a"]
    assert (
        use_them(
            Service(url="x", credentials=Credentials(user="a"), shared=Client()),
            Connection(host="x"),
            Credentials(user="a"),
        )
        == 1
    )
    cheer(build_hook_context())
    client(build_init_resource_context(config={"url": "x"}))
    folder = Folder(path="x")
    folder.handle_output(build_output_context(name="result", step_key="a"), 3)
    folder.load_input(build_input_context(name="x", upstream_output=build_output_context()))
