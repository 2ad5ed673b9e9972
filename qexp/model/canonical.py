"""Canonical JSON and the fingerprint by which equal parameter sets are one experiment; the rule for study names."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

Json = Any
"""A JSON value: None, bool, int, float, str, list or dict. Spelled `Any`: recursive aliases do not survive pydantic."""

SCALARS = (bool, int, float, str, type(None))
"""The types of JSON values that have no parts."""

DEFAULT_QUEUE = "qexp"

_TEXT = json.JSONEncoder(ensure_ascii=False).encode
_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


def canonical(value: Json) -> str:
    """
    Return the JSON text that equal values share: keys are sorted, 1.0 is 1, but true is not 1.

    >>> canonical({"b": 1.0, "a": [True, 1e0, "1", -0.0]})
    '{"a":[true,1,"1",0],"b":1}'
    """
    kind = type(value)
    if kind is int or (kind is float and not value.is_integer() and math.isfinite(value)):
        return repr(value)  # the same text as the encoder's, but faster: most values are numbers
    return _CANONICAL(map_scalars(_one_spelling, value))


def _one_spelling(value: Json) -> Json:
    if isinstance(value, float):
        return encode_float(value) if not math.isfinite(value) else int(value) if value.is_integer() else value
    return value


def fingerprint(params: Mapping[str, Json]) -> UUID:
    """Return the identity of a parameter set: 16 bytes of BLAKE2b over its canonical JSON."""
    return UUID(bytes=hashlib.blake2b(canonical(params).encode("utf-8", "surrogatepass"), digest_size=16).digest())


def to_text(value: Json) -> str:
    """Return JSON data as the text that rows keep."""
    return repr(value) if type(value) is int else _TEXT(value)


def encode_float(value: float) -> str:
    """Return the text of a float that is no JSON number: NaN or an infinity."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def map_scalars(change: Callable[[Json], Json], value: Json) -> Json:
    """
    Return data in which *change* replaces each value that is neither a list nor a mapping.

    >>> map_scalars(str, {"a": [1, None]})
    {'a': ['1', 'None']}
    """
    if isinstance(value, Mapping):
        return {
            key: change(item) if type(item) in SCALARS else map_scalars(change, item) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [change(item) if type(item) in SCALARS else map_scalars(change, item) for item in value]
    return change(value)


def strict(value: Json) -> Json:
    """
    Return data as strict JSON: NaN becomes None, infinities become text.

    >>> strict({"loss": [0.5, math.nan, -math.inf]})
    {'loss': [0.5, None, '-Infinity']}
    """
    return map_scalars(_strict, value)


def _strict(value: Json) -> Json:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else encode_float(value)
    return value
