"""MetadataValue kinds, raw Python into them.

Everything that user code attaches to an event goes through `normalize_metadata`, once, at the door: outcomes and
contexts call it. The kinds are frozen, tagged structs of plain data, so that the codec writes and reads them as they
are; `MetadataKind` is their union. Nothing here knows what the metadata is attached to.
"""

from __future__ import annotations

import builtins
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias, Union

import msgspec
from msgspec.structs import force_setattr

from treadle.checks import check_param, list_of, name_of, show
from treadle.errors import CheckError, DagsterInvalidMetadata, ParameterCheckError
from treadle.names import AssetKey
from treadle.tables import TableColumnLineage, TableRecord, TableSchema, column_type, schema_of

if TYPE_CHECKING:
    from datetime import datetime


# -- kinds ---------------------------------------------------------------------------------------------------------


class MetadataValue:
    """A value that is attached to an event, of one of a fixed set of kinds; make one with the functions below.

    `value` gives the content; each kind has its own attribute for it besides. Values are equal by kind and content.
    """

    __slots__ = ()

    if TYPE_CHECKING:

        def __new__(cls, *args: Any, **kwargs: Any) -> MetadataValue: ...

    @property
    def value(self) -> Any:
        """The content."""
        raise NotImplementedError(f"{type(self).__name__} has no value.")

    @staticmethod
    def text(text: str | None) -> TextMetadataValue:
        """Text as it is."""
        return TextMetadataValue("" if text is None else text)

    @staticmethod
    def url(url: str | None) -> UrlMetadataValue:
        """The address of something to open."""
        return UrlMetadataValue("" if url is None else url)

    @staticmethod
    def path(path: str | os.PathLike[Any] | None) -> PathMetadataValue:
        """A path of the file system."""
        return PathMetadataValue("" if path is None else path)

    @staticmethod
    def notebook(path: str | os.PathLike[Any] | None) -> NotebookMetadataValue:
        """The path of a notebook."""
        return NotebookMetadataValue("" if path is None else path)

    @staticmethod
    def json(data: Any) -> JsonMetadataValue:
        """Anything that JSON can hold, copied; DagsterInvalidMetadata for what it cannot."""
        return JsonMetadataValue(data)

    @staticmethod
    def md(data: str | None) -> MarkdownMetadataValue:
        """Text in Markdown."""
        return MarkdownMetadataValue("" if data is None else data)

    @staticmethod
    def python_artifact(python_artifact: Callable[..., Any]) -> PythonArtifactMetadataValue:
        """A class or function, by its module and name."""
        module, name = (getattr(python_artifact, each, None) for each in ("__module__", "__qualname__"))
        if not isinstance(module, str) or not isinstance(name, str):
            raise ParameterCheckError(
                'MetadataValue.python_artifact: Param "python_artifact" is not callable, or has no module and name. '
                f"Got {show(python_artifact)}; expected a class or a function."
            )
        return PythonArtifactMetadataValue(module, name)

    @staticmethod
    def float(value: builtins.float) -> FloatMetadataValue:
        """A float; not-a-number and infinities are allowed."""
        return FloatMetadataValue(value)

    @staticmethod
    def int(value: builtins.int) -> IntMetadataValue:
        """An int, of up to 4,000 digits."""
        return IntMetadataValue(value)

    @staticmethod
    def bool(value: builtins.bool) -> BoolMetadataValue:
        """A bool."""
        return BoolMetadataValue(value)

    @staticmethod
    def timestamp(value: builtins.float | datetime) -> TimestampMetadataValue:
        """A moment: seconds since the epoch, or a datetime that has a time zone."""
        from datetime import datetime

        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise CheckError(
                    f"Datetime values provided to MetadataValue.timestamp must have timezones: {value.isoformat()} has no time "
                    f"zone, so it names no moment. Give it one: value.replace(tzinfo=timezone.utc), or value.astimezone() for local time."
                )
            value = value.timestamp()
        return TimestampMetadataValue(value)

    @staticmethod
    def dagster_run(run_id: str) -> DagsterRunMetadataValue:
        """Another run, by its id."""
        return DagsterRunMetadataValue(run_id)

    @staticmethod
    def job(job_name: str, location_name: str, *, repository_name: str | None = None) -> DagsterJobMetadataValue:
        """A job, by where it is found and its name."""
        return DagsterJobMetadataValue(job_name, location_name, repository_name)

    @staticmethod
    def asset(asset_key: AssetKey) -> DagsterAssetMetadataValue:
        """An asset, by its key."""
        return DagsterAssetMetadataValue(asset_key)

    @staticmethod
    def pool(pool: str) -> PoolMetadataValue:
        """A pool of limited slots, by its name."""
        return PoolMetadataValue(pool)

    @staticmethod
    def table(records: Sequence[TableRecord], schema: TableSchema | None = None) -> TableMetadataValue:
        """A small table; without a schema, one is made from the records, which must then have the same columns."""
        return TableMetadataValue(records, schema)

    @staticmethod
    def table_schema(schema: TableSchema) -> TableSchemaMetadataValue:
        """The columns of a table."""
        return TableSchemaMetadataValue(schema)

    @staticmethod
    def column_lineage(lineage: TableColumnLineage) -> TableColumnLineageMetadataValue:
        """Where the columns of a table come from."""
        return TableColumnLineageMetadataValue(lineage)

    @staticmethod
    def code_location_reconstruction(data: str) -> CodeLocationReconstructionMetadataValue:
        """What a code location keeps to be built again."""
        return CodeLocationReconstructionMetadataValue(data)

    @staticmethod
    def null() -> NullMetadataValue:
        """Nothing, as a value."""
        return NullMetadataValue()


