"""Which resources the ops of a job need in a run, and who needs each.

The job asks for all of its ops when it is checked, an executor for those that it is to run. Pure: nothing is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from treadle.definitions.wiring import Wire, WiredOp

if TYPE_CHECKING:
    from treadle.definitions.job import JobDefinition


def find_requirements(job: JobDefinition, ops: Iterable[WiredOp]) -> dict[str, str]:
    """The resource keys that these ops of a job need in a run, each with who needs it (for messages)."""
    found: dict[str, str] = {}
    for hook in job.hook_defs:
        for key in hook.required_resource_keys:
            found.setdefault(
                key, f"resource with key '{key}' required by hook '{hook.name}' attached to job '{job.name}'"
            )
    for op in ops:
        definition = op.definition
        described = f"op '{op.path}'"
        for key in definition.required_resource_keys:
            found.setdefault(key, f"resource with key '{key}' required by {described}")
        for hook in op.hooks:
            for key in hook.required_resource_keys:
                found.setdefault(
                    key, f"resource with key '{key}' required by hook '{hook.name}' attached to {described}"
                )
        for port in definition.output_dict.values():
            if port.io_manager_key not in found:
                found[port.io_manager_key] = describe_keeper(port, op)
            _require_for_type(found, port.dagster_type, f"output '{port.name}' of {described}")
        for name, port in definition.input_dict.items():
            if port.input_manager_key is not None:
                found.setdefault(port.input_manager_key, describe_loader(port, op))
            elif not port.is_nothing:
                _require_sources(found, job, op, name)
            _require_for_type(found, port.dagster_type, f"input '{name}' of {described}", op.is_loaded(name))
    _require_transitively(found, job.resource_defs)
    return found


def describe_keeper(port: Any, op: WiredOp) -> str:
    """Who needs the IO manager of an output."""
    return f"io manager with key '{port.io_manager_key}' required by output '{port.name}' of op '{op.path}'"


def describe_loader(port: Any, op: WiredOp) -> str:
    """Who needs the input manager of an input."""
    return f"input manager with key '{port.input_manager_key}' required by input '{port.name}' of op '{op.path}'"


def _require_sources(found: dict[str, str], job: JobDefinition, op: WiredOp, name: str) -> None:
    """The IO managers that kept what an input takes."""
    source = op.inputs[name]
    for origin in source.wires if source is not None else ():
        if isinstance(origin, Wire):
            keeper = job.wiring.ops[origin.path]
            port = keeper.definition.output_dict[origin.output]
            if port.io_manager_key not in found:
                found[port.io_manager_key] = describe_keeper(port, keeper)


def _require_for_type(found: dict[str, str], dagster_type: Any, whose: str, is_loaded: bool = False) -> None:
    if not dagster_type.required_resource_keys and (not is_loaded or dagster_type.loader is None):
        return
    for key in dagster_type.required_resource_keys:
        found.setdefault(key, f"resource with key '{key}' required by type '{dagster_type.display_name}' of {whose}")
    if is_loaded and dagster_type.loader is not None:
        for key in dagster_type.loader.required_resource_keys():
            found.setdefault(
                key,
                f"resource with key '{key}' required by the loader on type '{dagster_type.display_name}' of {whose}",
            )


def _require_transitively(found: dict[str, str], definitions: Mapping[str, Any]) -> None:
    todo = list(found)
    while todo:
        definition = definitions.get(todo.pop())
        if definition is None:
            continue
        for key in definition.keys_needed(definitions):
            if key not in found:
                found[key] = f"resource with key '{key}' required by another resource"
                todo.append(key)
