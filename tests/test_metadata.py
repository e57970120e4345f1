"""MetadataValue: its kinds, and raw Python into them."""

from __future__ import annotations

import copy
import datetime as dt
import math
import pickle
from enum import Enum, IntEnum
from pathlib import Path, PurePosixPath
from typing import Any, get_args

import msgspec
import pytest
import pytz
from hypothesis import given
from hypothesis import strategies as st

from treadle.errors import CheckError, DagsterInvalidMetadata, ParameterCheckError
from treadle.metadata import (
    NO_METADATA,
    BoolMetadataValue,
    CodeLocationReconstructionMetadataValue,
    DagsterAssetMetadataValue,
    DagsterJobMetadataValue,
    DagsterRunMetadataValue,
    EventMetadata,
    FloatMetadataValue,
    IntMetadataValue,
    JsonMetadataValue,
    MarkdownMetadataValue,
    MetadataKind,
    MetadataValue,
    NotebookMetadataValue,
    NullMetadataValue,
    PathMetadataValue,
    PoolMetadataValue,
    PythonArtifactMetadataValue,
    TableColumnLineageMetadataValue,
    TableMetadataValue,
    TableSchemaMetadataValue,
    TextMetadataValue,
    TimestampMetadataValue,
    UrlMetadataValue,
    normalize_metadata,
    normalize_value,
)
from treadle.names import AssetKey
from treadle.tables import (
    TableColumn,
    TableColumnConstraints,
    TableColumnDep,
    TableColumnLineage,
    TableConstraints,
    TableRecord,
    TableSchema,
)

SCHEMA = TableSchema(
    [TableColumn("a", "int", "an a", TableColumnConstraints(False, True, ["> 0"]), {"k": "v"})],
    TableConstraints(["few"]),
)
LINEAGE = TableColumnLineage({"a": [TableColumnDep(["flights", "raw"], "b")]})
NOON = dt.datetime(2013, 1, 1, 12, tzinfo=dt.timezone.utc)


class Color(str, Enum):
    RED = "red"


class Size(IntEnum):
    BIG = 3


class Ratio(float):
    """As numpy's float64 is."""


#: every constructor: the value it makes, its class, its content, and the attribute of its own
KINDS: list[tuple[MetadataValue, type, Any, str | None]] = [
    (MetadataValue.text("x"), TextMetadataValue, "x", "text"),
    (MetadataValue.url("http://x"), UrlMetadataValue, "http://x", "url"),
    (MetadataValue.path("/x"), PathMetadataValue, "/x", "path"),
    (MetadataValue.path(PurePosixPath("/x/y")), PathMetadataValue, "/x/y", "fspath"),
    (MetadataValue.notebook(Path("x.ipynb")), NotebookMetadataValue, "x.ipynb", "path"),
    (MetadataValue.json({"a": [1, None]}), JsonMetadataValue, {"a": [1, None]}, "data"),
    (MetadataValue.json([1]), JsonMetadataValue, [1], "data"),
    (MetadataValue.md("# x"), MarkdownMetadataValue, "# x", "md_str"),
    (MetadataValue.float(1.5), FloatMetadataValue, 1.5, None),
    (MetadataValue.float(-math.inf), FloatMetadataValue, -math.inf, None),
    (MetadataValue.int(2**100), IntMetadataValue, 2**100, None),
    (MetadataValue.bool(False), BoolMetadataValue, False, None),
    (MetadataValue.timestamp(1.5), TimestampMetadataValue, 1.5, None),
    (MetadataValue.timestamp(NOON), TimestampMetadataValue, NOON.timestamp(), None),
    (MetadataValue.dagster_run("r"), DagsterRunMetadataValue, "r", "run_id"),
    (MetadataValue.asset(AssetKey(["a", "b"])), DagsterAssetMetadataValue, AssetKey(["a", "b"]), "asset_key"),
    (MetadataValue.pool("p"), PoolMetadataValue, "p", "pool"),
    (MetadataValue.table_schema(SCHEMA), TableSchemaMetadataValue, SCHEMA, "schema"),
    (MetadataValue.column_lineage(LINEAGE), TableColumnLineageMetadataValue, LINEAGE, "column_lineage"),
    (MetadataValue.column_lineage(LINEAGE), TableColumnLineageMetadataValue, LINEAGE, "lineage"),
    (MetadataValue.code_location_reconstruction("d"), CodeLocationReconstructionMetadataValue, "d", "data"),
    (MetadataValue.null(), NullMetadataValue, None, None),
]  # fmt: skip

