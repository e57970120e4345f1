"""Run the hooks of a step that has ended: each that runs is an event, and what it raises changes nothing.

An attempt calls it after its last event. Which hooks there are the job has said; when one is meant to run, the hook.
"""

from __future__ import annotations

from collections.abc import Iterator

from treadle.contexts import HookContext, StepFacts
from treadle.engine.workplace import Bench, Stamp, Workplace
from treadle.errors import HookExecutionError, error_info
from treadle.events import DagsterEvent
from treadle.payloads import HookErroredData


def run_hooks(
    place: Workplace, bench: Bench, facts: StepFacts, stamp: Stamp, error: BaseException | None
) -> Iterator[DagsterEvent]:
    """Run the hooks of a step; `error` is what it has failed with, None where it succeeded."""
    for hook in bench.hooks:
        name = bench.op.node.name
        resources = place.scope(frozenset(hook.required_resource_keys))
        context = HookContext(hook, facts, resources, error, facts.produced)
        try:
            was_run = hook.run(context, error is None, stamp.kept or ())
        except BaseException as raised:  # noqa: BLE001 - a hook changes nothing, whatever it raises
            problem = HookExecutionError(
                f'Error occurred during the execution of hook_fn triggered for op "{name}"', user_exception=raised
            )
            yield stamp.event("HOOK_ERRORED", HookErroredData(error_info(problem)), f'Hook "{hook.name}" failed.')
            continue
        if was_run:
            text = f'Finished the execution of hook "{hook.name}" triggered for op "{name}".'
            yield stamp.event("HOOK_COMPLETED", None, text)
        else:
            text = f'Skipped the execution of hook "{hook.name}": it is not meant for how op "{name}" ended.'
            yield stamp.event("HOOK_SKIPPED", None, text)
