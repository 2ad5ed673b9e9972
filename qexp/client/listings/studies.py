"""All studies with their progress, as a list that shows itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from qexp.analysis.column_fitting import TableColumn, middle_cut
from qexp.client.client import Client
from qexp.client.listings.listing import Listing
from qexp.model import Status, duration, rate
from qexp.store.reads.study_progress import StudyProgress

_NAME = 16
"""Characters of a study's name that stay if the terminal is narrow."""
_RANKS = ("done", "failed", "running", "left", "total", "queued", "pending", "paused", "cancelled", "rate")
"""The columns of numbers; if there is no room for all, the last ones are left out."""


class Studies(Listing[StudyProgress]):
    """The progress of studies, the oldest first."""

    empty: ClassVar[str] = "no studies yet: start with qexp.enqueue"
    shows_last: ClassVar[bool] = True

    def __init__(self, studies: Iterable[StudyProgress] = (), absence: str | None = None) -> None:
        super().__init__(studies)
        self._absence = absence

    def text_if_empty(self) -> str:
        """Return why no study was chosen."""
        return self._absence or self.empty

    def columns(self, shown: Sequence[StudyProgress]) -> list[TableColumn]:
        """Return a column per status that any study has, the rate and the time left."""
        cells = {"total": [str(study.total) for study in shown]}
        for status in Status:
            if status is Status.DONE or any(study.counts[status] for study in shown):
                cells[status] = [str(study.counts[status]) for study in shown]
        rates = [rate(study.rate) if study.open else "" for study in shown]
        lefts = [_left(study) for study in shown]
        cells |= {label: texts for label, texts in (("rate", rates), ("left", lefts)) if any(texts)}
        names = [study.study for study in shown]
        return [
            TableColumn("study", names, cut=True, least=_NAME, shorten=middle_cut),
            *(TableColumn(label, texts, _RANKS.index(label), right=True) for label, texts in cells.items()),
        ]

    def notes(self) -> list[str]:
        """Name the paused studies."""
        return [repr(study) for study in self.shown() if study.paused_at is not None]


def _left(study: StudyProgress) -> str:
    """Return the time that a study needs, or why it has no end."""
    if study.needs_worker:
        return "no worker"
    return "paused" if study.paused_at is not None and study.open else duration(study.seconds_left)


def studies(
    *names: str,
    only_open: bool = False,
    archived: bool = False,
    limit: int | None = None,
    client: Client | None = None,
) -> Studies:
    """
    Return the progress of all studies, the oldest first; a notebook shows it as a table.

    *names* are names and patterns such as `"lenet*"`. *only_open* keeps studies with unfinished experiments. *archived*
    chooses the archived studies instead of the others. *limit* is the number of the newest ones; experiments of other
    studies are not counted.

    Each item has `study` (the name), `counts` (by status), `total`, `rate` (experiments per second, None if none has
    ended lately), `has_worker`, `seconds_left` (None without a worker), `paused_at` and `pause_reason`. Raises
    UnknownStudyError for an unknown name.
    """
    found = (client or Client()).overview(names, limit, archived, only_open)
    return Studies(found.shown, _absence(names, found.others, only_open, archived))


def _absence(names: Sequence[str], others: int, only_open: bool, archived: bool) -> str | None:
    """Return why no study was chosen, or None if there is none at all."""
    if archived or only_open:
        subject = "none of these studies" if names else "no study"
        return f"{subject} {'is archived' if archived else 'has unfinished experiments'}"
    if others:
        return f"{'all of these' if names else 'all'} studies are archived; archived=True chooses them"
    return None
