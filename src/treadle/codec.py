"""events and runs to bytes and back: the only place that knows the stored form

JSON text that a person can read: what type, step and run of an event do not tell already. Unknown fields are passed over
and missing ones get their defaults, so that old logs stay readable. Nothing is ever pickled, and no text or number that
a user gives makes writing fail.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, cast

import msgspec

from treadle.errors import DagsterEventLogInvalidForRun
from treadle.events import (
    HOOK_EVENTS,
    STEP_EVENTS,
    DagsterEvent,
    DagsterEventType,
    ResolvedFromDynamicStepHandle,
    StepHandle,
    given_message,
)
from treadle.names import AssetKey, NodeHandle, split_step_key
from treadle.payloads import PAYLOADS, JobFailureData
from treadle.runs import DagsterRun, DagsterRunStatus

#: events of these types carry the handles and tags of their step; of the others a few may carry its key
_ABOUT_STEPS = frozenset(kind.value for kind in STEP_EVENTS | HOOK_EVENTS)
_RUN_FAILURE = DagsterEventType.RUN_FAILURE.value


# -- JSON, whatever comes -----------------------------------------------------------------------------------------------

#: stands for a key of a mapping that was no str, and for what JSON has no word for, as text
_SHOWN = "$shown"


def _to_plain(value: Any) -> Any:
    """What msgspec asks about: a value of no type that it knows."""
    if isinstance(value, AssetKey):
        return value.path
    return {_SHOWN: repr(value)}


def _from_plain(kind: type[Any], value: Any) -> Any:
    if kind is AssetKey:
        return AssetKey(value)
    return value


_fast_encode = msgspec.json.Encoder(enc_hook=_to_plain, order=None).encode


#: ints of more than 64 bits, halves of characters, keys that are no text, an object inside itself
_REFUSED = (TypeError, ValueError, OverflowError, RecursionError)


def to_json(value: Any) -> bytes:
    """JSON of a value; never raises. What JSON cannot hold becomes `{"$shown": text}`."""
    try:
        return _fast_encode(value)
    except _REFUSED:
        return json.dumps(_plain(value), ensure_ascii=True).encode()


_DEEPEST = 100


def _plain(value: Any, depth: int = 0) -> Any:
    """The same in words of JSON, of any value at all."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if depth > _DEEPEST:
        return {_SHOWN: "..."}
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else repr(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, msgspec.Struct):
        fields = {name: _plain(getattr(value, name), depth + 1) for name in value.__struct_fields__}
        config = value.__struct_config__
        return fields if config.tag is None else {config.tag_field: config.tag, **fields}
    if isinstance(value, Enum):
        return _plain(value.value, depth + 1)
    return _to_plain(value)


def _reader(kind: Any) -> Callable[[bytes | str], Any]:
    """A function that reads JSON of a type; what the quick way does not take is read by the other."""
    fast = msgspec.json.Decoder(kind, dec_hook=_from_plain).decode

    def read(body: bytes | str) -> Any:
        try:
            return fast(body)
        except msgspec.DecodeError:
            return msgspec.convert(json.loads(body), kind, dec_hook=_from_plain, strict=False)

    return read


_READERS: dict[Any, Callable[[bytes | str], Any]] = {}


def _read(kind: Any, body: bytes | str) -> Any:
    reader = _READERS.get(kind)
    if reader is None:
        reader = _READERS[kind] = _reader(kind)
    return reader(body)


# -- events -------------------------------------------------------------------------------------------------------------


class _Nested(msgspec.Struct, omit_defaults=True):
    """An event inside another."""

    kind: str
    step: str | None = None
    op: str | None = None
    pid: int | None = None
    body: str | None = None


class _More(msgspec.Struct, omit_defaults=True):
    """What an event says beyond its payload."""

    message: str | None = None
    #: a payload of a class that events of this type do not have otherwise
    payload: str | None = None
    nested: _Nested | None = None
    #: the step's handles and tags are there, or are not, where an event of this type has it the other way
    turned: bool = False
    #: tags that are not those which run and step give
    tags: dict[str, str] | None = None
    job_name: str | None = None
    step_kind: str | None = None


_CLASSES = {kind.__name__: kind for kind in PAYLOADS.values()}
_NOTHING_MORE = _More()


def op_name(event: DagsterEvent) -> str | None:
    """The name of the op's definition, where it differs from the last part of the step's path."""
    name = event.logging_tags.get("op_name")
    if name is None or event.step_key is None:
        return None
    return None if split_step_key(event.step_key)[0].rpartition(".")[2] == name else name


