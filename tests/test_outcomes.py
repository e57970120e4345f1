"""What user code may return, yield, raise or ask for."""

from __future__ import annotations

import copy
import math
import pickle
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.errors import CheckError, DagsterInvalidDefinitionError, DagsterInvalidMetadata, ParameterCheckError
from treadle.metadata import NO_METADATA, IntMetadataValue, MetadataValue, PathMetadataValue
from treadle.names import AssetKey
from treadle.outcomes import (
    AssetMaterialization,
    AssetObservation,
    Backoff,
    DataVersion,
    DynamicOutput,
    ExpectationResult,
    Failure,
    Jitter,
    Output,
    RetryPolicy,
    RetryRequested,
    TypeCheck,
)


class Color(str, Enum):
    RED = "red"


def stored(fact: Any) -> Any:
    """The fact, as it is read back from JSON."""
    text = msgspec.json.encode(fact, enc_hook=lambda key: key.path)
    return msgspec.json.decode(text, type=type(fact), dec_hook=lambda cls, parts: cls(parts))


# -- outputs ----------------------------------------------------------------------------------------------------------


def test_output_holds_what_it_was_given() -> None:
    output = Output(1, "a", {"m": 1}, DataVersion("v"), tags={"t": "u"})
    assert (output.value, output.output_name, output.data_version, output.tags) == (
        1,
        "a",
        DataVersion("v"),
        {"t": "u"},
    )
    assert output.metadata == {"m": IntMetadataValue(1)}


def test_output_is_named_result_and_has_nothing_else_by_default() -> None:
    output = Output(1)
    assert (output.output_name, output.metadata, output.data_version, output.tags) == ("result", {}, None, None)
    assert output.metadata is NO_METADATA


@pytest.mark.parametrize(
    "other",
    [Output(2), Output(1, "b"), Output(1, metadata={"a": 1}), Output(1, tags={"a": "b"}), DynamicOutput(1, "a"), 1],
)
def test_outputs_are_equal_by_value(other: object) -> None:
    assert Output(1) == Output(1)
    assert Output(1) != other
    assert Output(math.nan).value is not Output(1).value


def test_output_of_the_same_object_is_equal_whatever_its_own_equality_says() -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.zeros(3)
    assert Output(array) == Output(array)


def test_output_cannot_be_hashed() -> None:
    with pytest.raises(TypeError):
        hash(Output(1))
    with pytest.raises(TypeError):
        hash(DynamicOutput(1, "a"))


def test_output_takes_other_metadata_and_keeps_the_rest() -> None:
    output = Output(1, "a", {"m": 1}, DataVersion("v"), tags={"t": "u"}).with_metadata({"n": 2})
    assert output == Output(1, "a", {"n": 2}, DataVersion("v"), tags={"t": "u"})
    assert output.with_metadata(None).metadata == {}


@pytest.mark.parametrize("generic", [Output, DynamicOutput])
def test_output_is_generic_at_run_time(generic: Any) -> None:
    assert generic[int].__origin__ is generic
    assert generic[int].__args__ == (int,)


def test_generic_output_can_be_called() -> None:
    assert Output[int](3) == Output(3)


@pytest.mark.parametrize("output", [Output([1], "a", {"m": 1}), DynamicOutput([1], "a", metadata={"m": 1}), Output(1)])
def test_output_survives_pickle_and_copy(output: Any) -> None:
    assert pickle.loads(pickle.dumps(output)) == output
    assert copy.deepcopy(output) == output


