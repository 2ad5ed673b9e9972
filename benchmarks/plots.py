"""Pictures of the record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import Record, Theme, spaced
from benchmarks.suite import Line, short

_GOOD, _BAD, _BESIDE = "#2a7f62", "#c8553d", "#b8bfc6"


def draw(themes: Sequence[Theme], record: Record, folder: Path) -> dict[str, str]:
    """
    Draw the record into a folder and return the files' names by title. Needs matplotlib.

    The same record gives the same files.
    """
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update(
        {"svg.hashsalt": "qexp", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    )
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    lines = [line for _, of in themes for line in of if line.name in record.lines]
    if lines:
        found["targets"] = _save(_targets(lines, record), folder / "targets.svg")
    for title, of in themes:
        pairs = [line for line in of if record.lines.get(line.name, {}).get("beside") is not None]
        if pairs:
            found[title] = _save(_pairs(pairs, record), folder / f"{title.lower().replace(' ', '-')}.svg")
    return found


def _save(figure: Any, path: Path) -> str:
    figure.savefig(path, metadata={"Date": None}, facecolor="white")
    text = path.read_text(encoding="utf-8")
    path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")
    return path.name


def _figure(rows: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.27 * rows + 0.8), layout="constrained")
    return figure, figure.add_subplot()


def _targets(lines: Sequence[Line], record: Record) -> Any:
    """Draw each line relative to its target on a logarithmic scale, with the range of single rounds."""
    figure, axes = _figure(len(lines))
    for row, line in enumerate(lines):
        found = record.lines[line.name]
        share = _clipped(line, found["value"])
        ends = [_clipped(line, value) for value in found["spread"]]
        colour = _GOOD if line.reached(found["value"]) else _BAD
        axes.plot(ends, [row, row], color=colour, linewidth=2, alpha=0.35, solid_capstyle="round")
        axes.plot([share], [row], "o", color=colour, markersize=5)
        axes.annotate(
            _said(line, found["value"]), (1.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=8
        )
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.45), max(high, 2.2))
    ticks = [
        tick
        for tick in (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16, 32)
        if low <= tick <= high or 0.4 < tick < 2.3
    ]
    axes.set_xticks(ticks, [f"1/{1 / tick:.0f}" if tick < 1 else f"{tick:.0f}" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(lines)), [line.name for line in lines])
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.grid(axis="x", color="#e4e7ea", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("times as good as is to be reached")
    return figure


def _clipped(line: Line, value: float) -> float:
    """Return the quality of a value relative to its target, clipped to the axis."""
    return min(40.0, max(1 / 70, line.share(value, line.target)))


def _said(line: Line, value: float) -> str:
    sign = "≥" if line.least is not None else "≤"
    unit = spaced(line.value_unit)
    return f"{short(value)}{unit} ({sign} {short(line.target)})"


def _pairs(lines: Sequence[Line], record: Record) -> Any:
    """Draw the figures of qexp and their references, each pair on its own scale."""
    figure, axes = _figure(2.1 * len(lines))
    for row, line in enumerate(lines):
        found = record.lines[line.name]
        ours, beside = found["ours"], found["beside"]
        goal = line.goal(beside)
        largest, unit = max(ours, beside, goal), spaced(line.unit)
        colour = _GOOD if line.reached(found["value"]) else _BAD
        axes.barh(row - 0.19, ours / largest, height=0.34, color=colour)
        axes.barh(row + 0.19, beside / largest, height=0.34, color=_BESIDE)
        axes.plot([goal / largest] * 2, [row - 0.4, row], color="black", linewidth=1.2)
        for offset, end, text in (
            (-0.19, max(ours, goal), f"qexp: {short(ours)}{unit}"),
            (0.19, beside, f"{line.limit}: {short(beside)}{unit}"),
        ):
            axes.text(end / largest + 0.01, row + offset, text, va="center", fontsize=8)
    axes.set_yticks(range(len(lines)), [line.name for line in lines])
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xlim(0, 1.4)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    best = "longer" if all(line.least is not None for line in lines) else "shorter"
    axes.set_xlabel(f"{best} is better; the black mark is to be reached", fontsize=8)
    return figure
