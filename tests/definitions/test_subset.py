"""What a job that was cut down by a selection says of itself."""

from __future__ import annotations

from typing import Any

import pytest

from treadle import graph, job, op


@op
def one() -> int:
    return 1


@op
def inc(x: Any) -> Any:
    return x + 1


@graph
def deep(x: Any) -> Any:
    return inc.alias("bottom")(x)


@graph
def twice(x: Any) -> Any:
    return deep(inc.alias("first")(x))


@job
def whole() -> None:
    twice(inc(one()))


@pytest.mark.parametrize(
    ("given", "means"),
    [
        (["one+"], {"one", "inc"}),
        (["*twice"], {"one", "inc", "twice"}),
        (["twice.first", "inc"], {"twice.first", "inc"}),
        (["twice.first", "twice.deep.bottom"], {"twice.first", "twice.deep.bottom"}),
        (["twice", "twice.first"], {"twice"}),
    ],
)
def test_selection_means_whole_nodes_by_name_and_parts_of_graphs_by_path(given: list[str], means: set[str]) -> None:
    part = whole.get_subset(op_selection=given)
    assert part.op_selection == set(given)
    assert part.resolved_op_selection == means
    assert part.with_metadata({"a": 1}).resolved_op_selection == means


def test_whole_job_has_no_selection() -> None:
    assert (whole.is_subset, whole.op_selection, whole.resolved_op_selection) == (False, None, None)
