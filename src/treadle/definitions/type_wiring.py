"""Whether the types at the two ends of an edge can agree: what a connected output gives, what the input takes.

graph.py asks once for every graph that is written. Only what is provable counts: no value passes both checks. The
types alone are looked at, never a value, so a type with a check function of its own is never found at fault.
`TREADLE_WIRING` in the environment says what a mismatch is: a warning (`warn`), an error (`strict`), nothing (`off`).
"""

from __future__ import annotations

import abc
import os
import sys
import typing
import warnings
from collections.abc import Iterator, Set
from functools import lru_cache
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple

from treadle.definitions.compose import DependencyDefinition, DynamicCollectDependencyDefinition
from treadle.errors import DagsterInvalidDefinitionError, TreadleWiringWarning
from treadle.type_kinds import (
    DagsterType,
    ListType,
    NothingType,
    OptionalType,
    PlainType,
    PythonObjectDagsterType,
    ScalarType,
    TypedDictType,
    TypedSetType,
    TypedTupleType,
)
from treadle.types import FLOAT_TYPE, INT_TYPE, NOTHING_TYPE

if TYPE_CHECKING:
    from treadle.definitions.graph import GraphDefinition

#: the environment variable that says what a mismatch is
SETTING = "TREADLE_WIRING"


# -- two types --------------------------------------------------------------------------------------------------------


def explain_mismatch(output_type: DagsterType, input_type: DagsterType) -> str | None:
    """Why no value of the one type is of the other, with what to do; None where one may be.

    A container with nothing in it does not count: `list[int]` and `list[str]` share only the empty list.
    """
    if output_type is input_type or input_type.is_nothing:
        return None
    if output_type.is_nothing:
        return (
            "A Nothing output carries no value, but the input needs one. Let the op return a value and annotate it, or "
            "declare the input with In(Nothing) if only the order matters."
        )
    if output_type.is_any or input_type.is_any:
        return None
    reason = _explain(output_type, input_type)
    if reason is None:
        return None
    if output_type is INT_TYPE and input_type is FLOAT_TYPE:
        return f"{reason} Give float(...), or let the input be an int."
    return f"{reason} Change one of the two annotations, or put an op between that turns one into the other."


@lru_cache(maxsize=4096)
def _explain(given: DagsterType, taken: DagsterType) -> str | None:
    """`explain_mismatch` of values, wherever they stand: Nothing means None here, as a part of a container."""
    if given is taken or given.is_any or taken.is_any:
        return None
    for one, other in ((given, taken), (taken, given)):
        if type(one) is OptionalType:
            reason = _explain(one.inner_type, other) if _explain(NOTHING_TYPE, other) else None
            return reason and _told(given, taken)
    bounds = _classes_of(given), _classes_of(taken)
    if bounds[0] is None or bounds[1] is None:
        return None
    if not any(_may_overlap(one, other) for one in bounds[0] for other in bounds[1]):
        return _told(given, taken)
    if isinstance(given, TypedTupleType) and isinstance(taken, TypedTupleType):
        if len(given.member_types) != len(taken.member_types):
            return f"{_told(given, taken)} Their lengths differ."
    for what, one, other in _parts(given, taken):
        reason = _explain(one, other)
        if reason is not None:
            return f"{what}: {reason}"
    return None


def _told(given: DagsterType, taken: DagsterType) -> str:
    return f"No value of type {given.display_name} is of type {taken.display_name}."


def _parts(given: DagsterType, taken: DagsterType) -> Iterator[tuple[str, DagsterType, DagsterType]]:
    """The types of what two containers of one kind hold, pair by pair, with what they are."""
    if type(given) is type(taken):
        if isinstance(given, ListType) and isinstance(taken, ListType):
            yield "Elements", given.inner_type, taken.inner_type
        elif isinstance(given, TypedSetType) and isinstance(taken, TypedSetType):
            yield "Items", given.item_type, taken.item_type
        elif isinstance(given, TypedDictType) and isinstance(taken, TypedDictType):
            yield "Keys", given.key_type, taken.key_type
            yield "Values", given.value_type, taken.value_type
        elif isinstance(given, TypedTupleType) and isinstance(taken, TypedTupleType):
            if len(given.member_types) == len(taken.member_types):
                for index, (one, other) in enumerate(zip(given.member_types, taken.member_types, strict=True)):
                    yield f"Member {index}", one, other


