"""Tables, as metadata shows them."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from treadle.errors import CheckError, ParameterCheckError
from treadle.names import AssetKey
from treadle.tables import (
    TableColumn,
    TableColumnConstraints,
    TableColumnDep,
    TableColumnLineage,
    TableConstraints,
    TableRecord,
    TableSchema,
    column_type,
    schema_of,
)


class Color(str, Enum):
    RED = "red"


class Ratio(float):
    """As numpy's float64 is: a float, but not quite."""


def test_column_has_defaults() -> None:
    column = TableColumn("a")
    assert (column.type, column.description, column.tags) == ("string", None, {})
    assert column.constraints == TableColumnConstraints(nullable=True, unique=False, other=[])


def test_schema_has_no_constraints_by_default() -> None:
    assert TableSchema([TableColumn("a")]).constraints == TableConstraints([])
    assert TableSchema([TableColumn("a")], None).constraints == TableConstraints([])


def test_schema_from_names_and_types() -> None:
    schema = TableSchema.from_name_type_dict({"id": "int", "name": "string"})
    assert schema == TableSchema([TableColumn("id", "int"), TableColumn("name", "string")])


def test_columns_do_not_share_their_lists() -> None:
    TableColumnConstraints().other.append("> 0")
    assert TableColumnConstraints().other == []


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: TableColumn(3), 'Param "name" is not a str'),  # type: ignore[arg-type]
        (lambda: TableColumn("a", int), 'such as "int"'),  # type: ignore[arg-type]
        (lambda: TableColumn("a", constraints={}), 'Param "constraints"'),  # type: ignore[arg-type]
        (lambda: TableColumnConstraints(nullable="no"), 'Param "nullable" is not a bool'),  # type: ignore[arg-type]
        (lambda: TableSchema([TableColumn("a")], ["r > 1"]), 'Param "constraints"'),  # type: ignore[arg-type]
        (lambda: TableRecord([1]), 'Param "data" is not a Mapping'),  # type: ignore[arg-type]
        (lambda: TableColumnLineage([]), 'Param "deps_by_column"'),  # type: ignore[arg-type]
    ],
)
def test_wrong_argument_is_refused(make: Any, match: str) -> None:
    with pytest.raises(ParameterCheckError, match=match):
        make()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: TableSchema(["a"]), "item 0 of columns is 'a' .* expected a TableColumn"),  # type: ignore[list-item]
        (lambda: TableRecord({"a": [1]}), r'column "a" is \[1\], of type list; a cell is'),  # type: ignore[dict-item]
        (lambda: TableRecord({3: 1}), "column 3 is a int"),  # type: ignore[dict-item]
        (lambda: TableColumnLineage({"a": ["b"]}), "item 0 of a"),  # type: ignore[list-item]
    ],
)
def test_wrong_member_is_refused(make: Any, match: str) -> None:
    with pytest.raises(CheckError, match=match):
        make()


def test_cells_of_odd_subclasses_become_plain() -> None:
    data = TableRecord({"a": Ratio(1.5), "b": Color.RED, "c": True, "d": None}).data
    assert [type(cell) for cell in data.values()] == [float, str, bool, type(None)]
    assert data == {"a": 1.5, "b": "red", "c": True, "d": None}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([1, 2], "int"),
        ([1, 2.5], "float"),
        ([True, False], "bool"),
        ([True, 1], "string"),
        ([1, "x"], "string"),
        ([None, 3], "int"),
        ([None], "string"),
        ([], "string"),
    ],
)
def test_column_type_is_the_narrowest_that_fits(cells: list[Any], expected: str) -> None:
    assert column_type(cells) == expected


def test_schema_is_made_from_records() -> None:
    records = [TableRecord({"id": 1, "name": "x", "share": None}), TableRecord({"name": "y", "id": 2, "share": 0.5})]
    columns = schema_of(records).columns
    assert [(column.name, column.type) for column in columns] == [("id", "int"), ("name", "string"), ("share", "float")]


def test_records_with_different_columns_need_a_schema() -> None:
    with pytest.raises(CheckError, match=r"record 1 has \['b'\] and record 0 has \['a'\]"):
        schema_of([TableRecord({"a": 1}), TableRecord({"b": 1})])


def test_no_records_need_a_schema() -> None:
    with pytest.raises(CheckError, match="schema must be provided"):
        schema_of([])


def test_dependency_takes_the_key_in_every_form() -> None:
    assert TableColumnDep("a/b", "c").asset_key == AssetKey("a/b")
    assert TableColumnDep(["a", "b"], "c").asset_key == AssetKey(["a", "b"])
    assert TableColumnDep(AssetKey("a"), "c") == TableColumnDep("a", "c")
