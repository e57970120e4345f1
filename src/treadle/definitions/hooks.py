"""The definitions users write: hooks.

Functions that are called after a step has ended: `success_hook` after STEP_SUCCESS and `failure_hook` after the final
STEP_FAILURE. Jobs, graphs and invocations hold them, the engine calls `HookDefinition.run`. What a hook raises never
changes how the run goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from treadle.checks import check_optional, keys_of
from treadle.contexts import HookContext
from treadle.errors import CheckError, DagsterInvalidDefinitionError, DagsterInvalidInvocationError
from treadle.events import DagsterEvent
from treadle.introspect import MISSING, read_signature
from treadle.names import check_key, nearest

if TYPE_CHECKING:
    from treadle.definitions.compose import Composable, Invocation, P, R_co
    from treadle.definitions.job import JobDefinition

HookFunction = Callable[[HookContext], Any]


class HookExecutionResult(NamedTuple):
    """What the function of an event list hook returns."""

    hook_name: str
    is_skipped: bool = False


class HookDefinition:
    """A named function to call when a step has ended.

    `runs_on_success` is None for a hook that decides itself by the step's events: its `hook_fn` takes
    `(context, event_list)`. Users make hooks with `success_hook` and `failure_hook`.
    """

    is_hook_definition = True
    __slots__ = ("decorated_fn", "hook_fn", "name", "required_resource_keys", "runs_on_success")

    def __init__(
        self,
        *,
        name: str,
        hook_fn: Callable[..., Any],
        required_resource_keys: Iterable[str] | None = None,
        decorated_fn: Callable[..., Any] | None = None,
        runs_on_success: bool | None = None,
    ) -> None:
        self.name = check_key(name, "a hook")
        self.hook_fn = hook_fn
        self.required_resource_keys = keys_of(required_resource_keys, "required_resource_keys", f'hook "{name}"')
        self.decorated_fn = decorated_fn
        self.runs_on_success = runs_on_success

    def run(self, context: HookContext, is_success: bool, events: Sequence[DagsterEvent] = ()) -> bool:
        """Call the hook if it is meant for a step that ended so; False where it was skipped.

        `events` are the step's events; only event list hooks look at them. Raises what the user's function raises.
        """
        if self.runs_on_success is None:
            return not getattr(self.hook_fn(context, list(events)), "is_skipped", False)
        if self.runs_on_success is not is_success:
            return False
        self.hook_fn(context)
        return True

    @overload
    def __call__(self, definition: JobDefinition, /) -> JobDefinition: ...
    @overload
    def __call__(self, definition: Composable[P, R_co] | Invocation[P, R_co], /) -> Invocation[P, R_co]: ...
    @overload
    def __call__(self, context: HookContext | None, /) -> Any: ...
    @overload
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """In a test, call the decorated function with a context; above a job or graph, attach the hook to it."""
        if len(args) == 1 and not kwargs and hasattr(args[0], "with_hooks"):
            return args[0].with_hooks({self})
        if self.decorated_fn is None:
            raise DagsterInvalidInvocationError(
                f'Hook "{self.name}": Only hook definitions created using one of the hook decorators can be invoked, such '
                f"as one of @success_hook."
            )
        context, *others = self._arguments(self.decorated_fn, args, kwargs)
        return self.decorated_fn(self._ready_context(context), *others)

    def _arguments(self, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """The arguments of a direct call, in order: the context, and the events for an event list hook."""
        names = [p.name for p in read_signature(fn).parameters][: 2 if self.runs_on_success is None else 1]
        given = len(args) + len(kwargs)
        if given != len(names):
            wanted = f"one parameter, {names[0]}" if len(names) == 1 else "two parameters, context and event_list"
            raise DagsterInvalidInvocationError(
                f'Hook "{self.name}": Decorated function expects {wanted}, but {given} were provided. Make the context '
                f"with build_hook_context(), or pass None."
            )
        for name in names[len(args) :]:
            if name not in kwargs:
                raise DagsterInvalidInvocationError(
                    f"Hook \"{self.name}\": Could not find expected argument '{name}'. Provided kwargs: {sorted(kwargs)}."
                )
        return [*args, *(kwargs[name] for name in names[len(args) :])]

    def _ready_context(self, context: Any) -> HookContext:
        """A context given in a direct call, as the hook sees it."""
        # Only tests need it, so that a program that runs jobs is spared the import.
        from treadle.definitions.built import BuiltHookContext, build_hook_context

        advice = "Make one with build_hook_context(), or pass None."
        check_optional(context, HookContext, "context", f'Hook "{self.name}"', advice)
        ready: HookContext = build_hook_context() if context is None else context
        if not isinstance(ready, BuiltHookContext):
            return ready
        for key in sorted(self.required_resource_keys - ready.resource_keys):
            # The two spaces are those of the message that users' tests look for.
            raise DagsterInvalidDefinitionError(
                f"resource with key '{key}' required by hook '{self.name}'  was not provided.{nearest(key, ready.resource_keys)}"
                f" Give it to build_hook_context(resources={{{key!r}: ...}})."
            )
        return ready.serving(self)

    def __repr__(self) -> str:
        return f"HookDefinition({self.name!r})"


@overload
def success_hook(
    hook_fn: HookFunction, *, name: str | None = ..., required_resource_keys: Iterable[str] | None = ...
) -> HookDefinition: ...
@overload
def success_hook(
    hook_fn: None = ..., *, name: str | None = ..., required_resource_keys: Iterable[str] | None = ...
) -> Callable[[HookFunction], HookDefinition]: ...
def success_hook(
    hook_fn: HookFunction | None = None,
    *,
    name: str | None = None,
    required_resource_keys: Iterable[str] | None = None,
) -> HookDefinition | Callable[[HookFunction], HookDefinition]:
    """Decorate a function of `(context: HookContext)` that is to be called after every step that succeeds.

    DagsterInvalidDefinitionError where the function does not take exactly one positional parameter.
    """
    if hook_fn is not None:
        return _hook_on(True, hook_fn, name, required_resource_keys)
    return lambda fn: _hook_on(True, fn, name, required_resource_keys)


@overload
def failure_hook(name: HookFunction, required_resource_keys: Iterable[str] | None = ...) -> HookDefinition: ...
@overload
def failure_hook(
    name: str | None = ..., required_resource_keys: Iterable[str] | None = ...
) -> Callable[[HookFunction], HookDefinition]: ...
def failure_hook(
    name: HookFunction | str | None = None,
    required_resource_keys: Iterable[str] | None = None,
) -> HookDefinition | Callable[[HookFunction], HookDefinition]:
    """Decorate a function of `(context: HookContext)` that is to be called after every step that fails for good.

    DagsterInvalidDefinitionError where the function does not take exactly one positional parameter.
    """
    if name is not None and not isinstance(name, str):
        return _hook_on(False, name, None, required_resource_keys)
    given_name = name
    return lambda fn: _hook_on(False, fn, given_name, required_resource_keys)


@overload
def event_list_hook(hook_fn: Callable[[HookContext, Sequence[DagsterEvent]], Any]) -> HookDefinition: ...
@overload
def event_list_hook(
    hook_fn: str | None = ..., *, name: str | None = ..., required_resource_keys: Iterable[str] | None = ...
) -> Callable[[Callable[[HookContext, Sequence[DagsterEvent]], Any]], HookDefinition]: ...
def event_list_hook(
    hook_fn: Callable[..., Any] | str | None = None,
    *,
    name: str | None = None,
    required_resource_keys: Iterable[str] | None = None,
) -> Any:
    """Decorate a function of `(context, event_list)` that decides by the step's events and returns a
    HookExecutionResult.
    """

    def decorate(fn: Callable[..., Any]) -> HookDefinition:
        _check_parameters(fn, 2)
        return HookDefinition(
            name=name or fn.__name__, hook_fn=fn, required_resource_keys=required_resource_keys, decorated_fn=fn
        )

    if callable(hook_fn):
        return decorate(hook_fn)
    name = hook_fn or name
    return decorate


def _hook_on(
    is_success: bool, fn: HookFunction, name: str | None, required_resource_keys: Iterable[str] | None
) -> HookDefinition:
    _check_parameters(fn, 1)
    return HookDefinition(
        name=name or read_signature(fn).name,
        hook_fn=fn,
        required_resource_keys=required_resource_keys,
        decorated_fn=fn,
        runs_on_success=is_success,
    )


def _check_parameters(fn: Callable[..., Any], count: int) -> None:
    """Refuse a function that cannot be called with `count` positional arguments."""
    if not callable(fn):
        raise CheckError(f"A hook decorator takes a function, got {fn!r} (a {type(fn).__name__}).")
    signature = read_signature(fn)
    positional = [p for p in signature.parameters if not p.is_keyword_only]
    required = [p for p in signature.parameters if p.default is MISSING]
    if len(positional) >= count and all(p in positional[:count] for p in required):
        return
    wanted = "one positional parameter, 'context'" if count == 1 else "two, 'context' and 'event_list'"
    found = ", ".join(p.name for p in signature.parameters) or "none"
    raise DagsterInvalidDefinitionError(
        f"Hook '{signature.name}': the decorated function does not have required positional parameter 'context', or "
        f"has others. A hook function takes {wanted}; found: {found}."
    )
