"""The differences between the code of several studies, often the point of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qexp.analysis.table.model import Note
from qexp.analysis.table.table_experiments import TableExperiments
from qexp.model import Status
from qexp.store.connection import Connection
from qexp.store.reads import snapshots
from qexp.store.reads.revisions import RevisionView
from qexp.truncation import listed

_DONE = list(Status).index(Status.DONE)
_FILES = 6
"""Files that are named."""


def between_studies(connection: Connection, observed: TableExperiments) -> Iterator[Note]:
    """Yield a note on the Python files that differ between the last revisions of the studies that ran."""
    ran = [_ran(observed, at) for at in range(len(observed.studies))]
    yield from _code(connection, [one.source for one in ran if one is not None and one.source])


def _ran(observed: TableExperiments, at: int) -> RevisionView | None:
    """Return the last revision of a study that has results."""
    numbers = observed.revision[(observed.study == at) & (observed.status == _DONE)]
    return observed.revisions[at].get(int(numbers.max())) if len(numbers) else None


def _code(connection: Connection, digests: Sequence[str]) -> Iterator[Note]:
    if len(set(digests)) < 2:
        return
    marks = snapshots.marks(connection, set(digests))
    files = sorted({name for one in marks.values() for name in one if name.endswith(".py")})
    differing = [name for name in files if len({marks.get(digest, {}).get(name) for digest in digests}) > 1]
    if differing:
        yield Note("code", f"files that differ: {listed(differing, _FILES)}")
