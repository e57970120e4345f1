"""Keeps docs/architecture.md in step with the code: writes its module table and draws its picture of the layers.

Run by scripts/docs. tests/test_architecture.py uses what it reads here; nothing of Treadle is imported, only parsed.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).parents[1]
SOURCE = REPOSITORY / "src" / "treadle"
PAGE = REPOSITORY / "docs" / "architecture.md"
PICTURE = REPOSITORY / "docs" / "img" / "layers.png"


class Import(NamedTuple):
    """One import of a module of ours by a module of ours."""

    importer: str
    imported: str
    line: int
    #: the function that it hides in, or None at the top of the module
    function: str | None
    #: below `if TYPE_CHECKING:`, so it never runs
    is_type_only: bool


@cache
def modules() -> dict[str, Path]:
    """Every module with content, by its dotted name, the package root left out."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name != "treadle" and path.read_text().strip():
            found[name] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def first_line(name: str) -> str:
    """The first line of a module's docstring, empty where it has none."""
    return (ast.get_docstring(tree(modules()[name])) or "").partition("\n")[0]


def settings() -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]


def layers() -> list[list[str]]:
    """The layers of the import-linter contract, top first, each with the modules and packages in it."""
    contract = next(each for each in settings()["importlinter"]["contracts"] if each["id"] == "layers")
    return [[part.strip(" ()") for part in line.split("|")] for line in contract["layers"]]


def layer_of(name: str) -> int:
    """The place of a module's layer, 0 on top; -1 where it has none."""
    head = name.partition(".")[2].partition(".")[0]
    return next((place for place, layer in enumerate(layers()) if head in layer), -1)


@cache
def imports() -> tuple[Import, ...]:
    return tuple(each for name in modules() for each in _imports_of(name))


