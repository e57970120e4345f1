from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from treadle import (
    AssetKey,
    ConfigurableIOManager,
    DagsterInstance,
    DagsterInvalidConfigError,
    DagsterInvariantViolationError,
    DynamicOut,
    DynamicOutput,
    InitResourceContext,
    InputContext,
    MetadataValue,
    Out,
    OutputContext,
    ParameterCheckError,
    UPathIOManager,
    build_init_resource_context,
    build_input_context,
    build_output_context,
    custom_path_fs_io_manager,
    io_manager,
    job,
    op,
)
from treadle.definitions.paths import CustomPathFilesystemIOManager, written_aside
from treadle.errors import CheckError


class JsonIOManager(UPathIOManager):
    extension = ".json"

    def dump_to_path(self, context: OutputContext, obj: Any, path: Any) -> None:
        path.write_text(json.dumps(obj))

    def load_from_path(self, context: InputContext, path: Any) -> Any:
        return json.loads(path.read_text())


@op
def one() -> int:
    return 1


@op
def plus_one(number: int) -> int:
    return number + 1


def run_with(manager: Any, **options: Any) -> Any:
    @job(resource_defs={"io_manager": manager})
    def adding() -> None:
        plus_one(one())

    return adding.execute_in_process(**options)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def output(name: str = "result", step_key: str = "load", mapping_key: str | None = None) -> Any:
    return build_output_context(step_key=step_key, name=name, run_id="run", mapping_key=mapping_key)


# -- where values are


def test_path_is_the_identifier_below_the_base_path_and_the_extension(tmp_path: Path) -> None:
    result = run_with(JsonIOManager(tmp_path))
    assert result.output_for_node("plus_one") == 2
    assert files(tmp_path) == [f"{result.run_id}/one/result.json", f"{result.run_id}/plus_one/result.json"]


def test_name_with_a_dot_keeps_it_before_the_extension(tmp_path: Path) -> None:
    manager = JsonIOManager(tmp_path)
    manager.handle_output(output("v1.2"), 1)
    assert files(tmp_path) == ["run/load/v1.2.json"]


def test_every_branch_has_its_file(tmp_path: Path) -> None:
    @op(out=DynamicOut())
    def numbers() -> Any:
        yield DynamicOutput(1, "a")
        yield DynamicOutput(2, "b")

    @op
    def total(values: list[int]) -> int:
        return sum(values)

    @job(resource_defs={"io_manager": JsonIOManager(tmp_path)})
    def summing() -> None:
        total(numbers().map(plus_one).collect())

    result = summing.execute_in_process()
    assert result.output_for_node("total") == 5
    assert [name.removeprefix(f"{result.run_id}/") for name in files(tmp_path)] == [
        "numbers/result/a.json",
        "numbers/result/b.json",
        "plus_one[a]/result.json",
        "plus_one[b]/result.json",
        "total/result.json",
    ]


def test_without_an_extension_the_file_is_named_as_the_output(tmp_path: Path) -> None:
    class Bare(JsonIOManager):
        extension = None

    Bare(tmp_path).handle_output(output(), 1)
    assert files(tmp_path) == ["run/load/result"]


def test_extension_has_to_begin_with_a_dot(tmp_path: Path) -> None:
    class Odd(JsonIOManager):
        extension = "json"

    with pytest.raises(CheckError, match=r"Odd.extension is 'json'. It must begin with a dot: '.json'"):
        Odd(tmp_path).handle_output(output(), 1)


def test_subclass_can_name_the_path_itself(tmp_path: Path) -> None:
    class ByStep(JsonIOManager):
        def get_op_output_relative_path(self, context: Any) -> Any:
            return Path("steps", *context.get_identifier()[1:])

    run_with(ByStep(tmp_path))
    assert files(tmp_path) == ["steps/one/result.json", "steps/plus_one/result.json"]


def test_value_of_an_asset_is_at_its_key(tmp_path: Path) -> None:
    context = build_output_context(step_key="s", name="result", asset_key=AssetKey(["a", "b"]))
    JsonIOManager(tmp_path).handle_output(context, 1)
    assert files(tmp_path) == ["a/b.json"]


def test_base_path_is_the_working_folder_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    JsonIOManager().handle_output(output(), 1)
    assert files(tmp_path) == ["run/load/result.json"]


@pytest.mark.parametrize("value", [5, ["folder"], object])
def test_base_path_has_to_be_a_path(value: Any) -> None:
    with pytest.raises(ParameterCheckError, match='Param "base_path" is not a path'):
        JsonIOManager(value)


# -- what is stored and told


