"""Check the names of a grid against its function, and convert values to the annotated types."""

from __future__ import annotations

import dataclasses
import keyword
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Protocol

from qexp.dotted_names import head, owner
from qexp.errors import GridError, nearest
from qexp.grid.axes import Axis
from qexp.grid.example_combinations import Examples, same_argument
from qexp.grid.grid import Grid
from qexp.grid.validation import concerned, item
from qexp.grid.yaml_source import Location
from qexp.model import Json, canonical, describe


class FunctionSignature(Protocol):
    """The parts of a function's signature that a grid needs."""

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def required(self) -> tuple[str, ...]: ...

    def accepts(self, name: str) -> bool:
        """Return whether the function has an argument for a name, or for the first part of a dotted name."""

    def converts(self, name: str) -> bool:
        """Return whether the argument of a name has an annotation."""

    def canonical(self, name: str, value: Json, beside: Mapping[str, Json] | None = None) -> Json:
        """Return a value converted to the annotation, together with the values *beside* it. Raises ValueError."""


def bind(grid: Grid, signature: FunctionSignature) -> Grid:
    """Return the grid with values converted for the function. Raises GridError for a parameter that does not fit."""
    _check_names(grid, signature)
    bound = _Binding(grid, signature).bound()
    _check_required(bound, signature)
    _check_arguments(bound, signature)
    names = [*grid.names, *grid.settings]
    return dataclasses.replace(bound, untyped=frozenset(name for name in names if not signature.converts(name)))


def _check_names(grid: Grid, signature: FunctionSignature) -> None:
    for name in [*grid.names, *grid.settings]:
        if not signature.accepts(name):
            problem = f"the function {grid.function} takes no {head(name)!r}{nearest(name, signature.names)}"
            if "." in name:
                problem += f"; {name!r} sets a key of it"
            if not head(name).isidentifier() or keyword.iskeyword(head(name)):
                problem += "; Python has no argument of that name: only a function with **params takes it"
            raise grid.source.error(problem, *grid.location_of(name), key=True)
    rows: list[tuple[Location, Collection[str]]] = [(("parameters",), grid.axes_by_name)] if grid.axes else []
    rows += [(("include", index), row) for index, row in enumerate(grid.include)]
    rows = rows or [(("function",), ())]  # one experiment, without parameters
    for location, names in rows:
        arguments = {head(name) for name in [*names, *grid.settings]}
        for name in signature.required:
            if name not in arguments:
                raise grid.source.error(
                    f"the function {grid.function} requires {name!r}, which is not given", *location
                )


def _check_required(grid: Grid, signature: FunctionSignature) -> None:
    """Refuse a combination without a required argument: its condition may not hold there."""
    settings = set(map(head, grid.settings))
    for argument in signature.required:
        names = [name for name in grid.axes_by_name if head(name) == argument]
        giving = [axis for name in names for axis in grid.axes_by_name[name]]
        if not giving or argument in settings or any(axis.condition is None for axis in giving):
            continue
        without = grid.expansion.example(absent=giving)
        if without is not None:
            raise grid.source.error(
                f"the function {grid.function} requires {argument!r}, which is not given where "
                f"{concerned(without, *giving)}; give it a default",
                *grid.location_of(names[0]),
            )


_TRIED = 10_000
"""The most combinations whose mappings are converted here; later ones are checked when they run."""


def _check_arguments(grid: Grid, signature: FunctionSignature) -> None:
    """Refuse an argument whose dotted names do not fit together."""
    arguments = {head(name) for name in [*grid.names, *grid.settings] if "." in name}
    seen: set[str] = set()
    for row in islice(grid, _TRIED) if arguments else ():
        parts: dict[str, dict[str, Json]] = {}
        for name, value in {**grid.settings, **row}.items():
            if head(name) in arguments:
                parts.setdefault(head(name), {})[name] = value
        for part in parts.values():
            text = canonical(part)
            if text not in seen:
                seen.add(text)
                _check_argument(grid, signature, part)


def _check_argument(grid: Grid, signature: FunctionSignature, part: Mapping[str, Json]) -> None:
    name = max(part, key=lambda name: name.count("."))
    try:
        signature.canonical(name, part[name], part)
    except ValueError as error:
        raise _misfit(grid, error, name, part) from error


def _misfit(grid: Grid, error: ValueError, name: str, part: Mapping[str, Json]) -> GridError:
    """Return the error about an argument of several names, at the wrong name if it is known."""
    if (above := getattr(error, "above", None)) is not None:  # the error is about a key of a value that is no mapping
        found = owner(above, part)
        other = f" ({grid.source.place(*_written(grid, found[0], part))})" if found else ""
        return grid.source.error(f"{error}{other}", *grid.location_of(getattr(error, "name", name)), key=True)
    keys = map(str, getattr(error, "keys", ()))
    found = owner(".".join([head(name), *keys]), part)
    blamed = found[0] if found else name
    shown = describe(same_argument(name, part))
    return grid.source.error(f"parameter {blamed!r}: {error}, where {shown}", *_written(grid, blamed, part))


