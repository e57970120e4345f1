"""From a text such as `jobs/flights.py:nightly` to the job, and what is said where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from treadle.definitions.job import JobDefinition
from treadle.errors import DagsterCodeNotFoundError, DagsterError, DagsterImportError
from treadle.targets import Target, jobs_in, load_job

PRELUDE = "from treadle import graph, job, op\n"
ONE = """
@op
def load():
    return 1

@job
def nightly():
    load()
"""


class Project:
    """A folder with a user's files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str = ONE, prelude: str = PRELUDE) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(prelude + dedent(text))
        return path

    def load(self, target: str) -> JobDefinition:
        return load_job(target, str(self.folder))

    def refusal(self, target: str, error: type[DagsterError] = DagsterCodeNotFoundError) -> str:
        with pytest.raises(error) as raised:
            self.load(target)
        return str(raised.value)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    path, modules = list(sys.path), dict(sys.modules)
    yield Project(tmp_path)
    sys.path[:] = path
    for name in sys.modules.keys() - modules.keys():
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", None) or tmp_path):
            del sys.modules[name]


# -- targets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place", "name", "is_file"),
    [
        ("flights.py", "flights.py", None, True),
        ("jobs/flights.py:nightly", "jobs/flights.py", "nightly", True),
        ("package.module", "package.module", None, False),
        ("package.module:nightly", "package.module", "nightly", False),
        ("jobs/flights", "jobs/flights", None, True),
    ],
)
def test_target_is_a_place_and_a_name(text: str, place: str, name: str | None, is_file: bool) -> None:
    target = Target.read(text)
    assert (target.place, target.name, target.is_file, str(target)) == (place, name, is_file, text)


@pytest.mark.parametrize("text", ["", " ", ":", ":nightly", "flights.py:", "flights.py::nightly"])
def test_target_that_names_nothing_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(DagsterCodeNotFoundError, match=r"does not name a job\. Write FILE or FILE:JOB"):
        Target.read(text)


# -- a job that is found -------------------------------------------------------------------------------------------------


def test_only_job_of_a_file_needs_no_name(project: Project) -> None:
    project.write("etl.py")
    assert project.load("etl.py").name == "nightly"


def test_job_is_found_by_its_name(project: Project) -> None:
    project.write("etl.py", ONE + "hourly = nightly.graph.to_job(name='every_hour')\n")
    assert project.load("etl.py:nightly").name == "nightly"
    assert project.load("etl.py:hourly").name == "every_hour"


def test_job_is_also_found_by_the_name_that_it_has_for_itself(project: Project) -> None:
    project.write("etl.py", ONE + "hourly = nightly.graph.to_job(name='every_hour')\n")
    assert project.load("etl.py:every_hour").name == "every_hour"


def test_one_job_under_two_names_is_one_job(project: Project) -> None:
    project.write("etl.py", ONE + "same = nightly\n")
    assert project.load("etl.py").name == "nightly"
    assert list(jobs_in(sys.modules["etl"])) == ["nightly"]


def test_function_without_arguments_gives_its_job(project: Project) -> None:
    project.write(
        "etl.py", "def make(retries=3):\n    from treadle import job\n    return job(name='made')(lambda: None)\n"
    )
    assert project.load("etl.py:make").name == "made"


def test_graph_that_is_named_becomes_a_job(project: Project) -> None:
    project.write("etl.py", "@graph\ndef tidy():\n    pass\n")
    assert project.load("etl.py:tidy").name == "tidy"


def test_module_is_found_from_the_working_directory(project: Project) -> None:
    project.write("warehouse/__init__.py", "")
    project.write("warehouse/etl.py")
    assert project.load("warehouse.etl").name == "nightly"
    assert project.load("warehouse.etl:nightly").name == "nightly"


def test_file_is_imported_under_its_stem_and_can_import_its_neighbours(project: Project) -> None:
    project.write("jobs/rows_of.py", "COUNT = 3\n")
    project.write("jobs/etl.py", "from rows_of import COUNT\n" + ONE)
    project.load("jobs/etl.py")
    assert sys.modules["etl"].COUNT == 3
    assert sys.path[0] == str(project.folder / "jobs")


def test_file_can_import_packages_of_the_working_directory(project: Project) -> None:
    project.write("library/__init__.py", "COUNT = 4\n")
    project.write("jobs/etl.py", "from library import COUNT\n" + ONE)
    project.load("jobs/etl.py")
    assert sys.modules["etl"].COUNT == 4


def test_file_is_executed_once_however_often_it_is_asked_for(project: Project) -> None:
    project.write("etl.py")
    assert project.load("etl.py") is project.load("etl.py:nightly")


def test_file_of_the_same_stem_in_another_folder_takes_its_place(project: Project) -> None:
    project.write("one/etl.py")
    project.write("two/etl.py", ONE.replace("nightly", "weekly"))
    assert project.load("one/etl.py").name == "nightly"
    assert project.load("two/etl.py").name == "weekly"