def test_handled_output_tells_the_path_and_what_the_subclass_adds(tmp_path: Path) -> None:
    class Counted(JsonIOManager):
        def get_metadata(self, context: OutputContext, obj: Any) -> dict[str, Any]:
            return {"length": len(str(obj))}

    result = run_with(Counted(tmp_path))
    handled = [event for event in result.all_node_events if event.is_handled_output]
    assert handled[0].event_specific_data.metadata == {
        "path": MetadataValue.path(str(tmp_path / result.run_id / "one" / "result.json")),
        "length": MetadataValue.int(1),
    }


def test_has_output_is_true_once_it_was_stored(tmp_path: Path) -> None:
    manager = JsonIOManager(tmp_path)
    assert not manager.has_output(output())
    manager.handle_output(output(), 1)
    assert manager.has_output(output())
    assert not manager.has_output(output("other"))
    manager.unlink(manager._get_path(output()))
    assert not manager.has_output(output())


def test_input_that_comes_from_no_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DagsterInvariantViolationError, match=r"upstream_output not defined"):
        JsonIOManager(tmp_path).load_input(build_input_context(name="number"))


def test_load_may_be_async(tmp_path: Path) -> None:
    class Awaited(JsonIOManager):
        async def load_from_path(self, context: InputContext, path: Any) -> Any:
            return json.loads(path.read_text())

    assert run_with(Awaited(tmp_path)).output_for_node("plus_one") == 2


def test_writing_and_reading_are_logged(tmp_path: Path) -> None:
    with DagsterInstance.ephemeral() as instance:
        result = run_with(JsonIOManager(tmp_path), instance=instance)
        said = [entry.user_message for entry in instance.all_logs(result.run_id) if entry.dagster_event is None]
    path = tmp_path / result.run_id / "one" / "result.json"
    assert said[:2] == [
        f"Writing file at: {path} using JsonIOManager...",
        f"Loading file from: {path} using JsonIOManager...",
    ]


# -- complete or not at all


def test_failed_write_leaves_what_was_there_before(tmp_path: Path) -> None:
    class Cut(JsonIOManager):
        def dump_to_path(self, context: OutputContext, obj: Any, path: Any) -> None:
            path.write_text("half")
            if obj == "bad":
                raise OSError("disk full")

        def load_from_path(self, context: InputContext, path: Any) -> Any:
            return path.read_text()

    manager = Cut(tmp_path)
    with pytest.raises(OSError, match="disk full"):
        manager.handle_output(output(), "bad")
    assert files(tmp_path) == []
    manager.handle_output(output(), "good")
    with pytest.raises(OSError, match="disk full"):
        manager.handle_output(output(), "bad")
    assert files(tmp_path) == ["run/load/result.json"]


def test_path_aside_has_the_final_name_and_nothing_of_it_stays(tmp_path: Path) -> None:
    seen: list[Path] = []

    class Named(JsonIOManager):
        def dump_to_path(self, context: OutputContext, obj: Any, path: Any) -> None:
            seen.append(path)
            super().dump_to_path(context, obj, path)

    Named(tmp_path).handle_output(output(), 1)
    assert seen[0].name == "result.json"
    assert seen[0].parent.parent == tmp_path / "run" / "load"
    assert [path.name for path in (tmp_path / "run" / "load").iterdir()] == ["result.json"]


def test_final_path_is_given_where_nothing_is_to_be_written_aside(tmp_path: Path) -> None:
    seen: list[Path] = []

    class InPlace(JsonIOManager):
        writes_aside = False

        def dump_to_path(self, context: OutputContext, obj: Any, path: Any) -> None:
            seen.append(path)

    InPlace(tmp_path).handle_output(output(), 1)
    assert seen == [tmp_path / "run" / "load" / "result.json"]


def test_files_written_beside_the_path_come_along(tmp_path: Path) -> None:
    with written_aside(tmp_path / "table.csv") as path:
        path.write_text("1,2")
        path.with_suffix(".schema").write_text("a,b")
    assert files(tmp_path) == ["table.csv", "table.schema"]


def test_folder_replaces_folder_file_and_the_other_way_round(tmp_path: Path) -> None:
    target = tmp_path / "value"
    with written_aside(target) as path:
        path.mkdir()
        (path / "old").write_text("1")
    with written_aside(target) as path:
        path.mkdir()
        (path / "new").write_text("1")
    assert files(tmp_path) == ["value/new"]
    with written_aside(target) as path:
        path.write_text("a file")
    assert files(tmp_path) == ["value"]
    with written_aside(target) as path:
        path.mkdir()
        (path / "again").write_text("1")
    assert files(tmp_path) == ["value/again"]


