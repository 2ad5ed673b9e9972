"""The nouns: what an experiment is, which states it has, and what makes two of them the same."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any
from uuid import UUID

Json = Any
"""A JSON value: None, bool, int, float, str, list or dict. Spelled `Any`: recursive aliases do not survive pydantic."""

SCALARS = (bool, int, float, str, type(None))
"""The types of JSON values that have no parts."""

DEFAULT_QUEUE = "qexp"
ALONE = 2
"""Workers that died with an experiment, on hosts that went on, before it runs in a process and a session of its own."""
STUDY_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
STUDY_NAME_RULE = "a lower-case letter, then letters, digits and underscores, at most 48 in all"


class Status(StrEnum):
    """Where an experiment stands."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PAUSED = "paused"


OPEN = (Status.PENDING, Status.QUEUED, Status.RUNNING)
"""States from which an experiment still moves by itself."""
CLOSED = (Status.DONE, Status.FAILED, Status.CANCELLED, Status.PAUSED)
"""States that only a person leaves, by `requeue`."""


class Origin(StrEnum):
    """Why a study has an experiment."""

    GRID = "grid"
    """Its grid has it."""
    CODE = "code"
    """It was added by code."""
    ORPHANED = "orphaned"
    """Its grid had it, and does not any more."""


class Failure(StrEnum):
    """Why an attempt failed."""

    ERROR = "error"
    """The function raised, or returned what is not data."""
    TIMEOUT = "timeout"
    """It overran its time."""
    CRASHED = "crashed"
    """Its process died."""
    LOST = "lost"
    """Its node went silent."""
    INVALID = "invalid"
    """It could not be imported or called."""


_TEXT = json.JSONEncoder(ensure_ascii=False).encode
_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


@dataclass(frozen=True)
class Imports:
    """What an attempt imported; both lists are sorted."""

    files: tuple[str, ...]
    """Files of its snapshot, relative to the snapshot's folder. A namespace package is its absent `__init__.py`."""
    packages: tuple[str, ...]
    """Top-level names of installed modules, such as numpy."""

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits that are equal where both lists are."""
        text = json.dumps([self.files, self.packages])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def canonical(value: Json) -> str:
    """
    Return the text that equal values share: sorted keys, one spelling per number, true apart from 1.

    >>> canonical({"b": 1.0, "a": [True, 1e0, "1", -0.0]})
    '{"a":[true,1,"1",0],"b":1}'
    """
    kind = type(value)
    if kind is int or (kind is float and not value.is_integer() and math.isfinite(value)):
        return repr(value)  # what the encoder would give, for most values of most grids
    return _CANONICAL(map_scalars(_one_spelling, value))


def _one_spelling(value: Json) -> Json:
    if isinstance(value, float):
        return encode_float(value) if not math.isfinite(value) else int(value) if value.is_integer() else value
    return value


def fingerprint(params: Mapping[str, Json]) -> UUID:
    """Return what makes a parameter set itself: 16 bytes of BLAKE2b over its canonical JSON."""
    return UUID(bytes=hashlib.blake2b(canonical(params).encode("utf-8", "surrogatepass"), digest_size=16).digest())


def to_text(value: Json) -> str:
    """Return JSON data as text, as rows keep it."""
    return repr(value) if type(value) is int else _TEXT(value)


def storable_text(text: str) -> str:
    r"""
    Return text that Postgres can keep: NUL and lone surrogates become visible escapes.

    >>> storable_text("a\0b")
    'a\\x00b'
    """
    if "\0" in text:
        text = text.replace("\0", "\\x00")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text


def encode_float(value: float) -> str:
    """Return how JSON keeps a float that it has no number for."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def map_scalars(change: Callable[[Json], Json], value: Json) -> Json:
    """
    Return data with each value that is no list or mapping replaced by *change* of it.

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
    Return data without NaN and infinities, which JSON lacks: NaN becomes None, infinities become text.

    >>> strict({"loss": [0.5, math.nan, -math.inf]})
    {'loss': [0.5, None, '-Infinity']}
    """
    return map_scalars(_strict, value)


def _strict(value: Json) -> Json:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else encode_float(value)
    return value


def plain(value: Json) -> str:
    """
    Return a value as a person would write it: strings bare, all else as JSON.

    >>> plain("SVC"), plain([1, None]), plain(0.1)
    ('SVC', '[1, null]', '0.1')
    """
    return value if isinstance(value, str) else _TEXT(value)


def short_names(values: Iterable[Json]) -> dict[str, str]:
    """
    Return the last parts of import paths such as `sklearn.svm.SVC`, where a column holds nothing else.

    Empty if any value is something else (a file's name has one dot only) or two paths would look the same.

    >>> short_names(["sklearn.svm.SVC", "sklearn.tree.DecisionTreeClassifier"])["sklearn.svm.SVC"]
    'SVC'
    """
    short: dict[str, str] = {}
    for value in values:
        if not isinstance(value, str) or value.count(".") < 2 or not all(map(str.isidentifier, value.split("."))):
            return {}
        short[value] = value.rpartition(".")[2]
    return short if len(set(short.values())) == len(short) else {}


def describe(
    params: Mapping[str, Json],
    names: Iterable[str] | None = None,
    short: Mapping[str, Mapping[str, str]] | None = None,
    width: int = 200,
) -> str:
    """
    Return parameters as `name=value` pairs on one line of at most *width* characters, in the order of *names*.

    *short* has, by parameter, the short names of its values.

    >>> describe({"classifier": "SVC", "dataset": "wine"}, ["dataset", "classifier"])
    'dataset=wine classifier=SVC'
    """
    pairs = []
    for name in names or params:
        if name in params:
            text = plain(params[name])
            pairs.append(f"{name}={(short or {}).get(name, {}).get(text, text)}")
    line = " ".join(pairs).replace("\n", " ")
    return line if len(line) <= width else line[: width - 1] + "…"


def compact(ids: list[int]) -> str:
    """
    Return ids in the short form that selectors read back.

    >>> compact([19, 17, 20, 21])
    '17,19-21'
    """
    runs: list[list[int]] = []
    for number in sorted(set(ids)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def duration(seconds: float | None) -> str:
    """
    Return a time span in its two largest units.

    >>> duration(0.00314), duration(0.25), duration(12.34), duration(3700), duration(200000)
    ('3.1 ms', '250 ms', '12.3 s', '1 h 1 min', '2 d 7 h')
    """
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.2g} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole} s"


def ago(seconds: float) -> str:
    """
    Return a time span to now in its largest unit.

    >>> ago(0.2), ago(3.4), ago(7000), ago(200000)
    ('now', '3 s ago', '1 h ago', '2 d ago')
    """
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return "now"
