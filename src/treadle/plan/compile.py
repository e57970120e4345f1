"""job + config + selection into a Plan; pure

The job's wiring, which knows definitions, becomes steps, which are plain data. Called once for a run, and once more in
every process that takes part in it: the same job gives the same plan.
"""

from __future__ import annotations

import msgspec

from treadle.definitions.demands import COOPERATIVE_TAG, ISOLATION_TAG, check_isolation, read_cooperation
from treadle.definitions.job import JobDefinition
from treadle.definitions.tags import priority_of
from treadle.definitions.wiring import Wire, WiredInput, WiredOp
from treadle.outcomes import Demands, RetryPolicy
from treadle.plan.model import Fan, FromCollect, FromList, FromOutput, Plan, Source, Step, StepInput, StepOutput


def compile_plan(job: JobDefinition) -> Plan:
    """The plan of a job."""
    steps = {path: _make_step(op, job.op_retry_policy) for path, op in job.wiring.ops.items()}
    return Plan(job.name, steps)


def _make_step(op: WiredOp, job_policy: RetryPolicy | None) -> Step:
    definition = op.definition
    inputs = []
    for name, wired in op.inputs.items():
        source = _make_source(wired) if wired is not None else None
        if source is not None:
            inputs.append(StepInput(name, source, not definition.input_dict[name].is_nothing))
    return Step(
        op.path,
        "" if op.scope else op.path,
        tuple(inputs),
        tuple([StepOutput(p.name, p.is_required, p.is_dynamic) for p in definition.output_dict.values()]),
        tuple([Fan(wire.path, wire.output) for wire in op.scope]) if op.scope else (),
        priority_of(op.tags, f'op "{op.path}"'),
        op.retry_policy or job_policy,
        definition.is_repeatable,
        _demands_of(op),
    )


def _demands_of(op: WiredOp) -> Demands | None:
    """What the op asks for; where it runs, and whether it looks if it is to stop, by the tags of its node, if that has some."""
    asked: Demands | None = op.definition.demands
    place, cooperation = op.tags.get(ISOLATION_TAG), op.tags.get(COOPERATIVE_TAG)
    if place is not None:
        check_isolation(place, f'Tag {ISOLATION_TAG} of op "{op.path}"')
        asked = msgspec.structs.replace(asked or Demands(), isolation=place)
    if cooperation is not None:
        is_cooperative = read_cooperation(cooperation, f'Tag {COOPERATIVE_TAG} of op "{op.path}"')
        asked = msgspec.structs.replace(asked or Demands(), is_cooperative=is_cooperative, looks=is_cooperative)
    return asked


def _make_source(wired: WiredInput) -> Source | None:
    if wired.kind == "output":
        return _from_output(wired.wires[0])
    if wired.kind == "collect":
        origin = wired.wires[0]
        assert isinstance(origin, Wire)
        return FromCollect(origin.path, origin.output, origin.is_dynamic)
    if wired.kind == "list":
        return FromList(tuple([_from_output(origin) for origin in wired.wires if isinstance(origin, Wire)]))
    return None


def _from_output(origin: Wire | str) -> FromOutput:
    assert isinstance(origin, Wire)
    return FromOutput(origin.path, origin.output, origin.is_dynamic)