def test_folder_beside_the_path_is_merged_into_the_one_that_is_there(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with written_aside(tmp_path / name) as path:
            path.write_text(name)
            (path.parent / "shared").mkdir()
            (path.parent / "shared" / name).write_text(name)
    assert files(tmp_path) == ["a", "b", "shared/a", "shared/b"]


def test_write_that_leaves_nothing_stores_nothing(tmp_path: Path) -> None:
    with written_aside(tmp_path / "value"):
        pass
    assert list(tmp_path.iterdir()) == []


# -- as a resource


def test_manager_made_by_a_function_takes_its_base_path_from_config(tmp_path: Path) -> None:
    @io_manager(config_schema={"base_path": str})
    def json_io_manager(context: InitResourceContext) -> JsonIOManager:
        return JsonIOManager(base_path=context.resource_config["base_path"])

    run_with(json_io_manager.configured({"base_path": str(tmp_path)}))
    assert len(files(tmp_path)) == 2
    assert isinstance(json_io_manager(build_init_resource_context(config={"base_path": "x"})), JsonIOManager)


def test_configurable_class_sets_its_base_path_when_a_run_starts(tmp_path: Path) -> None:
    from pydantic import PrivateAttr

    class Configurable(ConfigurableIOManager, JsonIOManager):
        base_dir: str
        _base_path: Any = PrivateAttr()

        def setup_for_execution(self, context: InitResourceContext) -> None:
            self._base_path = Path(self.base_dir)

    assert run_with(Configurable(base_dir=str(tmp_path))).success
    assert len(files(tmp_path)) == 2


# -- remote


def test_str_with_a_protocol_is_a_remote_path(tmp_path: Path) -> None:
    pytest.importorskip("upath")
    manager = JsonIOManager(f"memory:/{tmp_path}")
    result = run_with(manager)
    path = manager._base_path / result.run_id / "one" / "result.json"
    assert json.loads(path.read_text()) == 1
    assert type(manager.fs).__name__ == "MemoryFileSystem"
    assert manager.storage_options == {}
    handled = next(event for event in result.all_node_events if event.is_handled_output)
    assert handled.event_specific_data.metadata["path"].path == f"memory:/{tmp_path}/{result.run_id}/one/result.json"


def test_local_base_path_has_a_file_system_too(tmp_path: Path) -> None:
    pytest.importorskip("upath")
    assert type(JsonIOManager(tmp_path).fs).__name__ == "LocalFileSystem"
    assert JsonIOManager(tmp_path).storage_options == {}


def test_remote_path_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "upath", None)
    with pytest.raises(DagsterInvariantViolationError, match=r"pip install 'treadle\[remote\]'"):
        JsonIOManager("s3://bucket/folder")


# -- outputs that name their own paths


def custom(folder: Path) -> Any:
    return custom_path_fs_io_manager.configured({"base_dir": str(folder)})


def test_output_names_the_path_of_its_value(tmp_path: Path) -> None:
    @op(out=Out(metadata={"path": "numbers/one.pickle"}))
    def first() -> int:
        return 1

    @op(out=Out(metadata={"path": Path("numbers/two.pickle")}))
    def second(number: int) -> int:
        return number + 1

    @job(resource_defs={"io_manager": custom(tmp_path)})
    def adding() -> None:
        second(first())

    result = adding.execute_in_process()
    assert result.output_for_node("second") == 2
    assert files(tmp_path) == ["numbers/one.pickle", "numbers/two.pickle"]
    told = result.asset_materializations_for_node("first")
    assert [(each.asset_key.path, each.metadata["path"].path) for each in told] == [
        (["adding", "first", "result"], str(tmp_path / "numbers" / "one.pickle"))
    ]


def test_branches_of_one_path_are_apart(tmp_path: Path) -> None:
    @op(out=DynamicOut(metadata={"path": "many"}))
    def many() -> Any:
        yield DynamicOutput(1, "a")
        yield DynamicOutput(2, "b")

    @op(out=Out(metadata={"path": "total"}))
    def total(values: list[int]) -> int:
        return sum(values)

    @job(resource_defs={"io_manager": custom(tmp_path)})
    def summing() -> None:
        total(many().collect())

    assert summing.execute_in_process().output_for_node("total") == 3
    assert files(tmp_path) == ["many/a", "many/b", "total"]


def test_output_without_a_path_is_told_where_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(ParameterCheckError, match=r'Output "result" of step "one": Param "metadata.path" is not a str'):
        run_with(custom(tmp_path))


def test_base_dir_is_needed() -> None:
    with pytest.raises(DagsterInvalidConfigError, match="base_dir"):
        run_with(custom_path_fs_io_manager)


def test_custom_path_of_an_unconnected_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DagsterInvariantViolationError, match="upstream_output not defined"):
        CustomPathFilesystemIOManager(tmp_path).load_input(build_input_context(name="x"))
