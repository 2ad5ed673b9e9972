"""
What Postgres's jsonb changes in data, and how that is kept.

jsonb forgets the order of keys, the sign of -0.0, and that 1e22 was written as a float. NaN and infinities, which JSON
lacks, are kept in it as text, so text such as "NaN" needs a mark. A second mapping keeps what would be lost: under
`=NAME` the JSON text of a value that jsonb would change, and under `order` the names, unless their order is known.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence

from qexp.model import NON_FINITE, Json, encode_float

Exact = Mapping[str, Json]

_ORDER = "order"
_TEXT = "="
_WHOLE = 1e16
"""From here on Python writes a float that is whole with an exponent, which jsonb turns into an integer."""
_dump = json.JSONEncoder(ensure_ascii=False).encode


def encoded(value: Json) -> Json:
    """Return data with NaN and infinities as text, for jsonb."""
    if isinstance(value, float):
        return value if math.isfinite(value) else encode_float(value)
    if isinstance(value, Mapping):
        return {key: encoded(item) for key, item in value.items()}
    return [encoded(item) for item in value] if isinstance(value, list) else value


def decoded(value: Json) -> Json:
    """Return data of jsonb with the floats that were kept as text."""
    if isinstance(value, str):
        return NON_FINITE.get(value, value)
    if isinstance(value, dict):
        return {key: decoded(item) for key, item in value.items()}
    return [decoded(item) for item in value] if isinstance(value, list) else value


def is_changed(value: Json) -> bool:
    """
    Say whether a value would not come back from jsonb as it was.

    >>> [is_changed(value) for value in (1, 0.5, "NaN", 1e22, {"b": 1, "a": 2})]
    [False, False, True, True, True]
    """
    kind = type(value)
    if kind is float:
        return (abs(value) >= _WHOLE and math.isfinite(value)) or (value == 0 and math.copysign(1, value) < 0)
    if kind is str:
        return value in NON_FINITE
    if kind is list:
        return any(map(is_changed, value))
    return kind is dict and (list(value) != sorted(value, key=_place) or any(map(is_changed, value.values())))


def _place(key: str) -> tuple[int, bytes]:
    """Return by what jsonb sorts its keys."""
    text = key.encode()
    return len(text), text


def exact(data: Mapping[str, Json], known: Iterable[str], order: Iterable[str] | None = None) -> Exact | None:
    """
    Return what jsonb would lose of a mapping whose reader knows the order of the *known* names; None: nothing.

    *order* is that of the whole, if *data* are a part of something.
    """
    found: dict[str, Json] = {_TEXT + name: _dump(value) for name, value in data.items() if is_changed(value)}
    names = list(data if order is None else order)
    if not is_in_order(names, known):
        found[_ORDER] = names
    return found or None


def is_in_order(names: Iterable[str], known: Iterable[str]) -> bool:
    """
    Say whether names stand in the order of the *known* ones, with none missing there; a single name always does.

    >>> is_in_order(["a", "c"], ["a", "b", "c"]), is_in_order(["b", "a"], ["a", "b"])
    (True, False)
    """
    names = list(names)
    rest = iter(known)
    return len(names) < 2 or all(name in rest for name in names)


def text_of(data: Mapping[str, Json], known: Iterable[str]) -> str | None:
    """Return `exact` as JSON text."""
    found = exact(data, known)
    return None if found is None else _dump(found)


def restored(data: Mapping[str, Json], kept: Exact | None, known: Sequence[str]) -> dict[str, Json]:
    """Return a mapping of jsonb with what was *kept* beside it, in the order of that, else of the *known* names."""
    if len(data) > 1:
        order: Iterable[str] = [*(kept.get(_ORDER, ()) if kept else ()), *known, *data]
        data = {name: data[name] for name in order if name in data}
    if not kept:
        return dict(data)
    return {name: json.loads(kept[_TEXT + name]) if _TEXT + name in kept else value for name, value in data.items()}


def row_text(row: Mapping[str, Json]) -> str:
    """
    Return the JSON text of a row for a column of type json, which keeps order and numbers as they are.

    A row with text such as "NaN" is one text, with Python's JSON of the row in it.
    """
    return _dump(_dump(row) if _has_mark(row) else encoded(row))


def row_of(found: Json) -> dict[str, Json]:
    """Return the row of which `row_text` made the text, once that was read."""
    row: dict[str, Json] = json.loads(found) if isinstance(found, str) else decoded(found)
    return row


def _has_mark(value: Json) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_mark, value.values()))
    return any(map(_has_mark, value)) if isinstance(value, list) else isinstance(value, str) and value in NON_FINITE
