"""
Store data in Postgres's jsonb without loss: a second mapping undoes the changes that jsonb makes.

jsonb forgets the order of keys, the sign of -0.0, and that 1e22 was written as a float. JSON lacks NaN and infinities:
jsonb holds them as text, so text such as "NaN" needs a mark. The second mapping is called exact. Its key `=NAME` has
the JSON text of a value that jsonb would change. Its key `order` has the names in order, unless readers know it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence

from qexp.model import NON_FINITE, Json, encode_float, map_scalars

Exact = Mapping[str, Json]

_ORDER = "order"
_TEXT = "="
_WHOLE = 1e16
"""From here on Python writes whole floats with an exponent, and jsonb turns them into integers."""
_dump = json.JSONEncoder(ensure_ascii=False).encode


def encoded(value: Json) -> Json:
    """Return data with NaN and infinities as text, for jsonb."""
    return map_scalars(_encoded, value)


def _encoded(value: Json) -> Json:
    return encode_float(value) if isinstance(value, float) and not math.isfinite(value) else value


def decoded(value: Json) -> Json:
    """Return data of jsonb with NaN and infinities as floats."""
    return map_scalars(lambda one: NON_FINITE.get(one, one) if isinstance(one, str) else one, value)


def is_changed(value: Json) -> bool:
    """
    Return whether jsonb would change a value.

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
    return kind is dict and (list(value) != sorted(value, key=_sort_key) or any(map(is_changed, value.values())))


def _sort_key(key: str) -> tuple[int, bytes]:
    """Return the sort key by which jsonb orders keys."""
    text = key.encode()
    return len(text), text


def exact(data: Mapping[str, Json], known: Iterable[str], order: Iterable[str] | None = None) -> Exact | None:
    """
    Return the changes that jsonb would make in a mapping. Returns None if it makes none.

    The reader knows the order of the *known* names. If *data* is part of a result, *order* has all names of the result.
    """
    found: dict[str, Json] = {_TEXT + name: _dump(value) for name, value in data.items() if is_changed(value)}
    names = list(data if order is None else order)
    if not is_in_order(names, known):
        found[_ORDER] = names
    return found or None


def is_in_order(names: Iterable[str], known: Iterable[str]) -> bool:
    """
    Return whether all names are *known* and in the known order; a single name always is.

    >>> is_in_order(["a", "c"], ["a", "b", "c"]), is_in_order(["b", "a"], ["a", "b"])
    (True, False)
    """
    names = list(names)
    rest = iter(known)
    return len(names) < 2 or all(name in rest for name in names)


def exact_text(data: Mapping[str, Json], known: Iterable[str]) -> str | None:
    """Return `exact` as JSON text."""
    found = exact(data, known)
    return None if found is None else _dump(found)


def restored(data: Mapping[str, Json], kept: Exact | None, known: Sequence[str]) -> dict[str, Json]:
    """
    Return a mapping as it was before jsonb changed it; *kept* is the result of `exact`.

    Names are in the order of *kept* if it has one, otherwise of the *known* names.
    """
    if len(data) > 1:
        order: Iterable[str] = [*(kept.get(_ORDER, ()) if kept else ()), *known, *data]
        data = {name: data[name] for name in order if name in data}
    if not kept:
        return dict(data)
    return {name: json.loads(kept[_TEXT + name]) if _TEXT + name in kept else value for name, value in data.items()}


def row_text(row: Mapping[str, Json]) -> str:
    """
    Return the JSON text of a row for a column of type json, which keeps order and numbers as they are.

    A row that contains text such as "NaN" becomes a JSON string, which holds the row as Python's JSON.
    """
    return _dump(_dump(row) if _has_mark(row) else encoded(row))


def row_of(found: Json) -> dict[str, Json]:
    """Return the row from the parsed JSON of its `row_text`."""
    row: dict[str, Json] = json.loads(found) if isinstance(found, str) else decoded(found)
    return row


def _has_mark(value: Json) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_mark, value.values()))
    return any(map(_has_mark, value)) if isinstance(value, list) else isinstance(value, str) and value in NON_FINITE
