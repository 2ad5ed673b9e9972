"""Groups of errors, as a list that shows itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from qexp.analysis.column_fitting import TableColumn
from qexp.client.listings.listing import Listing
from qexp.model import SHORT_GROUP, compact
from qexp.store.reads.error_groups import ErrorGroup
from qexp.truncation import single_line

_MESSAGE = 2_000
"""The most bytes of a message that are shown."""


class ErrorGroups(Listing[ErrorGroup]):
    """Failed experiments by error, the largest group first."""

    empty: ClassVar[str] = "nothing has failed"

    def columns(self, shown: Sequence[ErrorGroup]) -> list[TableColumn]:
        """Return the group, its size, its error, and the place and ids."""
        return [
            TableColumn("group", [group.fingerprint[:SHORT_GROUP] for group in shown]),
            TableColumn("count", [str(group.count) for group in shown], right=True),
            TableColumn("failure", [group.failure for group in shown]),
            TableColumn(
                "error", [single_line(f"{g.error_type}: {g.error_message}", _MESSAGE) for g in shown], cut=True
            ),
            *_numbers(shown),
            TableColumn("at", [group.error_frame or "" for group in shown], cut=True),
            TableColumn("ids", [compact(group.ids) for group in shown], cut=True),
        ]

    def notes(self) -> list[str]:
        """Say how to run a group again."""
        return [f'after a fix, run a group again: study.requeue(error="{self[0].fingerprint[:SHORT_GROUP]}")']


def _numbers(shown: Sequence[ErrorGroup]) -> list[TableColumn]:
    """Return the column of the numbers of different messages, if a group has several."""
    if all(group.messages == 1 for group in shown):
        return []
    cells = ["" if group.messages is None else f"{group.messages:,}" for group in shown]
    return [TableColumn("messages", cells, right=True)]
