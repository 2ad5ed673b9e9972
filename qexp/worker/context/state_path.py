"""The path through a nested state, by which errors name a place, and the depth limit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qexp.errors import CheckpointError

DEEPEST = 100  # low, so that a function with a deep stack can read data written from a shallow one


class PathVisitor:
    """The base of classes that visit a nested state and know their path; errors omit its first *outer* keys."""

    def __init__(self, outer: int = 0) -> None:
        self._path: list[Any] = []
        self._outer = outer

    def _enter(self, key: Any) -> None:
        self._path.append(key)
        if len(self._path) > DEEPEST:
            raise CheckpointError(f"state: it is nested more than {DEEPEST} deep, or contains itself")

    def _leave(self) -> None:
        self._path.pop()

    def _error(self, problem: str) -> CheckpointError:
        return CheckpointError(f"{place_of(self._path[self._outer :])}: {problem}")


def place_of(path: Iterable[Any]) -> str:
    """
    Return a path in a state as a Python expression.

    >>> place_of(["net", 0])
    "state['net'][0]"
    """
    return "state" + "".join(f"[{key!r}]" for key in path)