def _imports_of(name: str) -> Iterator[Import]:
    path = modules()[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node, function, is_type_only in _statements(tree(path)):
        for imported in _targets(node, package):
            if imported != name:
                yield Import(name, imported, node.lineno, function, is_type_only)


def _statements(
    node: ast.AST, function: str | None = None, is_type_only: bool = False
) -> Iterator[tuple[ast.Import | ast.ImportFrom, str | None, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, function, is_type_only
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _statements(child, child.name, is_type_only)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for statement in child.body:
                yield from _statements(ast.Module([statement], []), function, True)
            for statement in child.orelse:
                yield from _statements(ast.Module([statement], []), function, is_type_only)
        else:
            yield from _statements(child, function, is_type_only)


def _targets(node: ast.Import | ast.ImportFrom, package: str) -> set[str]:
    """The modules of ours that a statement imports; "treadle" stands for the package root itself."""
    if isinstance(node, ast.Import):
        wanted = [alias.name for alias in node.names]
    else:
        parents = package.split(".")
        parents = parents[: len(parents) - node.level + 1] if node.level else []
        source = ".".join([*parents, *([node.module] if node.module else [])])
        wanted = [f"{source}.{alias.name}" for alias in node.names]
    ours = [name for name in wanted if name.split(".")[0] == "treadle"]
    return {_module_in(name) for name in ours}


def _module_in(dotted: str) -> str:
    """The longest beginning of a dotted name that is a module: a.b.C is the class C of module a.b."""
    while dotted != "treadle" and dotted not in modules():
        dotted = dotted.rpartition(".")[0]
    return dotted


# -- the page -------------------------------------------------------------------------------------------------------

START, END = "<!-- modules: written by scripts/docs -->", "<!-- end of modules -->"


def table() -> str:
    """The module table: bottom layer first, as one would read the code."""
    rows = ["| module | what lives there |", "| --- | --- |"]
    for name in sorted(modules(), key=lambda name: (-layer_of(name), name)):
        rows.append(f"| `{name.removeprefix('treadle.')}` | {first_line(name)} |")
    return "\n".join(rows)


def listed_modules() -> dict[str, str]:
    """Module name to its line, as the page has it now."""
    _, _, rest = PAGE.read_text().partition(START)
    rows = [line.strip("|").split("|", 1) for line in rest.partition(END)[0].strip().splitlines()[2:]]
    return {f"treadle.{name.strip(' `')}": line.strip() for name, line in rows}


def write_table() -> None:
    head, _, rest = PAGE.read_text().partition(START)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{START}\n\n{table()}\n\n{END}{tail}")


# -- the picture ----------------------------------------------------------------------------------------------------

# All lengths are inches: the axes cover the figure one to one.
WIDTH, MARGIN = 13.3, 0.35
LABEL_END, CHIPS_START, CHIPS_END = 2.6, 2.8, 10.1
ARC_START = CHIPS_END + 0.2
CHIP_HEIGHT, ROW_HEIGHT, BAND_GAP = 0.27, 0.36, 0.07
FONT_SIZE = 8.5
CHARACTER = 0.602 * FONT_SIZE / 72  # the advance of DejaVu Sans Mono, in inches
LINE_LIMIT = 600

INK, FAINT, PAPER, PURE_FILL = "#1f2933", "#7b8794", "#ffffff", "#dff3e4"
#: through these colours the layers shade, top to bottom
SHADES = ((0.80, 0.36, 0.16), (0.55, 0.29, 0.52), (0.07, 0.42, 0.58))

#: what decides: no clock, no I/O, no threads, no log
PURE = re.compile(r"treadle\.(engine\.machine|plan\.\w+|config\.\w+|definitions\.selection)$")


class Chip(NamedTuple):
    """A module as it stands in its band."""

    module: str
    text: str
    x: float
    row: int
    width: float


def chips_of(layer: list[str]) -> list[Chip]:
    """The modules of a layer, placed from left to right and wrapped into rows."""
    chips: list[Chip] = []
    x, row = CHIPS_START, 0
    for part in layer:
        inside = [name for name in modules() if name.startswith(f"treadle.{part}.")]
        for name in inside or [name for name in modules() if name == f"treadle.{part}"]:
            text = name.rpartition(".")[2]
            width = len(text) * CHARACTER + 0.2
            if x + width > CHIPS_END - 0.1:
                x, row = CHIPS_START, row + 1
            chips.append(Chip(name, text, x + 0.1, row, width))
            x += width + 0.1
        if x > CHIPS_START:
            x += 0.25  # between two packages of one layer
    return chips


def colour_of(place: int, count: int) -> tuple[float, float, float]:
    share = place / max(count - 1, 1) * (len(SHADES) - 1)
    shade = min(int(share), len(SHADES) - 2)
    pairs = zip(SHADES[shade], SHADES[shade + 1], strict=True)
    red, green, blue = (start + (end - start) * (share - shade) for start, end in pairs)
    return red, green, blue


def draw() -> None:
    """Draw the picture: bands are layers, boxes are modules, arcs are imports from layer to layer."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    present = [layer for layer in layers() if chips_of(layer)]
    placed = [chips_of(layer) for layer in present]
    heights = [(max(chip.row for chip in chips) + 1) * ROW_HEIGHT + 0.1 for chips in placed]
    height = sum(heights) + BAND_GAP * (len(heights) - 1) + 2.15
    figure = pyplot.figure(figsize=(WIDTH, height), facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")

    top = 1.05
    middles = []
    for place, (layer, chips, band) in enumerate(zip(present, placed, heights, strict=True)):
        colour = colour_of(place, len(present))
        _draw_layer(axes, (layer, chips), (top, band), colour)
        middles.append(top + band / 2)
        top += band + BAND_GAP
    _draw_words(axes, height, *_draw_arcs(axes, present, middles))
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=110, metadata={"Software": None})


def _draw_layer(
    axes: Any, what: tuple[list[str], list[Chip]], where: tuple[float, float], colour: tuple[float, float, float]
) -> None:
    from matplotlib.patches import FancyBboxPatch, Rectangle

    (layer, chips), (top, band) = what, where
    style = f"round,pad=0,rounding_size={CHIP_HEIGHT / 4}"
    axes.add_patch(
        FancyBboxPatch((CHIPS_START, top), CHIPS_END - CHIPS_START, band, boxstyle=style, fc=(*colour, 0.10), ec="none")
    )
    label = (
        "\n".join(" | ".join(layer[at : at + 2]) for at in range(0, len(layer), 2))
        if len(layer) > 3
        else " | ".join(layer)
    )
    axes.text(LABEL_END, top + band / 2, label, ha="right", va="center", color=colour, fontsize=10, fontweight="bold")
    about = _about(layer)
    room = CHIPS_END - 0.4 - max(chip.x + chip.width for chip in chips)
    if len(about) * CHARACTER <= room and chips[-1].row == 0:
        axes.text(CHIPS_END - 0.15, top + band / 2, about, ha="right", va="center", color=FAINT, fontsize=FONT_SIZE)
    for chip in chips:
        y = top + 0.05 + chip.row * ROW_HEIGHT + (ROW_HEIGHT - CHIP_HEIGHT) / 2
        box = FancyBboxPatch((chip.x, y), chip.width, CHIP_HEIGHT, boxstyle=style, lw=0.8)
        box.set(facecolor=PURE_FILL if PURE.match(chip.module) else PAPER, edgecolor=(*colour, 0.55))
        axes.add_patch(box)
        axes.text(
            chip.x + chip.width / 2, y + CHIP_HEIGHT * 0.45, chip.text,
            ha="center", va="center", family="DejaVu Sans Mono", fontsize=FONT_SIZE, color=INK,
        )  # fmt: skip
        share = len(modules()[chip.module].read_text().splitlines()) / LINE_LIMIT
        bar = Rectangle(
            (chip.x, y + CHIP_HEIGHT - 0.035), chip.width * min(share, 1), 0.035, fc=(*colour, 0.75), ec="none"
        )
        axes.add_patch(bar)
        bar.set_clip_path(box)


def _about(layer: list[str]) -> str:
    """What a layer of one module or package is, from that one's docstring."""
    names = [f"treadle.{part}" for part in layer if f"treadle.{part}" in modules()]
    return first_line(names[0]).rstrip(".") if len(names) == 1 else ""


def _draw_arcs(axes: Any, present: list[list[str]], middles: list[float]) -> tuple[int, int]:
    """One half-ellipse for each pair of layers, thicker for more imports; gives (imports, those of them that point up)."""
    from matplotlib.patches import Arc

    place_of = {part: place for place, layer in enumerate(present) for part in layer}
    pairs = Counter(
        (place_of[each.importer.split(".")[1]], place_of[each.imported.split(".")[1]])
        for each in imports()
        # a module that has no layer as yet is the tests' business
        if not each.is_type_only and layer_of(each.importer) >= 0 and layer_of(each.imported) >= 0
    )
    reach = WIDTH - MARGIN - ARC_START
    for (above, below), number in sorted(pairs.items(), key=lambda item: -abs(item[0][0] - item[0][1])):
        if above == below:
            continue
        start, end = middles[above], middles[below]
        span = abs(end - start)
        bulge = 2 * reach * (span / (middles[-1] - middles[0])) ** 0.75
        is_upward = above > below
        axes.add_patch(
            Arc(
                (ARC_START, (start + end) / 2), bulge, span, theta1=-90, theta2=90,
                color=INK if is_upward else colour_of(above, len(present)),
                lw=0.5 + 0.75 * number**0.5, alpha=0.9 if is_upward else 0.5, ls=(0, (2, 2)) if is_upward else "-",
            )
        )  # fmt: skip
    for place, middle in enumerate(middles):
        axes.plot(ARC_START, middle, "o", ms=4, color=colour_of(place, len(present)), zorder=3)
    upward = sum(number for (above, below), number in pairs.items() if above > below)
    return sum(pairs.values()), upward


def _draw_words(axes: Any, height: float, number: int, upward: int) -> None:
    code = sum(len(path.read_text().splitlines()) for path in modules().values())
    axes.text(MARGIN, 0.42, "Treadle, layer by layer", fontsize=19, fontweight="bold", color=INK, va="center")
    up = f"{upward} deferred one up" if upward else "none of them up"
    summary = f"{len(modules())} modules, {code:,} lines, {number} imports among them, {up}"
    axes.text(MARGIN, 0.77, summary, fontsize=10.5, color=FAINT, va="center")
    legend = (
        "A band is a layer: it may import from the bands below it, not from those above.   "
        f"The line under a module fills up at {LINE_LIMIT} lines, the most it may have.   Green: pure.\n"
        "An arc is the imports from one layer to another, thicker for more.   "
        "Dashed: a deferred import, one line inside a method, which the API asks for."
    )
    axes.text(MARGIN, height - 0.52, legend, fontsize=9, color=INK, va="center", linespacing=1.7, alpha=0.8)


if __name__ == "__main__":
    write_table()
    draw()
