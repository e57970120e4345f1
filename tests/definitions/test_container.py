"""Definitions and repositories: what jobs get from them, how jobs are found, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from treadle import (
    AssetKey,
    CheckError,
    ConfigurableResource,
    DagsterInvalidDefinitionError,
    DagsterInvariantViolationError,
    Definitions,
    IOManager,
    JobDefinition,
    MetadataValue,
    NotInThisVersionError,
    ParameterCheckError,
    RepositoryData,
    ResourceDefinition,
    TreadleLoggerWarning,
    create_repository_using_definitions_args,
    graph,
    in_process_executor,
    job,
    json_console_logger,
    load_definitions_from_current_module,
    load_definitions_from_module,
    load_definitions_from_modules,
    load_definitions_from_package_name,
    logger,
    multiprocess_executor,
    op,
    repository,
    with_resources,
)
from treadle.definitions.container import definitions
from treadle.targets import jobs_in, load_job


@op(required_resource_keys={"db"})
def read(context: Any) -> Any:
    return context.resources.db


@job
def report() -> None:
    read()


@job(resource_defs={"db": ResourceDefinition.hardcoded_resource("its own")})
def settled() -> None:
    read()


@op
def one() -> int:
    return 1


@job
def plain() -> None:
    one()


@graph
def bare() -> None:
    one.alias("first")()


def value(of: JobDefinition) -> Any:
    return of.execute_in_process().output_for_node("read")


class Notes(IOManager):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def handle_output(self, context: Any, obj: Any) -> None:
        self.seen.append(obj)

    def load_input(self, context: Any) -> Any:
        return None


class TestBinding:
    def test_job_gets_the_resource_that_it_lacks(self) -> None:
        assert value(Definitions(jobs=[report], resources={"db": "shared"}).resolve_job_def("report")) == "shared"

    def test_resource_of_the_job_stays(self) -> None:
        assert value(Definitions(jobs=[settled], resources={"db": "shared"}).get_job_def("settled")) == "its own"

    def test_one_job_can_be_bound_in_two_containers(self) -> None:
        bound = [Definitions(jobs=[report], resources={"db": text}).get_job_def("report") for text in ("a", "b")]
        assert [value(each) for each in bound] == ["a", "b"]
        assert "db" not in report.resource_defs

    def test_job_without_io_manager_gets_the_shared_one(self) -> None:
        notes = Notes()
        Definitions(jobs=[plain], resources={"io_manager": notes}).get_job_def("plain").execute_in_process()
        assert notes.seen == [1]

    def test_io_manager_of_the_job_stays(self) -> None:
        own, shared = Notes(), Notes()
        with_own = plain.with_top_level_resources({"io_manager": own})
        Definitions(jobs=[with_own], resources={"io_manager": shared}).get_job_def("plain").execute_in_process()
        assert (own.seen, shared.seen) == ([1], [])

    def test_configurable_resource_is_bound(self) -> None:
        class Writer(ConfigurableResource):  # type: ignore[type-arg]
            prefix: str

        @op
        def write(writer: Writer) -> str:
            return f"{writer.prefix} text"

        @job
        def letter() -> None:
            write()

        bound = Definitions(jobs=[letter], resources={"writer": Writer(prefix="dear")}).get_job_def("letter")
        assert bound.execute_in_process().output_for_node("write") == "dear text"

    def test_resource_that_no_step_needs_asks_for_no_config(self) -> None:
        needy = ResourceDefinition(lambda _: None, config_schema={"url": str})
        assert Definitions(jobs=[plain], resources={"needy": needy}).get_job_def("plain").execute_in_process().success

    def test_executor_and_loggers_are_bound_to_jobs_without_any(self) -> None:
        bound = Definitions(
            jobs=[plain], executor=multiprocess_executor, loggers={"json": json_console_logger}
        ).get_job_def("plain")
        assert bound.executor_def is multiprocess_executor
        assert dict(bound.loggers) == {"json": json_console_logger}

    def test_executor_and_loggers_of_the_job_stay(self) -> None:
        @logger
        def quiet(_: Any) -> Any: ...

        own = plain.with_executor_def(in_process_executor).with_logger_defs({"quiet": quiet})
        defs = Definitions(jobs=[own], executor=multiprocess_executor, loggers={"json": json_console_logger})
        assert defs.get_job_def("plain").executor_def is in_process_executor
        assert dict(defs.get_job_def("plain").loggers) == {"quiet": quiet}

    def test_job_that_lacks_nothing_is_the_same_object(self) -> None:
        assert Definitions(jobs=[plain]).get_job_def("plain") is plain

    def test_with_resources_binds_jobs_without_a_container(self) -> None:
        (bound,) = with_resources(
            [report], {"db": ResourceDefinition(lambda c: c.resource_config, int)}, {"db": {"config": 3}}
        )
        assert value(bound) == 3
        with pytest.raises(DagsterInvalidDefinitionError, match="resource with key 'db'"):
            with_resources([report], {})
        with pytest.raises(DagsterInvariantViolationError, match='Did you mean "database"'):
            with_resources([plain], {"database": 1}, {"databse": {"config": 1}})
        with pytest.raises(CheckError, match="assets come later"):
            with_resources([read], {"db": 1})  # type: ignore[list-item]


class TestFinding:
    def test_unknown_name_lists_the_jobs_and_suggests_the_nearest(self) -> None:
        defs = Definitions(jobs=[plain, settled])
        with pytest.raises(DagsterInvariantViolationError) as caught:
            defs.resolve_job_def("plan")
        assert str(caught.value) == "Could not find job 'plan'. Found: 'plain', 'settled'. Did you mean \"plain\"?"

    def test_all_jobs_come_bound(self) -> None:
        defs = Definitions(jobs=[plain, report], resources={"db": 1})
        assert [each.name for each in defs.get_all_job_defs()] == ["plain", "report"]
        assert "db" in defs.resolve_all_job_defs()[1].resource_defs
        assert defs.has_job_def("report")
        assert not defs.has_job_def("nothing")

    def test_missing_resource_is_told_when_the_job_is_asked_for(self) -> None:
        defs = Definitions(jobs=[report, plain])
        assert defs.get_job_def("plain").name == "plain"
        for ask in (lambda: defs.get_job_def("report"), lambda: Definitions.validate_loadable(defs)):
            with pytest.raises(
                DagsterInvalidDefinitionError, match="resource with key 'db' required by op 'read' was not provided"
            ):
                ask()

    def test_valid_definitions_pass(self) -> None:
        Definitions.validate_loadable(Definitions(jobs=[report, plain], resources={"db": 1}))
        Definitions.validate_loadable(Definitions())

    def test_repository_of_definitions_has_the_same_jobs(self) -> None:
        defs = Definitions(jobs=[report], resources={"db": 1}, metadata={"team": "a"})
        found = defs.get_repository_def()
        assert found.name == "__repository__"
        assert found.get_job("report") is defs.get_job_def("report")
        assert list(found.get_top_level_resources()) == ["db"]
        assert found.metadata == {"team": MetadataValue.text("a")}
        assert repr(defs) == "<Definitions: 1 job, 1 resource>"

    def test_repository_can_have_a_name(self) -> None:
        made = create_repository_using_definitions_args("ours", jobs=[plain])
        assert (made.name, made.job_names) == ("ours", ["plain"])

    def test_decorated_definitions_are_made_once_when_asked_for(self) -> None:
        calls: list[int] = []

        @definitions
        def ours() -> Definitions:
            calls.append(1)
            return Definitions(jobs=[plain])

        assert calls == []
        assert ours() is ours()
        assert calls == [1]
        with pytest.raises(CheckError, match="@definitions"):
            definitions(lambda: 3)()  # type: ignore[arg-type,return-value]
        with pytest.raises(NotInThisVersionError, match="components come"):
            definitions(lambda context: Definitions())  # type: ignore[misc,arg-type]


def a_job(name: str) -> JobDefinition:
    @job(name=name)
    def made() -> None:
        one()

    return made


class TestRefusals:
    def test_two_jobs_of_one_name(self) -> None:
        with pytest.raises(DagsterInvalidDefinitionError, match="Duplicate job definition found for job 'twice'"):
            Definitions(jobs=[a_job("twice"), a_job("twice")])

    def test_the_same_job_twice_is_no_duplicate(self) -> None:
        assert len(Definitions(jobs=[plain, plain]).get_all_job_defs()) == 1

    def test_reserved_name(self) -> None:
        with pytest.raises(
            DagsterInvalidDefinitionError, match="called __ASSET_JOB to repository, which is a reserved"
        ):
            Definitions(jobs=[a_job("__ASSET_JOB")])

    def test_two_ops_of_one_name(self) -> None:
        @op(name="same")
        def first() -> None: ...

        @op(name="same")
        def second() -> None: ...

        @job
        def a() -> None:
            first()

        @job
        def b() -> None:
            second()

        with pytest.raises(DagsterInvalidDefinitionError) as caught:
            Definitions.validate_loadable(Definitions(jobs=[a, b]))
        assert "Op/Graph definition names must be unique within a repository" in str(caught.value)
        assert "An op and an op of this name are used, the one by job 'a', the other by job 'b'" in str(caught.value)
        assert Definitions(jobs=[a, b]).get_job_def("b") is b

    @pytest.mark.parametrize(
        ("part", "stage"),
        [
            ("assets", "assets"),
            ("schedules", "schedules"),
            ("sensors", "sensors"),
            ("asset_checks", "asset checks"),
            ("component_tree", "components"),
        ],
    )
    def test_parts_of_later_stages(self, part: str, stage: str) -> None:
        with pytest.raises(NotInThisVersionError) as caught:
            Definitions(**{part: [object()]})  # type: ignore[arg-type]
        assert str(caught.value).startswith(f"Definitions({part}=...) is not in Treadle yet: {stage} come in a later")

    def test_empty_parts_of_later_stages_are_no_harm(self) -> None:
        defs = Definitions(assets=[], schedules=(), sensors=[], asset_checks=None, jobs=[plain])
        assert list(defs.assets or ()) == []
        assert defs.schedules == ()

    @pytest.mark.parametrize(
        ("member", "stage"), [("get_schedule_def", "schedules"), ("resolve_asset_graph", "assets")]
    )
    def test_members_of_later_stages(self, member: str, stage: str) -> None:
        with pytest.raises(NotInThisVersionError, match=rf"Definitions\.{member} is not in Treadle yet: {stage} come"):
            getattr(Definitions(), member)

    def test_unknown_member_suggests_the_nearest(self) -> None:
        with pytest.raises(AttributeError, match='Did you mean "get_job_def"'):
            Definitions().get_jobdef

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"jobs": plain}, 'Param "jobs" is not a list'),
            ({"jobs": "plain"}, 'Param "jobs" is not a list'),
            ({"jobs": [bare]}, "Call to_job"),
            ({"jobs": [one]}, r'Param "jobs\[0\]" is not a JobDefinition'),
            ({"resources": [1]}, 'Param "resources" is not a Mapping'),
            ({"resources": {1: 1}}, "a key of resources"),
            ({"executor": "in_process"}, 'Param "executor" is not a ExecutorDefinition'),
            ({"loggers": {"a": 1}}, r"loggers\['a'\]"),
        ],
    )
    def test_wrong_arguments(self, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(ParameterCheckError, match=message):
            Definitions(**arguments)

    def test_reconstruction_metadata_must_be_text(self) -> None:
        assert "a" in Definitions().with_reconstruction_metadata({"a": "b"}).metadata
        with pytest.raises(DagsterInvariantViolationError, match="Reconstruction metadata values must be strings"):
            Definitions().with_reconstruction_metadata({"a": 1})  # type: ignore[dict-item]


class TestMerging:
    def test_everything_is_in_the_merged_object(self) -> None:
        merged = Definitions.merge(
            Definitions(jobs=[report], loggers={"json": json_console_logger}, metadata={"a": 1}),
            Definitions(jobs=[plain, report], resources={"db": 2}, executor=in_process_executor),
        )
        assert [each.name for each in merged.jobs or ()] == ["report", "plain"]
        with pytest.warns(TreadleLoggerWarning):
            assert value(merged.get_job_def("report")) == 2
        assert merged.executor is in_process_executor
        assert list(merged.loggers or ()) == ["json"]
        assert list(merged.metadata) == ["a"]

    def test_equal_values_are_no_conflict(self) -> None:
        both = [Definitions(resources={"a": 4}, executor=in_process_executor) for _ in range(2)]
        assert Definitions.merge(*both).resources == {"a": 4}

    @pytest.mark.parametrize(
        ("one_part", "other_part", "message"),
        [
            ({"resources": {"a": 4}}, {"resources": {"a": 5}}, "have different resources with same key 'a'"),
            (
                {"loggers": {"a": json_console_logger}},
                {"loggers": {"a": json_console_logger.configured({})}},
                "have different loggers with same key 'a'",
            ),
            ({"executor": in_process_executor}, {"executor": multiprocess_executor}, "both have an executor"),
        ],
    )
    def test_conflicts_name_both_objects(self, one_part: Any, other_part: Any, message: str) -> None:
        with pytest.raises(DagsterInvariantViolationError, match=f"Definitions objects 0 and 1 {message}"):
            Definitions.merge(Definitions(**one_part), Definitions(**other_part))

    def test_values_that_cannot_be_compared_are_different(self) -> None:
        class Odd:
            def __eq__(self, other: object) -> bool:
                raise ValueError("ambiguous")

            __hash__ = None  # type: ignore[assignment]

        with pytest.raises(DagsterInvariantViolationError, match="different resources"):
            Definitions.merge(Definitions(resources={"a": Odd()}), Definitions(resources={"a": Odd()}))

    def test_only_definitions_can_be_merged(self) -> None:
        with pytest.raises(CheckError, match="takes Definitions objects, got 3"):
            Definitions.merge(Definitions(), 3)  # type: ignore[arg-type]

    def test_changed_copies(self) -> None:
        defs = Definitions(jobs=[report], resources={"db": 1})
        assert value(defs.with_resources({"db": 2}).get_job_def("report")) == 2
        assert defs.with_resources(None) is defs
        marked = defs.with_definition_metadata_update(lambda found: {**found, "key": AssetKey("x")})
        assert list(marked.get_job_def("report").metadata) == ["key"]


class TestRepository:
    def test_list_of_jobs_and_graphs(self) -> None:
        @repository
        def ours() -> Any:
            """What we run."""
            return [settled, [plain], bare]

        assert (ours.name, ours.description, ours.job_names) == ("ours", "What we run.", ["settled", "plain", "bare"])
        assert ours.get_job("bare").execute_in_process().success
        assert ours() is ours
        assert (ours.has_job("plain"), ours.has_job("other")) == (True, False)
        assert ours.schedule_defs == ours.sensor_defs == []

    def test_options(self) -> None:
        @repository(
            name="theirs",
            description="d",
            metadata={"a": 1},
            default_executor_def=multiprocess_executor,
            default_logger_defs={"json": json_console_logger},
        )
        def ours() -> Any:
            return [plain, settled.with_executor_def(in_process_executor)]

        assert (ours.name, ours.description, ours.metadata) == ("theirs", "d", {"a": MetadataValue.int(1)})
        assert ours.get_job("plain").executor_def is multiprocess_executor
        assert ours.get_job("settled").executor_def is in_process_executor
        assert list(ours.get_job("settled").loggers) == ["json"]

    def test_lazy_jobs_are_made_once_when_asked_for(self) -> None:
        made: list[str] = []

        def lazily(name: str) -> Callable[[], JobDefinition]:
            def make() -> JobDefinition:
                made.append(name)
                return a_job(name)

            return make

        @repository
        def ours() -> Any:
            return {"jobs": {"a": lazily("a"), "b": lazily("b"), "plain": plain, "bare": bare}}

        assert (made, ours.has_job("a")) == ([], True)
        assert ours.get_job("a") is ours.get_job("a")
        assert made == ["a"]
        ours.load_all_definitions()
        assert made == ["a", "b"]

    def test_unknown_job_suggests_the_nearest(self) -> None:
        @repository
        def ours() -> Any:
            return [plain]

        with pytest.raises(DagsterInvariantViolationError, match=r"Could not find job 'plai'. Found: 'plain'. Did you"):
            ours.get_job("plai")

    def test_part_of_a_job(self) -> None:
        @repository
        def ours() -> Any:
            return [plain]

        assert ours.get_maybe_subset_job_def("plain", op_selection={"one"}).op_selection
        assert ours.get_maybe_subset_job_def("plain") is ours.get_job("plain")

    @pytest.mark.parametrize(
        ("given", "error", "message"),
        [
            ([settled, a_job("settled")], DagsterInvalidDefinitionError, "Duplicate job definition found for job"),
            (
                [bare.to_job(), bare],
                DagsterInvalidDefinitionError,
                "Duplicate job definition found for graph 'bare'",
            ),
            (["x"], DagsterInvalidDefinitionError, "all elements of list must be of type"),
            (3, DagsterInvalidDefinitionError, "must return list, dict, or RepositoryData"),
            (Definitions(), DagsterInvalidDefinitionError, "Return its jobs instead"),
            ([report], DagsterInvalidDefinitionError, "resource with key 'db' required by op 'read' was not provided"),
            ({"jobs": {"x": "blah"}}, DagsterInvalidDefinitionError, "Object mapped to x is not an instance of JobDef"),
            ({"jobs": {"x": plain}}, CheckError, "name in JobDefinition does not match"),
            ({"jobz": {}}, DagsterInvalidDefinitionError, 'Did you mean "jobs"'),
            ({"schedules": {"x": object()}}, NotInThisVersionError, "schedules come in a later version"),
        ],
    )
    def test_refusals(self, given: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):

            @repository
            def ours() -> Any:
                return given

    def test_lazy_refusals(self) -> None:
        @repository
        def ours() -> Any:
            return {"jobs": {"bare": lambda: bare, "x": lambda: plain}}

        with pytest.raises(CheckError, match=r"Bad constructor for job bare: must return JobDefinition.*Call to_job"):
            ours.get_job("bare")
        with pytest.raises(CheckError, match="name in JobDefinition does not match"):
            ours.get_job("x")

    def test_function_takes_no_parameters(self) -> None:
        with pytest.raises(CheckError, match="takes no parameters, but it has"):

            @repository  # type: ignore[call-overload,untyped-decorator]
            def ours(x: int) -> Any:
                return []

    def test_own_table_of_jobs(self) -> None:
        class Ours(RepositoryData):
            def get_all_jobs(self) -> list[JobDefinition]:
                return [plain, settled]

        @repository
        def ours() -> Any:
            return Ours()

        assert (ours.job_names, ours.has_job("plain")) == (["plain", "settled"], True)
        assert ours.get_job("settled") is settled
        ours.validate_loadable()
        with pytest.raises(DagsterInvariantViolationError, match="Could not find job 'x'"):
            ours.get_job("x")
        with pytest.raises(NotImplementedError, match="get_all_jobs"):
            RepositoryData().get_all_jobs()


def a_module(name: str, **names: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(names)
    return module


class TestModules:
    def test_jobs_of_a_module(self) -> None:
        module = a_module("m", first=report, second=report, third=[plain], other=bare, number=3)
        defs = load_definitions_from_module(module, resources={"db": 1}, executor=in_process_executor)
        assert sorted(each.name for each in defs.get_all_job_defs()) == ["plain", "report"]
        assert defs.get_job_def("plain").has_specified_executor

    def test_duplicates_name_the_modules(self) -> None:
        modules = [a_module("a", x=plain), a_module("b", x=plain), a_module("c", x=a_job("plain"))]
        assert len(load_definitions_from_modules(modules[:2]).get_all_job_defs()) == 1
        with pytest.raises(
            DagsterInvalidDefinitionError, match="defined multiple times. Definitions found in modules: a, c"
        ):
            load_definitions_from_modules(modules)

    def test_only_modules_can_be_loaded_from(self) -> None:
        with pytest.raises(CheckError, match="Import it first"):
            load_definitions_from_module("a.b")  # type: ignore[arg-type]

    def test_current_module(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or a_module(__name__, **globals()))
        found = load_definitions_from_current_module(resources={"db": 1})
        assert {"report", "settled", "plain"} <= {each.name for each in found.get_all_job_defs()}

    def test_package_with_modules_below_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        package = tmp_path / "our_company"
        (package / "nightly").mkdir(parents=True)
        text = "from treadle import job, op\n@op\ndef {0}_op(): ...\n@job\ndef {0}():\n    {0}_op()\n"
        (package / "__init__.py").write_text("")
        (package / "nightly" / "__init__.py").write_text("")
        (package / "hourly.py").write_text(text.format("hourly"))
        (package / "nightly" / "sums.py").write_text(text.format("sums"))
        monkeypatch.syspath_prepend(str(tmp_path))
        defs = load_definitions_from_package_name("our_company")
        assert sorted(each.name for each in defs.get_all_job_defs()) == ["hourly", "sums"]


PROJECT = """
from treadle import Definitions, job, op, repository