def test_output_shows_what_it_holds() -> None:
    assert repr(Output(1)) == "Output(1, output_name='result')"
    assert "metadata={'m': IntMetadataValue(value=1)}" in repr(Output(1, metadata={"m": 1}))
    assert repr(DynamicOutput("v", "k")) == "DynamicOutput('v', mapping_key='k', output_name='result')"
    assert len(repr(Output("x" * 10_000))) < 300


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: Output(1, None), ParameterCheckError, 'Param "output_name" is not a str'),  # type: ignore[arg-type]
        (lambda: Output(1, data_version="1"), ParameterCheckError, r'DataVersion\("'),  # type: ignore[arg-type]
        (lambda: Output(1, metadata={1: 2}), CheckError, "keys of metadata"),  # type: ignore[dict-item]
        (lambda: Output(1, metadata={"rows": object()}), DagsterInvalidMetadata, '"rows"'),  # type: ignore[dict-item]
        (lambda: Output(1, tags={"a": 1}), DagsterInvalidDefinitionError, "at key a"),  # type: ignore[dict-item]
        (lambda: Output(1, tags={1: "a"}), DagsterInvalidDefinitionError, "at key 1"),  # type: ignore[dict-item]
        (lambda: DynamicOutput(1, "a", output_name=3), ParameterCheckError, "output_name"),  # type: ignore[arg-type]
        (lambda: DynamicOutput(1, 3), ParameterCheckError, 'Param "mapping_key" is not a str'),  # type: ignore[arg-type]
        (lambda: DataVersion(1), ParameterCheckError, 'Param "value" is not a str'),  # type: ignore[arg-type]
    ],
)
def test_unfit_argument_of_an_output_is_refused(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


@pytest.mark.parametrize("key", ["a", "2013", "_", "dict", "A_b_9"])
def test_word_is_a_mapping_key(key: str) -> None:
    assert DynamicOutput(1, key).mapping_key == key


@pytest.mark.parametrize(
    ("key", "suggestion"),
    [
        ("2013-01.csv", '"2013_01_csv"'),
        ("a b", '"a_b"'),
        ("a\n", '"a"'),
        ("é", '"branch_1"'),
        ("", '"branch_1"'),
        ("if", '"if_"'),
    ],
)
def test_other_mapping_key_is_refused_with_one_that_would_do(key: str, suggestion: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="is not a valid name") as raised:
        DynamicOutput(1, mapping_key=key)
    assert suggestion in str(raised.value)


@given(st.text())
def test_mapping_key_is_a_word_or_is_refused(key: str) -> None:
    try:
        assert DynamicOutput(1, key).mapping_key.isascii()
    except DagsterInvalidDefinitionError:
        return
    assert key.replace("_", "a").isalnum()


def test_member_of_a_text_enum_stands_for_its_value() -> None:
    output = DynamicOutput(1, Color.RED, output_name=None)
    assert (type(output.mapping_key), output.mapping_key, output.output_name) == (str, "red", "result")
    assert type(Output(1, Color.RED).output_name) is str


# -- facts ------------------------------------------------------------------------------------------------------------

EVENTS: list[Any] = [AssetMaterialization, AssetObservation]


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize(
    ("given_key", "parts"),
    [
        ("a", ["a"]),
        ("a/b", ["a", "b"]),
        ("/a//b/", ["a", "b"]),
        ("s3://b/x.csv", ["s3", "b", "x", "csv"]),
        (["a", "b/c"], ["a", "b/c"]),
        (("a", "b"), ["a", "b"]),
        (AssetKey("a/b"), ["a/b"]),
    ],
)
def test_asset_key_may_be_given_in_every_form(event: Any, given_key: Any, parts: list[str]) -> None:
    assert event(given_key).asset_key == AssetKey(parts)
    assert event(given_key).label == " ".join(parts)


@pytest.mark.parametrize("event", EVENTS)
def test_asset_event_holds_what_it_was_given(event: Any) -> None:
    fact = event("a", "told", {"rows": 3}, "2013-01", {"t": "u"})
    assert (fact.description, fact.partition, fact.tags) == ("told", "2013-01", {"t": "u"})
    assert fact.metadata == {"rows": IntMetadataValue(3)}
    assert fact == event(asset_key="a", description="told", metadata={"rows": 3}, partition="2013-01", tags={"t": "u"})
    assert fact != event("a")


@pytest.mark.parametrize("event", EVENTS)
def test_asset_event_is_bare_by_default(event: Any) -> None:
    fact = event("a")
    assert (fact.description, fact.metadata, fact.partition, fact.tags) == (None, {}, None, None)


@pytest.mark.parametrize("event", EVENTS)
def test_asset_event_takes_other_metadata_and_keeps_the_rest(event: Any) -> None:
    fact = event("a", "told", {"rows": 3}, "p", {"t": "u"}).with_metadata({"x": 1})
    assert fact == event("a", "told", {"x": 1}, "p", {"t": "u"})
    assert type(fact) is event


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"asset_key": 1}, ParameterCheckError, 'Param "asset_key" is not a AssetKey or str or list or tuple'),
        ({"asset_key": ""}, ParameterCheckError, "names nothing"),
        ({"asset_key": []}, ParameterCheckError, "names nothing"),
        ({"asset_key": [1]}, CheckError, "AssetKey"),
        ({"asset_key": "a", "partition": 1}, ParameterCheckError, "partition"),
        ({"asset_key": "a", "description": 1}, ParameterCheckError, "description"),
        ({"asset_key": "a", "tags": {"a": 1}}, DagsterInvalidDefinitionError, "tag keys and values must be strings"),
        ({"asset_key": "a", "tags": "a"}, ParameterCheckError, "tags"),
        ({"asset_key": "a", "metadata": {"k": object()}}, DagsterInvalidMetadata, '"k"'),
    ],
)
def test_unfit_argument_of_an_asset_event_is_refused(
    event: Any, arguments: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        event(**arguments)


def test_file_is_told_by_its_path() -> None:
    fact = AssetMaterialization.file("/out/report.md", "the report")
    assert fact.asset_key == AssetKey(["out", "report", "md"])
    assert fact.metadata == {"path": PathMetadataValue("/out/report.md")}
    assert fact.description == "the report"
    assert AssetMaterialization.file(Path("/x"), asset_key="a/b").asset_key == AssetKey(["a", "b"])


def test_observation_knows_the_version_of_its_data() -> None:
    assert AssetObservation("a", tags={"dagster/data_version": "3"}).data_version == "3"
    assert AssetObservation("a").data_version is None


def test_expectation_holds_what_it_was_given() -> None:
    result = ExpectationResult(True, "l", "d", {"a": 1})
    assert (result.success, result.label, result.description) == (True, "l", "d")
    assert result.metadata == {"a": IntMetadataValue(1)}
    assert ExpectationResult(success=False).label == "result"


@pytest.mark.parametrize("verdict", [ExpectationResult, TypeCheck])
def test_success_must_be_a_bool(verdict: Any) -> None:
    with pytest.raises(ParameterCheckError, match=r'Param "success" is not a bool. Got 1 .*bool\('):
        verdict(1)
    with pytest.raises(ParameterCheckError, match="description"):
        verdict(True, description=3)


def test_type_checks_are_equal_by_value() -> None:
    assert TypeCheck(True) == TypeCheck(True)
    assert TypeCheck(False, "d", {"a": 1}) == TypeCheck(success=False, description="d", metadata={"a": 1})
    assert TypeCheck(False) != TypeCheck(True)


@pytest.mark.parametrize(
    "fact",
    [
        AssetMaterialization(["a", "b"], "d", {"m": MetadataValue.md("x"), "n": math.nan}, "p", {"t": "u"}),
        AssetMaterialization("a"),
        AssetObservation(AssetKey("a/b"), metadata={"key": AssetKey("q")}),
        ExpectationResult(False, "l", "d", {"x": [1, {"y": None}]}),
        TypeCheck(False, "d", {"m": 1}),
        RetryPolicy(3, 1.5, Backoff.LINEAR, Jitter.FULL),
        DataVersion("v"),
    ],
)
def test_fact_survives_json_and_pickle_and_is_frozen(fact: Any) -> None:
    assert stored(fact) == fact
    assert pickle.loads(pickle.dumps(fact)) == fact
    with pytest.raises(AttributeError):
        setattr(fact, fact.__struct_fields__[0], None)


# -- failing and trying again -----------------------------------------------------------------------------------------


def test_failure_holds_what_it_was_given() -> None:
    failure = Failure("no plane", {"seats": 0}, allow_retries=False)
    assert (failure.description, failure.allow_retries, str(failure)) == ("no plane", False, "no plane")
    assert failure.metadata == {"seats": IntMetadataValue(0)}
    assert isinstance(failure, Exception)


def test_failure_allows_retries_by_default() -> None:
    assert Failure().allow_retries is True
    assert str(Failure()) == "None"


def test_failure_survives_pickle() -> None:
    failure = pickle.loads(pickle.dumps(Failure("d", {"a": 1}, allow_retries=False)))
    assert (failure.description, failure.allow_retries) == ("d", False)
    assert failure.metadata == {"a": IntMetadataValue(1)}


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Failure(1), "description"),  # type: ignore[arg-type]
        (lambda: Failure("d", allow_retries=1), "allow_retries"),  # type: ignore[arg-type]
        (lambda: RetryRequested("a"), "max_retries"),  # type: ignore[arg-type]
        (lambda: RetryRequested(None), "max_retries"),  # type: ignore[arg-type]
        (lambda: RetryRequested(1, "x"), "seconds_to_wait"),  # type: ignore[arg-type]
        (lambda: RetryRequested(-1), "max_retries must not be negative, got -1"),
        (lambda: RetryRequested(1, -1), "seconds_to_wait must be"),
        (lambda: RetryRequested(1, math.inf), "seconds_to_wait must be"),
        (lambda: RetryPolicy("1"), "max_retries"),  # type: ignore[arg-type]
        (lambda: RetryPolicy(delay="1"), "delay"),  # type: ignore[arg-type]
        (lambda: RetryPolicy(1, 1, "LINEAR"), r"Backoff\.LINEAR"),  # type: ignore[arg-type]
        (lambda: RetryPolicy(1, 1, jitter="FULL"), r"Jitter\.FULL"),  # type: ignore[arg-type]
    ],
)
def test_unfit_argument_is_refused(make: Any, match: str) -> None:
    with pytest.raises(ParameterCheckError, match=match):
        make()


