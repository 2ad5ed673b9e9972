"""Find dotted names that set an existing key of a mapping: a setting is an error, a parameter a warning."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Iterator, Sequence

from qexp.dotted_names import ABSENT, inside, prefixes
from qexp.grid.axes import Axis
from qexp.grid.expansion import Expansion
from qexp.grid.parameter_sets import ParameterSets
from qexp.grid.validation import item
from qexp.grid.yaml_source import Location
from qexp.model import Json


def refuse_settings(grid: ParameterSets) -> None:
    """Refuse a setting that overwrites a key of a parameter. The reverse is allowed."""
    for setting in grid.settings:
        for above, keys in prefixes(setting):
            for location in _locations(grid, above, keys) if keys else ():
                other = grid.source.place(*location, key=True)
                raise grid.source.error(
                    f"the key {setting!r} is used twice: by this setting and by a parameter ({other}); "
                    "give it in one place",
                    *("settings", setting),
                    key=True,
                )


def _has(value: Json, keys: Sequence[str]) -> bool:
    return inside(value, keys) is not ABSENT


def _locations(grid: ParameterSets, name: str, keys: tuple[str, ...]) -> Iterator[Location]:
    """Yield the locations of a parameter's mappings that have a value below some keys."""
    for axis in grid.axes_by_name.get(name, ()):
        for index in _rows_with(axis, name, keys):
            location = axis.location_of(name)
            yield (*location, *item(grid.source.data, location, index))
    for index, row in enumerate(grid.include):
        if _has(row.get(name), keys):
            yield ("include", index, name)


def _rows_with(axis: Axis, name: str, keys: tuple[str, ...]) -> list[int]:
    column = axis.columns[axis.names.index(name)]
    if isinstance(column, range | array):
        return []
    return [index for index, value in enumerate(column) if _has(value, keys)]


def warnings(grid: ParameterSets) -> Iterator[str]:
    """Yield a warning for each dotted name that hides a value of a mapping."""
    for name, axes in grid.axes_by_name.items():
        for above, keys in prefixes(name):
            for other in grid.axes_by_name.get(above, ()) if keys else ():
                for axis in axes:
                    rows = _rows_with(other, above, keys)
                    if rows and _together(grid, axis, other, rows):
                        location = other.location_of(above)
                        hidden = grid.source.place(*location, *item(grid.source.data, location, rows[0]))
                        here = grid.source.place(*axis.location_of(name), key=True)
                        yield f"{here}: {name!r} hides the values that mappings of {above!r} have there ({hidden})"


def _together(grid: ParameterSets, axis: Axis, other: Axis, rows: list[int]) -> bool:
    """Return whether any combination has both the axis and one of these rows of the other axis."""
    columns = tuple([column[index] for index in rows] for column in other.columns)
    fewer = dataclasses.replace(other, columns=columns)
    if axis is other:
        return True
    axes = [fewer if one is other else one for one in grid.axes]
    return Expansion(axes, grid.expansion.exclude).example(present=[axis, fewer]) is not None