def encode_event(event: DagsterEvent, run: DagsterRun) -> bytes | None:
    """JSON of what type, step key, pid and the run do not tell: an object, the payload, or a list of the payload and more;
    None where there is nothing.
    """
    payload = event.event_specific_data
    more = _NOTHING_MORE
    kind = event.event_type_value
    if type(payload) is JobFailureData and payload.first_step_failure_event is not None:
        first = payload.first_step_failure_event
        body = encode_event(first, run)
        if body is not None and len(body) > LONGEST // 4:  # it is told in full by its own entry
            body = to_json(_cut(json.loads(body), *_CUTS[1]))
        more = _More(
            nested=_Nested(
                first.event_type_value,
                first.step_key,
                op_name(first),
                first.pid,
                None if body is None else body.decode(),
            )
        )
        payload = msgspec.structs.replace(payload, first_step_failure_event=None)
    message = given_message(event)
    is_canonical = (
        message is None
        and (event.step_handle is not None) == (kind in _ABOUT_STEPS)
        and (payload is None or type(payload) is PAYLOADS.get(kind))
        and (event.step_kind_value == ("COMPUTE" if event.step_handle is not None else None))
        and event.job_name == run.job_name
        and len(event.logging_tags) == (6 + len(run.tags) if event.step_handle is not None else 0)
    )
    if not is_canonical:
        more = _describe_more(event, run, message, more)
    if more is not _NOTHING_MORE:
        return _bounded(to_json([payload, more]), payload, more)
    if payload is None:
        return None
    try:
        written = _fast_encode(payload)
    except _REFUSED:
        written = to_json(payload)
    if len(written) > LONGEST:
        return _bounded(written, payload)
    return None if written == b"{}" and kind not in PAYLOADS else written


#: bytes of JSON that one entry of a log may have: a database takes no text of any length, and no reader wants one
LONGEST = 10_000_000


def _bounded(written: bytes, value: Any, more: _More | None = None) -> bytes:
    """JSON of what an entry says, with long texts and lists cut where it is too long."""
    for text, items in _CUTS:
        if len(written) <= LONGEST:
            break
        value = _cut(json.loads(to_json(value)), text, items)
        if more is not None and more.message is not None:
            more = msgspec.structs.replace(more, message=_cut(more.message, text, items))
        written = to_json(value if more is None else [value, more])
    return written


#: how long texts, and how many members, are left where an entry is too long
_CUTS = ((10_000, 1_000), (200, 50))


def _cut(value: Any, text: int, items: int) -> Any:
    if isinstance(value, str) and len(value) > text:
        return f"{value[:text]}... ({len(value) - text} more characters were not kept)"
    if isinstance(value, list):
        return [_cut(each, text, items) for each in value[:items]]
    if isinstance(value, dict):
        return {key[:text]: _cut(each, text, items) for key, each in list(value.items())[:items]}
    return value


def _describe_more(event: DagsterEvent, run: DagsterRun, message: str | None, more: _More) -> _More:
    kind, payload = event.event_type_value, event.event_specific_data
    has_handles = event.step_handle is not None
    expected = _tags_of(run, event.step_key, op_name(event)) if has_handles and event.step_key else {}
    kind_expected = "COMPUTE" if has_handles else None
    return _More(
        message=message,
        payload=None if payload is None or type(payload) is PAYLOADS.get(kind) else type(payload).__name__,
        nested=more.nested,
        turned=has_handles != (kind in _ABOUT_STEPS),
        tags=None if dict(event.logging_tags) == expected else dict(event.logging_tags),
        job_name=None if event.job_name == run.job_name else event.job_name,
        step_kind=None if event.step_kind_value == kind_expected else event.step_kind_value or "",
    )


def _tags_of(run: DagsterRun, step_key: str, op: str | None) -> dict[str, str]:
    name = op if op is not None else split_step_key(step_key)[0].rpartition(".")[2]
    return {
        "run_id": run.run_id,
        "job_name": run.job_name,
        "step_key": step_key,
        "op_name": name,
        "resource_name": "None",
        "resource_fn_name": "None",
        **run.tags,
    }