def test_retry_request_asks_for_one_retry_at_once_by_default() -> None:
    assert (RetryRequested().max_retries, RetryRequested().seconds_to_wait) == (1, None)
    request = pickle.loads(pickle.dumps(RetryRequested(0, 0.5)))
    assert (request.max_retries, request.seconds_to_wait) == (0, 0.5)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"max_retries": -1}, "max_retries must not be negative, got -1"),
        ({"delay": -0.5}, "delay must be a number of seconds, zero or more, got -0.5"),
        ({"delay": math.nan}, "delay must be"),
        ({"backoff": Backoff.LINEAR}, "Can not set backoff on RetryPolicy without also setting delay"),
        ({"jitter": Jitter.FULL}, "Can not set jitter on RetryPolicy without also setting delay"),
    ],
)
def test_policy_that_makes_no_sense_is_refused(arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=match):
        RetryPolicy(**arguments)


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        (RetryPolicy(4), [0, 0, 0, 0]),
        (RetryPolicy(4, 0.5), [0.5, 0.5, 0.5, 0.5]),
        (RetryPolicy(4, 1, Backoff.LINEAR), [1, 2, 3, 4]),
        (RetryPolicy(4, 1, Backoff.EXPONENTIAL), [1, 3, 7, 15]),
        (RetryPolicy(4, 0, Backoff.EXPONENTIAL), [0, 0, 0, 0]),
    ],
)
def test_wait_grows_with_the_backoff(policy: RetryPolicy, waits: list[float]) -> None:
    assert [policy.calculate_delay(attempt) for attempt in (1, 2, 3, 4)] == waits


