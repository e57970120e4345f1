"""Hooks are functions of a context, called for one way that a step ends."""

from __future__ import annotations

from typing import Any

import pytest

from treadle.contexts import HookContext
from treadle.definitions.built import build_hook_context
from treadle.definitions.hooks import (
    HookDefinition,
    HookExecutionResult,
    event_list_hook,
    failure_hook,
    success_hook,
)
from treadle.errors import CheckError, DagsterInvalidDefinitionError, DagsterInvalidInvocationError

CONTEXT: Any = object()


@success_hook
def cheer(context: HookContext) -> Any:
    return ("cheered", context)


@failure_hook
def mourn(context: HookContext) -> Any:
    return ("mourned", context)


def test_hook_is_named_after_its_function_unless_named() -> None:
    @success_hook(name="own", required_resource_keys={"mail"})
    def tell(context: HookContext) -> None: ...

    @success_hook()
    def bare(context: HookContext) -> None: ...

    @failure_hook(name="other", required_resource_keys={"mail"})
    def tell_too(context: HookContext) -> None: ...

    @failure_hook("positional")
    def third(context: HookContext) -> None: ...

    assert [hook.name for hook in (cheer, mourn, tell, bare, tell_too, third)] == [
        "cheer",
        "mourn",
        "own",
        "bare",
        "other",
        "positional",
    ]
    assert tell.required_resource_keys == tell_too.required_resource_keys == {"mail"}
    assert cheer.required_resource_keys == frozenset()
    assert tell.decorated_fn is not None


@pytest.mark.parametrize("is_success", [True, False])
def test_hook_runs_for_one_way_to_end_and_is_skipped_for_the_other(is_success: bool) -> None:
    calls: list[str] = []
    on_success = success_hook(name="s")(lambda context: calls.append("success"))
    on_failure = failure_hook(name="f")(lambda context: calls.append("failure"))
    ran = [hook.run(CONTEXT, is_success) for hook in (on_success, on_failure)]
    assert ran == [is_success, not is_success]
    assert calls == ["success" if is_success else "failure"]


def test_hook_raises_what_its_function_raises() -> None:
    hook = failure_hook(name="f")(lambda context: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        hook.run(CONTEXT, False)


def test_event_list_hook_decides_by_the_events() -> None:
    @event_list_hook(required_resource_keys={"mail"})
    def decide(context: HookContext, event_list: list[Any]) -> HookExecutionResult:
        return HookExecutionResult("decide", is_skipped=not event_list)

    assert decide.run(CONTEXT, True, ["an event"])  # type: ignore[list-item]
    assert not decide.run(CONTEXT, True, [])
    assert decide.required_resource_keys == {"mail"}
    assert event_list_hook(lambda context, event_list: None, name="n").name == "n"
    assert event_list_hook("named")(lambda context, event_list: None).name == "named"
    assert event_list_hook(name="n")(lambda context, event_list: None).run(CONTEXT, False)


@pytest.mark.parametrize(
    "wrong",
    [lambda: None, lambda context, other: None, lambda context, *, key: None, lambda *, context: None],
)
@pytest.mark.parametrize("decorator", [success_hook, failure_hook])
def test_function_that_does_not_take_one_context_is_refused(decorator: Any, wrong: Any) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="does not have required positional parameter 'context'"):
        decorator(name="h")(wrong)


def test_further_parameters_with_defaults_are_fine() -> None:
    assert success_hook(name="h")(lambda context, extra=1: extra).run(CONTEXT, True)


def test_only_functions_and_valid_names_make_hooks() -> None:
    with pytest.raises(CheckError, match="takes a function, got 5"):
        success_hook(5)  # type: ignore[call-overload]
    with pytest.raises(DagsterInvalidDefinitionError, match="not a valid name for a hook"):
        success_hook(name="no spaces")(lambda context: None)


# -- called directly ----------------------------------------------------------------------------------------------------


def test_hook_can_be_called_in_a_test() -> None:
    context = build_hook_context(run_id="r")
    for hook, said in ((cheer, "cheered"), (mourn, "mourned")):
        for result in (hook(context), hook(context=context)):
            assert result[0] == said
            assert (result[1].run_id, result[1].hook_def) == ("r", hook)
    assert cheer(None)[1].hook_def is cheer


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "expects one parameter, context, but 0 were provided"),
        ((1, 2), {}, "but 2 were provided"),
        ((), {"ctx": 1}, "Could not find expected argument 'context'"),
    ],
)
def test_wrong_direct_call_is_refused(args: tuple[Any, ...], kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(DagsterInvalidInvocationError, match=message):
        cheer(*args, **kwargs)


def test_hook_made_without_decorator_cannot_be_called() -> None:
    hook = HookDefinition(name="raw", hook_fn=lambda context, event_list: None)
    with pytest.raises(DagsterInvalidInvocationError, match="created using one of the hook decorators"):
        hook(CONTEXT)
    assert hook.run(CONTEXT, True)


def test_hook_above_a_job_attaches_itself() -> None:
    class Job:
        def with_hooks(self, hooks: set[HookDefinition]) -> Any:
            return hooks

    assert cheer(Job()) == {cheer}
    assert repr(cheer) == "HookDefinition('cheer')"
