"""The path through a nested state, for errors that name a place, and the depth that is allowed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qexp.errors import CheckpointError

DEEPEST = 100  # a deep stack must be able to read data that a shallow stack has written


class Traversal:
    """A walk through a nested state that knows its path; errors leave out the first *outer* keys of it."""

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
    Return a path in a state as Python would spell it.

    >>> place_of(["net", 0])
    "state['net'][0]"
    """
    return "state" + "".join(f"[{key!r}]" for key in path)