#: what every value of a container type is an instance of
_CONTAINERS: dict[type[DagsterType], tuple[type, ...]] = {
    ListType: (list,),
    TypedDictType: (dict,),
    TypedSetType: (set,),
    TypedTupleType: (tuple,),
    NothingType: (type(None),),
}


def _classes_of(dagster_type: DagsterType) -> tuple[type, ...] | None:
    """Classes of which every value of the type is an instance; None where that cannot be told.

    The kinds are compared exactly: a subclass may check whatever it likes.
    """
    kind = type(dagster_type)
    if kind in _CONTAINERS:
        return _CONTAINERS[kind]
    if isinstance(dagster_type, PythonObjectDagsterType) and kind is PythonObjectDagsterType:
        classes = dagster_type.python_type
        return classes if isinstance(classes, tuple) else (classes,)
    if kind is ScalarType or kind is PlainType:
        cls = dagster_type.typing_type
        if typing.is_typeddict(cls):
            return (dict,)
        return (cls,) if isinstance(cls, type) else None
    return None


# -- two classes ------------------------------------------------------------------------------------------------------


def _may_overlap(one: type, other: type) -> bool:
    """True unless an object that is an instance of both would need a class that does not exist."""
    try:
        if issubclass(one, other) or issubclass(other, one):
            return True
        if not (_is_nominal(one) and _is_nominal(other)):
            return True
        if _has_registered(one) and _has_registered(other):
            return True
        return _has_common_subclass(one, other) or _has_common_subclass(other, one)
    except Exception:  # noqa: BLE001 - a metaclass of the user's that does not answer proves nothing
        return True


def _is_nominal(cls: type) -> bool:
    """True where only classes that say so are subclasses: no protocol, no hook that looks at what a class has."""
    check = _owner(type(cls), "__instancecheck__")
    if _is_from(check, {"typing", "typing_extensions"}):  # the metaclass of protocols and of what implements them
        return getattr(cls, "_is_protocol", None) is False
    if check not in (type, abc.ABCMeta) and not _is_from(check, {"pydantic"}):  # pydantic's only answers faster
        return False
    hook = _owner(cls, "__subclasshook__")
    # the hooks of the standard library speak for the very class that they stand in
    return hook is object or (hook is not cls and _is_from(hook, sys.stdlib_module_names))


def _is_from(cls: type, packages: Set[str]) -> bool:
    return cls.__module__.split(".")[0] in packages


def _owner(cls: type, name: str) -> type:
    return next(each for each in cls.__mro__ if name in each.__dict__)


def _has_registered(cls: type) -> bool:
    """True where classes were registered with an abstract class, or where that cannot be told."""
    if not isinstance(cls, abc.ABCMeta):
        return False
    registry = getattr(abc, "_get_dump", None)  # what ABCMeta shows its own registry by
    return registry is None or bool(registry(cls)[0])


def _has_common_subclass(above: type, other: type) -> bool:
    seen: set[type] = set()
    todo = [above]
    while todo:
        subclasses: list[type] = type.__subclasses__(todo.pop())
        for cls in subclasses:
            if cls not in seen:
                if issubclass(cls, other):
                    return True
                seen.add(cls)
                todo.append(cls)
    return False


# -- a graph ----------------------------------------------------------------------------------------------------------


class _Edge(NamedTuple):
    """Two ends that have to agree: types, and where they are in words."""

    given: DagsterType
    taken: DagsterType
    origin: str
    target: str


