"""All studies with their progress, as a list that shows itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from qexp.client.client import Client
from qexp.client.listings.listing import ListColumn, Listing
from qexp.model import Status, duration, rate
from qexp.store.reads.study_progress import StudyProgress


class Studies(Listing[StudyProgress]):
    """The progress of studies, the oldest first."""

    empty: ClassVar[str] = "no studies yet: start with qexp.enqueue"
    shows_last: ClassVar[bool] = True

    def columns(self, shown: Sequence[StudyProgress]) -> list[ListColumn]:
        """Return a column per status that any study has, and the rate."""
        statuses = [s for s in Status if s is Status.DONE or any(study.counts[s] for study in shown)]
        found = [
            ListColumn("study", [study.study for study in shown]),
            ListColumn("total", [str(study.total) for study in shown], right=True),
        ]
        found += [ListColumn(s, [str(study.counts[s]) for study in shown], right=True) for s in statuses]
        rates = [rate(study.rate) if study.open else "" for study in shown]
        lefts = [duration(study.seconds_left) for study in shown]
        return found + [
            ListColumn(head, cells, right=True) for head, cells in (("rate", rates), ("left", lefts)) if any(cells)
        ]

    def notes(self) -> list[str]:
        """Name the paused studies."""
        return [repr(study) for study in self.shown() if study.paused_at is not None]


def studies(client: Client | None = None, archived: bool = False) -> Studies:
    """
    Return the progress of all studies that are not archived, the oldest first; a notebook shows it as a table.

    With *archived* these are the archived ones.

    Each item has `study` (the name), `counts` (by status), `total`, `rate` (experiments per second, None if none has
    ended lately), `seconds_left`, `paused_at` and `pause_reason`.
    """
    return Studies((client or Client()).counts(archived=archived))
