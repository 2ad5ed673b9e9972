"""A grid is held against the function that it names: names, and values as the annotations have them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from qexp.errors import nearest
from qexp.grid.checks import item, place_of
from qexp.grid.expansion import Axis
from qexp.grid.grid import Grid
from qexp.grid.reader import Part
from qexp.model import Json


class Taker(Protocol):
    """What a grid must know of a function."""

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def required(self) -> tuple[str, ...]: ...

    def accepts(self, name: str) -> bool:
        """Say whether the function takes a name."""

    def converts(self, name: str) -> bool:
        """Say whether the function annotates a name, so that values become what the annotation says."""

    def canonical(self, name: str, value: Json) -> Json:
        """Return a value as the function's annotation spells it; ValueError refuses it."""


def bind(grid: Grid, taker: Taker) -> Grid:
    """Return the grid with its values as the function has them, or a GridError at the parameter that does not fit."""
    _check_names(grid, taker)
    bound = grid.with_values(
        [_axis(grid, axis, taker) for axis in grid.axes],
        [_row(grid, row, ("include", index), taker) for index, row in enumerate(grid.include)],
        [_rule(rule, taker) for rule in grid.exclude],
    )
    _row(grid, grid.settings, ("settings",), taker)
    names = [*grid.names, *grid.settings]
    return dataclasses.replace(bound, untyped=frozenset(name for name in names if not taker.converts(name)))


def _check_names(grid: Grid, taker: Taker) -> None:
    for name in [*grid.names, *grid.settings]:
        if not taker.accepts(name):
            problem = f"the function {grid.function} takes no {name!r}{nearest(name, taker.names)}"
            raise grid.source.error(problem, *grid.where(name), key=True)
    always = {name for axis in grid.axes if axis.condition is None for name in axis.names}
    rows: list[tuple[tuple[Part, ...], set[str]]] = [(("parameters",), always)] if grid.axes else []
    rows += [(("include", index), set(row)) for index, row in enumerate(grid.include)]
    rows = rows or [(("function",), set())]  # one experiment, without parameters
    for place, given in rows:
        for name in taker.required:
            if name in given or name in grid.settings:
                continue
            conditional = place == ("parameters",) and name in grid.names and grid.where(name)[0] == "when"
            problem = "which only some experiments have; give it a default" if conditional else "which is not given"
            raise grid.source.error(
                f"the function {grid.function} requires {name!r}, {problem}",
                *(grid.where(name) if conditional else place),
            )


def _axis(grid: Grid, axis: Axis, taker: Taker) -> Axis:
    columns = tuple(
        _column(grid, axis, name, column, taker) for name, column in zip(axis.names, axis.columns, strict=True)
    )
    condition = axis.condition
    return Axis(axis.names, columns, axis.place, condition)


def _column(grid: Grid, axis: Axis, name: str, column: Sequence[Json], taker: Taker) -> Sequence[Json]:
    """Return the converted column, or the one there is where conversion changes nothing: it may be long."""
    changed: list[Json] | None = None
    for index, value in enumerate(column):
        try:
            converted = taker.canonical(name, value)
        except ValueError as error:
            place = place_of(axis, name)
            below = item(grid.source.data, place, index)
            raise grid.source.error(f"parameter {name!r}: {error}", *place, *below) from error
        if changed is None and not (type(converted) is type(value) and converted == value):
            changed = list(column[:index])
        if changed is not None:
            changed.append(converted)
    return column if changed is None else changed


def _row(grid: Grid, row: Mapping[str, Json], place: tuple[Part, ...], taker: Taker) -> dict[str, Json]:
    converted = {}
    for name, value in row.items():
        try:
            converted[name] = taker.canonical(name, value)
        except ValueError as error:
            raise grid.source.error(f"{place[0]}: {name!r}: {error}", *place, name) from error
    return converted


def _rule(rule: Mapping[str, Json], taker: Taker) -> dict[str, Json]:
    return {
        name: list(_lenient(name, values, taker)) if isinstance(values, list) else next(_lenient(name, [values], taker))
        for name, values in rule.items()
    }


def _lenient(name: str, values: Iterable[Json], taker: Taker) -> Iterator[Json]:
    """Convert the values of a rule as far as they can be: one that cannot matches nothing, which warns."""
    for value in values:
        try:
            yield taker.canonical(name, value)
        except ValueError:
            yield value
