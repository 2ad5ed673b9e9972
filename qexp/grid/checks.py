"""What pydantic cannot see of a grid: names used twice, values listed twice, rules about nothing, its size."""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qexp.errors import nearest
from qexp.grid.expansion import Axis
from qexp.grid.reader import Part
from qexp.model import Json, canonical, plain

if TYPE_CHECKING:
    from qexp.grid.grid import Grid


MAX_EXPERIMENTS = 100_000_000
"""Experiments beyond which a grid is a mistake."""


def size(grid: Grid) -> None:
    """Refuse a grid without experiments, and one with more than anybody runs."""
    if not grid.total:
        raise grid.source.error("the grid is empty: every combination is excluded")
    if grid.total > MAX_EXPERIMENTS:
        number = f"{grid.total:,}" if grid.total < 10**40 else f"over 10^{math.floor(math.log10(grid.total))}"
        raise grid.source.error(f"the grid has {number} experiments, expected at most {MAX_EXPERIMENTS:,}")


def names(grid: Grid) -> None:
    """Refuse a name with two meanings, and a rule or condition about a name that has none (yet)."""
    seen: dict[str, None] = {}
    condition, known = None, list(seen)
    for axis in grid.axes:
        if axis.condition is not None and axis.condition is not condition:
            condition, known = axis.condition, list(seen)
            for name in condition.allowed:
                _require(grid, name, known, (*axis.place[:2], "if", name), "above")
        for name in axis.names:
            if name in seen:
                raise grid.source.error(f"the name {name!r} is used twice", *place_of(axis, name), key=True)
            seen[name] = None
    parameters = set(grid.names)
    for name in grid.settings:
        if name in parameters:
            raise grid.source.error(
                f"the name {name!r} is used twice: as a parameter and here", "settings", name, key=True
            )
    for index, rule in enumerate(grid.exclude):
        for name in rule:
            _require(grid, name, seen, ("exclude", index, name))


def _require(grid: Grid, name: str, known: Collection[str], place: tuple[Part, ...], where: str = "") -> None:
    if name not in known:
        missing = f"no parameter {where} is named" if where else "no parameter is named"
        raise grid.source.error(f"{missing} {name!r}{nearest(name, known)}", *place, key=True)


def repeats(grid: Grid) -> None:
    """Refuse a value that an axis has twice, and an experiment that `include` has twice."""
    for axis in grid.axes:
        if axis.place == ("sampling",) or all(_is_sequence_of_its_own(column) for column in axis.columns):
            continue  # draws may repeat; ranges cannot
        seen: set[str] = set()
        for index, params in enumerate(axis.sets()):
            text = canonical(params)
            if text in seen:
                raise grid.source.error(
                    f"{', '.join(axis.names)!r} has the value {_shown(params)} twice",
                    *place_of(axis, axis.names[0]),
                    *item(grid.source.data, place_of(axis, axis.names[0]), index),
                )
            seen.add(text)
    rows: set[str] = set()
    for index, row in enumerate(grid.include):
        if not row:
            raise grid.source.error("an experiment of 'include' has no parameters", "include", index)
        text = canonical(row)
        if text in rows:
            raise grid.source.error("this experiment of 'include' is there twice", "include", index)
        rows.add(text)


def _is_sequence_of_its_own(column: Sequence[Json]) -> bool:
    return isinstance(column, range | array)


def _shown(params: Mapping[str, Json]) -> str:
    return ", ".join(plain(value) for value in params.values())


def place_of(axis: Axis, name: str) -> tuple[Part, ...]:
    """Return where a name of an axis is written."""
    if axis.place[0] == "zip":
        return (*axis.place, name)
    return ("parameters", name) if axis.place == ("sampling",) else axis.place


def item(data: Any, place: tuple[Part, ...], index: int) -> tuple[Part, ...]:
    """Return where the *index*-th value of an axis stands below it: `values` lists them one level deeper."""
    written: Any = data
    for part in place:
        written = written[part]
    return ("values", index) if isinstance(written, Mapping) and "values" in written else (index,)
