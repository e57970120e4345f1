"""What a store finds is what a plain filter over everything would find: runs, entries of a log, events of all runs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contracts.stores import KINDS, a_run, backend_of, begun, ids, step, write
from treadle.errors import CheckError, StoreError
from treadle.events import DagsterEventType as T
from treadle.events import run_event
from treadle.names import AssetKey
from treadle.outcomes import AssetMaterialization
from treadle.payloads import StepMaterializationData, StepSuccessData
from treadle.records import EventLogRecord, EventRecordsFilter, RunRecord
from treadle.runs import DagsterRunStatus, RunsFilter, make_run_id
from treadle.storage.store import Store

# -- runs


TAGS = [("team", "a"), ("team", "b"), ("size", "1"), ("dagster/backfill", "x"), ("odd", "\ud800 é")]
STATUSES = {
    DagsterRunStatus.NOT_STARTED: [],
    DagsterRunStatus.STARTED: [T.RUN_START],
    DagsterRunStatus.SUCCESS: [T.RUN_START, T.RUN_SUCCESS],
    DagsterRunStatus.CANCELED: [T.RUN_CANCELING, T.RUN_CANCELED],
}


def fill(store: Store) -> list[RunRecord]:
    """Runs of every kind: all records of the store, the oldest first."""
    number = 0
    for status, events in STATUSES.items():
        for tags in ({}, dict(TAGS[:1]), dict(TAGS[1:3]), dict(TAGS[2:])):
            number += 1
            run = a_run(f"job_{number % 3}", tags=tags, job_snapshot_id=["s", "t", None][number % 3])
            store.add_run(run)
            if events:
                write(store, run, *(run_event(kind, "job") for kind in events))
            assert store.get_run(run.run_id).status is status  # type: ignore[union-attr]
    return store.find_runs(ascending=True)


@pytest.fixture(scope="module", params=KINDS)
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Store, list[RunRecord]]]:
    for backend in backend_of(request.param, tmp_path_factory.mktemp("store")):
        store = backend.store()
        yield store, fill(store)


def is_meant(record: RunRecord, wanted: RunsFilter) -> bool:
    """What a filter means, in plain words."""
    run = record.dagster_run
    tags = {key: value.encode("utf-8", "backslashreplace").decode() for key, value in run.tags.items()}
    return all(
        (
            wanted.run_ids is None or run.run_id in wanted.run_ids,
            not wanted.job_name or run.job_name == wanted.job_name,
            not wanted.statuses or run.status in wanted.statuses,
            not wanted.snapshot_id or run.job_snapshot_id == wanted.snapshot_id,
            not (wanted.exclude_subruns and "dagster/backfill" in run.tags),
            all(tags.get(k) == v if isinstance(v, str) else tags.get(k) in v for k, v in (wanted.tags or {}).items()),
            wanted.created_after is None or record.create_timestamp > in_utc(wanted.created_after),
            wanted.created_before is None or record.create_timestamp < in_utc(wanted.created_before),
            wanted.updated_after is None or record.update_timestamp > in_utc(wanted.updated_after),
            wanted.updated_before is None or record.update_timestamp < in_utc(wanted.updated_before),
        )
    )


def in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


@st.composite
def filters(draw: st.DrawFn, records: Sequence[RunRecord]) -> RunsFilter:
    """A filter of some fields, about what there is and what there is not."""
    some_ids = [record.dagster_run.run_id for record in records] + ["nowhere", "\ud800"]
    moments = [moment for record in records for moment in (record.create_timestamp, record.update_timestamp)]
    moment = st.sampled_from(moments).flatmap(
        lambda each: st.sampled_from(
            [
                each,
                each.replace(tzinfo=None),
                each + timedelta(microseconds=1),
                each.astimezone(timezone(timedelta(hours=5))),
            ]
        )
    )
    values = st.sampled_from(["a", "b", "1", "x", "z", "\\ud800 é"])
    fields: dict[str, st.SearchStrategy[Any]] = {
        "run_ids": st.lists(st.sampled_from(some_ids), min_size=1, max_size=12) | st.tuples(st.sampled_from(some_ids)),
        "job_name": st.sampled_from(["job_0", "job_1", "job_9", "", "é"]),
        "statuses": st.lists(st.sampled_from([*STATUSES, DagsterRunStatus.QUEUED]), max_size=3),
        "tags": st.dictionaries(st.sampled_from(["team", "size", "odd", "none"]), values | st.lists(values, max_size=3), max_size=2),
        "snapshot_id": st.sampled_from(["s", "t", "u"]),
        "exclude_subruns": st.booleans(),
        "created_after": moment, "created_before": moment, "updated_after": moment, "updated_before": moment,
    }  # fmt: skip
    names = draw(st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True))
    return RunsFilter(**{name: draw(fields[name]) for name in names})


@given(data=st.data())
def test_runs_found_are_those_that_the_filter_means(filled: tuple[Store, list[RunRecord]], data: st.DataObject) -> None:
    store, records = filled
    wanted = data.draw(filters(records))
    meant = [record for record in records if is_meant(record, wanted)]
    assert store.find_runs(wanted, ascending=True) == meant
    assert store.find_runs(wanted) == meant[::-1]
    assert store.count_runs(wanted) == len(meant)
    cursor = data.draw(st.sampled_from(records))
    limit = data.draw(st.integers(0, 5))
    after = [record for record in meant if record.storage_id > cursor.storage_id]
    before = [record for record in meant if record.storage_id < cursor.storage_id]
    assert store.find_runs(wanted, cursor=cursor.dagster_run.run_id, limit=limit, ascending=True) == after[:limit]
    assert store.find_runs(wanted, cursor=cursor.dagster_run.run_id, limit=limit) == before[::-1][:limit]


def test_filter_may_name_more_runs_than_a_query_takes_parameters(store: Store) -> None:
    run = a_run()
    store.add_run(run)
    many = [make_run_id() for _ in range(300_000)]
    assert ids(store, RunsFilter(run_ids=[*many, run.run_id])) == [run.run_id]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"run_ids": []}, "run_ids is empty, so no run could be found"),
        ({"run_ids": "7b0a"}, 'Param "run_ids" is not a list or tuple. Got .7b0a.'),
        ({"run_ids": [3]}, "item 0 of run_ids is 3"),
        ({"statuses": DagsterRunStatus.SUCCESS}, 'Param "statuses" is not a list or tuple'),
        ({"statuses": ["SUCCESS"]}, "item 0 of statuses is .SUCCESS. .type str.; expected a DagsterRunStatus"),
        ({"job_name": 3}, 'Param "job_name" is not a str. Got 3'),
        ({"snapshot_id": 3}, 'Param "snapshot_id" is not a str'),
        ({"exclude_subruns": "yes"}, 'Param "exclude_subruns" is not a bool'),
        ({"created_after": 3.5}, 'Param "created_after" is not a datetime. Got 3.5'),
        ({"updated_before": "2020-01-01"}, 'Param "updated_before" is not a datetime'),
        ({"tags": ["a"]}, 'Param "tags" is not a Mapping'),
        ({"tags": {3: "a"}}, 'Param "tags: 3" is not a str'),
        ({"tags": {"a": 3}}, "Param \"tags: 'a'\" is not a list or tuple. Got 3"),
        ({"tags": {"a": [3]}}, "item 0 of tags: 'a' is 3"),
    ],
)  # fmt: skip
def test_filter_of_runs_that_cannot_be_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(CheckError, match=f"RunsFilter: .*{says}|{says}"):
        RunsFilter(**fields)


def test_new_tags_are_news_of_the_run(store: Store) -> None:
    run = a_run()
    store.add_run(run)
    (before,) = store.find_runs()
    time.sleep(0.002)
    store.set_tags(run.run_id, {"a": "1"})
    (after,) = store.find_runs()
    assert after.update_timestamp > before.update_timestamp
    assert after.create_timestamp == before.create_timestamp


def test_text_with_half_a_character_is_no_run_and_no_harm(store: Store) -> None:
    with pytest.raises(StoreError, match="half a character"):
        store.set_values({"a": "\ud800"})
    run, writer = begun(store, tags={"a\ud800": "\udfff"})
    writer.append_message(20, "\ud800", "load")
    writer.close()
    assert ids(store) == [run.run_id]
    assert [record.event_log_entry.user_message for record in store.read_log(run.run_id)] == ["\ud800"]


# -- the log of a run


@pytest.fixture(scope="module", params=KINDS)
def logged(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Store, str, list[EventLogRecord]]]:
    """A store with a log whose numbers have gaps, since another run is written at the same time; and all of it."""
    for backend in backend_of(request.param, tmp_path_factory.mktemp("store")):
        store = backend.store()
        run, writer = begun(store)
        other, other_writer = begun(store)
        for key in ("a", "b[x]", "c.d"):
            for each, name in ((writer, key), (other_writer, "other")):
                each.append(step(T.STEP_START, key=name))
                each.append_message(20, "said", name)
                each.append(step(T.STEP_SUCCESS, StepSuccessData(1.0), key=name))
                each.commit()
                store.read_log(other.run_id)  # so that one in memory settles here, and the two logs interleave
        writer.close()
        other_writer.close()
        every = store.read_log(run.run_id)
        assert len(every) == 9
        assert every[-1].storage_id - every[0].storage_id > 9
        yield store, run.run_id, every


@given(data=st.data())
def test_entries_read_are_those_that_were_asked_for(
    logged: tuple[Store, str, list[EventLogRecord]], data: st.DataObject
) -> None:
    store, run_id, every = logged
    bound = st.none() | st.integers(0, every[-1].storage_id + 2)
    after, before = data.draw(bound), data.draw(bound)
    types = data.draw(st.none() | st.sets(st.sampled_from([T.STEP_START, T.STEP_SUCCESS, T.STEP_FAILURE])))
    limit = data.draw(st.none() | st.integers(0, 10))
    ascending = data.draw(st.booleans())
    meant = [
        record
        for record in every[:: 1 if ascending else -1]
        if (after is None or record.storage_id > after)
        and (before is None or record.storage_id < before)
        and (types is None or record.event_type in types)
    ]
    found = store.read_log(run_id, after=after, before=before, types=types, limit=limit, ascending=ascending)
    assert found == meant[:limit]


def test_events_alone_are_those_of_the_entries(logged: tuple[Store, str, list[EventLogRecord]]) -> None:
    store, run_id, every = logged
    events = [record.event_log_entry.dagster_event for record in every]
    assert store.read_events(run_id) == [event for event in events if event is not None]
    starts = [event for event in events if event is not None and event.event_type is T.STEP_START]
    assert store.read_events(run_id, [T.STEP_START]) == starts
    assert store.read_events(run_id, []) == []
    assert store.read_events("nowhere") == []


@given(data=st.data())
def test_events_found_over_all_runs_are_those_that_the_filter_means(
    events: tuple[Store, list[EventLogRecord]], data: st.DataObject
) -> None:
    store, every = events
    number = st.none() | st.sampled_from([record.storage_id for record in every]) | st.sampled_from([-(2**70), 2**70])
    moment = st.none() | st.sampled_from([record.timestamp for record in every])
    wanted = EventRecordsFilter(
        data.draw(st.sampled_from([T.ASSET_MATERIALIZATION, T.RUN_START, T.STEP_SUCCESS, T.STEP_RESTARTED])),
        data.draw(st.none() | st.sampled_from([AssetKey("a"), AssetKey(["a", "b"]), AssetKey("z")])),
        data.draw(st.none() | st.lists(st.sampled_from(["p", "q", "z"]), max_size=2)),
        data.draw(number), data.draw(number), data.draw(moment), data.draw(moment),
        data.draw(st.none() | st.lists(st.sampled_from([record.storage_id for record in every] + [2**80]), max_size=5)),
    )  # fmt: skip
    meant = [record for record in every if wanted.matches(record)]
    limit = data.draw(st.none() | st.integers(0, 4))
    assert store.find_events(wanted, limit, ascending=True) == meant[:limit]
    assert store.find_events(wanted, limit) == meant[::-1][:limit]


@pytest.fixture(scope="module", params=KINDS)
def events(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Store, list[EventLogRecord]]]:
    """A store with events of several runs, and all of these in the order of their numbers."""
    for backend in backend_of(request.param, tmp_path_factory.mktemp("store")):
        store = backend.store()
        run_ids = []
        for asset, partition in (("a", None), ("a", "p"), (["a", "b"], "q")):
            run = a_run()
            run_ids.append(run.run_id)
            store.add_run(run)
            made = AssetMaterialization(asset, partition=partition)
            write(
                store, run, run_event(T.RUN_START, "job"), step(T.ASSET_MATERIALIZATION, StepMaterializationData(made)),
                step(T.STEP_SUCCESS, StepSuccessData(1.0)),
            )  # fmt: skip
        yield store, [record for run_id in run_ids for record in store.read_log(run_id)]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"asset_key": "a"}, 'Param "asset_key" is not a AssetKey'),
        ({"after_cursor": "3"}, 'Param "after_cursor" is not a int'),
        ({"before_timestamp": "3"}, 'Param "before_timestamp" is not a int or float'),
        ({"asset_partitions": "p"}, 'Param "asset_partitions" is not a list or tuple'),
        ({"storage_ids": ["1"]}, "item 0 of storage_ids is .1."),
    ],
)
def test_filter_of_events_that_cannot_be_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(CheckError, match=f"EventRecordsFilter: {says}"):
        EventRecordsFilter(T.ASSET_MATERIALIZATION, **fields)
