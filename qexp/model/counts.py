"""Experiments counted by status."""

from __future__ import annotations

from qexp.model.status import CLOSED, OPEN, Status


class Counts(dict[Status, int]):
    """
    The number of experiments in each status. `pending` and `queued` experiments show as waiting.

    >>> Counts({Status.PENDING: 1, Status.QUEUED: 10, Status.DONE: 40})
    51: 40 done, 11 waiting
    """

    @property
    def total(self) -> int:
        """The number of all experiments."""
        return sum(self.values())

    @property
    def open(self) -> int:
        """The number of experiments that still move by themselves."""
        return sum(self[status] for status in OPEN)

    @property
    def closed(self) -> int:
        """The number of experiments that stay as they are until a person requeues them."""
        return sum(self[status] for status in CLOSED)

    def __missing__(self, status: Status) -> int:
        return 0

    def __repr__(self) -> str:
        shown = {str(status): self[status] for status in _FIRST}
        shown["waiting"] = self[Status.PENDING] + self[Status.QUEUED]
        shown |= {str(status): self[status] for status in (Status.PAUSED, Status.CANCELLED)}
        parts = [f"{number} {name}" for name, number in shown.items() if number]
        return f"{self.total}: {', '.join(parts)}" if parts else "no experiments"


_FIRST = (Status.DONE, Status.FAILED, Status.RUNNING)