#: kinds of several fields are their own value
WHOLES: list[MetadataValue] = [
    MetadataValue.python_artifact(len),
    MetadataValue.job("j", "l", repository_name="r"),
    MetadataValue.table([TableRecord({"a": 1, "b": "x"}), TableRecord({"a": 2, "b": None})]),
    MetadataValue.table([TableRecord({"a": 1})], SCHEMA),
]

ALL = [value for value, *_ in KINDS] + WHOLES


def encode(value: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=lambda key: key.path)


def decode(text: bytes, kind: Any = MetadataKind) -> Any:
    return msgspec.json.decode(text, type=kind, dec_hook=lambda cls, parts: cls(parts))


# -- kinds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "cls", "content", "attribute"), KINDS)
def test_kind_has_its_content(value: MetadataValue, cls: type, content: Any, attribute: str | None) -> None:
    assert type(value) is cls
    assert isinstance(value, MetadataValue)
    assert value.value == content
    assert attribute is None or getattr(value, attribute) == content


@pytest.mark.parametrize("value", WHOLES)
def test_kind_of_several_fields_is_its_own_value(value: MetadataValue) -> None:
    assert value.value is value


def test_every_kind_is_tested_here() -> None:
    assert {type(value) for value in ALL} == set(get_args(MetadataKind))


def test_every_kind_can_be_made_by_its_name() -> None:
    constructors = {name for name in vars(MetadataValue) if not name.startswith("_") and name != "value"}
    assert {cls.__struct_config__.tag for cls in get_args(MetadataKind)} == constructors


@pytest.mark.parametrize("value", ALL)
def test_kind_survives_json(value: MetadataValue) -> None:
    assert decode(encode(value)) == value


@pytest.mark.parametrize("value", ALL)
def test_kind_survives_pickle_and_copy(value: MetadataValue) -> None:
    assert pickle.loads(pickle.dumps(value)) == value
    assert copy.deepcopy(value) == value


@pytest.mark.parametrize("value", ALL)
def test_kind_is_frozen(value: MetadataValue) -> None:
    with pytest.raises(AttributeError):
        value.value = 3  # type: ignore[misc]


@given(st.floats())
def test_every_float_survives_json(number: float) -> None:
    value = decode(encode(MetadataValue.float(number)))
    assert value == MetadataValue.float(number)
    assert repr(value.value) == repr(number)
    assert hash(value) == hash(MetadataValue.float(number))


def test_values_are_equal_by_kind_and_content() -> None:
    assert TextMetadataValue("a") == MetadataValue.text("a")
    assert TextMetadataValue("a") != TextMetadataValue("b")
    assert TextMetadataValue("a") != UrlMetadataValue("a")
    assert MetadataValue.text("a") != "a"
    assert FloatMetadataValue(float("nan")) == FloatMetadataValue(float("nan"))
    assert not FloatMetadataValue(float("nan")) != FloatMetadataValue(float("nan"))  # noqa: SIM202
    assert FloatMetadataValue(math.inf) != FloatMetadataValue(-math.inf)
    assert FloatMetadataValue(1.0) != IntMetadataValue(1)
    assert hash(TextMetadataValue("a")) == hash(TextMetadataValue("a"))


def test_repr_can_be_read() -> None:
    assert repr(MetadataValue.text("a")) == "TextMetadataValue(text='a')"
    assert repr(MetadataValue.float(math.nan)) == "FloatMetadataValue(value=nan)"


def test_older_name_is_the_same_class() -> None:
    assert EventMetadata is MetadataValue


def test_python_artifact_is_a_module_and_a_name() -> None:
    assert MetadataValue.python_artifact(Path) == PythonArtifactMetadataValue(Path.__module__, "Path")
    assert PythonArtifactMetadataValue("m", "n").value == PythonArtifactMetadataValue("m", "n")


def test_job_is_told_by_where_it_is_found() -> None:
    assert MetadataValue.job("j", "l") == DagsterJobMetadataValue("j", "l", None)


def test_numbers_of_odd_subclasses_become_plain() -> None:
    assert type(MetadataValue.float(Ratio(1.5)).value) is float
    assert type(MetadataValue.float(1).value) is float
    assert type(MetadataValue.int(Size.BIG).value) is int
    assert type(MetadataValue.int(True).value) is int
    assert type(MetadataValue.text(Color.RED).value) is str


def test_text_that_is_not_there_is_empty() -> None:
    for kind in ("text", "url", "path", "notebook", "md"):
        assert getattr(MetadataValue, kind)(None).value == ""


def test_json_is_a_copy() -> None:
    data = {"a": [1]}
    value = MetadataValue.json(data)
    data["a"].append(2)
    assert value.data == {"a": [1]}


def test_json_is_as_json_reads_it() -> None:
    assert MetadataValue.json({1: (2, Color.RED)}).data == {"1": [2, "red"]}


