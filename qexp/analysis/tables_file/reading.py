"""Read and check a file of tables. The first problem is an error with its line."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from qexp.analysis.table.spec import TableSpec
from qexp.analysis.tables_file.keys import KEYS, similar
from qexp.analysis.tables_file.model import PlannedTable, TablesFile
from qexp.analysis.writers import FORMATS
from qexp.errors import TablesFileError, nearest
from qexp.grid.yaml_source import FileKind, LocatedData, Location, Part, read
from qexp.model import Json, shown
from qexp.pydantic_errors import expected

KIND = FileKind("tables", "a mapping with 'tables'", TablesFileError)
SECTIONS = ("defaults", "tables", "macros")
NOTES = "x-"
"""Keys with this prefix are the user's own: a place for anchors."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_TABLE_SUFFIXES = tuple(f".{form}" for form in FORMATS)


@dataclass(frozen=True)
class _GivenField:
    """The value of a field, and the key and place that it comes from."""

    value: Any
    key: str
    location: Location


_Layer = dict[str, _GivenField]
"""The fields that a mapping sets; the value None stands for the default of `qexp table`."""


def load(path: Path) -> TablesFile:
    """Read a file of tables; its paths are relative to it. Raises TablesFileError with the line of a problem."""
    source = LocatedData.of(str(path), read(path, KIND))
    data = _top(source)
    defaults = _layer(source, "defaults", data=data.get("defaults"))
    if entry := defaults.get("files"):
        raise _error(source, "found 'files' in 'defaults', expected it in a table", *entry.location, key=True)
    tables = tuple(_table(source, path, name, defaults) for name in _tables(source, data))
    macros = _macros(source, path, data.get("macros"))
    _check_targets(source, tables, macros)
    return TablesFile(path, tables, macros)


def _error(source: LocatedData, problem: str, *location: Part, key: bool = False) -> TablesFileError:
    return TablesFileError(source.place(*location, key=key), problem)


def _top(source: LocatedData) -> dict[str, Json]:
    """Return the sections of the file."""
    data = source.data
    if not isinstance(data, dict):
        raise _error(source, f"found {shown(data)}, expected {KIND.expected}")
    if "function" in data and "tables" not in data:
        raise _error(source, f"this is a grid, expected {KIND.expected}; 'qexp run {source.name}' runs it")
    for key in data:
        if key not in SECTIONS and not key.startswith(NOTES):
            hint = nearest(key, SECTIONS) or f"; there are {', '.join(SECTIONS)}"
            raise _error(source, f"there is no key {key!r}{hint}", key, key=True)
    return data


def _tables(source: LocatedData, data: dict[str, Json]) -> list[str]:
    """Return the names of the tables."""
    if "tables" not in data:
        raise _error(source, "the key 'tables' is missing, expected a mapping from names to tables")
    tables = data["tables"]
    if not isinstance(tables, dict) or not tables:
        raise _error(source, f"tables: found {shown(tables)}, expected a mapping from names to tables", "tables")
    for name in tables:
        if not NAME.fullmatch(name):
            expected = "expected letters, digits, '_', '.' and '-', at most 100, the first a letter or digit"
            raise _error(source, f"found the name {name!r}, {expected}", "tables", name, key=True)
    return list(tables)


def _layer(source: LocatedData, *location: Part, data: Json) -> _Layer:
    """Return the fields that a mapping of keys sets."""
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise _error(source, f"{location[-1]}: found {shown(data)}, expected a mapping of keys", *location)
    found: _Layer = {}
    for key, value in data.items():
        place = (*location, key)
        if key not in KEYS:
            raise _error(source, f"there is no key {key!r}{similar(key)}", *place, key=True)
        field = KEYS[key].field
        if field in found:
            raise _error(source, f"found {found[field].key!r} and {key!r}, expected one of them", *place, key=True)
        found[field] = _GivenField(_value(source, key, value, place), key, place)
    return found


def _value(source: LocatedData, key: str, value: Json, location: Location) -> Any:
    if value is None:
        return None
    try:
        return KEYS[key].read(value)
    except ValueError as error:
        raise _error(source, f"{key}: found {shown(value)}, expected {KEYS[key].expected}", *location) from error


def _table(source: LocatedData, path: Path, name: str, defaults: _Layer) -> PlannedTable:
    data = source.data["tables"][name]
    layer = _over(_layer(source, "tables", name, data=data), defaults)
    files = layer.pop("files", _GivenField((f"{name}.tex",), "files", ("tables", name)))
    siunitx = layer.pop("siunitx", None)
    return PlannedTable(
        name,
        path.name,
        source.place("tables", name, key=True),
        _spec(source, name, layer),
        tuple(_targets(source, path, files, _TABLE_SUFFIXES)),
        siunitx is not None and siunitx.value,
    )


def _over(own: _Layer, defaults: _Layer) -> _Layer:
    """Lay the keys of a table over the defaults: labels one by one, other keys as a whole; null keys are left out."""
    layer = {**defaults, **own}
    if (mine := own.get("labels")) and mine.value is not None and (other := defaults.get("labels")) and other.value:
        layer["labels"] = _GivenField({**other.value, **mine.value}, mine.key, mine.location)
    return {field: entry for field, entry in layer.items() if entry.value is not None}


def _spec(source: LocatedData, name: str, layer: _Layer) -> TableSpec:
    for field, key in (("studies", "study"), ("metrics", "metric")):
        if field not in layer:
            raise _error(source, f"table {name}: the key {key!r} is missing", "tables", name, key=True)
        if not layer[field].value:
            problem = f"{layer[field].key}: found no name, expected {KEYS[key].expected}"
            raise _error(source, problem, *layer[field].location)
    try:
        return TableSpec(**{field: entry.value for field, entry in layer.items()})
    except ValidationError as error:
        first = error.errors()[0]
        entry = layer[str(first["loc"][0])]
        problem = f"{entry.key}: found {shown(first['input'])}, expected {expected(first)}"
        raise _error(source, problem, *entry.location) from error


def _targets(source: LocatedData, path: Path, files: _GivenField, suffixes: Collection[str]) -> Iterator[Path]:
    for index, name in enumerate(files.value):
        target = Path(name)
        if target.suffix.lower() not in suffixes:
            expected = f"expected a path that ends in {', '.join(suffixes)}"
            raise _error(source, f"{files.key}: found {shown(name)}, {expected}", *files.location, index)
        yield path.parent / target


def _macros(source: LocatedData, path: Path, value: Json) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise _error(source, f"macros: found {shown(value)}, expected the path of a .tex file", "macros")
    return next(_targets(source, path, _GivenField((value,), "macros", ("macros",)), (".tex",)))


def _check_targets(source: LocatedData, tables: Collection[PlannedTable], macros: Path | None) -> None:
    """Refuse a file that two tables, or a table and the macros, would write."""
    seen: dict[str, str] = {}
    for planned in tables:
        for index, target in enumerate(planned.files):
            _check_new(source, target, f"the table {planned.name}", seen, "tables", planned.name, "files", index)
    if macros is not None:
        _check_new(source, macros, "the macros", seen, "macros")


def _check_new(source: LocatedData, target: Path, owner: str, seen: dict[str, str], *location: Part) -> None:
    other = seen.setdefault(os.path.realpath(target), owner)
    if other is not owner:
        raise _error(source, f"{target.name} is a file of {other} and of {owner}, expected one", *location)