def check_wiring(graph: GraphDefinition) -> None:
    """Compare the types at the ends of every edge and input mapping of a graph, and tell of those that cannot agree.

    DagsterInvalidDefinitionError where an input that is no list is given one (a fan-in, a collected output), and for
    every mismatch where the setting is strict; otherwise a TreadleWiringWarning for each.
    """
    mismatches = []
    for edge in (*_edges(graph), *_mapped_inputs(graph)):
        reason = explain_mismatch(edge.given, edge.taken)
        if reason is not None:
            mismatches.append(f'Graph "{graph.name}": {edge.origin} -> {edge.target}: {reason}')
    if mismatches:
        _tell(mismatches)


def _edges(graph: GraphDefinition) -> Iterator[_Edge]:
    """The edges whose ends are not of the very same type."""
    nodes = graph.node_dict
    for node_name, inputs in graph.dependencies.items():
        ports = nodes[node_name].definition.input_dict
        for input_name, dependency in inputs.items():
            taken = ports[input_name].dagster_type
            if type(dependency) is DependencyDefinition:
                given = nodes[dependency.node].definition.output_dict[dependency.output].dagster_type
                if given is taken:  # so for nearly every edge: nothing else is made for these
                    continue
                target = f"{node_name}.{input_name} ({taken.display_name})"
                yield _Edge(given, taken, f"{dependency.node}.{dependency.output} ({given.display_name})", target)
                continue
            what = "a collected output" if type(dependency) is DynamicCollectDependencyDefinition else "a fan-in"
            element = _element_type(graph, node_name, input_name, what)
            for origin in dependency.get_node_dependencies():
                given = nodes[origin.node].definition.output_dict[origin.output].dagster_type
                if given is not element:
                    target = f"the elements of {node_name}.{input_name} ({taken.display_name})"
                    yield _Edge(given, element, f"{origin.node}.{origin.output} ({given.display_name})", target)


def _mapped_inputs(graph: GraphDefinition) -> Iterator[_Edge]:
    """The inputs of the graph and where they go, where the types are not the very same."""
    for mapping in graph.input_mappings:
        given = graph.input_dict[mapping.graph_input_name].dagster_type
        node_name, input_name = mapping.mapped_node_name, mapping.mapped_node_input_name
        taken = whole = graph.node_dict[node_name].definition.input_dict[input_name].dagster_type
        target = f"{node_name}.{input_name} ({whole.display_name})"
        if mapping.fan_in_index is not None:
            taken = _element_type(graph, node_name, input_name, "a fan-in")
            target = f"the elements of {target}"
        if given is not taken:
            yield _Edge(given, taken, f"its input {mapping.graph_input_name} ({given.display_name})", target)


def _element_type(graph: GraphDefinition, node_name: str, input_name: str, what: str) -> DagsterType:
    """The type of one element of an input that takes a list. DagsterInvalidDefinitionError where it cannot take one."""
    taken: DagsterType = graph.node_dict[node_name].definition.input_dict[input_name].dagster_type
    if not taken.supports_fan_in:
        raise DagsterInvalidDefinitionError(
            f'Graph "{graph.name}": the input "{input_name}" of "{node_name}" gets a list, since {what} is connected to '
            f"it, but its type {taken.display_name} does not support fanning in. Declare it as a list: "
            f"list[{taken.display_name}]."
        )
    return taken.get_inner_type_for_fan_in()


def _tell(mismatches: list[str]) -> None:
    """Warn of each mismatch where the user's own code defines the graph, or refuse them all, as the setting says."""
    setting = os.environ.get(SETTING) or "warn"
    if setting == "off":
        return
    if setting != "warn":
        note = "" if setting == "strict" else f" ({SETTING} is {setting!r}, but it must be warn, strict or off.)"
        raise DagsterInvalidDefinitionError("\n".join(mismatches) + note)
    level = 1
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith("treadle."):
        level += 1
        frame = frame.f_back
    for mismatch in mismatches:
        warnings.warn(f"{mismatch} ({SETTING}=strict makes this an error.)", TreadleWiringWarning, stacklevel=level)
