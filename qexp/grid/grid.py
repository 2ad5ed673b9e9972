"""A grid: parameter sets in order, known to be good before the first one is used."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from qexp.errors import nearest
from qexp.grid.expansion import Axis, expand
from qexp.grid.forms import listed
from qexp.grid.reader import Part, Source
from qexp.grid.rules import Rule
from qexp.grid.schema import GridFile, validate
from qexp.model import Json, canonical, plain, to_json

Convert = Callable[[str, Json], Json]
"""Takes a parameter's name and value, returns the value as the function's annotation has it; ValueError refuses it."""


@dataclass(frozen=True)
class Grid:
    """
    The parameter sets of a study. Iterating yields them in order: axes first, `include` last.

    >>> grid = Grid.from_dict({"study": "demo", "function": "m:f", "parameters": {"lr": [0.1, 0.01], "depth": 3}})
    >>> len(grid), list(grid)[1]
    (2, {'lr': 0.01, 'depth': 3})
    """

    study: str
    function: str
    description: str
    queue: str
    settings: Mapping[str, Json]
    axes: tuple[Axis, ...]
    exclude: tuple[Mapping[str, Json], ...]
    include: tuple[Mapping[str, Json], ...]
    folder: Path | None
    """The folder of the grid file, where the function is looked for first; None for a grid given from Python."""
    source: Source

    @classmethod
    def load(cls, path: str | Path) -> Grid:
        """Read a grid file. GridError names the file, the line and what was expected there."""
        path = Path(path)
        source = Source.read(path)
        return cls._of(source, validate(source, path.stem), path.absolute().parent)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], folder: Path | None = None) -> Grid:
        """Take a grid as a mapping with the keys of a grid file; numpy values, tuples and ranges are data too."""
        try:
            plain_data = to_json({key: _unrange(value) for key, value in data.items()})
        except ValueError as error:
            raise Source("grid", None).error(f"{error}; expected values that JSON can hold") from error
        source = Source("grid", plain_data)
        return cls._of(source, validate(source, None), folder)

    @classmethod
    def _of(cls, source: Source, file: GridFile, folder: Path | None) -> Grid:
        grid = cls(
            study=file.study,
            function=file.function,
            description=file.description,
            queue=file.queue,
            settings=file.settings,
            axes=tuple(_axes(source, file)),
            exclude=tuple(file.exclude),
            include=tuple(file.include),
            folder=folder,
            source=source,
        )
        _check_names(grid)
        _check_repeats(grid)
        if next(iter(grid), None) is None:
            raise source.error("the grid is empty: no parameters, or every combination is excluded")
        return grid

    def __iter__(self) -> Iterator[dict[str, Json]]:
        rules = self.rules
        for params in expand(self.axes):
            if not any(rule.matches(params) for rule in rules):
                yield params
        yield from (dict(row) for row in self.beside)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @cached_property
    def rules(self) -> list[Rule]:
        """The rules of `exclude`, ready to match."""
        return [Rule.of(written) for written in self.exclude]

    @cached_property
    def beside(self) -> list[Mapping[str, Json]]:
        """The rows of `include` that the product does not hold already."""
        return [row for row in self.include if not self._in_product(row)]

    def _in_product(self, row: Mapping[str, Json]) -> bool:
        names = {name for axis in self.axes for name in axis.names}
        if not names or names != set(row) or any(rule.matches(row) for rule in self.rules):
            return False
        return all(
            canonical([row[name] for name in axis.names]) in {canonical(list(values)) for values in axis.rows}
            for axis in self.axes
        )

    @property
    def names(self) -> list[str]:
        """Every parameter's name: axes in order, then those that only `include` gives."""
        names = [name for axis in self.axes for name in axis.names]
        names += [name for row in self.include for name in row]
        return list(dict.fromkeys(names))

    def warnings(self) -> list[str]:
        """Return what looks like a mistake but is none; expands the grid once."""
        silent = dict(enumerate(self.rules))
        for params in expand(self.axes):
            if not silent:
                break
            silent = {index: rule for index, rule in silent.items() if not rule.matches(params)}
        idle = [f"{self.source.place('exclude', index)}: this rule of 'exclude' matches nothing" for index in silent]
        held = [
            f"{self.source.place('include', index)}: this experiment is in the product already"
            for index, row in enumerate(self.include)
            if not any(row is other for other in self.beside)
        ]
        return idle + held

    def bind(self, accepts: Callable[[str], bool], required: Sequence[str], names: Sequence[str], to: Convert) -> Grid:
        """
        Return the grid as a function takes it: values converted, or a GridError at the parameter that does not fit.

        *accepts* says whether the function takes a name, *required* are the names without a default, *names* those it
        declares (for the nearest one in a message), *to* converts a value.
        """
        for name in [*self.names, *self.settings]:
            if not accepts(name):
                raise self.source.error(
                    f"the function {self.function} takes no {name!r}{nearest(name, names)}", *self.where(name), key=True
                )
        product = {name for axis in self.axes for name in axis.names}
        rows: list[tuple[tuple[Part, ...], set[str]]] = [(("parameters",), product)] if product else []
        rows += [(("include", index), set(row)) for index, row in enumerate(self.include)]
        for place, given in rows:
            for name in required:
                if name not in given and name not in self.settings:
                    raise self.source.error(
                        f"the function {self.function} requires {name!r}, which is not given", *place
                    )
        bound = dataclasses.replace(
            self,
            axes=tuple(self._converted(axis, to) for axis in self.axes),
            include=tuple(self._row(to, row, "include", index) for index, row in enumerate(self.include)),
            exclude=tuple(self._rule(to, rule) for rule in self.exclude),
        )
        self._row(to, self.settings, "settings")
        _check_repeats(bound)
        return bound

    def where(self, name: str) -> tuple[Part, ...]:
        """Return the location of a name in the file."""
        for index, row in enumerate(self.include):
            if name in row and not any(name in axis.names for axis in self.axes):
                return ("include", index, name)
        if name in self.settings:
            return ("settings", name)
        return ("seeds",) if name == "seed" and _declares_seeds(self.source) else ("parameters", name)

    def _converted(self, axis: Axis, to: Convert) -> Axis:
        rows = []
        for index, row in enumerate(axis.rows):
            converted = []
            for name, value in zip(axis.names, row, strict=True):
                try:
                    converted.append(to(name, value))
                except ValueError as error:
                    location = self.where(name)
                    raise self.source.error(
                        f"parameter {name!r}: {error}", *location, *_item(self, location, index)
                    ) from error
            rows.append(tuple(converted))
        return Axis(axis.names, rows)

    def _row(self, to: Convert, row: Mapping[str, Json], *place: Part) -> dict[str, Json]:
        converted = {}
        for name, value in row.items():
            try:
                converted[name] = to(name, value)
            except ValueError as error:
                raise self.source.error(f"{place[0]}: {name!r}: {error}", *place, name) from error
        return converted

    def _rule(self, to: Convert, rule: Mapping[str, Json]) -> dict[str, Json]:
        """Convert the values of a rule as far as they can be: one that cannot matches nothing, which warns."""

        def convert(name: str, value: Json) -> Json:
            try:
                return to(name, value)
            except ValueError:
                return value

        return {
            name: [convert(name, value) for value in values] if isinstance(values, list) else convert(name, values)
            for name, values in rule.items()
        }


