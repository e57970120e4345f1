"""What a run's parents know, and which steps are left to run: folds over their logs; pure

Re-execution comes here with the logs of the runs that it follows, the nearest first, and gets the Past that the machine
starts from. Nothing is read or written here, and nothing is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from treadle.definitions import selection
from treadle.errors import DagsterExecutionStepNotFoundError, DagsterInvalidSubsetError
from treadle.events import DagsterEvent, DagsterEventType
from treadle.payloads import StepOutputData
from treadle.plan.model import FromCollect, KnownStep, Past, Plan, split_step_key, step_key, templates_of

_T = DagsterEventType
_BEGINNINGS = frozenset((_T.STEP_START.value, _T.STEP_RESTARTED.value))
_OUTPUT, _SUCCESS, _SKIPPED = _T.STEP_OUTPUT.value, _T.STEP_SUCCESS.value, _T.STEP_SKIPPED.value

#: the types of events that `fold` looks at
FOLDED = (_T.STEP_START, _T.STEP_RESTARTED, _T.STEP_OUTPUT, _T.STEP_SUCCESS, _T.STEP_SKIPPED)

#: step key -> what a run knows of the step; None where it ran the step and it did not succeed
Known = dict[str, KnownStep | None]


def fold(run_id: str, events: Iterable[DagsterEvent]) -> Known:
    """What one run's log says of the steps that it ran or skipped."""
    known: Known = {}
    outputs: dict[str, list[tuple[str, str | None]]] = {}
    for event in events:
        kind, key = event.event_type_value, event.step_key
        if key is None:
            continue
        if kind in _BEGINNINGS:
            outputs[key] = []
            known[key] = None
        elif kind == _OUTPUT:
            data = event.event_specific_data
            assert isinstance(data, StepOutputData)
            outputs.setdefault(key, []).append((data.output_name, data.mapping_key))
        elif kind == _SUCCESS:
            known[key] = KnownStep(key, run_id, tuple(outputs.pop(key, ())))
        elif kind == _SKIPPED:
            known[key] = KnownStep(key, run_id, is_skipped=True)
    return known


def merge(nearest_first: Sequence[Known]) -> Known:
    """What a line of runs knows: of each step what the nearest run knows that ran it."""
    merged: Known = {}
    for known in nearest_first:
        for key, step in known.items():
            merged.setdefault(key, step)
    return merged


def from_failure(plan: Plan, known: Known, parent_keys: Iterable[str] | None) -> Past:
    """Run every step of the parent run that did not succeed, those included that never started, and whatever took a value
    of a step that failed: that step gives another one now.

    `parent_keys` are the steps that the parent itself was to run, None for all.
    """
    wanted = frozenset(parent_keys) if parent_keys is not None else None
    failed = {key for key, step in known.items() if step is None}
    if failed:
        for key, above in _adjacency(
            plan, known
        ).items():  # in the order of the plan, so that what is above comes first
            step = known.get(key)
            if step is not None and not step.is_skipped and not failed.isdisjoint(above):
                failed.add(key)
    return Past(tuple(step for key, step in known.items() if step is not None and key not in failed), wanted)


def from_selection(plan: Plan, known: Known, clauses: Sequence[str]) -> Past:
    """Run the steps that a selection means, whatever became of them before.

    Raises DagsterExecutionStepNotFoundError, naming each clause that means no step, with the nearest key.
    """
    upstream = _adjacency(plan, known)
    try:
        wanted = frozenset(selection.select(clauses, upstream, "steps"))
    except DagsterInvalidSubsetError as error:
        keys = [selection.Clause(text).name for text in clauses if text.strip() != "*"]
        unknown = [key for key in keys if key not in upstream]
        raise DagsterExecutionStepNotFoundError(
            f"Step selection refers to unknown step{'s' if len(unknown) > 1 else ''}: {', '.join(unknown)}. {error}",
            step_keys=unknown,
        ) from None
    covered = {key for key in known if any(form in wanted for form in templates_of(key))}
    return Past(tuple(step for key, step in known.items() if step is not None and key not in covered), wanted)


def _adjacency(plan: Plan, known: Mapping[str, object]) -> dict[str, list[str]]:
    """Every step key, of templates and of the branches that are known, with those directly above it."""
    branches: dict[str, list[tuple[str, ...]]] = {}
    for key in known:
        path, keys = split_step_key(key)
        if keys and path in plan.steps and len(keys) == len(plan.steps[path].scope):
            branches.setdefault(path, []).append(keys)
    every = {path: [split_step_key(step.key)[1], *branches.get(path, ())] for path, step in plan.steps.items()}
    above: dict[str, list[str]] = {step_key(path, keys): [] for path in every for keys in every[path]}
    for path, step in plan.steps.items():
        sources: list[tuple[str, bool]] = [
            (source.path, isinstance(source, FromCollect) and not source.is_dynamic) for source in step.upstream
        ]
        if step.scope:
            sources.append((step.scope[-1].path, False))
        for keys in every[path]:
            needed: dict[str, None] = {}
            for origin, is_collected in sources:
                depth = len(plan.steps[origin].scope)
                # of what is collected, every branch below the same branch
                found = (
                    (k for k in every[origin] if k[: depth - 1] == keys[: depth - 1])
                    if is_collected
                    else [keys[:depth]]
                )
                needed.update((step_key(origin, each), None) for each in found)
            above[step_key(path, keys)] = [key for key in needed if key in above]
    return above