@op(required_resource_keys={"db"})
def read(context):
    return context.resources.db

@job
def report():
    read()

@job
def other():
    read.alias("read_again")()
"""


class TestCommandLineTargets:
    def load(self, folder: Path, text: str, name: str = "") -> JobDefinition:
        file = folder / f"project_{abs(hash(text))}.py"
        file.write_text(PROJECT + text)
        return load_job(f"{file.name}{name}", str(folder))

    def test_job_of_a_file_comes_bound_as_its_definitions_say(self, tmp_path: Path) -> None:
        text = "defs = Definitions(jobs=[report, other], resources={'db': 'shared'})"
        assert value(self.load(tmp_path, text, ":report")) == "shared"

    def test_definitions_with_one_job_need_no_name(self, tmp_path: Path) -> None:
        text = "defs = Definitions(jobs=[report], resources={'db': 'shared'})\ndel other"
        assert value(self.load(tmp_path, text)) == "shared"
        assert value(self.load(tmp_path, text, ":defs")) == "shared"

    def test_function_that_returns_definitions(self, tmp_path: Path) -> None:
        text = "def make(): return Definitions(jobs=[report], resources={'db': 'made'})"
        assert value(self.load(tmp_path, text, ":make")) == "made"

    def test_job_that_only_the_container_has_is_found_by_its_name(self, tmp_path: Path) -> None:
        text = "defs = Definitions(jobs=[report.with_top_level_resources({'db': 1}), other], resources={'db': 2})\ndel report"
        assert value(self.load(tmp_path, text, ":report")) == 1

    def test_repository_is_a_container_too(self, tmp_path: Path) -> None:
        text = "@repository\ndef ours(): return [report.with_top_level_resources({'db': 1})]\ndel other"
        assert value(self.load(tmp_path, text, ":ours")) == 1

    def test_several_jobs_are_listed(self, tmp_path: Path) -> None:
        text = "defs = Definitions(jobs=[report, other], resources={'db': 1})"
        with pytest.raises(Exception, match=r"holds 2 jobs: report, other. Say which, for example"):
            self.load(tmp_path, text, ":defs")
        with pytest.raises(Exception, match="holds no job"):
            self.load(tmp_path, "none = Definitions()", ":none")

    def test_jobs_of_a_module_come_bound(self) -> None:
        module = a_module("m", report=report, defs=Definitions(jobs=[report, plain], resources={"db": 5}))
        found = jobs_in(module)
        assert list(found) == ["report", "plain"]
        assert value(found["report"]) == 5
