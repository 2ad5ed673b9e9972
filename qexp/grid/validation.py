"""Checks of a grid beyond its schema: repeated names and values, rules about unknown names, the size."""

from __future__ import annotations

import itertools
import math
from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from qexp.dotted_names import owner, prefixes
from qexp.errors import nearest
from qexp.grid.axes import Axis
from qexp.grid.parameter_sets import ParameterSets
from qexp.grid.rules import Rule
from qexp.grid.yaml_source import Location
from qexp.model import Json, canonical, describe, plain

MAX_EXPERIMENTS = 100_000_000
"""The most experiments of a grid."""


def size(grid: ParameterSets) -> None:
    """Refuse a grid without experiments or with too many."""
    if not grid.total:
        raise grid.source.error("the grid is empty: every combination is excluded")
    if grid.total > MAX_EXPERIMENTS:
        number = f"{grid.total:,}" if grid.total < 10**40 else f"over 10^{math.floor(math.log10(grid.total))}"
        raise grid.source.error(f"the grid has {number} experiments, expected at most {MAX_EXPERIMENTS:,}")


def names(grid: ParameterSets) -> None:
    """Refuse a name with two meanings, and a rule or condition about an unknown name."""
    for name, axes in grid.axes_by_name.items():
        for one, other in itertools.pairwise(axes):
            if one.condition is None or other.condition is None or one.condition is other.condition:
                raise grid.source.error(f"the name {name!r} is used twice", *other.location_of(name), key=True)
    _conditions(grid)
    for name in grid.settings:
        if name in grid.names:
            raise grid.source.error(
                f"the name {name!r} is used twice: as a parameter and here", "settings", name, key=True
            )
    for index, rule in enumerate(grid.exclude):
        for name in rule:
            _require(grid, name, grid.axes_by_name, ("exclude", index, name))


def _conditions(grid: ParameterSets) -> None:
    """Refuse a condition about a name that no earlier axis gives, or that a later axis gives too."""
    condition: Rule | None = None
    above: Counter[str] = Counter()
    known: Collection[str] = ()
    for axis in grid.axes:
        if axis.condition is not None and axis.condition is not condition:
            condition, known = axis.condition, set(above)  # a condition does not read parameters of its own entry
            for name in condition.allowed:
                _require(grid, name, known, (*condition.location, name), "above")
                for given, _ in prefixes(name):  # an axis gives a dotted name itself, or a mapping that contains it
                    if above[given] < len(grid.axes_by_name.get(given, ())):
                        problem = f"the name {given!r} is given further below too; move this entry below that"
                        raise grid.source.error(problem, *condition.location, name, key=True)
        above.update(axis.names)


def overlaps(grid: ParameterSets) -> None:
    """Refuse a name that two entries of `when` give in the same combination."""
    for name, axes in grid.axes_by_name.items():
        for one, other in _doubtful(axes):
            found = grid.expansion.example(present=[one, other])
            if found is not None:
                shown = concerned(found, one, other)
                first = grid.source.place(*one.location_of(name), key=True)
                raise grid.source.error(
                    f"the name {name!r} is used twice: {first} gives it too where {shown}",
                    *other.location_of(name),
                    key=True,
                )


def concerned(params: Mapping[str, Json], *axes: Axis) -> str:
    """Return the parameters that the conditions of axes read, as `name=value` pairs."""
    named = {name for axis in axes if axis.condition is not None for name in axis.condition.allowed}
    found = {known[0] for name in named if (known := owner(name, params)) is not None}
    return describe({name: value for name, value in params.items() if name in found})


def _doubtful(axes: Sequence[Axis]) -> Iterator[tuple[Axis, Axis]]:
    """Yield pairs of conditional axes whose conditions do not exclude each other."""
    rules = [axis.condition.allowed for axis in axes if axis.condition is not None]
    for name in rules[0] if len(rules) > 1 else ():
        values = [rule[name] for rule in rules if name in rule]
        if len(values) == len(rules) and len(frozenset().union(*values)) == sum(map(len, values)):
            return
    for one, other in itertools.combinations(axes, 2):
        if one.condition is not None and other.condition is not None and not one.condition.contradicts(other.condition):
            yield one, other


def _require(grid: ParameterSets, name: str, known: Collection[str], location: Location, where: str = "") -> None:
    if owner(name, known) is not None:
        return
    late = owner(name, [one for axis in grid.axes if axis.drawn or _is_seeds(axis) for one in axis.names])
    if where and late is not None:
        problem = f"found {name!r}, expected a parameter that stands above; draws and seeds come after 'when'"
        repair = "list its values instead" if late[0] != "seed" else "list the seeds as a parameter instead"
        raise grid.source.error(f"{problem}: {repair}", *location, key=True)
    missing = f"no parameter {where} is named" if where else "no parameter is named"
    raise grid.source.error(f"{missing} {name!r}{nearest(name, known)}", *location, key=True)


def _is_seeds(axis: Axis) -> bool:
    return axis.locations == (("seeds",),)


def repeats(grid: ParameterSets) -> None:
    """Refuse a value that an axis repeats, and an experiment that `include` repeats."""
    for axis in grid.axes:
        if axis.drawn or all(_is_generated(column) for column in axis.columns):
            continue  # draws may repeat; generated numbers cannot
        seen: set[str] = set()
        for index, params in enumerate(axis.sets()):
            text = canonical(params)
            if text in seen:
                hint = (
                    "; for values that differ in the order of keys, write lists of pairs" if _has_keys(params) else ""
                )
                raise grid.source.error(
                    f"{', '.join(axis.names)!r} has the value {_shown(params)} twice{hint}",
                    *axis.location_of(axis.names[0]),
                    *item(grid.source.data, axis.location_of(axis.names[0]), index),
                )
            seen.add(text)
    rows: set[str] = set()
    for index, row in enumerate(grid.include):
        if not row:
            raise grid.source.error("an experiment of 'include' has no parameters", "include", index)
        text = canonical(row)
        if text in rows:
            raise grid.source.error("this experiment of 'include' is repeated", "include", index)
        rows.add(text)


def _is_generated(column: Sequence[Json]) -> bool:
    return isinstance(column, range | array)


def _has_keys(params: Mapping[str, Json]) -> bool:
    """Say whether a value has a mapping with several keys, whose order does not count."""
    return any(isinstance(part, Mapping) and len(part) > 1 for value in params.values() for part in _parts(value))


def _parts(value: Json) -> Iterator[Json]:
    """Yield a value, and all values in it."""
    yield value
    if isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _parts(item)


def _shown(params: Mapping[str, Json]) -> str:
    return ", ".join(plain(value) for value in params.values())


def item(data: Any, location: Location, index: int) -> Location:
    """Return the path from an axis's location to its value *index*; the form `values` is one level deeper."""
    written: Any = data
    for part in location:
        written = written[part]
    return ("values", index) if isinstance(written, Mapping) and "values" in written else (index,)
