"""Read a user's function: parameters, annotations, docstring.

The definitions ask here what a decorated function looks like; nothing here knows what an op is.
`inspect` is imported on use, since it is half of the cost of importing a small package.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

#: what a missing annotation or default is told by; never a value that a user could write
MISSING: Any = type("Missing", (), {"__repr__": lambda self: "<missing>", "__bool__": lambda self: False})()

_VARARGS = 0x04
_VARKEYWORDS = 0x08
_GENERATOR = 0x20
_COROUTINE = 0x80
_ASYNC_GENERATOR = 0x200


class Parameter(msgspec.Struct, frozen=True, gc=False):
    """One named parameter of a function."""

    name: str
    annotation: Any = MISSING
    default: Any = MISSING
    is_keyword_only: bool = False


class Signature(msgspec.Struct, frozen=True):
    """What a function takes and says that it returns; annotations are real objects where they can be resolved."""

    name: str
    parameters: tuple[Parameter, ...]
    returns: Any = MISSING
    #: name of the `*args` parameter
    varargs: str | None = None
    has_varkeywords: bool = False
    docstring: str | None = None

    @property
    def has_varargs(self) -> bool:
        """True where the function takes any number of positional arguments."""
        return self.varargs is not None

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of this name."""
        return next((p for p in self.parameters if p.name == name), None)


def read_signature(fn: Callable[..., Any]) -> Signature:
    """Read any callable. Plain functions, by far the most, are read without `inspect`."""
    if type(fn) is types.FunctionType and not hasattr(fn, "__wrapped__") and not hasattr(fn, "__signature__"):
        return _read_function(fn)
    import inspect

    inner = fn
    while isinstance(inner, partial):
        inner = inner.func
    target = inner if isinstance(inner, (types.FunctionType, types.MethodType, type)) else type(inner).__call__
    signature = inspect.signature(fn)
    hints = _resolve(inspect.unwrap(target))
    kinds = inspect.Parameter
    parameters = tuple(
        Parameter(
            p.name,
            hints.get(p.name, p.annotation if p.annotation is not kinds.empty else MISSING),
            MISSING if p.default is kinds.empty else p.default,
            p.kind is kinds.KEYWORD_ONLY,
        )
        for p in signature.parameters.values()
        if p.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
    )
    return Signature(
        name=getattr(fn, "__name__", type(fn).__name__),
        parameters=parameters,
        returns=hints.get(
            "return", MISSING if signature.return_annotation is inspect.Signature.empty else signature.return_annotation
        ),
        varargs=next((p.name for p in signature.parameters.values() if p.kind is kinds.VAR_POSITIONAL), None),
        has_varkeywords=any(p.kind is kinds.VAR_KEYWORD for p in signature.parameters.values()),
        docstring=read_docstring(fn),
    )


def _read_function(fn: types.FunctionType) -> Signature:
    code = fn.__code__
    names = code.co_varnames
    positional = names[: code.co_argcount]
    keyword_only = names[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    defaults = fn.__defaults__ or ()
    first_default = len(positional) - len(defaults)
    keyword_defaults = fn.__kwdefaults__ or {}
    hints = _resolve(fn) if fn.__annotations__ else {}
    parameters = [
        Parameter(name, hints.get(name, MISSING), defaults[i - first_default] if i >= first_default else MISSING)
        for i, name in enumerate(positional)
    ]
    parameters += [
        Parameter(name, hints.get(name, MISSING), keyword_defaults.get(name, MISSING), True) for name in keyword_only
    ]
    return Signature(
        name=fn.__name__,
        parameters=tuple(parameters),
        returns=hints.get("return", MISSING),
        varargs=names[code.co_argcount + code.co_kwonlyargcount] if code.co_flags & _VARARGS else None,
        has_varkeywords=bool(code.co_flags & _VARKEYWORDS),
        docstring=read_docstring(fn),
    )


def _resolve(fn: Any) -> dict[str, Any]:
    """Annotations as objects. Text (`from __future__ import annotations`) is evaluated in the function's own names;
    what cannot be evaluated stays text, and whoever needs it says so with the op's name.
    """
    annotations = dict(getattr(fn, "__annotations__", None) or {})
    if not any(isinstance(value, str) for value in annotations.values()):
        return annotations
    names = dict(getattr(fn, "__globals__", {}))
    # A class or variable local to an enclosing function is visible where the function uses it itself.
    code = getattr(fn, "__code__", None)
    for name, cell in zip(getattr(code, "co_freevars", ()), getattr(fn, "__closure__", None) or (), strict=False):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # an empty cell: assigned later
            continue
    for name, value in annotations.items():
        if isinstance(value, str):
            try:
                annotations[name] = eval(value, names)  # noqa: S307 - the user's own annotation, as typing does
            except Exception:  # noqa: BLE001 - the name may be local to whoever defines the op
                annotations[name] = _resolve_in_callers(value, names)
    return annotations


def _resolve_in_callers(text: str, names: dict[str, Any]) -> Any:
    """Evaluate an annotation that names something local to the function in which the op is being defined."""
    import sys

    own = __name__.partition(".")[0]
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == own:
        frame = frame.f_back
    if frame is None:
        return text
    try:
        return eval(text, {**names, **frame.f_locals})  # noqa: S307
    except Exception:  # noqa: BLE001 - whoever needs the annotation says that it could not be resolved
        return text


def read_docstring(fn: Any) -> str | None:
    """The docstring with its indentation taken off."""
    text = getattr(fn, "__doc__", None)
    if not text:
        return None
    import inspect

    return inspect.cleandoc(text)


def is_generator(fn: Any) -> bool:
    """True for a function with `yield` in its body, plain or async."""
    return bool(_flags(fn) & (_GENERATOR | _ASYNC_GENERATOR))


def is_async(fn: Any) -> bool:
    """True for `async def`, with or without `yield`."""
    return bool(_flags(fn) & (_COROUTINE | _ASYNC_GENERATOR))


def _flags(fn: Any) -> int:
    while hasattr(fn, "__wrapped__") and not hasattr(fn, "__code__"):
        fn = fn.__wrapped__
    code = getattr(fn, "__code__", None) or getattr(type(fn).__call__, "__code__", None)
    return getattr(code, "co_flags", 0)
