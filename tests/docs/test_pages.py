"""Every page's Python runs: the blocks of a page, one after another, as a reader would paste them."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGES = [
    page
    for page in [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
    if re.search(r"^```python *$", page.read_text(), re.MULTILINE)
]


def code_of(page: Path) -> str:
    """The page's blocks as one script whose line numbers are the page's; a block marked `python no-run` is left out."""
    lines = []
    is_code = False
    for line in page.read_text().splitlines():
        if line.startswith("```"):
            is_code = line.strip() == "```python"
            lines.append("")
        else:
            lines.append(line if is_code else "")
    return "\n".join(lines)


def links_of(page: Path) -> list[str]:
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)) if "://" not in target]


def prose_of(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def anchors_of(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.*)$", prose_of(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_code_of_the_page_runs(page: Path, tmp_path: Path) -> None:
    # From a file named as the page, since errors then name the page's own lines; not over a module that is there.
    script = tmp_path / f"{page.stem}{'_page' if importlib.util.find_spec(page.stem) is not None else ''}.py"
    script.write_text(code_of(page))
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr


def test_links_between_pages_lead_somewhere() -> None:
    pages = [REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md"), *(REPOSITORY / "compat").rglob("*.md")]
    dead = []
    for page in pages:
        for link in links_of(page):
            path, _, heading = link.partition("#")
            target = page.parent / path if path else page
            is_dead = not target.exists() or (heading and target.suffix == ".md" and heading not in anchors_of(target))
            dead += [f"{page.name}: {link}"] if is_dead else []
    assert dead == []
