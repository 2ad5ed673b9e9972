"""The value that a function returns becomes its result: data is kept, and an error names the rest."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import to_json as to_text

from qexp.errors import ContextError, ResultError
from qexp.functions.callables import code_of
from qexp.functions.foreign import type_of
from qexp.model import Failure, Json
from qexp.serialization import KeyTypes, NotDataError, named_parts, serializable, to_json
from qexp.store.outcome import Error
from qexp.worker.attempt import trace
from qexp.worker.context.journal import LARGEST, check_size

_NAMED = 10
"""An error names so many refused parts of a result, with reasons, and so many kept ones."""
_ADVICE = "return numbers, text, lists or mappings of them, and keep the rest with context.artifact"


@dataclass(frozen=True)
class Result:
    """A function's result, by name."""

    kept: Mapping[str, Json]
    refused: Mapping[str, str]
    """Why each other part cannot be kept, by its name; of a value without names, under an empty one."""
    types: Mapping[str, str]
    """The type of each refused part, by its name."""


def result_of(value: Any, keys: KeyTypes = frozenset()) -> Result:
    """
    Return a function's result: the parts that are data, and why each other part is not.

    *keys* are the types of keys, beside text, that the function's annotation names.
    """
    try:
        data = to_json(value, keys=keys)
        named: dict[str, Json] = {} if data is None else data if isinstance(data, dict) else {"value": data}
        check_size("the result", named)
    except Exception as error:
        parts = named_parts(value)
        if parts is not None:
            return _split(parts, keys)
        if not isinstance(error, NotDataError | ContextError):
            raise  # the value's own code
        return Result({}, {"": str(error)}, {"": type(value).__name__})
    return Result(named, {}, {})


def _split(named: Mapping[Any, Any], keys: KeyTypes) -> Result:
    """Return the parts of a result that can be kept where the whole cannot."""
    found, refused = serializable(named, keys)
    sizes: dict[str, int] = {}
    for name, data in found.items():
        try:
            sizes[name] = _size(name, data)
        except ContextError as error:
            refused[name] = str(error)
    while sum(sizes.values()) > LARGEST:
        largest = max(sizes, key=lambda name: sizes[name])
        refused[largest] = (
            f"{largest}: has {sizes.pop(largest) / 1e6:.1f} MB, expected at most {LARGEST / 1e6:g} MB in the whole "
            "result: keep what is large with context.artifact, and series with context.metric"
        )
    types = {str(to_json(str(name))): type(item).__name__ for name, item in named.items()}
    return Result({name: found[name] for name in sizes}, refused, {name: types.get(name, "") for name in refused})


def _size(name: str, data: Json) -> int:
    """Return the bytes of a part of a result; ContextError if it is nested too deeply."""
    try:
        return len(to_text([[{name: data}]]))
    except ValueError as error:
        raise ContextError(f"{name}: is nested too deeply, expected at most 250 levels: keep it flat") from error


def mapping(value: Any, keys: KeyTypes = frozenset()) -> dict[str, Json]:
    """Return a function's result as named data; ResultError names each part that is not data or is too large."""
    found = result_of(value, keys)
    if found.refused:
        raise ResultError(_problem(found))
    return dict(found.kept)


def error_of(found: Result, function: Callable[..., Any], study: str, folder: Path | None) -> Error:
    """
    Return the error of an attempt whose function has returned something that is not data.

    The traceback shows the function's first line, since the function has returned and no other line is at fault. Errors
    of one function with the same refused names and types are one group.
    """
    kind = type_of(ResultError())
    place = _place(function)
    frame = None if place is None else trace.frame_of(*place, folder)
    group = trace.fingerprint(kind, [frame.partition(":")[0] if frame else "", *_marks(found)])
    message = _problem(found)
    if found.kept:
        message += f"; kept: {_listed(found.kept)}; 'qexp accept {study} --error {group[:6]}' makes these the result"
    shown = trace.stored(message)
    lines = ["Traceback (most recent call last):", *_shown(place), f"{kind}: {shown}"]
    return Error(Failure.ERROR, kind, shown, frame, group, trace.stored("\n".join(lines)))


def _problem(found: Result) -> str:
    reasons = [*found.refused.values()]
    more = f"; and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
    return f"the result is not data: {'; '.join(reasons[:_NAMED])}{more}; {_ADVICE}"


def _marks(found: Result) -> list[str]:
    return sorted(f"{name}: {found.types[name]}" for name in found.refused)


def _listed(names: Mapping[str, Json]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join([*names][:_NAMED]) + more


def _place(function: Callable[..., Any]) -> tuple[str, int, str] | None:
    """Return the file, line and name of a function of Python, None for one of C."""
    code = getattr(inspect.unwrap(code_of(function)), "__code__", None)
    return None if code is None else (code.co_filename, code.co_firstlineno, code.co_name)


def _shown(place: tuple[str, int, str] | None) -> list[str]:
    """Return a place as tracebacks show it."""
    if place is None:
        return []
    file, line, name = place
    source = linecache.getline(file, line).strip()
    return [f'  File "{file}", line {line}, in {name}', *([f"    {source}"] if source else [])]