def _written(grid: Grid, name: str, part: Mapping[str, Json]) -> Location:
    """Return the location of a name's value in a combination, otherwise the location of the name."""
    for axis in grid.axes_by_name.get(name, ()):
        column = axis.columns[axis.names.index(name)]
        if part[name] in column:
            location = axis.location_of(name)
            return (*location, *item(grid.source.data, location, list(column).index(part[name])))
    return grid.location_of(name)


class _Binding:
    """Converts the values of a grid: first arguments with one name, then arguments with several names."""

    def __init__(self, grid: Grid, signature: FunctionSignature) -> None:
        self._grid, self._signature = grid, signature
        dotted = [name for name in [*grid.names, *grid.settings] if "." in name]
        self._arguments = {head(name) for name in dotted if signature.converts(name)}
        self._examples = Examples(grid)

    def bound(self) -> Grid:
        """Return the grid with all values converted."""
        examples = self._examples
        for number, axis in enumerate(examples.axes):
            examples.set_columns(number, [self._column(axis, name) for name in axis.names])
        for rule in [*examples.conditions.values(), *examples.exclude]:
            self._convert_rule(rule, alone=True)
        examples.forget()
        self._convert_together()
        self._row(self._grid.settings, ("settings",))
        include = [self._row(row, ("include", index)) for index, row in enumerate(self._grid.include)]
        return self._grid.with_values(examples.current_axes(), include, examples.exclude)

    def _convert_together(self) -> None:
        """Convert arguments with several names, in the order of the axes, since a condition reads earlier axes."""
        examples, converted = self._examples, set()
        for number, axis in enumerate(examples.current_axes()):
            if axis.condition is not None and (entry := int(axis.condition.location[1])) not in converted:
                converted.add(entry)
                if self._convert_rule(examples.conditions[entry], alone=False):
                    examples.forget()
            if any(self._is_together(name) for name in axis.names):
                examples.set_columns(number, self._columns_together(number))
        for rule in examples.exclude:
            self._convert_rule(rule, alone=False)

    def _is_together(self, name: str) -> bool:
        return head(name) in self._arguments

    def _column(self, axis: Axis, name: str) -> Sequence[Json]:
        """Return the converted column, or the same object if nothing changes, since a column may be long."""
        column = axis.columns[axis.names.index(name)]
        if self._is_together(name):
            return column
        changed: list[Json] | None = None
        for index, value in enumerate(column):
            try:
                converted = self._signature.canonical(name, value)
            except ValueError as error:
                location = axis.location_of(name)
                below = item(self._grid.source.data, location, index)
                raise self._grid.source.error(f"parameter {name!r}: {error}", *location, *below) from error
            if changed is None and converted is not value:
                changed = list(column[:index])
            if changed is not None:
                changed.append(converted)
        return column if changed is None else changed

    def _columns_together(self, number: int) -> list[Sequence[Json]]:
        """Return the columns of an axis; convert each value beside its argument's other values in an example."""
        axis = self._examples.axes[number]
        columns: list[list[Json]] = [[] for _ in axis.names]
        for row in axis.sets():
            params, is_real = self._examples.with_row(number, row)
            for name, column in zip(axis.names, columns, strict=True):
                value = row[name]
                if self._is_together(name):
                    others = same_argument(name, params)
                    try:
                        value = self._signature.canonical(name, value, others)
                    except ValueError as error:
                        if is_real:
                            raise _misfit(self._grid, error, name, others) from error
                column.append(value)
        return [
            old if all(one is other for one, other in zip(new, old, strict=True)) else new
            for new, old in zip(columns, axis.columns, strict=True)
        ]

    def _row(self, row: Mapping[str, Json], location: Location) -> dict[str, Json]:
        settings = self._grid.settings
        converted = {}
        for name, value in row.items():
            if self._is_together(name) and row is settings:
                continue  # _check_arguments converts them together with parameters
            try:
                beside = {**settings, **row} if self._is_together(name) else None
                converted[name] = self._signature.canonical(name, value, beside)
            except ValueError as error:
                raise self._grid.source.error(f"{location[0]}: {name!r}: {error}", *location, name) from error
        return converted

    def _convert_rule(self, rule: dict[str, Json], alone: bool) -> bool:
        """
        Convert the values of a rule; return whether any changed.

        A value that cannot be converted stays. It matches nothing, which causes a warning.
        """
        before = dict(rule)
        for name, values in before.items():
            if alone is not (self._is_together(name) or "." in name):
                convert = self._alone if alone else self._together
                listed = values if isinstance(values, list) else [values]
                converted = [convert(name, value) for value in listed]
                if any(new is not old for new, old in zip(converted, listed, strict=True)):
                    rule[name] = converted if isinstance(values, list) else converted[0]
        return any(rule[name] is not values for name, values in before.items())

    def _alone(self, name: str, value: Json) -> Json:
        try:
            return self._signature.canonical(name, value)
        except ValueError:
            return value

    def _together(self, name: str, value: Json) -> Json:
        if self._signature.converts(name):
            for beside in self._examples.candidates(name):
                try:
                    return self._signature.canonical(name, value, beside)
                except ValueError:
                    continue
        return value
