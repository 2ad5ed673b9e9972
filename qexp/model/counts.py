"""Experiments counted by status."""

from __future__ import annotations

from collections.abc import Mapping

from qexp.model.status import CLOSED, OPEN, Status


class Counts(dict[Status, int]):
    """
    The number of experiments in each status. `pending` and `queued` experiments show as waiting.

    >>> Counts({Status.PENDING: 1, Status.QUEUED: 10, Status.DONE: 40})
    51: 40 done, 11 waiting
    >>> Counts({Status.DONE: 1000})
    1,000: 1,000 done
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

    def without(self, others: Mapping[Status, int]) -> Counts:
        """
        Return these numbers without some *others*.

        >>> Counts({Status.DONE: 50}).without({Status.DONE: 10})
        40: 40 done
        """
        return Counts({status: max(0, number - others.get(status, 0)) for status, number in self.items()})

    def __missing__(self, status: Status) -> int:
        return 0

    @property
    def text(self) -> str:
        """The numbers without zeros, such as `40 done, 11 waiting`."""
        shown = {str(status): self[status] for status in _FIRST}
        shown["waiting"] = self[Status.PENDING] + self[Status.QUEUED]
        shown |= {str(status): self[status] for status in (Status.PAUSED, Status.CANCELLED)}
        return ", ".join(f"{number:,} {name}" for name, number in shown.items() if number) or "no experiments"

    def __repr__(self) -> str:
        return f"{self.total:,}: {self.text}" if self.total else self.text


_FIRST = (Status.DONE, Status.FAILED, Status.RUNNING)
