"""the op-selection language over bare adjacency

`name`, `*name`, `name+`, `++name*`, `*`, `outer.inner`: text and a graph's adjacency in, names out. Pure: it knows
neither ops nor jobs; job.py makes the smaller graph of what was selected, re-execution selects step keys with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from treadle.errors import DagsterInvalidSubsetError
from treadle.names import nearest

_CLAUSE = r"(?P<up>\*?|\++)(?P<name>[^*+]+)(?P<down>\*?|\++)"

#: how far a clause reaches when it says `*`
_WITHOUT_END = 1 << 60

Adjacency = Mapping[str, Iterable[str]]


class Clause:
    """One string of a selection, taken apart."""

    __slots__ = ("depth_down", "depth_up", "name", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        found = re.fullmatch(_CLAUSE, text.strip())
        self.name = found["name"] if found else text
        self.depth_up = _depth(found["up"]) if found else 0
        self.depth_down = _depth(found["down"]) if found else 0

    @property
    def has_operator(self) -> bool:
        """True where the clause asks for more than the name itself."""
        return bool(self.depth_up or self.depth_down)


def _depth(operator: str) -> int:
    return _WITHOUT_END if operator == "*" else len(operator)


def select(clauses: Sequence[str], upstream: Adjacency, what: str = "ops") -> set[str]:
    """The names that a selection means: the union of its clauses.

    `upstream` maps every name to those directly above it. Raises DagsterInvalidSubsetError, naming every clause that
    means nothing.
    """
    downstream: dict[str, list[str]] = {name: [] for name in upstream}
    for name, above in upstream.items():
        for other in above:
            downstream[other].append(name)
    selected: set[str] = set()
    unknown = []
    hints = ""
    for text in clauses:
        clause = Clause(text)
        if text.strip() == "*":
            selected |= set(upstream)
        elif clause.name not in upstream:
            unknown.append(text)
            hints += nearest(clause.name, upstream)
        else:
            selected.add(clause.name)
            selected |= _reach(clause.name, upstream, clause.depth_up)
            selected |= _reach(clause.name, downstream, clause.depth_down)
    if unknown:
        raise DagsterInvalidSubsetError(
            f"No qualified {what} to execute found for {what[:-1]}_selection={list(clauses)}: nothing is named "
            f"{', '.join(map(repr, unknown))}.{hints} There are: {sorted(upstream)}."
        )
    return selected


def _reach(name: str, neighbours: Adjacency, depth: int) -> set[str]:
    reached: set[str] = set()
    frontier = [name]
    while frontier and depth > 0:
        frontier = [other for near in frontier for other in neighbours[near] if other not in reached]
        reached.update(frontier)
        frontier = list(dict.fromkeys(frontier))
        depth -= 1
    return reached


class Selection:
    """What is wanted of a graph: whole nodes by name, and for graphs inside it what is wanted of them."""

    def __init__(self, whole: set[str], parts: dict[str, Selection]) -> None:
        self.whole = whole
        self.parts = parts

    @property
    def names(self) -> set[str]:
        """The nodes of which something is wanted."""
        return self.whole | self.parts.keys()

    @property
    def paths(self) -> set[str]:
        """What is wanted, whole nodes by name and parts of graphs by dotted paths."""
        return self.whole | {f"{outer}.{inner}" for outer, part in self.parts.items() for inner in part.paths}


def split(clauses: Sequence[str], upstream: Adjacency) -> Selection:
    """Read a selection on one graph; dotted names (`outer.inner`) select inside its nodes, without operators."""
    plain = [text for text in clauses if "." not in text]
    whole = select(plain, upstream) if plain else set()
    dotted: dict[str, list[str]] = {}
    for text in clauses:
        if "." in text:
            outer, _, rest = text.partition(".")
            if outer not in upstream:
                raise DagsterInvalidSubsetError(
                    f'"{text}": no node named "{outer}" here.{nearest(outer, upstream)} An operator cannot be combined '
                    f"with a dotted name. Nodes: {sorted(upstream)}."
                )
            if outer not in whole:
                dotted.setdefault(outer, []).append(rest)
    parts = {outer: _split_dotted(rests) for outer, rests in dotted.items()}
    return Selection(whole, parts)


def _split_dotted(rests: Sequence[str]) -> Selection:
    whole = {rest for rest in rests if "." not in rest}
    deeper: dict[str, list[str]] = {}
    for rest in rests:
        if "." in rest:
            outer, _, inner = rest.partition(".")
            if outer not in whole:
                deeper.setdefault(outer, []).append(inner)
    return Selection(whole, {outer: _split_dotted(inner) for outer, inner in deeper.items()})
