"""Keeps docs/api.md in step with the public names, and lays the pages of the site out for the builder.

Run by scripts/docs. docs/api.md says which name belongs to which topic; what a name is comes from its docstring.
docs/index.md says in which order the site has the pages. tests/docs/test_reference.py compares page and code.
"""

from __future__ import annotations

import enum
import inspect
import re
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import treadle

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs" / "api.md"
INDEX = REPOSITORY / "docs" / "index.md"
SETTINGS = REPOSITORY / "docs" / "mkdocs.yml"
#: what the builder of the site gets; git ignores it
BUILD = REPOSITORY / "build"
LAID_OUT = BUILD / "pages"

#: what a public name is that is neither a class nor a function of ours, so that it has no docstring of its own
OBJECTS = {
    "Any": "Everything passes.",
    "Int": "`int`.",
    "Float": "`float`.",
    "String": "`str`.",
    "Bool": "`bool`.",
    "Nothing": "No value: an input that only says what comes before, an output that only says that it is done.",
    "List": "`List[T]`: a list, each element of type T.",
    "Dict": "`Dict[K, V]`: a dict with keys of type K and values of type V.",
    "Tuple": "`Tuple[A, B]`: a tuple of so many members, each of its type.",
    "Set": "`Set[T]`: a set, each member of type T.",
    "Optional": "`Optional[T]`: None, or what passes T.",
    "BoolSource": "In a config schema: a bool, or `{env: NAME}` for the value of an environment variable.",
    "IntSource": "In a config schema: an int, or `{env: NAME}`.",
    "StringSource": "In a config schema: a str, or `{env: NAME}`.",
    "ResourceParam": "`ResourceParam[T]`: a parameter of an op that is a resource, by the parameter's name.",
    "MAX_RUNTIME_SECONDS_TAG": "A run tag of the original; a run that takes longer is not stopped as yet.",
    "__version__": "The version of Treadle.",
    "colored_console_logger": "The console logger, with colours.",
    "json_console_logger": "The console logger, one JSON object a line.",
    "custom_path_fs_io_manager": "Stores outputs as files in a folder of your own.",
    "fs_io_manager": "Stores outputs as files in the folder of the instance.",
    "mem_io_manager": "Keeps outputs in memory.",
    "local_file_manager": "A resource that keeps files in a folder of this machine.",
    "in_process_executor": "Runs the steps one after another in this process.",
    "threaded_executor": "Runs several steps at once on threads of this process.",
    "async_executor": "Runs async ops concurrently on one event loop, and all others on threads of this process.",
    "multiprocess_executor": "Runs each step in a process of its own. That comes later: `execute_in_process` runs any job in this one.",
    "dask_executor": "Runs each step as a task on a Dask cluster, one that is there or a local one.",
    "multi_or_in_process_executor": "One of the two, as run config says.",
    "default_executors": "`in_process_executor` and `multiprocess_executor`, in a list.",
}

ROW = re.compile(r"\| `(?P<name>\w+)` \|.*")
HEADING = re.compile(r"## (?P<title>.+)")


def is_documented_itself(name: str) -> bool:
    """True for a class or function of ours under its own name; the builder makes an entry of its docstring."""
    found = getattr(treadle, name)
    is_ours = (inspect.isclass(found) or inspect.isfunction(found)) and found.__module__.startswith("treadle.")
    return is_ours and found.__name__ == name


def describe(name: str) -> str:
    """What a public name is, in a sentence."""
    if name in OBJECTS:
        return OBJECTS[name]
    found = getattr(treadle, name)
    if not is_documented_itself(name) and hasattr(found, "__name__"):
        return f"The same as `{found.__name__}`."
    docstring = inspect.getdoc(found) or ""
    return " ".join(docstring.partition("\n\n")[0].split()).replace("|", "\\|")