retries = st.integers(1, 10_000)
delays = st.floats(0, 1e6)
backoffs = st.sampled_from([None, *Backoff])


@given(retries, delays, backoffs, st.floats(0, 1, exclude_max=True))
def test_jitter_keeps_the_wait_within_its_bounds(
    attempt: int, delay: float, backoff: Backoff | None, rand: float
) -> None:
    wait = RetryPolicy(1, delay, backoff).calculate_delay(attempt)
    assert 0 <= RetryPolicy(1, delay, backoff, Jitter.FULL).calculate_delay(attempt, rand) <= wait
    assert 0 <= RetryPolicy(1, delay, backoff, Jitter.PLUS_MINUS).calculate_delay(attempt, rand) <= 2 * wait


@given(retries, delays, backoffs, st.floats(0, 1, exclude_max=True), st.sampled_from(Jitter))
def test_wait_follows_from_the_random_number(
    attempt: int, delay: float, backoff: Backoff | None, rand: float, jitter: Jitter
) -> None:
    policy = RetryPolicy(1, delay, backoff, jitter)
    assert policy.calculate_delay(attempt, rand) == policy.calculate_delay(attempt, rand)


def test_random_number_is_drawn_where_none_is_given() -> None:
    policy = RetryPolicy(1, 10, jitter=Jitter.PLUS_MINUS)
    waits = [policy.calculate_delay(1) for _ in range(100)]
    assert len(set(waits)) > 1
    assert all(0 <= wait <= 20 for wait in waits)


def test_policies_are_equal_by_value() -> None:
    assert RetryPolicy(1, 1) == RetryPolicy(max_retries=1, delay=1)
    assert len({RetryPolicy(1, 1), RetryPolicy(1, 1), RetryPolicy(2)}) == 2
