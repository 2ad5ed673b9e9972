"""The keys of a table in a file of tables. They are the options of `qexp table`, without the dashes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

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


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _flag(value: Json) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _number(value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    return float(value)


def _names(value: Json) -> tuple[str, ...]:
    """Read one name, names with commas, or a list of names."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if not isinstance(value, list):
        raise ValueError
    return tuple(map(_text, value))


def _files(value: Json) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else _names(value)


def _digits(value: Json) -> int | str:
    if value == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_DIGITS:
        raise ValueError
    return value


def _labels(value: Json) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError
    return {name: _text(label) for name, label in value.items()}


def _statistic(value: Json) -> str:
    try:
        return statistic_of(_text(value)).value
    except StatisticsError as error:
        raise ValueError from error


def _one_of(*choices: str) -> Read:
    def read(value: Json) -> str:
        if value not in choices:
            raise ValueError
        return _text(value)

    return read


def _some_of(*choices: str) -> Read:
    def read(value: Json) -> tuple[str, ...]:
        names = _names(value)
        if not set(names) <= set(choices):
            raise ValueError
        return names

    return read


def _choice(field: str) -> Key:
    choices = get_args(TableSpec.model_fields[field].annotation)
    return Key(field, _one_of(*choices), _either(choices), {"enum": [*choices]})


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
    "allow": Key("allow", _some_of(*ALLOWED), f"some of {', '.join(ALLOWED)}", _NAMES),
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
