"""Turn the value that a function returns into its result: data is kept, and an error names the other parts."""

from __future__ import annotations

import inspect
import linecache
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import to_json as to_text

from qexp.errors import ContextError, ResultError
from qexp.functions.callables import code_of
from qexp.functions.guarded_calls import type_of
from qexp.model import Error, Failure, Json
from qexp.partial_serialization import partial_data
from qexp.serialization import KeyTypes
from qexp.truncation import listed
from qexp.worker.attempt import failure
from qexp.worker.context.postgres_journal import LARGEST, check_size

_NAMED = 10
"""The most refused parts, and the most kept parts, that an error names."""
_POSITION = re.compile(r"\[\d+\]")
_ADVICE = "return numbers, text, lists or mappings of them, and keep other values with context.artifact"


@dataclass(frozen=True)
class Result:
    """A function's result, by name."""

    kept: Mapping[str, Json]
    refused: Mapping[str, str]
    """The reason for each part that cannot be kept, by its place such as `metrics.model`; "" is the whole result."""
    types: Mapping[str, str]
    """The type of each refused part, by its place."""


def result_of(value: Any, keys: KeyTypes = frozenset()) -> Result:
    """
    Return a function's result: the parts that are data, and why each other part is refused.

    *keys* are the types of keys other than text in the annotation of the function's result.
    """
    found = partial_data(value, keys)
    refused = {place: refusal.reason for place, refusal in found.refused.items()}
    types = {place: refusal.kind for place, refusal in found.refused.items()}
    data = found.data
    if refused and data is None:
        return Result({}, refused, types)
    named: dict[str, Json] = {} if data is None else data if isinstance(data, dict) else {"value": data}
    try:
        check_size("the result", named)
    except ContextError as error:
        if not isinstance(data, dict):
            return Result({}, {"": str(error)}, {"": type(value).__name__})
        named, large = _fitting(named)
        refused |= large
        types |= {name: type(data[name]).__name__ for name in large}
    return Result(named, refused, types)


def _fitting(named: Mapping[str, Json]) -> tuple[dict[str, Json], dict[str, str]]:
    """Return the parts to keep of a result that is too large as a whole, and why each other part is refused."""
    refused: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for name, data in named.items():
        try:
            sizes[name] = _size(name, data)
        except ContextError as error:
            refused[name] = str(error)
    while sum(sizes.values()) > LARGEST:
        largest = max(sizes, key=lambda name: sizes[name])
        refused[largest] = (
            f"{largest}: has {sizes.pop(largest) / 1e6:.1f} MB, expected at most {LARGEST / 1e6:g} MB in the whole "
            "result: keep large values with context.artifact, and series with context.metric"
        )
    return {name: named[name] for name in sizes}, refused


def _size(name: str, data: Json) -> int:
    """Return the size of a part of a result in bytes. Raises ContextError if it is nested too deeply."""
    try:
        return len(to_text([[{name: data}]]))
    except ValueError as error:
        raise ContextError(f"{name}: is nested too deeply, expected at most 250 levels") from error


def mapping(value: Any, keys: KeyTypes = frozenset()) -> dict[str, Json]:
    """Return a function's result as named data. Raises ResultError with each part that is not data or too large."""
    found = result_of(value, keys)
    if found.refused:
        raise ResultError(_problem(found))
    return dict(found.kept)


def error_of(found: Result, function: Callable[..., Any], study: str, folder: Path | None) -> Error:
    """
    Return the error of an attempt whose function has returned a value that is not data.

    The traceback shows the function's first line, since the line that made the value is unknown. Errors of a function
    with the same refused names and types are one group.
    """
    kind = type_of(ResultError())
    place = _place(function)
    frame = None if place is None else failure.frame_of(*place, folder)
    group = failure.fingerprint(kind, [frame.partition(":")[0] if frame else "", *_marks(found)])
    message = _problem(found)
    if found.kept:
        message += (
            f"; kept: {listed([*found.kept], _NAMED)}; 'qexp accept {study} --error {group[:6]}' makes these the result"
        )
    shown = failure.stored(message)
    lines = ["Traceback (most recent call last):", *_shown(place), f"{kind}: {shown}"]
    return Error(Failure.ERROR, kind, shown, frame, group, failure.stored("\n".join(lines)))


def _problem(found: Result) -> str:
    return f"the result is not data: {listed([*found.refused.values()], _NAMED, '; ')}; {_ADVICE}"


def _marks(found: Result) -> list[str]:
    """Return the texts that group errors: places and types of refused parts, without positions in lists."""
    return sorted({f"{_POSITION.sub('[]', place)}: {found.types[place]}" for place in found.refused})


def _place(function: Callable[..., Any]) -> tuple[str, int, str] | None:
    """Return the file, line and name of a Python function. Returns None for a C function."""
    code = getattr(inspect.unwrap(code_of(function)), "__code__", None)
    return None if code is None else (code.co_filename, code.co_firstlineno, code.co_name)


def _shown(place: tuple[str, int, str] | None) -> list[str]:
    """Return a place in the form of tracebacks."""
    if place is None:
        return []
    file, line, name = place
    source = linecache.getline(file, line).strip()
    return [f'  File "{file}", line {line}, in {name}', *([f"    {source}"] if source else [])]
