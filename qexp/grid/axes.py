"""Axes of a grid, made from its sections in this order: parameters, zip, when, draws, seeds."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from qexp.grid.axis_forms import DRAWN, DrawnForm, columns_of, listed
from qexp.grid.quantiles import Sampling
from qexp.grid.rules import Rule
from qexp.grid.schema import GridFile, When
from qexp.grid.yaml_source import LocatedData, Location
from qexp.model import Json, canonical


@dataclass(frozen=True)
class Axis:
    """Names that vary together, and a column of values for each; all columns have the same length."""

    names: tuple[str, ...]
    columns: tuple[Sequence[Json], ...]
    locations: tuple[Location, ...]
    """The location of each name's values in the grid."""
    condition: Rule | None = None
    """The axis exists only if this holds. Axes of one entry of `when` share the object."""
    drawn: bool = False
    repeats: int = 0
    """The number of drawn rows that were dropped because they repeat others."""

    def __len__(self) -> int:
        return len(self.columns[0])

    def location_of(self, name: str) -> Location:
        """Return the location of a name's values in the grid."""
        return self.locations[self.names.index(name)]

    def sets(self) -> Iterator[dict[str, Json]]:
        """Yield the parameters that each row of the axis gives."""
        for values in zip(*self.columns, strict=True):
            yield dict(zip(self.names, values, strict=True))


def axes_of(source: LocatedData, file: GridFile) -> Iterator[Axis]:
    """Yield the axes of a grid file. Raises GridError if an axis has no values, or columns of different lengths."""
    drawn = {name: form for name, form in file.parameters.items() if isinstance(form, DrawnForm)}
    for name, written in file.parameters.items():
        if name not in drawn:
            yield _single(source, name, written, ("parameters", name))
    for index, together in enumerate(file.zip):
        yield _together(source, together, ("zip", index))
    for index, section in enumerate(file.when):
        yield from _conditional(source, file, section, ("when", index))
    if drawn:
        yield _draws(source, file.sampling, drawn, ("parameters",))
    elif file.sampling is not None and not any(isinstance(form, DrawnForm) for form in _conditional_forms(file)):
        raise source.error(f"no parameter is drawn; expected one of {', '.join(DRAWN)}", "sampling")
    if file.seeds is not None:
        seeds: Sequence[Json] = range(file.seeds) if isinstance(file.seeds, int) else file.seeds
        yield Axis(("seed",), (seeds,), (("seeds",),))


def _conditional_forms(file: GridFile) -> Iterator[object]:
    return (form for section in file.when for form in section.parameters.values())


def _conditional(source: LocatedData, file: GridFile, section: When, location: Location) -> Iterator[Axis]:
    """Yield the axes of one entry of `when`: its parameters, its zip, its draws."""
    if not section.parameters and not section.zip:
        raise source.error(
            "this entry of 'when' has no parameters; expected 'parameters' or 'zip' beside 'if'", *location
        )
    condition = Rule.of(section.condition, (*location, "if"))
    drawn = {name: form for name, form in section.parameters.items() if isinstance(form, DrawnForm)}
    for name, written in section.parameters.items():
        if name not in drawn:
            yield _single(source, name, written, (*location, "parameters", name), condition)
    for index, together in enumerate(section.zip):
        yield _together(source, together, (*location, "zip", index), condition)
    if drawn:
        sampling = None if file.sampling is None else _under(file.sampling, section.condition)
        yield _draws(source, sampling, drawn, (*location, "parameters"), condition)


def _under(sampling: Sampling, condition: Mapping[str, Json]) -> Sampling:
    """Return the sampling of an entry of `when`, with its own seed, so that other entries do not change its draws."""
    text = f"{sampling.seed}:{canonical(condition)}"
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return sampling.model_copy(update={"seed": int.from_bytes(digest)})


def _single(source: LocatedData, name: str, written: object, location: Location, condition: Rule | None = None) -> Axis:
    return Axis((name,), (_values(source, name, written, location),), (location,), condition)


def _together(
    source: LocatedData, together: Mapping[str, object], location: Location, condition: Rule | None = None
) -> Axis:
    columns = [_values(source, name, written, (*location, name)) for name, written in together.items()]
    names = tuple(together)
    for name, column in zip(names, columns, strict=True):
        if len(column) != len(columns[0]):
            raise source.error(
                f"{name!r} has {len(column)} values, {names[0]!r} has {len(columns[0])}: "
                "names that vary together need the same number",
                *location,
                name,
            )
    return Axis(names, tuple(columns), tuple((*location, name) for name in names), condition)


def _values(source: LocatedData, name: str, written: object, location: Location) -> Sequence[Json]:
    try:
        values = listed(written)
    except ValueError as error:
        raise source.error(f"parameter {name!r}: {error}", *location) from error
    if not len(values):
        raise source.error(f"parameter {name!r} has no values; expected at least one", *location)
    return values


def _draws(
    source: LocatedData,
    sampling: Sampling | None,
    drawn: Mapping[str, DrawnForm],
    location: Location,
    condition: Rule | None = None,
) -> Axis:
    """Return drawn parameters as one axis."""
    names = tuple(drawn)
    if sampling is None:
        raise source.error(
            f"parameter {names[0]!r} is drawn; say how often with 'sampling: {{samples: N}}'", *location, names[0]
        )
    for name, form in drawn.items():
        try:
            form.check()
        except ValueError as error:
            raise source.error(f"parameter {name!r}: {error}", *location, name) from error
    try:
        columns = columns_of(drawn, sampling.quantiles(names))
    except ValueError as error:
        raise source.error(str(error), "sampling", "method") from error
    locations = tuple((*location, name) for name in names)
    given = tuple(columns[name] for name in names)
    distinct = given if any(isinstance(column, array) for column in given) else _distinct(given)
    return Axis(names, distinct, locations, condition, drawn=True, repeats=len(given[0]) - len(distinct[0]))


def _distinct(columns: Sequence[Sequence[Json]]) -> tuple[Sequence[Json], ...]:
    """Return columns without the rows that repeat an earlier one."""
    rows: dict[str, tuple[Json, ...]] = {}
    for row in zip(*columns, strict=True):
        rows.setdefault(canonical(row), row)
    return tuple(zip(*rows.values(), strict=True))
