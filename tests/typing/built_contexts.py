"""Contexts made by hand, as users' tests make and use them. Read by mypy and pyright, never run."""

from __future__ import annotations

import logging
from typing import Any

from treadle import (
    DagsterInstance,
    HookContext,
    InitLoggerContext,
    InitResourceContext,
    InputContext,
    IOManager,
    OpExecutionContext,
    OutputContext,
    build_hook_context,
    build_init_logger_context,
    build_init_resource_context,
    build_input_context,
    build_op_context,
    build_output_context,
    build_resources,
    failure_hook,
    logger,
    op,
    resource,
)


class Shelf(IOManager):
    def handle_output(self, context: OutputContext, obj: Any) -> None:
        key: list[str] = context.get_identifier()
        step: str = context.step_key
        context.log.info("%s %s", key, step)

    def load_input(self, context: InputContext) -> Any:
        return context.upstream_output.get_identifier() if context.upstream_output else None


@op(required_resource_keys={"shelf"})
def takes(context: OpExecutionContext, number: int) -> int:
    return number


@resource
def shelf(context: InitResourceContext) -> Shelf:
    return Shelf()


@failure_hook
def tells(context: HookContext) -> None:
    context.log.info(context.step_key)


@logger
def mine(init_context: InitLoggerContext) -> logging.Logger:
    return logging.getLogger()


def test_everything() -> None:
    takes(build_op_context(op_config={"a": 1}, resources={"shelf": shelf}), 1)
    with build_op_context(run_tags={"a": "b"}, mapping_key="k", instance=DagsterInstance.ephemeral()) as context:
        as_any_op_sees_it: OpExecutionContext = context
        takes(as_any_op_sees_it, number=1)
        events = context.get_events()
        print(len(events), context.get_output_metadata("result"), context.is_bound)
    with build_init_resource_context(config={"a": 1}, resources={"b": 2}) as init_context:
        shelf(init_context)
    with build_hook_context(op=takes.alias("other"), op_exception=ValueError()) as hook_context:
        tells(hook_context)
    made: logging.Logger = mine(build_init_logger_context(logger_config={"level": "INFO"}))
    made.info("made")
    output = build_output_context(step_key="s", name="n", metadata={"a": 1}, resources={"b": 2})
    Shelf().handle_output(output, 1)
    Shelf().load_input(build_input_context(name="n", upstream_output=output))
    with build_resources({"shelf": shelf}, resource_config={"shelf": {"config": {}}}) as resources:
        print(resources.shelf)
