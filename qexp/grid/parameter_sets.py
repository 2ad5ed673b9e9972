"""The parameter sets of a grid: its axes, the rows of `include`, and the rules of `exclude`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from qexp import jsonb
from qexp.grid.axes import Axis
from qexp.grid.expansion import Expansion
from qexp.grid.rules import Rule
from qexp.grid.schema import GridFile
from qexp.grid.yaml_source import LocatedData, Location
from qexp.model import Json, fingerprint, to_text


@dataclass(frozen=True)
class ParameterSets:
    """The parameter sets of a grid, not validated yet. Iterating yields them: axes first, `include` last."""

    file: GridFile
    axes: tuple[Axis, ...]
    include: tuple[Mapping[str, Json], ...]
    exclude: tuple[Mapping[str, Json], ...]
    folder: Path | None
    """The folder from which the function is imported. None means that it is installed."""
    source: LocatedData
    untyped: frozenset[str] = frozenset()
    """Names without an annotation in the function, whose values are not converted; empty before `bind`."""
    is_bound: bool = False
    """Whether its values are converted for its function."""
    instances: Mapping[Location, Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)
    """Objects from Python, by their locations in the grid."""

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
        """Arguments of the function that do not vary."""
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
        """The axes of each name. If a name has several, no two of their conditions hold together."""
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
        return [row for row, is_held in zip(self.include, self.held, strict=True) if not is_held]

    @cached_property
    def held(self) -> Sequence[bool]:
        """Whether the product holds each row of `include`."""
        return self.expansion.holds(self.include) if self.include else []
