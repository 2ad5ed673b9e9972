"""A grid: parameter sets in order, known to be good before the first one is used."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from qexp import jsonb
from qexp.default_fields import marked
from qexp.grid import checks, lint, overlays
from qexp.grid.assignments import Assignment
from qexp.grid.axes import Axis, axes_of
from qexp.grid.expansion import Expansion
from qexp.grid.layers import layered, layered_data, overlaid
from qexp.grid.reader import Location, Source
from qexp.grid.round_trip import instances_in
from qexp.grid.rules import Rule
from qexp.grid.schema import GridFile, validate
from qexp.model import Json, fingerprint, to_text
from qexp.serialization import KEY_TYPES, NotDataError, to_json


@dataclass(frozen=True)
class Grid:
    """
    The parameter sets of a study. Iterating yields them in order: axes first, `include` last.

    >>> grid = Grid.from_dict({"study": "demo", "function": "m:f", "parameters": {"lr": [0.1, 0.01], "depth": 3}})
    >>> len(grid), list(grid)[1]
    (2, {'lr': 0.01, 'depth': 3})
    """

    file: GridFile
    axes: tuple[Axis, ...]
    include: tuple[Mapping[str, Json], ...]
    exclude: tuple[Mapping[str, Json], ...]
    folder: Path | None
    """The folder that the function is imported from first; None: it is installed."""
    source: Source
    untyped: frozenset[str] = frozenset()
    """Names that the function does not annotate, so their values stay as written; empty before `bind`."""
    is_bound: bool = False
    """Its values are converted for its function."""
    instances: Mapping[Location, Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)
    """Objects that were given from Python, by their places in the grid."""

    @classmethod
    def load(cls, path: str | Path, assignments: Sequence[str | Assignment] = ()) -> Grid:
        """
        Read a grid file, with *assignments* such as `lr=1e-3,1e-4` laid over it.

        GridError names the file, the line and what was expected there.
        """
        path = Path(path)
        parsed = [Assignment.from_text(one) if isinstance(one, str) else one for one in assignments]
        source = layered(path, parsed)
        return cls._of(source, validate(source, path.stem), path.absolute().parent)

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], folder: Path | None = None, assignments: Sequence[Assignment] = ()
    ) -> Grid:
        """Take a grid as a mapping with the keys of a grid file; numpy values, tuples and ranges are data too."""
        try:
            plain = marked(to_json(dict(data), finite=True, keys=KEY_TYPES), data)
        except NotDataError as error:
            expected = "" if "expected" in error.problem else "; expected values that JSON can hold"
            raise Source("grid", None).error(f"{error.problem}{expected}", *error.path) from error
        source = layered_data(plain, assignments)
        grid = cls._of(source, validate(source, None), folder)
        return dataclasses.replace(grid, instances=instances_in(data))

    def over(self, assignments: Sequence[Assignment]) -> Grid:
        """Return the grid with *assignments* laid over it, as `load` does."""
        source = overlaid(self.source, assignments)
        grid = self._of(source, validate(source, self.study), self.folder)
        return dataclasses.replace(grid, instances=self.instances)

    @classmethod
    def _of(cls, source: Source, file: GridFile, folder: Path | None) -> Grid:
        if file.folder is not None:
            folder = Path(file.folder)
            if not folder.is_dir():
                raise source.error(f"folder: there is no folder {folder}", "folder")
        axes = tuple(axes_of(source, file))
        grid = cls(file, axes, tuple(file.include), tuple(file.exclude), folder, source)
        checks.names(grid)
        overlays.refuse_settings(grid)
        checks.overlaps(grid)
        checks.repeats(grid)
        checks.size(grid)
        return grid

    @property
    def study(self) -> str:
        """The study's name."""
        return self.file.study

    @property
    def function(self) -> str:
        """The function, as `module:name`."""
        return self.file.function

    @property
    def settings(self) -> Mapping[str, Json]:
        """What the function is given with the parameters."""
        return self.file.settings

    @cached_property
    def names(self) -> list[str]:
        """Every parameter's name: axes in order, then those that only `include` gives."""
        names = [name for axis in self.axes for name in axis.names]
        names += [name for row in self.include for name in row]
        return list(dict.fromkeys(names))

    def __iter__(self) -> Iterator[dict[str, Json]]:
        yield from self.expansion
        yield from (dict(row) for row in self.extra_rows)

    def encoded(self, known: Sequence[str] | None = None) -> Iterator[tuple[bytes, str, str | None]]:
        """
        Yield each parameter set as its 16-byte fingerprint, its JSON text, and the text of `qexp.jsonb.exact`.

        The last is None if jsonb changes nothing for a reader who knows the order of the *known* names, by default the
        names of the grid. This is several times as fast as iteration.
        """
        known = self.names if known is None else known
        yield from self.expansion.encoded(known)
        for row in self.extra_rows:
            yield fingerprint(row).bytes, to_text(row), jsonb.exact_text(row, known)

    def __len__(self) -> int:
        return self.total

    @cached_property
    def total(self) -> int:
        """The number of parameter sets."""
        return self.expansion.total() + len(self.extra_rows)

    @cached_property
    def expansion(self) -> Expansion:
        """The combinations of the axes without those that a rule drops, and without `include`."""
        rules = [Rule.of(written, ("exclude", index)) for index, written in enumerate(self.exclude)]
        return Expansion(self.axes, rules)

    @cached_property
    def axes_by_name(self) -> Mapping[str, Sequence[Axis]]:
        """The axes of each name; if there are several, no two of their conditions hold together."""
        found: dict[str, list[Axis]] = {}
        for axis in self.axes:
            for name in axis.names:
                found.setdefault(name, []).append(axis)
        return found

    @property
    def extra_rows(self) -> list[Mapping[str, Json]]:
        """The rows of `include` that the product lacks; one row without parameters if the grid has nothing else."""
        if not self.axes and not self.include:
            return [{}]
        return [row for row, is_held in zip(self.include, self._held, strict=True) if not is_held]

    @cached_property
    def _held(self) -> Sequence[bool]:
        """Whether the product holds each row of `include`."""
        return self.expansion.holds(self.include) if self.include else []

    def warnings(self) -> list[str]:
        """Return sentences about likely mistakes that are no errors."""
        idle = [
            f"{self.source.place(*rule.location)}: {_IDLE[str(rule.location[0])]}"
            for rule in self.expansion.unmatched_rules()
        ]
        held = [
            f"{self.source.place('include', index)}: this experiment is in the product already"
            for index, is_held in enumerate(self._held)
            if is_held
        ]
        fewer = [
            f"{self.source.place(*axis.locations[0])}: {axis.repeats} of the draws repeat others and are left out"
            for axis in self.axes
            if axis.repeats
        ]
        likely = lint.warnings(self.source.root, self.untyped) if self.source.root is not None and self.untyped else ()
        return list(dict.fromkeys([*idle, *held, *fewer, *overlays.warnings(self), *likely]))

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
        """Return the grid with converted values; GridError if two of them have become equal."""
        grid = dataclasses.replace(
            self, axes=tuple(axes), include=tuple(include), exclude=tuple(exclude), is_bound=True
        )
        checks.overlaps(grid)
        checks.repeats(grid)
        checks.size(grid)
        return grid


_IDLE = {
    "exclude": "this rule of 'exclude' matches nothing",
    "when": "this condition of 'when' never holds: none of these parameters is given",
}
