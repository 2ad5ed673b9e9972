"""Scalars of Python's standard library in a checkpoint, such as dates: functions that write and read them as JSON."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from types import NoneType
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from qexp.model import Json


class ScalarType(NamedTuple):
    """A type of scalars, and the functions that write and read it as JSON."""

    type: type
    to_json: Callable[[Any], Json]
    from_json: Callable[[Any], Any]


def _from_clock(value: Any) -> Json:
    zone = value.tzinfo.key if isinstance(value.tzinfo, ZoneInfo) else None
    return [(value.replace(tzinfo=None) if zone else value).isoformat(), value.fold, zone]


def _to_clock(kind: Any) -> Callable[[Any], Any]:
    def from_json(content: Any) -> Any:
        text, fold, zone = content
        value = kind.fromisoformat(text).replace(fold=fold)
        return value.replace(tzinfo=ZoneInfo(zone)) if zone else value

    return from_json


def _to_range(ends: Any) -> range:
    return range(*(int(end, 16) for end in ends))


SCALAR_TYPES = {
    "int": ScalarType(int, hex, lambda text: int(text, 16)),
    "complex": ScalarType(complex, lambda value: [value.real, value.imag], lambda parts: complex(*parts)),
    "date": ScalarType(date, date.isoformat, date.fromisoformat),
    "datetime": ScalarType(datetime, _from_clock, _to_clock(datetime)),
    "time": ScalarType(time, _from_clock, _to_clock(time)),
    "timedelta": ScalarType(
        timedelta, lambda it: [it.days, it.seconds, it.microseconds], lambda parts: timedelta(*parts)
    ),
    "Decimal": ScalarType(Decimal, str, Decimal),
    "Fraction": ScalarType(
        Fraction,
        lambda it: [hex(it.numerator), hex(it.denominator)],
        lambda parts: Fraction(*(int(part, 16) for part in parts)),
    ),
    "UUID": ScalarType(UUID, str, UUID),
    "range": ScalarType(range, lambda it: [hex(it.start), hex(it.stop), hex(it.step)], _to_range),
    "path": ScalarType(type(pathlib.Path()), str, pathlib.Path),
    "purepath": ScalarType(pathlib.PurePosixPath, str, pathlib.PurePosixPath),
    "windowspath": ScalarType(pathlib.PureWindowsPath, str, pathlib.PureWindowsPath),
}
"""Scalar types by the tag that stands for them in a checkpoint."""


def is_reversible(value: Any) -> bool:
    """Say whether a scalar can be read as it was written: a time in a zone without a name cannot."""
    zone = getattr(value, "tzinfo", None)
    return type(zone) in (NoneType, timezone) or (type(zone) is ZoneInfo and zone.key is not None)
