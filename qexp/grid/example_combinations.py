"""Example combinations of a grid, needed because arguments of several dotted names are converted as a whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from qexp.dotted_names import head, owner
from qexp.grid.axes import Axis
from qexp.grid.expansion import Expansion
from qexp.grid.parameter_sets import ParameterSets
from qexp.grid.rule_masks import RuleMasks, masks_of, matching_bits
from qexp.grid.rules import Rule
from qexp.model import Json

_EXAMPLES = 2_000
"""The most examples to find; all rows of an axis with the same rule bits share one."""
_CANDIDATES = 20
"""Rows of an axis that are tried with a rule's value."""

_Current = tuple[list[Axis], list[Rule], RuleMasks]


class Examples:
    """The axes and rules of a grid during conversion, and example combinations of their current values."""

    def __init__(self, grid: ParameterSets) -> None:
        self._settings = grid.settings
        self._locations = {
            int(axis.condition.location[1]): axis.condition.location for axis in grid.axes if axis.condition is not None
        }
        self.axes = list(grid.axes)
        self.conditions = {entry: dict(grid.file.when[entry].condition) for entry in self._locations}
        self.exclude = [dict(rule) for rule in grid.exclude]
        self.forget()

    def set_columns(self, number: int, columns: Sequence[Sequence[Json]]) -> None:
        """Replace the values of an axis."""
        if any(new is not old for new, old in zip(columns, self.axes[number].columns, strict=True)):
            self.axes[number] = dataclasses.replace(self.axes[number], columns=tuple(columns))
            self.forget()

    def forget(self) -> None:
        """Forget all combinations after a value of an axis or rule has changed."""
        self._current: _Current | None = None
        self._found: dict[tuple[int, int], tuple[Mapping[str, Json], bool]] = {}
        self._latest: dict[int, Mapping[str, Json]] = {}

    def current_axes(self) -> list[Axis]:
        """Return the axes with the current conditions; axes of one entry of `when` share one object."""
        rules = {entry: Rule.of(written, self._locations[entry]) for entry, written in self.conditions.items()}
        return [
            axis
            if axis.condition is None
            else dataclasses.replace(axis, condition=rules[int(axis.condition.location[1])])
            for axis in self.axes
        ]

    def with_row(self, number: int, row: Mapping[str, Json]) -> tuple[dict[str, Json], bool]:
        """
        Return a combination that has a given row of an axis, with the settings, and whether it is in the grid.

        If rules exclude every such combination, it ignores `exclude`. If the axis never exists, it is only the row.
        """
        if self._current is None:
            axes, exclude = self.current_axes(), [Rule.of(rule) for rule in self.exclude]
            rules = [*exclude, *(axis.condition for axis in axes if axis.condition is not None)]
            self._current = axes, exclude, masks_of(rules, {name for axis in axes for name in axis.names})[0]
        key = number, matching_bits(row, self._current[2])
        if key not in self._found:
            is_far = len(self._found) >= _EXAMPLES and number in self._latest
            self._found[key] = (self._latest[number], False) if is_far else _example(self._current, number, row)
            self._latest[number] = self._found[key][0]
        found, is_real = self._found[key]
        return {**self._settings, **found, **row}, is_real

    def candidates(self, name: str) -> Iterator[Mapping[str, Json]]:
        """Yield example values of the argument of *name*, by name: a rule's value is converted beside them."""
        for number, axis in enumerate(self.axes):
            if owner(name, axis.names) is not None:
                for row in islice(axis.sets(), _CANDIDATES):
                    params, _ = self.with_row(number, row)
                    yield same_argument(name, params)


def same_argument(name: str, params: Mapping[str, Json]) -> dict[str, Json]:
    """Return the parameters that belong to the same argument as *name*."""
    return {other: value for other, value in params.items() if head(other) == head(name)}


def _example(current: _Current, number: int, row: Mapping[str, Json]) -> tuple[Mapping[str, Json], bool]:
    """Return a combination that has a given row of an axis, and whether no rule excludes it. Returns {} if none has."""
    axes, exclude, _ = current
    alone = dataclasses.replace(axes[number], columns=tuple([row[name]] for name in axes[number].names))
    axes = [*axes[:number], alone, *axes[number + 1 :]]
    for rules in (exclude, []):
        found = Expansion(axes, rules).example(present=[alone])
        if found is not None:
            return found, rules is exclude
    return {}, False