def test_name_with_a_dash_or_a_dot_is_a_name_for_a_file(project: Project) -> None:
    project.write("my-job.v2.py")
    assert project.load("my-job.v2.py").name == "nightly"


def test_a_file_called_like_a_library_in_use_is_refused(project: Project) -> None:
    project.write("logging.py")
    told = project.refusal("logging.py", DagsterImportError)
    assert told == (
        '"logging.py" cannot be imported as module "logging": a library of that name is in use. Rename the file.'
    )


# -- a file or module that is not there --------------------------------------------------------------------------------------


def test_missing_file_suggests_the_nearest_in_its_folder(project: Project) -> None:
    project.write("flights.py")
    assert project.refusal("flight.py") == '"flight.py" does not exist. Did you mean "flights.py"?'
    assert project.refusal("./flights") == '"./flights" does not exist. Did you mean "flights.py"?'


def test_missing_file_without_a_near_one_lists_what_there_is(project: Project) -> None:
    project.write("flights.py")
    project.write("weather.py")
    assert project.refusal("x.py") == '"x.py" does not exist. The folder has flights.py, weather.py.'


def test_missing_folder_is_named(project: Project) -> None:
    folder = project.folder / "nowhere"
    assert project.refusal("nowhere/x.py") == f'"nowhere/x.py" does not exist, and neither does its folder "{folder}".'


def test_folder_is_refused_with_its_files(project: Project) -> None:
    project.write("jobs/flights.py")
    told = "is a folder. Name a file in it; it has jobs/flights.py."
    assert project.refusal("jobs/") == f'"jobs/" {told}'
    assert project.refusal("jobs") == f'"jobs" {told}'


def test_file_that_is_not_python_is_refused(project: Project) -> None:
    project.write("flights.yaml", "")
    assert (
        project.refusal("flights.yaml")
        == '"flights.yaml" is not a Python file: its name does not end in ".py". Name one that does, or rename it.'
    )


def test_missing_module_suggests_the_nearest(project: Project) -> None:
    project.write("warehouse/__init__.py", "")
    project.write("warehouse/etl.py")
    assert project.refusal("warehuose.etl", DagsterImportError) == (
        f'There is no module "warehuose.etl": nothing is called "warehuose" in {project.folder} or among what is '
        'installed. Did you mean "warehouse"?'
    )
    assert project.refusal("warehouse.elt", DagsterImportError) == (
        'There is no module "warehouse.elt": nothing is called "elt" in package "warehouse". '
        'Did you mean "warehouse.etl"?'
    )


def test_dot_in_place_of_the_colon_is_recognised(project: Project) -> None:
    project.write("etl.py")
    assert project.refusal("etl.nightly", DagsterImportError) == (
        'There is no module "etl.nightly". Did you mean "etl:nightly"?'
    )
    assert project.refusal("etl.nothing", DagsterImportError) == (
        'There is no module "etl.nothing": "etl" is a module, not a package.'
    )


def test_text_that_is_neither_file_nor_module_is_refused(project: Project) -> None:
    assert project.refusal("my job") == (
        '"my job" is neither the path of a Python file, such as jobs/flights.py, nor the name of a module, such as '
        "jobs.flights."
    )


# -- code that cannot be imported -------------------------------------------------------------------------------------------


def test_syntax_error_is_shown_with_its_line_and_a_caret(project: Project) -> None:
    project.write("etl.py", "x = 1\ndef load(:\n    pass\n")
    head, code, caret = project.refusal("etl.py", DagsterImportError).splitlines()
    assert head == "etl.py:3: this is not valid Python: invalid syntax"
    assert code == "    def load(:"
    assert caret == "             ^"


def test_syntax_error_of_a_neighbour_names_the_neighbour(project: Project) -> None:
    neighbour = project.write("rows_of.py", "x = (\n", prelude="")
    project.write("etl.py", "import rows_of\n" + ONE)
    assert project.refusal("etl.py", DagsterImportError).startswith(f"{neighbour}:1: this is not valid Python: ")


def test_exception_while_importing_is_told_with_its_line_and_kept_as_the_cause(project: Project) -> None:
    project.write("etl.py", "def connect():\n    raise ConnectionError('no route')\n\nconnect()\n")
    with pytest.raises(DagsterImportError) as raised:
        project.load("etl.py")
    assert str(raised.value) == "etl.py:3: cannot be imported: ConnectionError: no route"
    assert isinstance(raised.value.__cause__, ConnectionError)
    assert "etl" not in sys.modules


def test_exception_in_a_module_is_told_with_the_module(project: Project) -> None:
    project.write("etl.py", "raise ConnectionError\n")
    assert project.refusal("etl", DagsterImportError) == '"etl" cannot be imported: ConnectionError'