#: older name of `MetadataValue`
EventMetadata = MetadataValue

# A kind's own attribute may have the name of a constructor above (`text`, `path`, ...): on a value the attribute is
# meant, on the class MetadataValue the constructor.


class _Kind(MetadataValue, msgspec.Struct, frozen=True, tag_field="kind"):
    """What the stored form of every kind has in common."""


class _TextKind(_Kind, frozen=True):
    """A kind whose first field is text, and is its value."""

    def __post_init__(self) -> None:
        field = self.__struct_fields__[0]
        text = getattr(self, field)
        if type(text) is not str:
            check_param(text, str, field, type(self).__name__)
            force_setattr(self, field, str.__str__(text))

    @property
    def value(self) -> str:
        text: str = getattr(self, self.__struct_fields__[0])
        return text


class _PathKind(_Kind, frozen=True):
    """A kind whose value is a path, kept as text."""

    path: str  # type: ignore[assignment]

    def __post_init__(self) -> None:
        check_param(self.path, (str, os.PathLike), "path", type(self).__name__)
        force_setattr(self, "path", os.fsdecode(self.path))

    @property
    def value(self) -> str:
        return self.path

    @property
    def fspath(self) -> str:
        return self.path


class TextMetadataValue(_TextKind, frozen=True, tag="text"):
    """Text."""

    text: str  # type: ignore[assignment]


class UrlMetadataValue(_TextKind, frozen=True, tag="url"):
    """The address of a page; viewers make a link of it."""

    url: str  # type: ignore[assignment]


class PathMetadataValue(_PathKind, frozen=True, tag="path"):
    """The path of a file or folder; `path` and `value` are text."""

    if TYPE_CHECKING:

        def __init__(self, path: str | os.PathLike[Any]) -> None: ...


class NotebookMetadataValue(_PathKind, frozen=True, tag="notebook"):
    """The path of a notebook."""

    if TYPE_CHECKING:

        def __init__(self, path: str | os.PathLike[Any]) -> None: ...


class MarkdownMetadataValue(_TextKind, frozen=True, tag="md"):
    """Text in Markdown."""

    md_str: str


class DagsterRunMetadataValue(_TextKind, frozen=True, tag="dagster_run"):
    """The id of a run."""

    run_id: str


class PoolMetadataValue(_TextKind, frozen=True, tag="pool"):
    """The name of a pool."""

    pool: str  # type: ignore[assignment]


class CodeLocationReconstructionMetadataValue(_TextKind, frozen=True, tag="code_location_reconstruction"):
    """What is needed to load a project again; the original's own tools write it."""

    data: str


class JsonMetadataValue(_Kind, frozen=True, tag="json"):
    """Holds a copy of the data as JSON reads it back: lists for tuples, text for the keys of dicts."""

    data: Any

    def __post_init__(self) -> None:
        import json

        try:
            force_setattr(self, "data", json.loads(json.dumps(self.data)))
        except (TypeError, ValueError, RecursionError) as error:
            raise DagsterInvalidMetadata(
                f"JSON metadata: {show(self.data)} is not JSON serializable: {error}. Use dicts with text keys, "
                f"lists, str, int, float, bool and None only."
            ) from error

    @property
    def value(self) -> Any:
        return self.data


class PythonArtifactMetadataValue(_Kind, frozen=True, tag="python_artifact"):
    """A class or function, by its module and its name."""

    module: str
    name: str

    @property
    def value(self) -> PythonArtifactMetadataValue:
        return self


class DagsterJobMetadataValue(_Kind, frozen=True, tag="job"):
    """The name of a job, and where it is defined."""

    job_name: str
    location_name: str
    repository_name: str | None = None

    def __post_init__(self) -> None:
        check_param(self.job_name, str, "job_name", type(self).__name__)
        check_param(self.location_name, str, "location_name", type(self).__name__)

    @property
    def value(self) -> DagsterJobMetadataValue:
        return self