def _unrange(value: Any) -> Any:
    if isinstance(value, range):
        return list(value)
    return {key: _unrange(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _axes(source: Source, file: GridFile) -> Iterator[Axis]:
    for name, written in file.parameters.items():
        try:
            values = listed(written)
        except ValueError as error:
            raise source.error(f"parameter {name!r}: {error}", "parameters", name) from error
        if not values:
            raise source.error(f"parameter {name!r} has no values; expected at least one", "parameters", name)
        yield Axis((name,), [(value,) for value in values])
    if file.seeds is not None:
        seeds = list(range(file.seeds)) if isinstance(file.seeds, int) else file.seeds
        yield Axis(("seed",), [(seed,) for seed in seeds])


def _check_names(grid: Grid) -> None:
    seen: set[str] = set()
    for axis in grid.axes:
        for name in axis.names:
            if name in seen:
                raise grid.source.error(f"the name {name!r} is used twice", *grid.where(name), key=True)
            seen.add(name)
    for name in grid.settings:
        if name in grid.names:
            raise grid.source.error(
                f"the name {name!r} is used twice: as a parameter and here", "settings", name, key=True
            )
    for index, rule in enumerate(grid.exclude):
        for name in rule:
            if name not in seen:
                raise grid.source.error(
                    f"no parameter is named {name!r}{nearest(name, seen)}", "exclude", index, name, key=True
                )


def _check_repeats(grid: Grid) -> None:
    for axis in grid.axes:
        seen: set[str] = set()
        for index, row in enumerate(axis.rows):
            text = canonical(list(row))
            if text in seen:
                name, location = ", ".join(axis.names), grid.where(axis.names[0])
                raise grid.source.error(
                    f"{name!r} has the value {plain(row[0])} twice", *location, *_item(grid, location, index)
                )
            seen.add(text)
    rows: set[str] = set()
    for index, params in enumerate(grid.include):
        if not params:
            raise grid.source.error("an experiment of 'include' has no parameters", "include", index)
        text = canonical(params)
        if text in rows:
            raise grid.source.error("this experiment of 'include' is there twice", "include", index)
        rows.add(text)


def _item(grid: Grid, location: tuple[Part, ...], index: int) -> tuple[Part, ...]:
    """Return where the *index*-th value of an axis stands below the axis: `values` lists them one level deeper."""
    written: Any = grid.source.data
    for part in location:
        written = written[part]
    return ("values", index) if isinstance(written, Mapping) and "values" in written else (index,)


def _declares_seeds(source: Source) -> bool:
    return isinstance(source.data, Mapping) and "seeds" in source.data
