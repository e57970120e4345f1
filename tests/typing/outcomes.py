"""What users return, yield and raise, as they write it. Read by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from typing_extensions import assert_type

from treadle import (
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    Backoff,
    DataVersion,
    DynamicOutput,
    ExpectationResult,
    Failure,
    Jitter,
    MetadataValue,
    Output,
    RetryPolicy,
    RetryRequested,
    TableColumn,
    TableRecord,
    TableSchema,
    TextMetadataValue,
    TypeCheck,
)


class Plane:
    seats = 3


class Jet(Plane):
    pass


# -- outputs are generic in their value ---------------------------------------------------------------------------------


def value_alone() -> Output[int]:
    return Output(1)


def everything() -> Output[list[str]]:
    return Output(
        ["a"],
        output_name="names",
        metadata={"rows": 3, "path": Path("x"), "note": MetadataValue.md("# x"), "share": None, "more": {"a": [1]}},
        data_version=DataVersion("1"),
        tags={"kind": "list"},
    ).with_metadata({"rows": 4})


def of_a_subclass() -> Output[Plane]:
    output: Output[Jet] = Output(Jet())
    return output


def several() -> tuple[Output[int], Output[str]]:
    return Output(1, "small"), Output("b", "large")


def stream() -> Iterator[Output[int] | AssetMaterialization | ExpectationResult]:
    yield AssetMaterialization("report")
    yield ExpectationResult(success=True, label="rows", metadata={"rows": 3})
    yield Output(1, metadata={"rows": 1})


def branches() -> list[DynamicOutput[Plane]]:
    return [DynamicOutput(Jet(), mapping_key="a"), DynamicOutput(Plane(), "b", output_name="planes", metadata={"n": 1})]


def read(output: Output[int], branch: DynamicOutput[Plane]) -> None:
    assert_type(output.value, int)
    assert_type(output.output_name, str)
    assert_type(branch.value.seats, int)
    assert_type(branch.mapping_key, str)
    for value in output.metadata.values():
        print(value.value)


wrong: Output[int] = Output("a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
no_key = DynamicOutput(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

# -- facts --------------------------------------------------------------------------------------------------------------


def facts(rows: int, extra: Mapping[str, str | int]) -> Iterator[AssetMaterialization | AssetObservation]:
    yield AssetMaterialization("a/b")
    yield AssetMaterialization(["a", "b"], "told", {"rows": rows}, partition="2013-01", tags={"a": "b"})
    yield AssetMaterialization(asset_key=AssetKey("a"), metadata=extra).with_metadata({"rows": rows})
    yield AssetMaterialization.file(Path("x"), asset_key="x")
    observation = AssetObservation("a", metadata={"rows": rows})
    assert_type(observation.asset_key, AssetKey)
    assert_type(observation.with_metadata(None), AssetObservation)
    assert_type(observation.partition, str | None)
    yield observation


def checks(value: object) -> TypeCheck:
    if isinstance(value, Plane):
        return TypeCheck(True)
    return TypeCheck(success=False, description="no plane", metadata={"got": str(value)})


expectation = ExpectationResult(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
observed = AssetObservation(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# -- failing and trying again -------------------------------------------------------------------------------------------


def fail(attempt: int) -> None:
    try:
        if attempt:
            raise Failure("no data", metadata={"attempt": attempt}, allow_retries=False)
    except Failure as failure:
        assert_type(failure.description, str | None)
        assert_type(failure.allow_retries, bool)
        raise RetryRequested(max_retries=3, seconds_to_wait=0.5) from failure


policy = RetryPolicy(max_retries=3, delay=0.2, backoff=Backoff.EXPONENTIAL, jitter=Jitter.PLUS_MINUS)
assert_type(policy.calculate_delay(1), float)
assert_type(policy.calculate_delay(1, rand=0.5), float)
assert_type(policy.delay, float | None)

# -- metadata -----------------------------------------------------------------------------------------------------------


def kinds() -> dict[str, MetadataValue]:
    rows = [TableRecord({"carrier": "AA", "delay": 3.5}), TableRecord(data={"carrier": "UA", "delay": None})]
    schema = TableSchema([TableColumn("carrier"), TableColumn("delay", "float", description="minutes")])
    return {
        "text": MetadataValue.text("x"),
        "url": MetadataValue.url("http://x"),
        "path": MetadataValue.path(Path("x")),
        "json": MetadataValue.json({"a": [1]}),
        "md": MetadataValue.md("# x"),
        "float": MetadataValue.float(1.5),
        "int": MetadataValue.int(1),
        "bool": MetadataValue.bool(True),
        "class": MetadataValue.python_artifact(Plane),
        "job": MetadataValue.job("j", "l", repository_name="r"),
        "asset": MetadataValue.asset(AssetKey(["a", "b"])),
        "table": MetadataValue.table(rows, schema),
        "guessed": MetadataValue.table(rows),
        "null": MetadataValue.null(),
    }


assert_type(MetadataValue.text("x").text, str)
assert_type(MetadataValue.path("x").path, str)
assert_type(MetadataValue.int(1).value, int)
assert_type(MetadataValue.float(1).value, float)
assert_type(MetadataValue.json([1]).data, Any)
assert_type(MetadataValue.table_schema(TableSchema([])).schema, TableSchema)
assert_type(TextMetadataValue("x").value, str)
no_text = MetadataValue.text(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
