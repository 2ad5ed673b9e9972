"""The keys of a table in a file of tables. They are the options of `qexp table`, without the dashes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field, TypeAdapter

from qexp.analysis.statistics import Statistic, statistic_of
from qexp.analysis.table.spec import ALLOWED, TableSpec
from qexp.errors import StatisticsError, nearest
from qexp.model import Json

Read = Callable[[Json], Any]
"""Returns the value of a field; raises ValueError if the data is of another kind."""
_MOST_DIGITS = 12


@dataclass(frozen=True)
class Key:
    """A key: the field that it sets, how its value is read, the values that a message expects, and its JSON schema."""

    field: str
    read: Read
    expected: str
    schema: Mapping[str, Any]


_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}
_NAMES = {"type": ["string", "array"], "items": _TEXT}
_DIGITS = {"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 0, "maximum": _MOST_DIGITS}]}
_LABELS = {"type": "object", "additionalProperties": _TEXT}


def _reader(kind: Any) -> Read:
    """Return the function that reads a value of a type and converts nothing."""
    return TypeAdapter[Any](kind, config=ConfigDict(strict=True)).validate_python


_text, _flag, _number = _reader(str), _reader(bool), _reader(float)
_texts, _labels = _reader(list[str]), _reader(dict[str, str])
_digits = _reader(Literal["auto"] | Annotated[int, Field(ge=0, le=_MOST_DIGITS)])


def _names(value: Json) -> tuple[str, ...]:
    """Read one name, names with commas, or a list of names."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(_texts(value))


def _files(value: Json) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else _names(value)


def _statistic(value: Json) -> str:
    try:
        return str(statistic_of(_text(value)))
    except StatisticsError as error:
        raise ValueError from error


def _allowed(value: Json) -> tuple[str, ...]:
    names = _names(value)
    if not set(names) <= set(ALLOWED):
        raise ValueError
    return names


def _choice(field: str) -> Key:
    kind = TableSpec.model_fields[field].annotation
    return Key(field, _reader(kind), _either(get_args(kind)), {"enum": [*get_args(kind)]})


def _either(choices: tuple[str, ...]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"


_STUDIES = Key("studies", _names, "the name of a study, or a list of names", _NAMES)
_METRICS = Key("metrics", _names, "the name of a result, or a list of names", _NAMES)


def _axes(field: str) -> Key:
    return Key(field, _names, "the name of a parameter, or a list of names", _NAMES)


KEYS: Mapping[str, Key] = {
    "study": _STUDIES,
    "studies": _STUDIES,
    "metric": _METRICS,
    "rows": _axes("rows"),
    "columns": _axes("columns"),
    "over": _axes("over"),
    "average": _axes("average"),
    "stat": Key("statistic", _statistic, _either((*Statistic,)), _TEXT),
    "max": Key("maximize", _flag, "true or false", _FLAG),
    "min": Key("maximize", lambda value: not _flag(value), "true or false", _FLAG),
    "best": _axes("best"),
    "by": Key("by", _text, "the name of a result", _TEXT),
    "bold": _choice("bold"),
    "baseline": Key("baseline", _text, "the label of a row as text", _TEXT),
    "test": _choice("test"),
    "correct": _choice("correction"),
    "scale": Key("scale", _number, "a number", {"type": "number"}),
    "digits": Key("digits", _digits, f"auto or a whole number from 0 to {_MOST_DIGITS}", _DIGITS),
    "transpose": Key("transpose", _flag, "true or false", _FLAG),
    "sort": Key("sort", _text, "grid, name, value or the label of a column as text", _TEXT),
    "where": Key("where", _text, 'a condition as text, such as "lr < 0.1"', _TEXT),
    "labels": Key("labels", _labels, "a mapping from names and values to other texts", _LABELS),
    "allow": Key("allow", _allowed, f"some of {', '.join(ALLOWED)}", _NAMES),
    "files": Key("files", _files, "the path of a file, or a list of paths", _NAMES),
    "siunitx": Key("siunitx", _flag, "true or false", _FLAG),
}
"""The keys of a table. `files` and `siunitx` are no options: they are about the files."""


def similar(key: str) -> str:
    """
    Return a hint with the nearest key, also for the names of options in Python.

    >>> similar("colums"), similar("statistic")
    (" (did you mean 'columns'?)", " (did you mean 'stat'?)")
    """
    of_field = {known.field: name for name, known in reversed([*KEYS.items()])}
    meant = of_field.get(key)
    return f" (did you mean {meant!r}?)" if meant else nearest(key, KEYS)
