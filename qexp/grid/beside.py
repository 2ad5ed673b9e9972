"""What stands beside a value: an argument of several dotted names can only be converted as a whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from qexp.dotted_names import head, owner
from qexp.grid.expansion import Expansion
from qexp.grid.levels import Axis, Marks, bits_of, marks_of
from qexp.grid.rules import Rule
from qexp.model import Json

if TYPE_CHECKING:
    from qexp.grid.grid import Grid

_EXAMPLES = 2_000
"""Kinds of rows of all axes, as rules tell them apart, for each of which a combination is looked for."""
_CANDIDATES = 20
"""Rows of an axis beside which a rule's value is tried."""

_Ready = tuple[list[Axis], list[Rule], Marks]


class Beside:
    """The axes and rules of a grid while they are converted, and the combinations that they give meanwhile."""

    def __init__(self, grid: Grid) -> None:
        self._settings = grid.settings
        self._places = {
            int(axis.condition.place[1]): axis.condition.place for axis in grid.axes if axis.condition is not None
        }
        self.axes = list(grid.axes)
        self.conditions = {entry: dict(grid.file.when[entry].condition) for entry in self._places}
        self.exclude = [dict(rule) for rule in grid.exclude]
        self.changed()

    def set_columns(self, number: int, columns: Sequence[Sequence[Json]]) -> None:
        """Give an axis other values."""
        if any(new is not old for new, old in zip(columns, self.axes[number].columns, strict=True)):
            self.axes[number] = dataclasses.replace(self.axes[number], columns=tuple(columns))
            self.changed()

    def changed(self) -> None:
        """Forget the combinations: a value of an axis or rule has changed."""
        self._ready: _Ready | None = None
        self._found: dict[tuple[int, int], tuple[Mapping[str, Json], bool]] = {}
        self._latest: dict[int, Mapping[str, Json]] = {}

    def renewed(self) -> list[Axis]:
        """Return the axes with their conditions as they are now; those of one entry of `when` share theirs."""
        rules = {entry: Rule.of(written, self._places[entry]) for entry, written in self.conditions.items()}
        return [
            axis if axis.condition is None else dataclasses.replace(axis, condition=rules[int(axis.condition.place[1])])
            for axis in self.axes
        ]

    def of(self, number: int, row: Mapping[str, Json]) -> tuple[dict[str, Json], bool]:
        """
        Return a combination in which an axis has a row, with the settings, and whether the grid has such a one.

        If it has none, because rules exclude them all or a condition never holds, it is one without `exclude`.
        """
        if self._ready is None:
            axes, exclude = self.renewed(), [Rule.of(rule) for rule in self.exclude]
            rules = [*exclude, *(axis.condition for axis in axes if axis.condition is not None)]
            self._ready = axes, exclude, marks_of(rules, {name for axis in axes for name in axis.names})
        key = number, bits_of(row, self._ready[2])
        if key not in self._found:
            is_far = len(self._found) >= _EXAMPLES and number in self._latest
            self._found[key] = (self._latest[number], False) if is_far else _example(self._ready, number, row)
            self._latest[number] = self._found[key][0]
        found, is_real = self._found[key]
        return {**self._settings, **found, **row}, is_real

    def candidates(self, name: str) -> Iterator[Mapping[str, Json]]:
        """Yield combinations beside which a rule's value of *name* may stand."""
        for number, axis in enumerate(self.axes):
            if owner(name, axis.names) is not None:
                for row in islice(axis.sets(), _CANDIDATES):
                    beside, _ = self.of(number, row)
                    yield {other: one for other, one in beside.items() if head(other) == head(name)}


def _example(ready: _Ready, number: int, row: Mapping[str, Json]) -> tuple[Mapping[str, Json], bool]:
    """Return a combination in which an axis has a row, and whether no rule excludes it; {} if there is none."""
    axes, exclude, _ = ready
    alone = dataclasses.replace(axes[number], columns=tuple([row[name]] for name in axes[number].names))
    axes = [*axes[:number], alone, *axes[number + 1 :]]
    for rules in (exclude, []):
        found = Expansion(axes, rules).where(present=[alone])
        if found is not None:
            return found, rules is exclude
    return {}, False
