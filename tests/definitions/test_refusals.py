"""Arguments of a wrong kind are refused where they are given, and never taken for something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from treadle import (
    CheckError,
    DagsterInvalidDefinitionError,
    DagsterInvalidMetadata,
    DagsterInvalidPythonicConfigDefinitionError,
    DependencyDefinition,
    GraphDefinition,
    In,
    MultiDependencyDefinition,
    NotInThisVersionError,
    Out,
    failure_hook,
    io_manager,
    op,
    resource,
    success_hook,
)

One = Callable[[], Any]


@op
def one() -> int:
    return 1


@op
def total(xs: list[int]) -> int:
    return sum(xs)


ALONE = GraphDefinition("alone", node_defs=[one])


def define(**options: Any) -> Any:
    return op(name="load", **options)(lambda: None)


def wired(**options: Any) -> GraphDefinition[Any, Any]:
    return GraphDefinition("wired", **{"node_defs": [one, total], **options})


@pytest.mark.parametrize(
    ("give", "parameter"),
    [
        (lambda: define(description=3), "description"),
        (lambda: define(version=3), "version"),
        (lambda: define(pool=3), "pool"),
        (lambda: define(retry_policy=3), "retry_policy"),
        (lambda: define(tags=["a"]), "tags"),
        (lambda: define(required_resource_keys="db"), "required_resource_keys"),
        (lambda: define(required_resource_keys=[1]), "required_resource_keys"),
        (lambda: In(description=3), "description"),  # type: ignore[arg-type]
        (lambda: In(metadata=3), "metadata"),  # type: ignore[arg-type]
        (lambda: In(input_manager_key=3), "input_manager_key"),  # type: ignore[arg-type]
        (lambda: Out(description=3), "description"),  # type: ignore[arg-type]
        (lambda: Out(is_required="no"), "is_required"),  # type: ignore[arg-type]
        (lambda: Out(metadata=3), "metadata"),  # type: ignore[arg-type]
        (lambda: Out(io_manager_key=3), "io_manager_key"),  # type: ignore[arg-type]
        (lambda: one.with_retry_policy(3), "retry_policy"),
        (lambda: one.tag("a"), "tags"),  # type: ignore[arg-type]
        (
            lambda: success_hook(name="tell", required_resource_keys="db")(lambda context: None),
            "required_resource_keys",
        ),
        (lambda: failure_hook(name="tell", required_resource_keys=[1])(lambda context: None), "required_resource_keys"),  # type: ignore[list-item]
        (lambda: resource(required_resource_keys="db")(lambda _context: None), "required_resource_keys"),
        (lambda: io_manager(required_resource_keys="db")(lambda _context: None), "required_resource_keys"),
        (lambda: wired(node_defs=one), "node_defs"),
        (lambda: wired(dependencies=["total"]), "dependencies"),
        (lambda: ALONE.to_job(description=3), "description"),  # type: ignore[arg-type]
        (lambda: ALONE.to_job(input_values=3), "input_values"),  # type: ignore[arg-type]
        (lambda: ALONE.to_job(metadata=3), "metadata"),  # type: ignore[arg-type]
        (lambda: ALONE.to_job(tags=3), "tags"),  # type: ignore[arg-type]
        (lambda: ALONE.execute_in_process(input_values=3), "input_values"),  # type: ignore[arg-type]
        (lambda: ALONE.execute_in_process(resources=3), "resource_defs"),  # type: ignore[arg-type]
        (lambda: ALONE.to_job().execute_in_process(resources=3), "resources"),  # type: ignore[arg-type]
        (lambda: ALONE.to_job().execute_in_process(instance=3), "instance"),  # type: ignore[arg-type]
        (lambda: ALONE.to_job().execute_in_process(tags=3), "tags"),  # type: ignore[arg-type]
    ],
)
def test_argument_of_a_wrong_kind_is_refused_by_its_name(give: One, parameter: str) -> None:
    with pytest.raises(CheckError, match=f'Param "{parameter}"'):
        give()


@pytest.mark.parametrize("keys", [["db"], ("db",), {"db"}, frozenset({"db"})])
def test_resource_keys_may_stand_in_any_collection(keys: Any) -> None:
    assert define(required_resource_keys=keys).required_resource_keys == {"db"}


@pytest.mark.parametrize(
    ("give", "message"),
    [
        (lambda: define(out=int), "out is an Out.* got <class 'int'>. Write Out.int."),
        (lambda: wired(dependencies={"total": None}), 'dependencies of "total" must be a dict of its inputs'),
        (
            lambda: wired(dependencies={"total": {"xs": MultiDependencyDefinition([DependencyDefinition("one")] * 2)}}),
            'input "xs" of "total": Duplicate dependencies',
        ),
        (
            lambda: op(name="load")(lambda x, context: None),
            '"context" gets the context of the step only where it stands first',
        ),
    ],
)
def test_definition_that_cannot_be_meant_is_refused(give: One, message: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=message):
        give()


def test_parameter_called_config_needs_an_annotation() -> None:
    with pytest.raises(
        DagsterInvalidPythonicConfigDefinitionError, match='@op "load": the parameter "config" needs an ann'
    ):
        op(name="load")(lambda config: None)


def test_metadata_that_cannot_be_kept_is_told_with_its_key_and_owner() -> None:
    with pytest.raises(DagsterInvalidMetadata, match='job "alone".*"a"'):
        ALONE.to_job(metadata={"a": object()})


def test_selection_of_assets_is_for_a_later_version() -> None:
    with pytest.raises(NotInThisVersionError, match="asset_selection"):
        ALONE.to_job().execute_in_process(asset_selection=["a"])


def test_alias_of_none_leaves_the_name() -> None:
    assert one.alias(None).name == "one"
