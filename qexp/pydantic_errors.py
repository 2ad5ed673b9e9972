"""The texts of pydantic's errors, in qexp's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_NUMBER = "a number"
_WHOLE = "a whole number"
_EXPECTED: Mapping[str, str] = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dataclass_type": "a mapping",
    "dict_type": "a mapping",
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "int_from_float": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": f"{_WHOLE} of fewer digits; write it without a point or an exponent",
    "int_type": _WHOLE,
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "list_type": "a list",
    "missing": "a value for this key",
    "missing_argument": "a value for this key",
    "missing_keyword_only_argument": "a value for this key",
    "model_type": "a mapping",
    "none_required": "null",
    "set_type": "a list",
    "string_type": "text",
    "too_long": "at most {max_length} entries",
    "too_short": "at least {min_length} entries",
    "tuple_type": "a list",
}
"""What is expected, by the type of pydantic's error."""


def expected(error: Mapping[str, Any]) -> str:
    """
    Return what pydantic expected, to stand behind `expected`.

    >>> expected({"type": "less_than_equal", "msg": "Input should be less than or equal to 9", "ctx": {"le": 9}})
    'a number of at most 9'
    """
    if (text := _EXPECTED.get(error["type"])) is not None:
        return text.format_map({name: _plain(value) for name, value in error.get("ctx", {}).items()})
    text = str(error["msg"])
    for start in ("Value error, ", "Input should be ", "expected "):
        text = text.removeprefix(start)
    return text[0].lower() + text[1:]


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def expected_one_of(errors: Iterable[Mapping[str, Any]]) -> str:
    """Return what the alternatives of a union expected, each once."""
    texts = dict.fromkeys(map(expected, errors))
    return " or ".join(text for text in texts if text != _WHOLE or _NUMBER not in texts)
