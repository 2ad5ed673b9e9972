"""The code that experiments ran: the files of a revision that an experiment imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from qexp.model import Imports
from qexp.store.connection import Connection
from qexp.store.reads import snapshots
from qexp.store.reads.revisions import RevisionView

Versions = Mapping[str, str]
"""The versions of files or packages by name: two experiments conflict if both have a name with different versions."""

PLACE = "the place of the code (snapshot or installed)"


class RevisionCode:
    """The contents of the files of some revisions."""

    def __init__(self, connection: Connection, revisions: Iterable[RevisionView]) -> None:
        self._marks = snapshots.marks(connection, {one.source for one in revisions if one.source})

    def files(self, revision: RevisionView, imports: Imports | None) -> Versions:
        """Return the marks of imported files; if the imports are unknown, of all Python files."""
        if revision.source is None:
            return {PLACE: "installed"}
        marks = self._marks.get(revision.source, {})
        names = imports.files if imports is not None else [name for name in marks if name.endswith(".py")]
        return {PLACE: "snapshot", **{name: marks.get(name, "") for name in names}}

    def is_same(self, first: RevisionView, second: RevisionView, imports: Imports | None) -> bool:
        """Return whether two revisions have the same settings, function and imported files."""
        if (first.settings, first.function) != (second.settings, second.function):
            return False
        return first.source == second.source or self.files(first, imports) == self.files(second, imports)
