"""A plan as text, to tell later whether a job is still the one that a run began with; pure

What decides where values come from and go to is in it; what may change between two tries (retries, priorities, hooks,
the code of an op) is not. The instance keeps the text once for all runs that share it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from treadle.definitions.job import JobDefinition
from treadle.plan.model import Plan

_ENCODE = msgspec.json.Encoder(order="deterministic").encode


def describe_plan(job: JobDefinition, plan: Plan) -> str:
    """The plan as JSON text: each step with its op, its op's version, its inputs, outputs and the fan-outs above it."""
    steps = {}
    for path, step in plan.steps.items():
        definition = job.wiring.ops[path].definition
        described: dict[str, Any] = {
            "op": definition.name,
            "inputs": {port.name: _source(port.source) for port in step.inputs},
            "outputs": {
                port.name: _output(port, definition.output_dict[port.name].io_manager_key) for port in step.outputs
            },
        }
        if definition.version is not None:
            described["version"] = definition.version
        if step.scope:
            described["below"] = [f"{fan.path}.{fan.output}" for fan in step.scope]
        steps[path] = described
    return _ENCODE({"job": plan.job_name, "steps": steps}).decode()


def _source(source: Any) -> Any:
    kind = type(source).__name__
    if kind == "FromList":
        return [f"{item.path}.{item.output}" for item in source.items]
    text = f"{source.path}.{source.output}"
    if kind == "FromCollect":
        return f"all of {text}"
    return f"one of {text}" if source.is_dynamic else text


def _output(port: Any, manager_key: str) -> str:
    kind = "dynamic" if port.is_dynamic else "required" if port.is_required else "optional"
    return f"{kind}, kept by {manager_key}"


def compare_plans(before: str, now: str) -> list[str]:
    """What differs between two texts of `describe_plan`, a line each; empty where they are the same."""
    if before == now:
        return []
    old, new = msgspec.json.decode(before), msgspec.json.decode(now)
    lines = [f'the job was called "{old["job"]}", and is "{new["job"]}"'] if old["job"] != new["job"] else []
    lines += [f'step "{path}" is gone' for path in old["steps"] if path not in new["steps"]]
    lines += [f'step "{path}" is new' for path in new["steps"] if path not in old["steps"]]
    for path, step in old["steps"].items():
        if path in new["steps"]:
            lines += [f'step "{path}": {line}' for line in _differences(step, new["steps"][path])]
    return lines


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for part in ("op", "version", "below"):
        if old.get(part) != new.get(part):
            yield f"{part} was {_show(old.get(part))}, and is {_show(new.get(part))}"
    for part in ("inputs", "outputs"):
        for name in {**old[part], **new[part]}:
            before, now = old[part].get(name), new[part].get(name)
            if before != now:
                yield f'{part[:-1]} "{name}" was {_show(before)}, and is {_show(now)}'


def _show(value: Any) -> str:
    return "not there" if value is None else repr(value)
