"""Ids of experiments, as a list that shows itself in one line."""

from __future__ import annotations

from collections.abc import Iterable

from qexp.model import compact
from qexp.truncation import shortened

_WIDTH = 200


class Ids(list[int]):
    """
    The ids of experiments that a verb has changed. Selectors accept the list again.

    >>> Ids([17, 19, 20], "requeued")
    3 requeued: 17,19-20
    """

    def __init__(self, ids: Iterable[int] = (), verb: str = "chosen", note: str = "") -> None:
        super().__init__(ids)
        self.verb, self.note = verb, note

    def __repr__(self) -> str:
        numbers = f": {shortened(compact(self), _WIDTH)}" if self else ""
        return f"{len(self)} {self.verb}{numbers}{f'; {self.note}' if self.note else ''}"
