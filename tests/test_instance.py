"""The instance as users' tests ask it: runs, logs, statistics, and what does not last yet."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from treadle import (
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    CheckError,
    DagsterEventType,
    DagsterInstance,
    DagsterInvariantViolationError,
    DagsterRunAlreadyExists,
    DagsterRunNotFoundError,
    DagsterRunStatus,
    EventRecordsFilter,
    ExpectationResult,
    NotInThisVersionError,
    Out,
    Output,
    RetryPolicy,
    RunsFilter,
    SettingsError,
    StepEventStatus,
    instance_for_test,
    job,
    op,
)
from treadle.events import DagsterEvent, EventLogEntry
from treadle.payloads import EngineEventData
from treadle.records import run_stats, step_stats

T = DagsterEventType


@op(out={"a": Out(), "b": Out(is_required=False)}, retry_policy=RetryPolicy(max_retries=1))
def choose(context: Any) -> Any:
    context.log.info("choosing")
    yield AssetMaterialization("table", partition="may")
    yield ExpectationResult(success=True, label="checked")
    if context.retry_number == 0:
        raise ValueError("once")
    yield AssetObservation("view")
    yield Output(1, "a")


@op
def take(number: Any) -> Any:
    return number


@op
def fails() -> None:
    raise ValueError("always")


@job(tags={"team": "a"})
def mixed() -> None:
    a, b = choose()
    take(a)
    take.alias("never")(b)
    fails()


@job
def plain() -> None:
    take.alias("first")()


PLAIN_CONFIG = {"ops": {"first": {"inputs": {"number": {"value": 1}}}}}


@pytest.fixture
def instance() -> Any:
    with DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def run_id(instance: DagsterInstance) -> str:
    return mixed.execute_in_process(instance=instance, raise_on_error=False).run_id


def run_plain(instance: DagsterInstance, **options: Any) -> str:
    return plain.execute_in_process(PLAIN_CONFIG, instance=instance, **options).run_id


class TestLogs:
    def test_event_log_storage_gives_the_log_of_a_run(self, instance: DagsterInstance, run_id: str) -> None:
        entries = instance.event_log_storage.get_logs_for_run(run_id)
        assert entries == instance.all_logs(run_id)
        assert entries[0].dagster_event_type is T.RUN_START
        assert entries[-1].dagster_event_type is T.RUN_FAILURE
        assert [entry.user_message for entry in entries if not entry.is_dagster_event][0] == "choosing"

    def test_log_of_an_unknown_run_is_empty(self, instance: DagsterInstance) -> None:
        assert instance.all_logs("none") == []
        assert instance.get_records_for_run("none").records == []
        assert instance.get_run_step_stats("none") == []

    def test_events_of_one_type_or_of_several(self, instance: DagsterInstance, run_id: str) -> None:
        starts = instance.all_logs(run_id, of_type=T.STEP_START)
        assert [entry.step_key for entry in starts] == ["fails", "choose", "take"] or len(starts) == 3
        both = instance.event_log_storage.get_logs_for_run(run_id, of_type={T.STEP_START, T.RUN_START})
        assert {entry.dagster_event_type for entry in both} == {T.STEP_START, T.RUN_START}
        assert all(entry.user_message == entry.message for entry in both)

    def test_event_of_an_entry_has_its_payload(self, instance: DagsterInstance, run_id: str) -> None:
        (entry, *_) = instance.all_logs(run_id, of_type=T.ASSET_MATERIALIZATION)
        event = entry.get_dagster_event()
        assert event.event_specific_data.materialization.asset_key == AssetKey("table")  # type: ignore[union-attr]

    def test_logs_after_a_position(self, instance: DagsterInstance, run_id: str) -> None:
        entries = instance.all_logs(run_id)
        assert instance.logs_after(run_id, 3) == entries[4:]
        assert instance.logs_after(run_id, 0) == entries[1:]
        assert instance.logs_after(run_id, -1, limit=2) == entries[:2]
        assert instance.logs_after(run_id) == entries
        assert instance.logs_after(run_id, 0, of_type=T.RUN_FAILURE) == entries[-1:]
        assert instance.logs_after(run_id, of_type={T.RUN_START}) == entries[:1]

    def test_pages_of_a_log_lead_through_all_of_it(self, instance: DagsterInstance, run_id: str) -> None:
        seen, cursor, has_more = [], None, True
        while has_more:
            page = instance.get_records_for_run(run_id, cursor=cursor, limit=5)
            seen += [record.event_log_entry for record in page.records]
            cursor, has_more = page.cursor, page.has_more
        assert seen == instance.all_logs(run_id)
        assert instance.get_records_for_run(run_id, cursor=cursor).records == []

    def test_pages_can_go_backwards(self, instance: DagsterInstance, run_id: str) -> None:
        last = instance.get_records_for_run(run_id, limit=1, ascending=False)
        assert last.records[0].event_type is T.RUN_FAILURE
        before = instance.get_records_for_run(run_id, last.cursor, limit=1, ascending=False)
        assert before.records[0].storage_id < last.records[0].storage_id

    @pytest.mark.parametrize("cursor", ["later", "", "-1", "1.5", "9" * 30, "9" * 9999, " 1"])
    def test_cursor_that_is_none_is_refused(self, instance: DagsterInstance, run_id: str, cursor: str) -> None:
        with pytest.raises(CheckError, match="expected what a page of records gave"):
            instance.get_records_for_run(run_id, cursor=cursor)
        with pytest.raises(CheckError, match="expected what a page of records gave"):
            instance.watch_event_logs(run_id, cursor, print)

    @pytest.mark.parametrize("limit", [-1, "3", 1.5])
    def test_limit_that_is_none_is_refused(self, instance: DagsterInstance, run_id: str, limit: Any) -> None:
        wanted = EventRecordsFilter(T.RUN_START)
        for ask in (
            partial(instance.get_records_for_run, run_id),
            partial(instance.logs_after, run_id),
            instance.get_runs,
            partial(instance.get_event_records, wanted),
        ):
            with pytest.raises(CheckError, match="limit"):
                ask(limit=limit)

    def test_listener_hears_every_entry(self, instance: DagsterInstance) -> None:
        heard: list[EventLogEntry] = []
        wanted = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
        instance.add_event_listener(wanted, heard.append)
        run_plain(instance, run_id=wanted)
        assert heard == instance.all_logs(wanted)


class TestRecordsOfAllRuns:
    def test_events_of_all_runs_come_newest_first(self, instance: DagsterInstance) -> None:
        runs = [run_plain(instance) for _ in range(3)]
        found = instance.get_event_records(EventRecordsFilter(T.RUN_SUCCESS))
        assert [record.run_id for record in found] == runs[::-1]
        assert [r.run_id for r in instance.get_event_records(EventRecordsFilter(T.RUN_SUCCESS), 2, True)] == runs[:2]
        assert len({record.storage_id for record in found}) == 3

    def test_filter_by_asset_cursor_time_and_number(self, instance: DagsterInstance, run_id: str) -> None:
        first, second = instance.get_event_records(EventRecordsFilter(T.ASSET_MATERIALIZATION), ascending=True)
        assert first.asset_key == AssetKey("table")
        assert first.partition_key == "may"
        (seen,) = instance.get_event_records(EventRecordsFilter(T.ASSET_OBSERVATION))
        assert seen.asset_observation is not None
        assert (seen.asset_key, seen.partition_key) == (AssetKey("view"), None)
        (start,) = instance.get_event_records(EventRecordsFilter(T.RUN_START))
        assert (start.asset_key, start.partition_key, start.timestamp) == (None, None, start.event_log_entry.timestamp)

        def found(**wanted: Any) -> list[int]:
            records = instance.get_event_records(EventRecordsFilter(T.ASSET_MATERIALIZATION, **wanted), ascending=True)
            return [[first.storage_id, second.storage_id].index(record.storage_id) for record in records]

        assert found(asset_key=AssetKey("table")) == [0, 1]
        assert found(asset_key=AssetKey("chair")) == []
        assert found(asset_partitions=["june"]) == []
        assert found(after_cursor=first.storage_id) == [1]
        assert found(before_cursor=second.storage_id) == [0]
        assert found(after_timestamp=second.timestamp) == []
        assert found(before_timestamp=first.timestamp) == []
        assert found(storage_ids=[second.storage_id]) == [1]

    def test_assets_that_ops_materialised(self, instance: DagsterInstance, run_id: str) -> None:
        assert instance.all_asset_keys() == [AssetKey("table")]
        latest = instance.get_latest_materialization_event(AssetKey("table"))
        assert latest is not None
        assert latest.run_id == run_id
        assert instance.get_latest_materialization_event(AssetKey("chair")) is None

    def test_wrong_filters_are_refused(self, instance: DagsterInstance) -> None:
        with pytest.raises(CheckError, match="Write for example DagsterEventType.ASSET_MATERIALIZATION"):
            EventRecordsFilter("ASSET_MATERIALIZATION")  # type: ignore[arg-type]
        with pytest.raises(CheckError, match="expected an EventRecordsFilter"):
            instance.get_event_records(T.RUN_START)  # type: ignore[arg-type]


class TestStatistics:
    def test_of_a_run(self, instance: DagsterInstance, run_id: str) -> None:
        stats = instance.get_run_stats(run_id)
        assert (stats.steps_succeeded, stats.steps_failed, stats.materializations, stats.expectations) == (2, 1, 2, 2)
        assert stats.start_time is not None
        assert stats.end_time is not None
        assert stats.start_time < stats.end_time
        assert (stats.enqueued_time, stats.launch_time) == (None, None)

    def test_of_an_unknown_run_are_empty(self, instance: DagsterInstance) -> None:
        assert instance.get_run_stats("none").steps_succeeded == 0
        assert instance.get_run_stats("none").start_time is None

    def test_of_steps(self, instance: DagsterInstance, run_id: str) -> None:
        stats = {each.step_key: each for each in instance.get_run_step_stats(run_id)}
        assert list(stats) == ["choose", "fails", "never", "take"]
        assert {key: each.status for key, each in stats.items()} == {
            "choose": StepEventStatus.SUCCESS,
            "fails": StepEventStatus.FAILURE,
            "never": StepEventStatus.SKIPPED,
            "take": StepEventStatus.SUCCESS,
        }
        chosen = stats["choose"]
        assert (chosen.attempts, len(chosen.attempts_list)) == (2, 2)
        first, second = chosen.attempts_list
        assert chosen.start_time == first.start_time
        assert chosen.end_time == second.end_time
        assert (len(chosen.materialization_events), len(chosen.expectation_results)) == (2, 2)
        assert (stats["never"].start_time, stats["never"].attempts) == (None, 1)

    def test_of_some_steps(self, instance: DagsterInstance, run_id: str) -> None:
        stats = instance.event_log_storage.get_step_stats_for_run(run_id, step_keys=["take"])
        assert [each.step_key for each in stats] == ["take"]

    def test_of_a_step_that_goes_on(self) -> None:
        def entry(event_type: T, time: float, data: Any = None) -> EventLogEntry:
            event = DagsterEvent(event_type.value, "job", event_specific_data=data, step_key="step")
            return EventLogEntry(None, 10, "", "run", time, "step", "job", event)

        opened = EngineEventData(marker_start="resources")
        closed = EngineEventData(marker_end="resources")
        log = [
            entry(T.RESOURCE_INIT_STARTED, 1, opened),
            entry(T.RESOURCE_INIT_SUCCESS, 2, closed),
            entry(T.ENGINE_EVENT, 2, EngineEventData(marker_end="never begun")),
            entry(T.STEP_START, 3),
            entry(T.STEP_UP_FOR_RETRY, 4),
            entry(T.STEP_RESTARTED, 5),
        ]
        (stats,) = step_stats("run", log)
        assert (stats.status, stats.attempts, stats.partial_attempt_start) == (StepEventStatus.IN_PROGRESS, 2, 5)
        assert [(each.start_time, each.end_time, each.key) for each in stats.markers] == [
            (1, 2, "resources"),
            (None, 2, "never begun"),
        ]

    def test_of_a_queued_run(self) -> None:
        log = [
            EventLogEntry(None, 10, "", "run", time, None, "job", DagsterEvent(each.value, "job"))
            for time, each in enumerate((T.RUN_ENQUEUED, T.RUN_STARTING, T.RUN_START, T.RUN_CANCELED))
        ]
        stats = run_stats("run", log)
        assert (stats.enqueued_time, stats.launch_time, stats.start_time, stats.end_time) == (0, 1, 2, 3)


class TestRuns:
    def test_runs_come_newest_first(self, instance: DagsterInstance) -> None:
        first, second = run_plain(instance), run_plain(instance, tags={"why": "again"})
        assert [run.run_id for run in instance.get_runs()] == [second, first]
        assert [run.run_id for run in instance.get_runs(ascending=True)] == [first, second]
        assert [run.run_id for run in instance.get_runs(cursor=second)] == [first]
        assert instance.get_run_ids(RunsFilter(tags={"why": "again"})) == [second]
        assert instance.get_runs_count(RunsFilter(statuses=[DagsterRunStatus.SUCCESS])) == 2
        assert instance.run_storage.has_run(first)

    def test_records_have_times(self, instance: DagsterInstance, run_id: str) -> None:
        other = run_plain(instance)
        newest, oldest = instance.get_run_records()
        assert (newest.dagster_run.run_id, oldest.dagster_run.run_id) == (other, run_id)
        assert newest.storage_id > oldest.storage_id
        assert oldest.start_time is not None
        assert oldest.end_time is not None
        assert oldest.create_timestamp <= oldest.update_timestamp
        assert instance.get_run_record_by_id(run_id) == oldest
        assert instance.get_run_record_by_id("none") is None

    def test_records_can_be_ordered_by_a_field(self, instance: DagsterInstance) -> None:
        runs = [run_plain(instance) for _ in range(3)]
        found = instance.get_run_records(order_by="start_time", ascending=True, limit=2)
        assert [each.dagster_run.run_id for each in found] == runs[:2]
        with pytest.raises(CheckError, match="order_by is one of"):
            instance.get_run_records(order_by="age")

    def test_filter_by_time(self, instance: DagsterInstance, run_id: str) -> None:
        now = datetime.now(timezone.utc)
        hour = timedelta(hours=1)
        naive = now.replace(tzinfo=None)
        assert instance.get_runs_count(RunsFilter(created_after=now - hour, updated_before=now + hour)) == 1
        assert instance.get_runs_count(RunsFilter(created_before=naive - hour)) == 0
        assert instance.get_runs_count(RunsFilter(updated_after=now + hour)) == 0
        assert instance.get_runs_count(RunsFilter(job_name="other")) == 0

    def test_tags_can_be_added(self, instance: DagsterInstance, run_id: str) -> None:
        instance.add_run_tags(run_id, {"seen": "yes"})
        run = instance.get_run_by_id(run_id)
        assert run is not None
        assert dict(run.tags) == {"team": "a", "seen": "yes"}
        with pytest.raises(DagsterRunNotFoundError, match="No run with id none"):
            instance.add_run_tags("none", {})

    def test_run_can_be_added_for_later(self, instance: DagsterInstance) -> None:
        run = instance.create_run_for_job(mixed, tags={"why": "later"}, status="QUEUED", parent_run_id="p")
        assert (run.job_name, run.status, run.parent_run_id) == ("mixed", DagsterRunStatus.QUEUED, "p")
        assert dict(run.tags) == {"team": "a", "why": "later"}
        with pytest.raises(DagsterRunAlreadyExists, match="exists already"):
            instance.create_run_for_job(mixed, run_id=run.run_id)
        with pytest.raises(CheckError, match="UUID"):
            instance.create_run_for_job(mixed, run_id="mine")

    def test_deleted_run_is_gone_with_its_log(self, instance: DagsterInstance, run_id: str) -> None:
        instance.delete_run(run_id)
        assert instance.get_runs() == instance.all_logs(run_id) == []
        assert instance.get_event_records(EventRecordsFilter(T.RUN_START)) == []

    def test_reports_from_outside_move_the_status(self, instance: DagsterInstance) -> None:
        run = instance.create_run_for_job(plain)

        def status() -> Any:
            return instance.get_status(run.run_id).value

        instance.report_engine_event("a note", run)
        assert instance.all_logs(run.run_id)[-1].message == "a note"
        assert status() == "NOT_STARTED"
        instance.report_run_canceling(run)
        assert status() == "CANCELING"
        assert "canceled from outside" in (instance.report_run_canceled(run).message or "")
        assert status() == "CANCELED"
        instance.report_run_failed(run, "the machine is gone")
        assert instance.all_logs(run.run_id)[-1].message == "the machine is gone"
        assert status() == "FAILURE"

    def test_texts_are_kept_under_keys(self, instance: DagsterInstance) -> None:
        instance.run_storage.set_cursor_values({"a": "1", "b": "2"})
        assert instance.run_storage.get_cursor_values({"a", "c"}) == {"a": "1"}


class TestMaking:
    def test_instances_for_tests_last_as_long_as_their_folder(self, tmp_path: Path) -> None:
        with DagsterInstance.local_temp(str(tmp_path)) as local, instance_for_test() as test:
            for each in (local, test):
                assert each.is_persistent
                assert not each.is_ephemeral
                run_id = run_plain(each)
                with DagsterInstance.from_ref(each.get_ref()) as again:
                    assert [run.run_id for run in again.get_runs()] == [run_id]
                    assert again.all_logs(run_id) == each.all_logs(run_id)
            assert local.root_directory == str(tmp_path)
            folder = Path(test.root_directory)
            assert folder.is_dir()
        assert not folder.exists()
        assert tmp_path.exists()

    def test_test_instance_is_the_home_of_the_place_while_it_is_open(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DAGSTER_HOME", raising=False)
        monkeypatch.setenv("TREADLE_HOME", "before")
        with instance_for_test() as test:
            with DagsterInstance.get() as here:
                assert here.root_directory == test.root_directory
            assert os.environ["DAGSTER_HOME"] == test.root_directory
        assert os.environ["TREADLE_HOME"] == "before"
        assert "DAGSTER_HOME" not in os.environ
        with instance_for_test(set_dagster_home=False) as test:
            assert os.environ["TREADLE_HOME"] == "before"

    def test_settings_are_taken_and_their_origin_is_told(self, tmp_path: Path) -> None:
        with DagsterInstance.local_temp(str(tmp_path), overrides={"durability": "full"}) as instance:
            assert instance.durability == "full"
            assert instance.settings.origin_of("durability") == "overrides"
        with pytest.raises(SettingsError, match='there is no setting "durabilty". Did you mean "durability"'):
            DagsterInstance.local_temp(str(tmp_path), overrides={"durabilty": "full"})

    def test_home_is_made_where_the_place_says(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("TREADLE_HOME", "DAGSTER_HOME"):
            monkeypatch.delenv(name, raising=False)
        (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
        inner = tmp_path / "src"
        inner.mkdir()
        monkeypatch.chdir(inner)
        with DagsterInstance.get() as instance:
            assert instance.root_directory == str(tmp_path / ".treadle")
            run_plain(instance)
        assert (tmp_path / ".treadle" / "treadle.db").is_file()
        monkeypatch.setenv("DAGSTER_HOME", "home")
        with pytest.raises(DagsterInvariantViolationError, match="not the absolute path of a folder"):
            DagsterInstance.get()

    def test_instance_in_memory_has_no_reference(self) -> None:
        with pytest.raises(CheckError, match="in memory, so no other process can open it"):
            DagsterInstance.ephemeral().get_ref()

    def test_runs_are_not_put_into_buckets(self) -> None:
        with pytest.raises(NotInThisVersionError, match="bucket_by"):
            DagsterInstance.ephemeral().get_runs(bucket_by="job")
