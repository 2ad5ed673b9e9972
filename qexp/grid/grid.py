"""The grid of a study, validated before its first parameter set is used."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from qexp.default_field_marks import marked
from qexp.grid import key_conflicts, text_warnings, validation
from qexp.grid.assignments import Assignment
from qexp.grid.axes import Axis, axes_of
from qexp.grid.object_round_trip import instances_in
from qexp.grid.overlay import layered, layered_data, overlaid
from qexp.grid.parameter_sets import ParameterSets
from qexp.grid.schema import GridFile, validate
from qexp.grid.yaml_source import LocatedData, Location
from qexp.model import Json, counted
from qexp.serialization import KEY_TYPES, NotDataError, to_json


class Grid(ParameterSets):
    """
    The parameter sets of a study. Iterating yields them in order: axes first, `include` last.

    >>> grid = Grid.from_dict({"study": "demo", "function": "m:f", "parameters": {"lr": [0.1, 0.01], "depth": 3}})
    >>> len(grid), list(grid)[1]
    (2, {'lr': 0.01, 'depth': 3})
    """

    @classmethod
    def load(cls, path: str | Path, assignments: Sequence[str | Assignment] = ()) -> Grid:
        """
        Read a grid file and apply *assignments* such as `lr=1e-3,1e-4`.

        Raises GridError with the file, the line and the expected value.
        """
        path = Path(path)
        parsed = [Assignment.from_text(one) if isinstance(one, str) else one for one in assignments]
        source = layered(path, parsed)
        return cls._of(source, validate(source, path.stem), path.absolute().parent)

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], folder: str | Path | None = None, assignments: Sequence[Assignment] = ()
    ) -> Grid:
        """
        Make a grid from a mapping with the keys of a grid file; numpy values, tuples and ranges are allowed.

        *folder* has the module of the function; None means that it is installed, or that this program imports it.
        """
        try:
            plain = marked(to_json(dict(data), finite=True, keys=KEY_TYPES), data)
        except NotDataError as error:
            expected = "" if "expected" in error.problem else "; expected values that JSON can hold"
            raise LocatedData("grid", None).error(f"{error.problem}{expected}", *error.path) from error
        source = layered_data(plain, assignments)
        grid = cls._of(source, validate(source, None), None if folder is None else Path(folder))
        return dataclasses.replace(grid, instances=instances_in(data))

    def over(self, assignments: Sequence[Assignment]) -> Grid:
        """Return the grid after *assignments*, as `load` applies them."""
        source = overlaid(self.source, assignments)
        grid = self._of(source, validate(source, self.study), self.folder)
        return dataclasses.replace(grid, instances=self.instances)

    def __repr__(self) -> str:
        counts = [f"{name} ({len(column)})" for axis in self.axes for name, column in _columns_of(axis)]
        names = f"; {', '.join(counts)}" if counts else ""
        included = f"; {len(self.include)} included" if self.include else ""
        return f"<Grid {self.study}: {counted(len(self), 'experiment')} of {self.function}{names}{included}>"

    @classmethod
    def _of(cls, source: LocatedData, file: GridFile, folder: Path | None) -> Grid:
        if file.folder is not None:
            folder = Path(file.folder)
            if not folder.is_dir():
                raise source.error(f"folder: there is no folder {folder}", "folder")
        axes = tuple(axes_of(source, file))
        grid = cls(file, axes, tuple(file.include), tuple(file.exclude), folder, source)
        validation.names(grid)
        key_conflicts.refuse_settings(grid)
        validation.overlaps(grid)
        validation.repeats(grid)
        validation.size(grid)
        return grid

    def warnings(self) -> list[str]:
        """Return warnings about likely mistakes."""
        idle = [
            f"{self.source.place(*rule.location)}: {_IDLE[str(rule.location[0])]}"
            for rule in self.expansion.unmatched_rules()
        ]
        held = [
            f"{self.source.place('include', index)}: this experiment is in the product already"
            for index, is_held in enumerate(self.held)
            if is_held
        ]
        fewer = [
            f"{self.source.place(*axis.locations[0])}: {axis.repeats} of the draws repeat others and are left out"
            for axis in self.axes
            if axis.repeats
        ]
        root = self.source.root
        texts = text_warnings.warnings(root, self.untyped) if root is not None and self.untyped else ()
        return list(dict.fromkeys([*idle, *held, *fewer, *key_conflicts.warnings(self), *texts]))

    def location_of(self, name: str) -> Location:
        """Return the location of a name in the file."""
        if name in self.axes_by_name:
            return self.axes_by_name[name][0].location_of(name)
        for index, row in enumerate(self.include):
            if name in row:
                return ("include", index, name)
        return ("settings", name)

    def with_values(
        self,
        axes: Sequence[Axis],
        include: Sequence[Mapping[str, Json]],
        exclude: Sequence[Mapping[str, Json]],
    ) -> Grid:
        """Return the grid with converted values. Raises GridError if two of them have become equal."""
        grid = dataclasses.replace(
            self, axes=tuple(axes), include=tuple(include), exclude=tuple(exclude), is_bound=True
        )
        validation.overlaps(grid)
        validation.repeats(grid)
        validation.size(grid)
        return grid


def _columns_of(axis: Axis) -> Iterator[tuple[str, Sequence[Json]]]:
    return zip(axis.names, axis.columns, strict=True)


_IDLE = {
    "exclude": "this rule of 'exclude' matches nothing",
    "when": "this condition of 'when' never holds: none of these parameters is given",
}
