"""Callables that experiments can run: functions, also async ones, methods, partials, objects with `__call__`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from qexp.errors import FunctionError, article


def require_function(found: Any, name: str, owner: Any) -> None:
    """Raise FunctionError if an attribute of *owner* cannot be called or returns no result."""
    if isinstance(found, type):
        raise FunctionError(
            f"function {name}: found a class, expected a function: "
            "write one that makes an instance and returns the results"
        )
    if not callable(found):
        raise FunctionError(f"function {name}: found {article(type(found).__name__)}, expected a function")
    called = code_of(found)
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise FunctionError(
            f"function {name}: found a generator function, expected one that returns its result; "
            "keep intermediate values with context.record and context.metric"
        )
    if isinstance(owner, type) and inspect.isfunction(found) and _first(found) == "self":
        raise FunctionError(
            f"function {name}: found a method of instances, expected a function: "
            f"write one that makes {article(owner.__name__)} and calls it"
        )


def code_of(function: Callable[..., Any]) -> Any:
    """
    Return the function whose code runs: the one inside a partial, or `__call__` of an object.

    >>> code_of(functools.partial(functools.partial(print), 1)) is print
    True
    """
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function) or isinstance(function, type) or "__wrapped__" in getattr(function, "__dict__", ()):
        return function
    return type(function).__call__


def annotated(function: Callable[..., Any]) -> Any:
    """Return the function that `inspect.signature` reads: its annotations apply."""
    while isinstance(function, functools.partial) or _is_followed(function):
        function = function.func if isinstance(function, functools.partial) else function.__wrapped__  # type: ignore[attr-defined]
    return code_of(function)


def _is_followed(function: Any) -> bool:
    return hasattr(function, "__wrapped__") and not hasattr(function, "__signature__")


def _first(function: Callable[..., Any]) -> str | None:
    return next(iter(inspect.signature(function).parameters), None)