def test_table_infers_its_schema() -> None:
    value = MetadataValue.table([TableRecord({"a": 1}), TableRecord({"a": None})])
    assert value.schema == TableSchema([TableColumn("a", "int")])
    assert TableMetadataValue(records=[], schema=SCHEMA).schema == SCHEMA
    assert [TableMetadataValue.infer_column_type(cell) for cell in (1, 1.5, True, "a", None)] == [
        "int", "float", "bool", "string", "string",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: MetadataValue.text(1), 'Param "text" is not a str. Got 1'),  # type: ignore[arg-type]
        (lambda: MetadataValue.url(3), 'Param "url" is not a str'),  # type: ignore[arg-type]
        (lambda: MetadataValue.path(1), 'Param "path" is not a str or PathLike'),  # type: ignore[arg-type]
        (lambda: MetadataValue.md(1), 'Param "md_str" is not a str'),  # type: ignore[arg-type]
        (lambda: MetadataValue.float("x"), 'Param "value" is not a float'),  # type: ignore[arg-type]
        (lambda: MetadataValue.float(True), 'Param "value" is not a float'),
        (lambda: MetadataValue.int(1.5), 'Param "value" is not a int'),  # type: ignore[arg-type]
        (lambda: MetadataValue.bool(1), 'Param "value" is not a bool'),  # type: ignore[arg-type]
        (lambda: MetadataValue.timestamp("x"), 'Param "value" is not a float'),  # type: ignore[arg-type]
        (lambda: MetadataValue.dagster_run(1), 'Param "run_id" is not a str'),  # type: ignore[arg-type]
        (lambda: MetadataValue.job(1, "l"), 'Param "job_name" is not a str'),  # type: ignore[arg-type]
        (lambda: MetadataValue.asset("a"), r'Param "asset_key" is not a AssetKey.*AssetKey\('),  # type: ignore[arg-type]
        (lambda: MetadataValue.pool(1), 'Param "pool" is not a str'),  # type: ignore[arg-type]
        (lambda: MetadataValue.table([{"a": 1}]), "expected a TableRecord"),  # type: ignore[list-item]
        (lambda: MetadataValue.table([], [1]), 'Param "schema" is not a TableSchema'),  # type: ignore[arg-type]
        (lambda: MetadataValue.table_schema(1), 'Param "schema" is not a TableSchema'),  # type: ignore[arg-type]
        (lambda: MetadataValue.column_lineage(1), 'Param "column_lineage"'),  # type: ignore[arg-type]
        (lambda: MetadataValue.python_artifact(1), "is not callable"),  # type: ignore[arg-type]
        (lambda: MetadataValue.timestamp(dt.datetime(2013, 1, 1)), "has no time zone"),  # noqa: DTZ001
    ],
)
def test_wrong_content_is_refused(make: Any, match: str) -> None:
    with pytest.raises(CheckError, match=match):
        make()


def test_json_refuses_what_json_cannot_hold() -> None:
    with pytest.raises(DagsterInvalidMetadata, match="is not JSON serializable") as raised:
        MetadataValue.json({"a": object()})
    assert isinstance(raised.value.__cause__, TypeError)
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(DagsterInvalidMetadata, match="is not JSON serializable"):
        MetadataValue.json(loop)


def test_int_that_cannot_be_stored_is_refused() -> None:
    assert decode(encode(MetadataValue.int(10**4000))).value == 10**4000
    with pytest.raises(DagsterInvalidMetadata, match='"rows".* too long'):
        normalize_metadata({"rows": 10**5000})


def test_bare_metadata_value_cannot_be_read() -> None:
    with pytest.raises(NotImplementedError):
        MetadataValue().value


# -- raw Python into kinds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ("s", TextMetadataValue("s")),
        (Color.RED, TextMetadataValue("red")),
        (1, IntMetadataValue(1)),
        (Size.BIG, IntMetadataValue(3)),
        (True, BoolMetadataValue(True)),
        (1.5, FloatMetadataValue(1.5)),
        (Ratio(1.5), FloatMetadataValue(1.5)),
        (math.nan, FloatMetadataValue(math.nan)),
        (None, NullMetadataValue()),
        ({"a": 1}, JsonMetadataValue({"a": 1})),
        ([1, "x"], JsonMetadataValue([1, "x"])),
        (Path("/x"), PathMetadataValue("/x")),
        (AssetKey(["a"]), DagsterAssetMetadataValue(AssetKey(["a"]))),
        (SCHEMA, TableSchemaMetadataValue(SCHEMA)),
        (LINEAGE, TableColumnLineageMetadataValue(LINEAGE)),
    ],
)
def test_raw_value_becomes_its_kind(raw: Any, kind: MetadataValue) -> None:
    assert normalize_metadata({"k": raw}) == {"k": kind}
    assert normalize_value(raw, "k") == kind


