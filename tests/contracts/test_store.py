"""What every store promises about runs, logs, owners and upkeep. What it finds is in test_store_queries.py."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contracts.stores import KINDS, Backend, a_run, an_event, an_output, begun, ids, step, write
from tests.contracts.summaries import check_summaries, what_may_follow
from treadle.errors import (
    CheckError,
    DagsterRunAlreadyExists,
    DagsterRunNotFoundError,
    LeaseLostError,
    RunOwnedError,
    SerializableErrorInfo,
)
from treadle.events import DagsterEvent, EventLogEntry, run_event
from treadle.events import DagsterEventType as T
from treadle.metadata import MetadataValue
from treadle.names import AssetKey
from treadle.outcomes import AssetMaterialization, AssetObservation
from treadle.payloads import (
    AssetObservationData,
    EngineEventData,
    JobFailureData,
    StepFailureData,
    StepMaterializationData,
    StepSuccessData,
)
from treadle.records import EventRecordsFilter
from treadle.runs import DagsterRun, DagsterRunStatus, RunsFilter, make_run_id
from treadle.storage.leases import LeaseTerms
from treadle.storage.sqlite import SqliteStore
from treadle.storage.store import Owner, StepState, Store

# -- runs


def test_run_is_given_back_as_it_was_added(store: Store) -> None:
    run = a_run(
        run_config={"ops": {"load": {"config": {"rows": 3}}}}, tags={"team": "a"}, op_selection=["load"],
        resolved_op_selection=frozenset({"load"}), parent_run_id="p", root_run_id="r", job_code_origin={"file": "a.py"},
    )  # fmt: skip
    store.add_run(run)
    assert store.get_run(run.run_id) == run
    assert [record.dagster_run for record in store.find_runs()] == [run]
    assert store.get_run(make_run_id()) is None


def test_run_id_is_taken_once(store: Store) -> None:
    run = a_run()
    store.add_run(run)
    with pytest.raises(DagsterRunAlreadyExists, match=f"{run.run_id} exists already .job 'job', status NOT_STARTED"):
        store.add_run(run)
    assert store.count_runs() == 1


def test_runs_come_newest_first_and_page_by_page(store: Store) -> None:
    runs = [a_run() for _ in range(5)]
    for run in runs:
        store.add_run(run)
    in_order = [run.run_id for run in runs]
    assert ids(store) == in_order[::-1]
    assert ids(store, ascending=True) == in_order
    assert ids(store, limit=2) == in_order[:2:-1]
    assert ids(store, limit=2, cursor=in_order[3]) == [in_order[2], in_order[1]]
    assert ids(store, cursor=in_order[3], ascending=True) == in_order[4:]
    assert ids(store, cursor=make_run_id()) == []


def test_runs_are_found_by_what_they_are(store: Store) -> None:
    first = a_run("first", tags={"team": "a", "size": "1"}, status=DagsterRunStatus.QUEUED)
    second = a_run("second", tags={"team": "b", "size": "1"}, parent_run_id=first.run_id, job_snapshot_id="s")
    for run in (first, second):
        store.add_run(run)
    one, other = [first.run_id], [second.run_id]
    assert ids(store, RunsFilter(run_ids=one)) == one
    assert ids(store, RunsFilter(job_name="second")) == other
    assert ids(store, RunsFilter(statuses=[DagsterRunStatus.QUEUED, DagsterRunStatus.STARTED])) == one
    assert ids(store, RunsFilter(tags={"team": "a", "size": "1"})) == one
    assert ids(store, RunsFilter(tags={"team": ["a", "b"]})) == [*other, *one]
    assert ids(store, RunsFilter(tags={"team": "a", "size": "2"})) == []
    assert ids(store, RunsFilter(exclude_subruns=True)) == [*other, *one]
    assert ids(store, RunsFilter(snapshot_id="s")) == other
    assert store.count_runs(RunsFilter(tags={"size": "1"})) == 2
    now = datetime.now(timezone.utc)
    hour = timedelta(hours=1)
    assert ids(store, RunsFilter(created_after=now - hour, created_before=now + hour)) == [*other, *one]
    assert ids(store, RunsFilter(created_after=now + hour)) == []
    assert ids(store, RunsFilter(updated_before=(now - hour).replace(tzinfo=None))) == []


def test_tags_are_replaced_and_found(store: Store) -> None:
    run, writer = begun(store, tags={"a": "1"})
    store.set_tags(run.run_id, {"b": "2"})
    assert ids(store, RunsFilter(tags={"b": "2"})) == [run.run_id]
    writer.append(step(T.STEP_START, run=run.with_tags({"b": "2"})))
    writer.close()
    found = store.get_run(run.run_id)
    assert found is not None
    assert found.tags == {"b": "2"}
    with pytest.raises(DagsterRunNotFoundError):
        store.set_tags(make_run_id(), {})


def test_deleted_run_is_gone_with_its_log(store: Store) -> None:
    kept, gone = a_run(), a_run(tags={"a": "1"})
    for run in (kept, gone):
        store.add_run(run)
        write(store, run, run_event(T.RUN_START, "job"), step(T.STEP_START))
    store.delete_run(gone.run_id)
    assert store.get_run(gone.run_id) is None
    assert store.read_log(gone.run_id) == []
    assert store.steps(gone.run_id) == []
    assert ids(store) == [kept.run_id]
    assert len(store.find_events(EventRecordsFilter(T.RUN_START))) == 1
    with pytest.raises(DagsterRunNotFoundError):
        store.delete_run(gone.run_id)


def test_run_that_is_under_way_is_not_deleted(store: Store) -> None:
    run, writer = begun(store)
    with pytest.raises(RunOwnedError):
        store.delete_run(run.run_id)
    writer.close()
    store.delete_run(run.run_id)


# -- the log


def test_log_is_read_in_the_order_of_writing_with_messages_between(store: Store) -> None:
    run, writer = begun(store)
    events = [
        run_event(T.RUN_START, "job"),
        step(T.STEP_START, run=run),
        step(T.STEP_SUCCESS, StepSuccessData(1.0), run=run),
    ]
    writer.append(events[0])
    writer.append(events[1])
    writer.append_message(20, "half way", "load")
    writer.append_message(40, "went wrong", None, "Traceback ...")
    writer.append(events[2])
    writer.commit()
    records = store.read_log(run.run_id)
    entries = [record.event_log_entry for record in records]
    assert [entry.dagster_event for entry in entries if entry.dagster_event is not None] == events
    assert [(e.level, e.user_message, e.step_key) for e in entries if e.dagster_event is None] == [
        (20, "half way", "load"),
        (40, "went wrong", None),
    ]
    assert entries[3].error_info is not None
    assert entries[3].error_info.message == "Traceback ..."
    numbers = [record.storage_id for record in records]
    assert numbers == sorted(set(numbers))
    assert [entry.timestamp for entry in entries] == sorted(entry.timestamp for entry in entries)
    assert store.read_log(make_run_id()) == []
    writer.close()


def test_log_is_read_by_pages_types_and_backwards(store: Store) -> None:
    run, writer = begun(store)
    for key in ("a", "b", "c"):
        writer.append(step(T.STEP_START, key=key))
        writer.append_message(10, key, key)
        writer.append(step(T.STEP_SUCCESS, StepSuccessData(1.0), key=key))
    writer.close()
    every = store.read_log(run.run_id)
    numbers = [record.storage_id for record in every]
    assert len(every) == 9
    assert store.read_log(run.run_id, limit=4) == every[:4]
    assert store.read_log(run.run_id, after=numbers[3]) == every[4:]
    assert store.read_log(run.run_id, after=numbers[3], limit=2) == every[4:6]
    assert store.read_log(run.run_id, ascending=False) == every[::-1]
    assert store.read_log(run.run_id, before=numbers[4], ascending=False, limit=2) == [every[3], every[2]]
    starts = store.read_log(run.run_id, types=[T.STEP_START])
    assert [record.event_log_entry.step_key for record in starts] == ["a", "b", "c"]
    assert len(store.read_log(run.run_id, types=[T.STEP_START, T.STEP_SUCCESS])) == 6
    assert store.read_log(run.run_id, types=[]) == []


def test_events_are_found_over_all_runs(store: Store) -> None:
    runs = [a_run(), a_run()]
    for number, run in enumerate(runs):
        store.add_run(run)
        made = AssetMaterialization(["prices", str(number)], metadata={"rows": number})
        write(
            store,
            run,
            run_event(T.RUN_START, "job"),
            step(T.ASSET_MATERIALIZATION, StepMaterializationData(made)),
            step(T.STEP_SUCCESS, StepSuccessData(1.0)),
        )
    found = store.find_events(EventRecordsFilter(T.ASSET_MATERIALIZATION))
    assert [record.run_id for record in found] == [runs[1].run_id, runs[0].run_id]
    assert found == store.find_events(EventRecordsFilter(T.ASSET_MATERIALIZATION), ascending=True)[::-1]
    assert store.find_events(EventRecordsFilter(T.ASSET_MATERIALIZATION), 1) == found[:1]
    one = EventRecordsFilter(T.ASSET_MATERIALIZATION, AssetKey(["prices", "0"]))
    assert store.find_events(one) == found[1:]
    assert store.find_events(EventRecordsFilter(T.ASSET_MATERIALIZATION, after_cursor=found[1].storage_id)) == found[:1]
    assert (
        store.find_events(EventRecordsFilter(T.ASSET_MATERIALIZATION, before_cursor=found[0].storage_id)) == found[1:]
    )
    assert store.find_events(EventRecordsFilter(T.RUN_START, after_timestamp=time.time() + 9)) == []
    assert len(store.find_events(EventRecordsFilter(T.STEP_SUCCESS))) == 2
    assert store.find_events(EventRecordsFilter(T.RUN_START, storage_ids=[found[0].storage_id])) == []


def test_what_is_appended_moves_the_status_of_the_run_with_its_times(store: Store) -> None:
    run, writer = begun(store)
    assert writer.run.status is DagsterRunStatus.NOT_STARTED
    writer.append(run_event(T.RUN_START, "job"))
    assert writer.run.status is DagsterRunStatus.STARTED
    writer.commit()
    writer.append(run_event(T.RUN_SUCCESS, "job"))
    writer.close()
    (record,) = store.find_runs()
    assert record.dagster_run.status is DagsterRunStatus.SUCCESS
    assert record.start_time is not None
    assert record.end_time is not None
    assert record.create_timestamp.timestamp() - 1e-5 <= record.start_time <= record.end_time
    assert record.update_timestamp.timestamp() == pytest.approx(record.end_time, abs=1e-5)
    assert store.get_run(run.run_id) == record.dagster_run


def test_people_outside_can_say_something_about_a_run(backend: Backend, store: Store) -> None:
    run, writer = begun(store)
    writer.append(run_event(T.RUN_START, "job"))
    writer.commit()
    store.append(run.run_id, run_event(T.RUN_CANCELING, "job"))
    found = store.get_run(run.run_id)
    assert found is not None
    assert found.status is DagsterRunStatus.CANCELING
    writer.append(run_event(T.RUN_CANCELED, "job"))
    writer.close()
    store.append(run.run_id, run_event(T.ENGINE_EVENT, "job", EngineEventData(), message="looked at"))
    log = [record.event_type for record in store.read_log(run.run_id)]
    assert log == [T.RUN_START, T.RUN_CANCELING, T.RUN_CANCELED, T.ENGINE_EVENT]
    with pytest.raises(CheckError, match="events about whole runs"):
        store.append(run.run_id, step(T.STEP_START))
    with pytest.raises(DagsterRunNotFoundError):
        store.append(make_run_id(), run_event(T.RUN_CANCELING, "job"))


def test_listener_hears_every_entry_as_it_is_read_later(store: Store) -> None:
    run = a_run()
    store.add_run(run)
    heard: list[EventLogEntry] = []
    store.listen(run.run_id, heard.append)
    writer = store.open_writer(run.run_id)
    writer.append(run_event(T.RUN_START, "job"))
    writer.append_message(20, "hello", None)
    writer.close()
    assert heard == [record.event_log_entry for record in store.read_log(run.run_id)]


def test_step_that_says_too_much_is_cut_short_and_its_events_are_not(backend: Backend) -> None:
    store = backend.store(max_step_log=1_000)
    run, writer = begun(store)
    for _ in range(100):
        writer.append_message(20, "x" * 100, "load")
    writer.append_message(20, "another step", "save")
    writer.append(step(T.STEP_SUCCESS, StepSuccessData(1.0)))
    writer.close()
    entries = [record.event_log_entry for record in store.read_log(run.run_id)]
    said = [entry.user_message for entry in entries if entry.step_key == "load" and entry.dagster_event is None]
    assert len(said) == 11
    assert "more than 1000 bytes" in said[-1]
    assert [e.user_message for e in entries if e.step_key == "save"] == ["another step"]
    assert entries[-1].dagster_event_type is T.STEP_SUCCESS


def test_bound_on_what_a_step_says_holds_for_events_of_user_code_too(backend: Backend) -> None:
    store = backend.store(max_step_log=1_000)
    run = a_run()
    store.add_run(run)
    heard: list[EventLogEntry] = []
    store.listen(run.run_id, heard.append)
    writer = store.open_writer(run.run_id)
    writer.append(step(T.STEP_START))
    told = StepMaterializationData(AssetMaterialization("a", metadata={"text": "y" * 100}))
    for _ in range(100):
        writer.append(step(T.ASSET_MATERIALIZATION, told))
        writer.append(
            step(T.ASSET_MATERIALIZATION, told, key="save")
            if len(heard) < 4
            else step(T.STEP_OUTPUT, an_output("load"))
        )
    writer.append(step(T.STEP_SUCCESS, StepSuccessData(1.0)))
    writer.close()
    entries = [record.event_log_entry for record in store.read_log(run.run_id)]
    of_load = [entry for entry in entries if entry.step_key == "load"]
    kinds = [entry.dagster_event_type for entry in of_load]
    assert 2 <= kinds.count(T.ASSET_MATERIALIZATION) <= 10
    assert kinds.count(T.STEP_OUTPUT) >= 90
    assert kinds[-1] is T.STEP_SUCCESS
    (warning,) = [entry for entry in entries if entry.dagster_event is None]
    assert (warning.level, warning.step_key) == (30, "load")
    assert "more than 1000 bytes: this entry, and the messages, materializations" in warning.user_message
    assert "retention.max_step_log" in warning.user_message
    assert [(each.step_key, each.user_message) for each in heard] == [
        (each.step_key, each.user_message) for each in entries
    ]


@pytest.mark.parametrize("text", ["x" * 12_000_000, "\ud800" * 2_000_000])
def test_entry_that_is_too_long_for_any_reader_is_cut_and_can_be_read(store: Store, text: str) -> None:
    run, writer = begun(store)
    error = SerializableErrorInfo(text, ["frame"] * 5, "ValueError")
    failure = step(T.STEP_FAILURE, StepFailureData(error, None))
    writer.append(failure)
    writer.append(step(T.ASSET_OBSERVATION, AssetObservationData(AssetObservation("a", metadata={"text": "short"}))))
    writer.append(run_event(T.RUN_FAILURE, "job", JobFailureData(error, first_step_failure_event=failure)))
    writer.close()
    records = store.read_log(run.run_id)
    assert [record.event_type for record in records] == [T.STEP_FAILURE, T.ASSET_OBSERVATION, T.RUN_FAILURE]
    read = records[0].event_log_entry.dagster_event
    assert read is not None
    said = read.event_specific_data.error
    assert said.message.startswith(text[:10_000])
    assert said.message.endswith(f"({len(text) - 10_000} more characters were not kept)")
    assert said.stack == error.stack
    last = records[2].event_log_entry.dagster_event
    assert last is not None
    assert last.event_specific_data.first_step_failure_event.step_key == "load"
    assert records[1].asset_observation == AssetObservation("a", metadata={"text": "short"})


# -- summaries


@st.composite
def logs(draw: st.DrawFn) -> list[DagsterEvent]:
    last: dict[str, T] = {}
    events = [run_event(T.RUN_START, "job")]
    for _ in range(draw(st.integers(0, 25))):
        key = draw(st.sampled_from(["load", "outer.clean", "inc[a]", "inc[b]"]))
        following = what_may_follow([last[key]] if key in last else [])
        if following:
            last[key] = draw(st.sampled_from(following))
            events.append(an_event(last[key], key))
    return [*events, run_event(draw(st.sampled_from([T.RUN_SUCCESS, T.RUN_FAILURE])), "job")]


@pytest.mark.parametrize("kind", KINDS)
@given(events=logs(), cuts=st.sets(st.integers(0, 25)))
def test_summaries_are_what_a_fold_over_the_log_gives(
    events: list[DagsterEvent], cuts: set[int], kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("store") / "treadle.db" if kind == "sqlite file" else None
    store = SqliteStore(path)
    run, writer = begun(store)
    for number, event in enumerate(events):
        writer.append(event)
        if number in cuts:
            writer.commit()
    writer.close()
    entries = [record.event_log_entry for record in store.read_log(run.run_id)]
    assert [entry.dagster_event for entry in entries] == [
        event if event.step_key is None else step(event.event_type, event.event_specific_data, event.step_key, run)
        for event in events
    ]
    check_summaries(store, run.run_id)
    store.close()


def test_summaries_of_some_steps_can_be_asked_for(store: Store) -> None:
    run, writer = begun(store)
    for key in ("b", "a"):
        writer.append(step(T.STEP_START, key=key))
    writer.close()
    assert [each.step_key for each in store.steps(run.run_id)] == ["b", "a"]
    assert [each.step_key for each in store.steps(run.run_id, ["a", "z"])] == ["a"]
    assert store.run_stats(make_run_id()).steps_succeeded == 0


# -- owners


def test_run_has_one_writer_at_a_time(store: Store) -> None:
    run, writer = begun(store)
    with pytest.raises(RunOwnedError, match=f"{run.run_id} is under way"):
        store.open_writer(run.run_id)
    lease = store.lease(run.run_id)
    assert lease is not None
    assert store.is_alive(lease)
    writer.close()
    writer.close()
    assert store.lease(run.run_id) is None
    store.open_writer(run.run_id).close()
    with pytest.raises(DagsterRunNotFoundError):
        store.open_writer(make_run_id())


def test_of_many_that_ask_at_once_exactly_one_gets_the_run(store: Store) -> None:
    run = a_run()
    store.add_run(run)
    barrier = threading.Barrier(8)
    got: list[object] = []

    def ask() -> None:
        barrier.wait()
        try:
            got.append(store.open_writer(run.run_id))
        except RunOwnedError as error:
            got.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(not isinstance(each, RunOwnedError) for each in got) == 1


def owner(pid: int = 1, host: str = "elsewhere", token: str = "t") -> Owner:
    return Owner(host, "boot", pid, 1, token)


def test_owner_on_another_host_is_dead_when_it_has_been_silent_too_long(shared: Backend) -> None:
    theirs = shared.store(terms=LeaseTerms(0.2, heartbeat=60, make_owner=owner))
    run, writer = begun(theirs)
    store = shared.store()
    with pytest.raises(RunOwnedError, match="process 1 on elsewhere"):
        store.open_writer(run.run_id)
    time.sleep(0.3)
    lease = store.lease(run.run_id)
    assert lease is not None
    assert not store.is_alive(lease)
    ours = store.open_writer(run.run_id)
    writer.append(run_event(T.RUN_START, "job"))
    with pytest.raises(LeaseLostError, match="taken over by another process"):
        writer.commit()
    ours.append(run_event(T.RUN_FAILURE, "job"))
    ours.close()
    assert [record.event_type for record in store.read_log(run.run_id)] == [T.RUN_FAILURE]
    with pytest.raises(LeaseLostError):
        writer.close()
    assert store.lease(run.run_id) is None


def test_owner_that_is_at_work_renews_its_lease_in_time_however_short_it_is(shared: Backend) -> None:
    theirs = shared.store(terms=LeaseTerms(1.0, make_owner=owner))
    run, writer = begun(theirs)
    first = theirs.lease(run.run_id)
    assert first is not None
    until = time.monotonic() + 5
    while theirs.lease(run.run_id) == first:
        assert time.monotonic() < until, "nobody has renewed the lease"
        time.sleep(0.02)
    lease = theirs.lease(run.run_id)
    assert lease is not None
    assert lease.renewed - first.renewed < 1.0
    assert theirs.is_alive(lease)
    writer.close()


def test_writer_knows_the_steps_that_an_earlier_one_has_written(shared: Backend) -> None:
    run, writer = begun(shared.store())
    writer.append(step(T.STEP_START, key="a"))
    writer.append(step(T.STEP_START, key="b"))
    writer.close()
    store = shared.store()
    write(store, run, step(T.STEP_SUCCESS, StepSuccessData(1.0), key="b"), step(T.STEP_START, key="c"))
    assert [(each.step_key, each.state) for each in store.steps(run.run_id)] == [
        ("a", StepState.RUNNING),
        ("b", StepState.SUCCESS),
        ("c", StepState.RUNNING),
    ]


def test_what_one_has_committed_the_other_sees_at_once(shared: Backend) -> None:
    one, other = shared.store(), shared.store()
    run, writer = begun(one)
    before = other.version()
    writer.append(run_event(T.RUN_START, "job"))
    assert other.read_log(run.run_id) == []
    writer.commit()
    assert [record.event_type for record in other.read_log(run.run_id)] == [T.RUN_START]
    assert other.version() != before
    assert other.version() == other.version()
    writer.close()


def test_what_waits_in_a_buffer_is_soon_seen_by_others(shared: Backend) -> None:
    one, other = shared.store(), shared.store()
    run, writer = begun(one)
    writer.append(run_event(T.RUN_START, "job"))
    until = time.monotonic() + 5
    while not other.read_log(run.run_id):
        assert time.monotonic() < until, "nobody has committed what waits"
        time.sleep(0.02)
    writer.close()


def test_runs_of_several_threads_do_not_mix(store: Store) -> None:
    runs = [a_run() for _ in range(6)]
    for run in runs:
        store.add_run(run)
    problems: list[BaseException] = []

    def work(run: DagsterRun) -> None:
        try:
            writer = store.open_writer(run.run_id)
            for number in range(40):
                writer.append(step(T.STEP_START, key=f"s{number}"))
                writer.append_message(10, run.run_id, f"s{number}")
                writer.commit()
            writer.close()
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    for run in runs:
        log = [record.event_log_entry for record in store.read_log(run.run_id)]
        assert len(log) == 80
        assert {entry.user_message for entry in log if entry.dagster_event is None} == {run.run_id}
        assert [each.step_key for each in store.steps(run.run_id)] == [f"s{number}" for number in range(40)]


# -- texts and upkeep


def test_texts_are_kept_once(store: Store) -> None:
    first, second = store.put_text("a plan"), store.put_text("a plan")
    assert first == second
    assert store.get_text(first) == "a plan"
    assert store.get_text("none") is None
    assert store.put_text("another") != first


def test_values_are_kept_under_keys(store: Store) -> None:
    store.set_values({"a": "1", "b": "2"})
    store.set_values({"a": "3"})
    assert store.get_values(["a", "b", "c"]) == {"a": "3", "b": "2"}


def test_sound_store_has_nothing_to_say(store: Store) -> None:
    run = a_run()
    store.add_run(run)
    write(store, run, run_event(T.RUN_START, "job"), step(T.STEP_START))
    assert store.check() == []


def test_collect_deletes_finished_runs_that_are_too_old_or_too_many(store: Store) -> None:
    runs = [a_run() for _ in range(5)]
    for run in runs:
        store.add_run(run)
        write(store, run, run_event(T.RUN_START, "job"))
    for run in runs[1:]:
        write(store, run, run_event(T.RUN_SUCCESS, "job"))
    assert store.collect(finished_before=0.0).runs_deleted == []
    assert store.collect(max_runs=3).runs_deleted == [runs[1].run_id, runs[2].run_id]
    assert ids(store, ascending=True) == [runs[0].run_id, runs[3].run_id, runs[4].run_id]
    assert store.collect(finished_before=time.time() + 1).runs_deleted == [runs[3].run_id, runs[4].run_id]
    assert ids(store) == [runs[0].run_id]
    assert store.collect().runs_deleted == []


def test_collect_leaves_a_run_alone_that_is_under_way(store: Store) -> None:
    _run, writer = begun(store)
    writer.append(run_event(T.RUN_SUCCESS, "job"))
    writer.commit()
    assert store.collect(finished_before=time.time() + 1).runs_deleted == []
    writer.close()


def line_of(store: Store, *statuses: T) -> list[DagsterRun]:
    """Runs that follow one another, and how each of them ended."""
    runs: list[DagsterRun] = []
    for status in statuses:
        run = a_run(parent_run_id=runs[-1].run_id if runs else None, root_run_id=runs[0].run_id if runs else None)
        store.add_run(run)
        write(store, run, run_event(T.RUN_START, "job"), run_event(status, "job"))
        runs.append(run)
    return runs


def test_collect_keeps_the_runs_that_a_kept_run_follows(store: Store) -> None:
    alone = line_of(store, T.RUN_SUCCESS)
    line = line_of(store, T.RUN_FAILURE, T.RUN_FAILURE, T.RUN_FAILURE)
    done = store.collect(max_runs=1)
    assert done.runs_deleted == [alone[0].run_id]
    assert done.runs_spared == [line[0].run_id, line[1].run_id]
    assert store.collect(max_runs=0).runs_deleted == [run.run_id for run in line]


def test_collect_keeps_the_runs_that_a_run_follows_which_has_not_ended(store: Store) -> None:
    line = line_of(store, T.RUN_FAILURE, T.RUN_FAILURE, T.RUN_CANCELING)
    assert store.collect(finished_before=time.time() + 1).runs_deleted == []
    assert ids(store, ascending=True) == [run.run_id for run in line]


def test_numbers_of_a_log_are_never_given_again(store: Store) -> None:
    older, newer = line_of(store, T.RUN_SUCCESS)[0], line_of(store, T.RUN_SUCCESS)[0]
    highest = store.read_log(newer.run_id)[-1].storage_id
    store.delete_run(newer.run_id)
    store.delete_run(older.run_id)
    store.collect()
    for _ in range(2):
        (run,) = line_of(store, T.RUN_SUCCESS)
        lowest = store.read_log(run.run_id)[0].storage_id
        assert lowest > highest
        store.delete_run(run.run_id)
        highest = lowest + 1
    assert store.find_events(EventRecordsFilter(T.RUN_SUCCESS)) == []
    assert store.check() == []


def test_collect_lets_texts_go_that_no_run_shares(store: Store) -> None:
    kept, lost = store.put_text("kept"), store.put_text("lost")
    store.add_run(a_run(job_snapshot_id=kept))
    store.collect()
    assert store.get_text(kept) == "kept"
    assert store.get_text(lost) is None


def test_metadata_of_every_kind_of_number_survives(store: Store) -> None:
    run, writer = begun(store)
    metadata = {
        "nan": MetadataValue.float(float("nan")),
        "big": MetadataValue.int(10**30),
        "half": MetadataValue.text("\ud800"),
    }
    event = run_event(T.ENGINE_EVENT, "job", EngineEventData(metadata))
    writer.append(event)
    writer.close()
    assert store.read_log(run.run_id)[0].event_log_entry.dagster_event == event