_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class FloatMetadataValue(_Kind, frozen=True, omit_defaults=True, tag="float"):
    """A float; infinities and NaN are kept."""

    if TYPE_CHECKING:
        value: float

        def __init__(self, value: float) -> None: ...
    else:
        value: float | None

    #: JSON writes not-a-number and infinities as null; this text says which one it was
    not_finite: str = ""

    def __post_init__(self) -> None:
        if not self.not_finite:
            force_setattr(self, "value", _as_float(self.value, type(self).__name__))
            if math.isfinite(self.value):
                return
            force_setattr(self, "not_finite", str(self.value))
        # one object for each, so that not-a-number equals itself here: values are equal by content
        force_setattr(self, "value", _NOT_FINITE[self.not_finite])

    def __repr__(self) -> str:
        return f"FloatMetadataValue(value={self.value})"


class TimestampMetadataValue(_Kind, frozen=True, tag="timestamp"):
    """A moment, in seconds since the epoch."""

    value: float

    def __post_init__(self) -> None:
        force_setattr(self, "value", _as_float(self.value, type(self).__name__))


#: Python refuses to write longer ints as decimal text
_MOST_BITS = 14_000


class IntMetadataValue(_Kind, frozen=True, tag="int"):
    """A whole number."""

    value: int

    def __post_init__(self) -> None:
        check_param(self.value, int, "value", type(self).__name__, _hint_for)
        if self.value.bit_length() > _MOST_BITS:
            raise DagsterInvalidMetadata(f"An int of {self.value.bit_length()} bits is too long to store as a number.")
        force_setattr(self, "value", int(self.value))


class BoolMetadataValue(_Kind, frozen=True, tag="bool"):
    """True or False."""

    value: bool

    def __post_init__(self) -> None:
        check_param(self.value, bool, "value", type(self).__name__, _hint_for)


class NullMetadataValue(_Kind, frozen=True, tag="null"):
    """None."""

    @property
    def value(self) -> None:
        return None


class DagsterAssetMetadataValue(_Kind, frozen=True, tag="asset"):
    """The key of an asset."""

    asset_key: AssetKey

    def __post_init__(self) -> None:
        check_param(self.asset_key, AssetKey, "asset_key", type(self).__name__, "Wrap it: AssetKey(...).")

    @property
    def value(self) -> AssetKey:
        return self.asset_key


class TableMetadataValue(_Kind, frozen=True, tag="table"):
    """Rows of a table, with its schema; where no schema is given it is read from the rows."""

    records: list[TableRecord]
    schema: TableSchema
    if TYPE_CHECKING:

        def __init__(self, records: Sequence[TableRecord], schema: TableSchema | None = None) -> None: ...
    else:
        schema: TableSchema | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "records", list_of(self.records, TableRecord, "records", "TableMetadataValue"))
        given: TableSchema | None = self.schema
        force_setattr(self, "schema", schema_of(self.records) if given is None else given)
        check_param(self.schema, TableSchema, "schema", "TableMetadataValue")

    @property
    def value(self) -> TableMetadataValue:
        return self

    @staticmethod
    def infer_column_type(value: object) -> str:
        """The name of the column type for one value: bool, int, float or string."""
        return column_type([value])


class TableSchemaMetadataValue(_Kind, frozen=True, tag="table_schema"):
    """The schema of a table."""

    schema: TableSchema

    def __post_init__(self) -> None:
        check_param(self.schema, TableSchema, "schema", type(self).__name__)

    @property
    def value(self) -> TableSchema:
        return self.schema


class TableColumnLineageMetadataValue(_Kind, frozen=True, tag="column_lineage"):
    """For each column of a table, the columns that it is computed from."""

    column_lineage: TableColumnLineage  # type: ignore[assignment]

    def __post_init__(self) -> None:
        check_param(self.column_lineage, TableColumnLineage, "column_lineage", type(self).__name__)

    @property
    def value(self) -> TableColumnLineage:
        return self.column_lineage

    @property
    def lineage(self) -> TableColumnLineage:
        return self.column_lineage


#: the type to decode: every kind, told apart by its tag
MetadataKind: TypeAlias = Union[
    TextMetadataValue, UrlMetadataValue, PathMetadataValue, NotebookMetadataValue, JsonMetadataValue,
    MarkdownMetadataValue, PythonArtifactMetadataValue, FloatMetadataValue, IntMetadataValue, BoolMetadataValue,
    TimestampMetadataValue, DagsterRunMetadataValue, DagsterJobMetadataValue, DagsterAssetMetadataValue,
    PoolMetadataValue, TableMetadataValue, TableSchemaMetadataValue, TableColumnLineageMetadataValue,
    CodeLocationReconstructionMetadataValue, NullMetadataValue,
]  # fmt: skip