def test_kind_stays_as_it_is() -> None:
    value = MetadataValue.md("x")
    assert normalize_metadata({"k": value})["k"] is value
    assert normalize_value(value, "k") is value


json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_data))
def test_normalised_metadata_survives_json_and_normalising_again(raw: dict[str, Any]) -> None:
    metadata = normalize_metadata(raw)
    assert list(metadata) == list(raw)
    assert all(kind.value == raw[key] for key, kind in metadata.items())
    assert normalize_metadata(metadata) == metadata
    assert decode(encode(metadata), dict[str, MetadataKind]) == metadata


class Grid:
    def to_markdown(self) -> str:
        return "| |"


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (NOON, "MetadataValue.timestamp(value)"),
        (NOON.date(), "Write str(value)."),
        ((1,), "Write list(value)."),
        ({1}, "Write list(value)."),
        (b"x", "value.decode()"),
        (object(), "wrap the value with the MetadataValue constructor that fits"),
        (len, "MetadataValue.python_artifact(value)"),
        (int, "MetadataValue.python_artifact(value)"),
        (TableRecord({"a": 1}), "MetadataValue.table([record])"),
        (Grid(), "MetadataValue.md(value.to_markdown())"),
        (range(3), "Give a str, int, float"),
    ],
)
def test_value_of_no_kind_is_refused_with_key_type_and_advice(value: Any, advice: str) -> None:
    with pytest.raises(DagsterInvalidMetadata) as raised:
        normalize_metadata({"fine": 1, "rows": value})
    text = str(raised.value)
    assert '"rows"' in text
    assert type(value).__name__ in text
    assert advice in text


def test_numpy_numbers_are_refused_with_advice() -> None:
    numpy = pytest.importorskip("numpy")
    assert normalize_metadata({"k": numpy.float64(1.5)}) == {"k": FloatMetadataValue(1.5)}
    with pytest.raises(DagsterInvalidMetadata, match=r"numpy\.int64.*value\.item\(\)"):
        normalize_metadata({"k": numpy.int64(1)})


def test_json_inside_metadata_is_refused_with_its_key() -> None:
    with pytest.raises(DagsterInvalidMetadata, match='for "rows" .* is not JSON serializable'):
        normalize_metadata({"rows": {"a": object()}})


@pytest.mark.parametrize("metadata", [{1: "x"}, {None: "x"}, {("a",): "x"}])
def test_keys_must_be_text(metadata: Any) -> None:
    with pytest.raises(CheckError, match="keys of metadata must be str"):
        normalize_metadata(metadata)


@pytest.mark.parametrize("metadata", [[1], "x", 3, [], ""])
def test_metadata_must_be_a_mapping(metadata: Any) -> None:
    with pytest.raises(ParameterCheckError, match='Param "metadata" is not a Mapping'):
        normalize_metadata(metadata)


# -- no metadata ------------------------------------------------------------------------------------------------------


def test_no_metadata_makes_nothing() -> None:
    assert normalize_metadata(None) is NO_METADATA
    assert normalize_metadata({}) is NO_METADATA
    assert NO_METADATA == {}
    assert encode(NO_METADATA) == b"{}"


@pytest.mark.parametrize(
    "fill",
    [
        lambda empty: empty.update(a=1),
        lambda empty: empty.__setitem__("a", 1),
        lambda empty: empty.setdefault("a", 1),
        lambda empty: empty.__ior__({"a": 1}),
    ],
)
def test_what_all_share_cannot_be_filled(fill: Any) -> None:
    with pytest.raises(TypeError, match="fixed"):
        fill(NO_METADATA)
    assert not NO_METADATA


def test_no_metadata_stays_the_same_object_through_pickle_and_copy() -> None:
    assert pickle.loads(pickle.dumps(NO_METADATA)) is NO_METADATA
    assert copy.deepcopy({"a": NO_METADATA})["a"] is NO_METADATA


def test_given_metadata_is_copied() -> None:
    given_by_user = {"a": 1}
    metadata = normalize_metadata(given_by_user)
    given_by_user["b"] = 2
    assert list(metadata) == ["a"]


def test_timestamp_takes_the_moment_of_a_datetime_with_any_kind_of_time_zone() -> None:
    berlin = pytz.timezone("Europe/Berlin").localize(dt.datetime(2013, 7, 1, 12))  # noqa: DTZ001 - localize gives the zone
    assert MetadataValue.timestamp(berlin).value == dt.datetime(2013, 7, 1, 10, tzinfo=dt.timezone.utc).timestamp()