def test_bad_definition_is_told_with_its_line(project: Project) -> None:
    project.write("etl.py", "@op\ndef clean(rows): pass\n\n@job\ndef nightly():\n    clean(row=1)\n")
    told = project.refusal("etl.py", DagsterImportError)
    assert told.startswith("etl.py:7: cannot be imported: DagsterInvalidDefinitionError: ")
    assert 'Did you mean "rows"?' in told


def test_missing_library_names_the_python_that_lacks_it(project: Project) -> None:
    project.write("etl.py", "import no_such_library\n")
    assert project.refusal("etl.py", DagsterImportError) == (
        "etl.py:2: cannot be imported: ModuleNotFoundError: No module named 'no_such_library'\n"
        f"Is it installed for the Python that runs this? {sys.executable}"
    )


def test_missing_neighbour_suggests_the_nearest(project: Project) -> None:
    project.write("flight_data.py", "")
    project.write("etl.py", "import flight_dta\n")
    assert project.refusal("etl.py", DagsterImportError).endswith('\nDid you mean "flight_data"?')


def test_relative_import_in_a_file_of_a_package_advises_to_name_the_module(project: Project) -> None:
    project.write("warehouse/__init__.py", "")
    project.write("warehouse/etl.py", "from . import tables\n")
    assert 'name it as a module instead, such as "warehouse.etl"' in project.refusal(
        "warehouse/etl.py", DagsterImportError
    )


def test_script_that_ends_the_program_is_told_where_to_put_that(project: Project) -> None:
    project.write("etl.py", "import sys\nsys.exit(4)\n")
    assert project.refusal("etl.py", DagsterImportError) == (
        "etl.py:3: cannot be imported: it ends the program (SystemExit: 4). Put what should happen only when the file "
        'is run as a script below `if __name__ == "__main__":`.'
    )


def test_interrupt_while_importing_is_not_a_fault_of_the_file(project: Project) -> None:
    project.write("etl.py", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        project.load("etl.py")


# -- a name that is no job ----------------------------------------------------------------------------------------------------

TWO = ONE + "\n@job\ndef hourly():\n    load()\n"


def test_several_jobs_and_no_name_lists_the_jobs(project: Project) -> None:
    project.write("etl.py", TWO)
    assert project.refusal("etl.py") == (
        '"etl.py" has 2 jobs: nightly, hourly. Say which, for example "etl.py:nightly".'
    )


def test_wrong_name_suggests_the_nearest_and_lists_the_jobs(project: Project) -> None:
    project.write("etl.py", TWO)
    assert project.refusal("etl.py:nightyl") == (
        '"etl.py" has no job called "nightyl". Did you mean "nightly"? Its jobs: nightly, hourly.'
    )


def test_file_without_a_job_says_how_to_make_one(project: Project) -> None:
    project.write("etl.py", "@op\ndef load(): pass\n")
    assert project.refusal("etl.py") == (
        '"etl.py" has no job. A job is made with @job above a function that calls ops, or with to_job() of a graph. '
        "It has the op load."
    )


def test_file_with_a_graph_only_says_how_to_run_it(project: Project) -> None:
    project.write("etl.py", "@graph\ndef tidy(): pass\n")
    assert project.refusal("etl.py") == (
        '"etl.py" has no job, but a graph: tidy. Name it to run it as a job: "etl.py:tidy".'
    )


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("@op\ndef x(): pass", '"etl.py:x" is an op, not a job. To run it, put it into a job:\n    @job\n'),
        ("x = 5", '"etl.py:x" is an int, not a job. A job is made with'),
        ("x = None", '"etl.py:x" is None, not a job.'),
        ("import json as x", '"etl.py:x" is a module, not a job.'),
        ("class x: pass", '"etl.py:x" is the class x, not a job.'),
        ("async def x(): pass", '"etl.py:x" is an async function, not a job.'),
        ("def x(a, b, c=1): pass", '"etl.py:x" is a function that needs a, b. A function that gives a job is called'),
        ("def x(): return 3", '"etl.py:x" is a function that returned an int, not a job.'),
        (
            "@graph\ndef g(): pass\ndef x(): return g",
            '"etl.py:x" is a function that returned a graph, not a job. Let it return graph.to_job().',
        ),
    ],
)
def test_name_of_something_else_says_what_it_is_and_what_to_do(project: Project, code: str, told: str) -> None:
    project.write("etl.py", code + "\n")
    assert project.refusal("etl.py:x").startswith(told)


def test_function_that_raises_is_told_with_its_exception(project: Project) -> None:
    project.write("etl.py", "def make():\n    raise ConnectionError('no route')\n")
    assert project.refusal("etl.py:make", DagsterImportError) == (
        '"etl.py:make" was called to get a job, and raised ConnectionError: no route'
    )