def _as_float(number: object, where: str) -> float:
    check_param(number, (float, int), "value", where, _hint_for)
    if isinstance(number, bool):
        raise ParameterCheckError(f'{where}: Param "value" is not a float. Got {number}, which is a bool.')
    return float(number)  # type: ignore[arg-type]


# -- raw Python into kinds ---------------------------------------------------------------------------------------

#: what users may write as a metadata value
RawMetadataValue: TypeAlias = Union[
    MetadataValue, TableSchema, TableColumnLineage, AssetKey, "os.PathLike[Any]", dict[Any, Any], list[Any],
    float, int, str, None,
]  # fmt: skip


class _NoMetadata(dict[str, MetadataValue]):
    """The one empty mapping that everything without metadata shares; it refuses to be filled."""

    __slots__ = ()

    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("Metadata is fixed once it is given; make a new object with the metadata that it should have.")

    __setitem__ = __delitem__ = __ior__ = setdefault = update = pop = popitem = clear = _refuse

    def __reduce__(self) -> str:
        return "NO_METADATA"


NO_METADATA: Final[dict[str, MetadataKind]] = _NoMetadata()  # type: ignore[assignment]


def normalize_metadata(metadata: Mapping[str, RawMetadataValue] | None) -> dict[str, MetadataKind]:
    """Turn what a user gave into kinds.

    Raises CheckError where it is not a mapping with str keys, and DagsterInvalidMetadata, naming key and type, for a
    value that is of no kind.
    """
    if metadata is None:
        return NO_METADATA
    if type(metadata) is not dict:
        check_param(metadata, Mapping, "metadata", "Metadata", 'Give a dict such as {"rows": 3}.')
    if not metadata:
        return NO_METADATA
    kinds: dict[str, Any] = {}
    for key, value in metadata.items():
        if not isinstance(key, str):
            raise CheckError(
                f"Metadata: key {show(key)} (type {name_of(type(key))}) is not a str. The keys of metadata must be str; "
                f"write {show(str(key))}."
            )
        kinds[key] = value if isinstance(value, MetadataValue) else normalize_value(value, key)
    return kinds


def normalize_value(value: RawMetadataValue, key: str) -> MetadataKind:
    """Turn one value into its kind; DagsterInvalidMetadata, naming key and type, where it is of none."""
    if isinstance(value, MetadataValue):
        return value  # type: ignore[return-value]
    if isinstance(value, str):
        return TextMetadataValue(value)
    if value is None:
        return NullMetadataValue()
    for raw, kind in _KIND_OF:
        if isinstance(value, raw):
            try:
                made: MetadataKind = kind(value)
                return made
            except DagsterInvalidMetadata as error:
                raise DagsterInvalidMetadata(
                    f'Could not resolve the metadata value for "{key}" to a known type. {error}'
                ) from error.__cause__
    raise DagsterInvalidMetadata(
        f'Could not resolve the metadata value for "{key}" to a known type. Got {show(value)} '
        f"(type {name_of(type(value))}). {_hint_for(value) or _USE_A_KIND}"
    )


# bool is an int, so it comes first
_KIND_OF: tuple[tuple[Any, Any], ...] = (
    (bool, BoolMetadataValue),
    (int, IntMetadataValue),
    (float, FloatMetadataValue),
    ((dict, list), JsonMetadataValue),
    (os.PathLike, PathMetadataValue),
    (AssetKey, DagsterAssetMetadataValue),
    (TableSchema, TableSchemaMetadataValue),
    (TableColumnLineage, TableColumnLineageMetadataValue),
)

_USE_A_KIND = (
    "Give a str, int, float, bool, None, dict, list, path or AssetKey, or wrap the value with the MetadataValue "
    "constructor that fits, such as MetadataValue.md(...)."
)


def _hint_for(value: object) -> str:
    """How to write a value of a type that people often have at hand, as a sentence."""
    kind = type(value)
    name = f"{kind.__module__}.{kind.__name__}"
    if name == "datetime.datetime":
        return "Write MetadataValue.timestamp(value), or value.isoformat() for text."
    if name in ("datetime.date", "datetime.time", "datetime.timedelta", "uuid.UUID", "decimal.Decimal"):
        return "Write str(value)."
    if isinstance(value, (tuple, set, frozenset)):
        return "Write list(value)."
    if isinstance(value, (bytes, bytearray)):
        return "Write value.decode() for text, or len(value) for its size."
    if kind.__module__ == "numpy" and hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return "Write value.item() for a plain Python number."
    if isinstance(value, TableRecord):
        return "Write MetadataValue.table([record])."
    if hasattr(value, "to_markdown"):
        return "Write MetadataValue.md(value.to_markdown())."
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return "Write MetadataValue.python_artifact(value)."
    return ""