class EventReader:
    """Reads the stored events of one run back."""

    def __init__(self, run: DagsterRun) -> None:
        self._run = run
        #: step key and name of the op's definition -> handle of the step, of the node, tags
        self._steps: dict[tuple[str, str | None], tuple[Any, NodeHandle, Mapping[str, str]]] = {}

    def event(
        self, type_value: str, step_key: str | None, op: str | None, pid: int | None, body: bytes | str | None
    ) -> DagsterEvent:
        """One event. Raises DagsterEventLogInvalidForRun where the text is not one."""
        try:
            return self._event(type_value, step_key, op, pid, body)
        except (msgspec.MsgspecError, ValueError, TypeError, KeyError, LookupError) as error:
            raise DagsterEventLogInvalidForRun(
                f"An event of type {type_value} of the run {self._run.run_id} cannot be read: {error}. What is stored: "
                f"{_shorten(body)}."
            ) from error

    def _event(
        self, type_value: str, step_key: str | None, op: str | None, pid: int | None, body: bytes | str | None
    ) -> DagsterEvent:
        more, payload = _NOTHING_MORE, cast(Any, None)
        if body is not None and body[:1] in ("[", b"["):
            raw, raw_more = _read_pair(body)
            more = _read(_More, raw_more)
            if raw != b"null":
                kind = _CLASSES[more.payload] if more.payload is not None else PAYLOADS[type_value]
                payload = _read(kind, raw)
        elif body is not None:
            payload = _read(PAYLOADS[type_value], body)
        if more.nested is not None:
            nested = more.nested
            first = self._event(nested.kind, nested.step, nested.op, nested.pid, nested.body)
            payload = msgspec.structs.replace(payload, first_step_failure_event=first)
        step_handle, node_handle, tags, step_kind = None, None, _NO_TAGS, None
        if step_key is not None and (type_value in _ABOUT_STEPS) != more.turned:
            step_handle, node_handle, tags = self._step(step_key, op)
            step_kind = "COMPUTE"
        return DagsterEvent(
            DagsterEventType(type_value).value,
            self._run.job_name if more.job_name is None else more.job_name,
            step_handle,
            node_handle,
            step_kind if more.step_kind is None else more.step_kind or None,
            tags if more.tags is None else more.tags,
            payload,
            more.message,
            pid,
            step_key,
        )

    def _step(self, step_key: str, op: str | None) -> tuple[Any, NodeHandle, Mapping[str, str]]:
        found = self._steps.get((step_key, op))
        if found is None:
            path, mapping_keys = split_step_key(step_key)
            handle = NodeHandle.from_string(path)
            step_handle: Any = StepHandle(handle, step_key)
            if mapping_keys:
                step_handle = ResolvedFromDynamicStepHandle(handle, mapping_keys[-1], step_key)
            found = self._steps[step_key, op] = step_handle, handle, _tags_of(self._run, step_key, op)
        return found


_read_raw_pair = msgspec.json.Decoder(tuple[msgspec.Raw, msgspec.Raw]).decode


def _read_pair(body: bytes | str) -> tuple[bytes, bytes]:
    """The two halves of a list as JSON."""
    try:
        first, second = map(bytes, _read_raw_pair(body))
    except msgspec.DecodeError:
        first, second = (json.dumps(each).encode() for each in json.loads(body))
    return first, second


_NO_TAGS: Mapping[str, str] = {}


def _shorten(body: bytes | str | None) -> str:
    text = body.decode(errors="backslashreplace") if isinstance(body, bytes) else str(body)
    return text if len(text) <= 200 else f"{text[:200]}..."


# -- messages -----------------------------------------------------------------------------------------------------------


class _Message(msgspec.Struct, omit_defaults=True):
    level: int
    text: str
    traceback: str | None = None


def encode_message(level: int, text: str, traceback: str | None) -> bytes:
    """JSON of a message of user code."""
    message = _Message(level, text, traceback)
    return _bounded(to_json(message), message)


def decode_message(body: bytes | str) -> tuple[int, str, str | None]:
    """Level, text and traceback of a message. Raises DagsterEventLogInvalidForRun where the text is not one."""
    try:
        message: _Message = _read(_Message, body)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise DagsterEventLogInvalidForRun(
            f"A message in the log of a run cannot be read: {error}. What is stored: {_shorten(body)}."
        ) from error
    return message.level, message.text, message.traceback


# -- runs ---------------------------------------------------------------------------------------------------------------


class _Run(msgspec.Struct, omit_defaults=True):
    """A run's record but for its status and tags, which change and are looked for."""

    job_name: str
    run_id: str
    run_config: Mapping[str, Any] = {}
    op_selection: list[str] | None = None
    resolved_op_selection: list[str] | None = None
    step_keys_to_execute: list[str] | None = None
    root_run_id: str | None = None
    parent_run_id: str | None = None
    job_snapshot_id: str | None = None
    execution_plan_snapshot_id: str | None = None
    job_code_origin: Any = None


def encode_run(run: DagsterRun) -> bytes:
    """JSON of a run's record but for its status and tags. Config that JSON cannot hold is kept as text, for reading."""
    fields = {name: getattr(run, name) for name in _Run.__struct_fields__}
    for name in ("op_selection", "resolved_op_selection", "step_keys_to_execute"):
        if fields[name] is not None:
            fields[name] = sorted(fields[name]) if name == "resolved_op_selection" else list(fields[name])
    return to_json(_Run(**fields))


def decode_run(body: bytes | str, status: DagsterRunStatus, tags: Mapping[str, str]) -> DagsterRun:
    """A run's record. Raises DagsterEventLogInvalidForRun where the text is none."""
    try:
        stored: _Run = _read(_Run, body)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise DagsterEventLogInvalidForRun(
            f"The record of a run cannot be read: {error}. What is stored: {_shorten(body)}."
        ) from error
    fields = {name: getattr(stored, name) for name in _Run.__struct_fields__}
    if stored.resolved_op_selection is not None:
        fields["resolved_op_selection"] = frozenset(stored.resolved_op_selection)
    return DagsterRun(**fields, status=status, tags=tags)
