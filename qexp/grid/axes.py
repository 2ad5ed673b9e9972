"""The sections of a grid file become axes, slowest first: parameters, zip, when, draws, seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from qexp.grid.expansion import Axis, Part
from qexp.grid.forms import DRAWN, Drawn, columns_of, listed
from qexp.grid.reader import Source
from qexp.grid.rules import Rule
from qexp.grid.schema import GridFile
from qexp.model import Json


def axes_of(source: Source, file: GridFile) -> Iterator[Axis]:
    """Yield the axes that a grid file describes; a GridError says at which line one has no values, or unequal ones."""
    drawn = {name: form for name, form in file.parameters.items() if isinstance(form, Drawn)}
    for name, written in file.parameters.items():
        if name not in drawn:
            yield _single(source, name, written, ("parameters", name))
    for index, together in enumerate(file.zip):
        yield _together(source, together, ("zip", index))
    for index, section in enumerate(file.when):
        condition = Rule.of(section.condition)
        for name, written in section.parameters.items():
            yield _single(source, name, written, ("when", index, "parameters", name), condition)
    if drawn or file.sampling is not None:
        yield _draws(source, file, drawn)
    if file.seeds is not None:
        seeds: Sequence[Json] = range(file.seeds) if isinstance(file.seeds, int) else file.seeds
        yield Axis(("seed",), (seeds,), ("seeds",))


def _single(source: Source, name: str, written: object, place: tuple[Part, ...], condition: Rule | None = None) -> Axis:
    return Axis((name,), (_values(source, name, written, place),), place, condition)


def _together(source: Source, together: Mapping[str, object], place: tuple[Part, ...]) -> Axis:
    columns = [_values(source, name, written, (*place, name)) for name, written in together.items()]
    names = tuple(together)
    for name, column in zip(names, columns, strict=True):
        if len(column) != len(columns[0]):
            raise source.error(
                f"{name!r} has {len(column)} values, {names[0]!r} has {len(columns[0])}: "
                "names that move together need as many",
                *place,
                name,
            )
    return Axis(names, tuple(columns), place)


def _values(source: Source, name: str, written: object, place: tuple[Part, ...]) -> Sequence[Json]:
    try:
        values = listed(written)
    except ValueError as error:
        raise source.error(f"parameter {name!r}: {error}", *place) from error
    if not len(values):
        raise source.error(f"parameter {name!r} has no values; expected at least one", *place)
    return values


def _draws(source: Source, file: GridFile, drawn: Mapping[str, Drawn]) -> Axis:
    if not drawn:
        raise source.error(f"there is nothing to draw: no parameter is one of {', '.join(DRAWN)}", "sampling")
    names = tuple(drawn)
    if file.sampling is None:
        raise source.error(
            f"parameter {names[0]!r} is drawn; say how often with 'sampling: {{samples: N}}'", "parameters", names[0]
        )
    for name, form in drawn.items():
        try:
            form.check()
        except ValueError as error:
            raise source.error(f"parameter {name!r}: {error}", "parameters", name) from error
    try:
        columns = columns_of(drawn, file.sampling.quantiles(names))
    except ValueError as error:
        raise source.error(str(error), "sampling", "method") from error
    return Axis(names, tuple(columns[name] for name in names), ("sampling",))
