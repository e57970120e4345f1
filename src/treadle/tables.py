"""TableSchema, TableRecord and what else tells of a table.

Plain frozen data, small enough to travel in an event; `metadata` has the kinds that hold it. Rows are values to look
at, not data to compute with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import msgspec
from msgspec.structs import force_setattr

from treadle.checks import check_optional, check_param, list_of, name_of, show
from treadle.errors import CheckError
from treadle.names import AssetKey

#: what a cell of a table may hold
TableCell: TypeAlias = Union[str, int, float, bool, None]

_CELL_KINDS = (str, int, float, bool, type(None))


class TableRecord(msgspec.Struct, frozen=True):
    """One row of a table: column name to value."""

    data: dict[str, TableCell]
    if TYPE_CHECKING:

        def __init__(self, data: Mapping[str, TableCell]) -> None: ...

    def __post_init__(self) -> None:
        check_param(self.data, Mapping, "data", "TableRecord")
        for column, cell in self.data.items():
            if not isinstance(column, str):
                raise CheckError(f"TableRecord: column {column!r} is a {type(column).__name__}; expected a str.")
            if not isinstance(cell, _CELL_KINDS):
                raise CheckError(
                    f'TableRecord: the value of column "{column}" is {show(cell)}, of type '
                    f"{name_of(type(cell))}; a cell is a str, int, float, bool or None. Write str(...) around it."
                )
        force_setattr(self, "data", {column: _exact(cell) for column, cell in self.data.items()})


class TableColumnConstraints(msgspec.Struct, frozen=True):
    """What holds for the values of a column; `other` has constraints in words."""

    nullable: bool = True
    unique: bool = False
    other: list[str] = []
    if TYPE_CHECKING:

        def __init__(self, nullable: bool = True, unique: bool = False, other: Sequence[str] | None = None) -> None: ...

    def __post_init__(self) -> None:
        check_param(self.nullable, bool, "nullable", "TableColumnConstraints")
        check_param(self.unique, bool, "unique", "TableColumnConstraints")
        force_setattr(self, "other", list_of(_listed(self.other), str, "other", "TableColumnConstraints"))


def _listed(given: Any) -> Any:
    return [] if given is None else given


class TableConstraints(msgspec.Struct, frozen=True):
    """What holds for the rows of a table, in words."""

    other: list[str]
    if TYPE_CHECKING:

        def __init__(self, other: Sequence[str]) -> None: ...

    def __post_init__(self) -> None:
        force_setattr(self, "other", list_of(self.other, str, "other", "TableConstraints"))


class TableColumn(msgspec.Struct, frozen=True):
    """A column of a table: its name, the name of its type, and what else is known of it."""

    name: str
    type: str = "string"
    description: str | None = None
    constraints: TableColumnConstraints = TableColumnConstraints()
    tags: dict[str, str] = {}
    if TYPE_CHECKING:

        def __init__(
            self,
            name: str,
            type: str = "string",
            description: str | None = None,
            constraints: TableColumnConstraints | None = None,
            tags: Mapping[str, str] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        check_param(self.name, str, "name", "TableColumn")
        check_param(self.type, str, "type", "TableColumn", 'Give the name of the type, such as "int".')
        check_optional(self.description, str, "description", "TableColumn")
        given: TableColumnConstraints | None = self.constraints
        check_optional(given, TableColumnConstraints, "constraints", "TableColumn")
        force_setattr(self, "constraints", TableColumnConstraints() if given is None else given)
        force_setattr(self, "tags", dict(self.tags or {}))


class TableSchema(msgspec.Struct, frozen=True):
    """The columns of a table and what holds for its rows."""

    columns: list[TableColumn]
    constraints: TableConstraints = TableConstraints([])
    if TYPE_CHECKING:

        def __init__(self, columns: Sequence[TableColumn], constraints: TableConstraints | None = None) -> None: ...

    def __post_init__(self) -> None:
        force_setattr(self, "columns", list_of(self.columns, TableColumn, "columns", "TableSchema"))
        given: TableConstraints | None = self.constraints
        check_optional(given, TableConstraints, "constraints", "TableSchema")
        force_setattr(self, "constraints", TableConstraints([]) if given is None else given)

    @staticmethod
    def from_name_type_dict(name_type_dict: Mapping[str, str]) -> TableSchema:
        """{"id": "int"} to a schema of one column `id` of type `int`."""
        return TableSchema([TableColumn(name, type_name) for name, type_name in name_type_dict.items()])


class TableColumnDep(msgspec.Struct, frozen=True):
    """A column of another asset that a column is computed from."""

    asset_key: AssetKey
    column_name: str
    if TYPE_CHECKING:

        def __init__(self, asset_key: AssetKey | str | Sequence[str], column_name: str) -> None: ...

    def __post_init__(self) -> None:
        given: AssetKey | str | Sequence[str] = self.asset_key
        force_setattr(self, "asset_key", given if isinstance(given, AssetKey) else AssetKey(given))


class TableColumnLineage(msgspec.Struct, frozen=True):
    """For each column, the columns that it is computed from."""

    deps_by_column: dict[str, list[TableColumnDep]]
    if TYPE_CHECKING:

        def __init__(self, deps_by_column: Mapping[str, Sequence[TableColumnDep]]) -> None: ...

    def __post_init__(self) -> None:
        where = "TableColumnLineage"
        check_param(self.deps_by_column, Mapping, "deps_by_column", where)
        deps = {name: list_of(deps, TableColumnDep, name, where) for name, deps in self.deps_by_column.items()}
        for name, given in deps.items():
            if len({(dep.asset_key, dep.column_name) for dep in given}) < len(given):
                raise CheckError(f'{where}: column "{name}" has the same dependency twice. Give each once.')
        force_setattr(self, "deps_by_column", deps)


def _exact(cell: TableCell) -> TableCell:
    """A value of a subclass of a plain type (an enum member, a numpy float) as the plain type, for the stored form."""
    if type(cell) in _CELL_KINDS:
        return cell
    if isinstance(cell, str):
        return str.__str__(cell)
    return float(cell) if isinstance(cell, float) else int(cell)  # type: ignore[arg-type]


def schema_of(records: Sequence[TableRecord]) -> TableSchema:
    """A schema for records that all have the same columns; their order is that of the first record."""
    if not records:
        raise CheckError("TableMetadataValue: a schema must be provided if records is empty: none can be made from it.")
    names = records[0].data.keys()
    for position, record in enumerate(records):
        if record.data.keys() != names:
            raise CheckError(
                f"TableMetadataValue: all records must have the same fields, but record {position} has "
                f"{sorted(record.data)} and record 0 has {sorted(names)}. Fill what is missing with None, or give a "
                f"schema."
            )
    return TableSchema([TableColumn(name, column_type([record.data[name] for record in records])) for name in names])


def column_type(cells: Sequence[object]) -> str:
    """The narrowest type that all these cells have: bool, int, float or string. None says nothing about a column."""
    names = {_TYPE_NAMES.get(type(cell), "string") for cell in cells if cell is not None}
    if names == {"int", "float"}:
        return "float"
    return names.pop() if len(names) == 1 else "string"


_TYPE_NAMES: dict[type, str] = {bool: "bool", int: "int", float: "float"}