def topics(text: str) -> dict[str, list[str]]:
    """Every topic of the page with the names that stand under it."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if heading := HEADING.fullmatch(line):
            names = found[heading["title"]] = []
        elif row := ROW.fullmatch(line):
            names.append(row["name"])
    return found


def in_step(text: str) -> str:
    """The page as it must be: each public name once, with what it is; a new name stands under the likeliest topic."""
    known = topics(text)
    listed = {name for names in known.values() for name in names}
    new = {title: list[str]() for title in known}
    for name in treadle.__all__:
        if name not in listed:
            new[_topic_for(name, known)].append(name)
    lines: list[str] = []
    title = ""
    for line in text.splitlines():
        if heading := HEADING.fullmatch(line):
            _append(lines, new.pop(title, []))
            title = heading["title"]
        row = ROW.fullmatch(line)
        if row is None:
            lines.append(line)
        elif row["name"] in treadle.__all__:
            lines.append(_row(row["name"]))
    _append(lines, new.pop(title, []))
    return "\n".join(lines) + "\n"


def _row(name: str) -> str:
    return f"| `{name}` | {describe(name)} |"


def _append(lines: list[str], names: list[str]) -> None:
    """Rows for new names after the last row so far."""
    place = max((at for at, line in enumerate(lines) if ROW.fullmatch(line)), default=len(lines) - 1)
    lines[place + 1 : place + 1] = [_row(name) for name in names]


def _topic_for(name: str, known: dict[str, list[str]]) -> str:
    """Where most of the names stand that come from the same module; errors stand with the errors."""
    found = getattr(treadle, name)
    if inspect.isclass(found) and issubclass(found, BaseException):
        return next(title for title in known if "DagsterError" in known[title])
    home = _home(found)
    votes = Counter(title for title, names in known.items() for each in names if _home(_public(each)) == home)
    return votes.most_common(1)[0][0] if votes else list(known)[-1]


def _public(name: str) -> Any:
    return getattr(treadle, name, None)


def _home(found: Any) -> str:
    return str(getattr(found, "__module__", type(found).__module__))


# -- the site -------------------------------------------------------------------------------------------------------


def slug(title: str) -> str:
    """The file name of a topic's page."""
    return re.sub(r"\W+", "_", title.lower())


def lay_out() -> None:
    """Copy pages and settings to where the builder reads them, and add a page of docstrings for each topic."""
    shutil.rmtree(LAID_OUT, ignore_errors=True)
    shutil.copytree(REPOSITORY / "docs", LAID_OUT, ignore=shutil.ignore_patterns("*.py", "*.yml", "__pycache__"))
    text = PAGE.read_text()
    linked = []
    title = ""
    for line in text.splitlines():
        if heading := HEADING.fullmatch(line):
            title = heading["title"]
            line = f"## [{title}](api/{slug(title)}.md)"
        elif (row := ROW.fullmatch(line)) and is_documented_itself(row["name"]):
            name = row["name"]
            line = line.replace(f"`{name}`", f"[`{name}`](api/{slug(title)}.md#treadle.{name})", 1)
        linked.append(line)
    (LAID_OUT / "api.md").write_text("\n".join(linked) + "\n")
    (LAID_OUT / "api").mkdir()
    for title, names in topics(text).items():
        (LAID_OUT / "api" / f"{slug(title)}.md").write_text(_topic_page(title, names))
    for page in LAID_OUT.rglob("*.md"):
        page.write_text(_without_dead_links(page))
    (BUILD / "mkdocs.yml").write_text(SETTINGS.read_text() + _navigation(topics(text)))


def _navigation(api: dict[str, list[str]]) -> str:
    """The order of the pages: as the index has them, its headings as sections; the reference by topic; decisions."""
    lines = ["", "nav:", "  - index.md"]
    title = ""
    for line in INDEX.read_text().splitlines():
        if heading := HEADING.fullmatch(line):
            title = heading["title"]
        for target in re.findall(r"^\| \[[^\]]+\]\(([\w/.-]+\.md)\)", line):
            if not (LAID_OUT / target).is_file():
                continue
            if title:
                lines.append(f"  - {title}:")
                title = ""
            lines.append(f"    - {target}")
            if target == "api.md":
                lines += [f"    - api/{slug(each)}.md" for each in api]
    lines.append("  - Decisions:")
    lines += [f"    - decisions/{path.name}" for path in sorted((LAID_OUT / "decisions").iterdir())]
    return "\n".join(lines) + "\n"


def _topic_page(title: str, names: list[str]) -> str:
    parts = [f"# {title}", ""]
    others = [name for name in names if not is_documented_itself(name)]
    if others:
        parts += ["| name | what it is |", "| --- | --- |", *map(_row, others), ""]
    for name in filter(is_documented_itself, names):
        parts += [f"::: treadle.{name}", "    options:", *(f"      {option}" for option in _options(_public(name))), ""]
    return "\n".join(parts)


def _options(found: Any) -> list[str]:
    """What the builder is to do otherwise for one name."""
    if inspect.isclass(found) and issubclass(found, BaseException):
        return ["inherited_members: false"]  # an error has it in common with every other
    is_record = hasattr(found, "__struct_fields__") or hasattr(found, "_fields") or isinstance(found, enum.EnumMeta)
    return [f"show_if_no_docstring: {str(is_record).lower()}"]  # the fields of a record speak for themselves


def _without_dead_links(page: Path) -> str:
    """The page's text; a link to something that is not on the site (source code, a folder) is its words alone."""

    def judge(link: re.Match[str]) -> str:
        target = link["target"].partition("#")[0]
        is_alive = not target or "://" in target or (page.parent / target).is_file()
        return link[0] if is_alive else link["words"]

    return re.sub(r"(?<!!)\[(?P<words>[^\]\[]+)\]\((?P<target>[^)\s]+)\)", judge, page.read_text())


if __name__ == "__main__":
    if "--lay-out" in sys.argv:
        lay_out()
    else:
        PAGE.write_text(in_step(PAGE.read_text()))
