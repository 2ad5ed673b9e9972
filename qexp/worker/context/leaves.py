"""Values of Python's library that have no parts: how each is written as JSON, and read again."""

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


class Leaf(NamedTuple):
    """The type of a value, and how it becomes JSON and comes back."""

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


LEAVES = {
    "int": Leaf(int, hex, lambda text: int(text, 16)),
    "complex": Leaf(complex, lambda value: [value.real, value.imag], lambda parts: complex(*parts)),
    "date": Leaf(date, date.isoformat, date.fromisoformat),
    "datetime": Leaf(datetime, _from_clock, _to_clock(datetime)),
    "time": Leaf(time, _from_clock, _to_clock(time)),
    "timedelta": Leaf(timedelta, lambda it: [it.days, it.seconds, it.microseconds], lambda parts: timedelta(*parts)),
    "Decimal": Leaf(Decimal, str, Decimal),
    "Fraction": Leaf(
        Fraction,
        lambda it: [hex(it.numerator), hex(it.denominator)],
        lambda parts: Fraction(*(int(part, 16) for part in parts)),
    ),
    "UUID": Leaf(UUID, str, UUID),
    "range": Leaf(range, lambda it: [hex(it.start), hex(it.stop), hex(it.step)], _to_range),
    "path": Leaf(type(pathlib.Path()), str, pathlib.Path),
    "purepath": Leaf(pathlib.PurePosixPath, str, pathlib.PurePosixPath),
    "windowspath": Leaf(pathlib.PureWindowsPath, str, pathlib.PureWindowsPath),
}
"""By the tag that stands for the type in a tree."""


def comes_back(value: Any) -> bool:
    """Say whether a leaf comes back as it was: a time of a zone without a name does not."""
    zone = getattr(value, "tzinfo", None)
    return type(zone) in (NoneType, timezone) or (type(zone) is ZoneInfo and zone.key is not None)
