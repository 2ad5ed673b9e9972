"""Reword pydantic's errors: the value that it expected, in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_NUMBER = "a number"
_WHOLE = "a whole number"
_TIME_SPAN = "a time span such as 12:00:00 or PT30M"
_EXPECTED: Mapping[str, str] = {
    "dataclass_type": "a mapping",
    "dict_type": "a mapping",
    "extra_forbidden": "no such key",
    "frozen_set_type": "a list",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "int_from_float": _WHOLE,
    "int_parsing_size": f"{_WHOLE} of fewer digits; write it without a point or an exponent",
    "iterable_type": "a list",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "list_type": "a list",
    "missing": "a value for this key",
    "missing_argument": "a value for this key",
    "missing_keyword_only_argument": "a value for this key",
    "model_type": "a mapping",
    "none_required": "null",
    "set_type": "a list",
    "string_pattern_mismatch": "text that matches {pattern}",
    "string_too_long": "text of at most {max_length} characters",
    "string_too_short": "text of at least {min_length} characters",
    "string_type": "text",
    "time_delta_parsing": _TIME_SPAN,
    "time_delta_type": _TIME_SPAN,
    "too_long": "at most {max_length} entries",
    "too_short": "at least {min_length} entries",
    "tuple_type": "a list",
    "unexpected_keyword_argument": "no such key",
}
"""The expected value, by the type of pydantic's error."""
_KINDS: Mapping[str, str] = {
    "bool": "true or false",
    "bytes": "text",
    "callable": "a function",
    "complex": "a number or text such as 1+2j",
    "date": "a date such as 2026-01-31",
    "datetime": "a date and time such as 2026-01-31T12:00:00",
    "decimal": _NUMBER,
    "float": _NUMBER,
    "int": _WHOLE,
    "path": "a path",
    "time": "a time such as 12:00:00",
    "url": "a URL",
    "uuid": "a UUID",
}
"""The expected value, by the first word of the type of an error that ends in _parsing or _type."""
_PATTERNS: Mapping[str, str] = {
    "^[A-Z]{3}$": "a country in three capital letters, such as DEU",
    "^[A-Za-z0-9_.-]{1,64}$": "letters, digits, '_', '.' and '-', at most 64",
}
"""The meaning of the patterns that qexp's own files and settings have."""


def expected(error: Mapping[str, Any]) -> str:
    """
    Return what pydantic expected, to stand behind `expected`.

    >>> expected({"type": "less_than_equal", "msg": "Input should be less than or equal to 9", "ctx": {"le": 9}})
    'a number of at most 9'
    """
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing" and error["loc"] and isinstance(error["loc"][-1], int):
        return "another entry"
    if kind == "string_pattern_mismatch" and context["pattern"] in _PATTERNS:
        return _PATTERNS[context["pattern"]]
    if (text := _EXPECTED.get(kind)) is not None:
        is_number = not any(isinstance(value, str) for value in context.values())  # dates are text
        text = text if is_number else text.replace(_NUMBER, "a value")
        text = text.format_map({name: _plain(value) for name, value in context.items()})
        return text.replace(" 1 characters", " 1 character").replace(" 1 entries", " 1 entry")
    if kind.endswith(("_parsing", "_type")) and (text := _KINDS.get(kind.partition("_")[0])) is not None:
        return text
    text = own_sentence(error) or str(error["msg"]).removeprefix("Input should be ")
    text = text.removeprefix("expected ")
    return text[0].lower() + text[1:]


def own_sentence(error: Mapping[str, Any]) -> str | None:
    """Return the text of a ValueError that a check of qexp raised. Returns None for pydantic's errors."""
    return str(error["msg"]).removeprefix("Value error, ") if error["type"] == "value_error" else None


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def expected_one_of(errors: Iterable[Mapping[str, Any]]) -> str:
    """Return the values that the alternatives of a union expected, each once."""
    texts = dict.fromkeys(map(expected, errors))
    return " or ".join(text for text in texts if text != _WHOLE or _NUMBER not in texts)
