"""Read the records of experiments: output, series, lists, artifacts and code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, text

from qexp.client import experiment_queries
from qexp.client.client import Client
from qexp.errors import ContextError, nearest
from qexp.file_storage import Files
from qexp.model import OutputPiece
from qexp.store.connection import Connection
from qexp.store.reads import records, running_experiments, study_rows
from qexp.store.reads.running_experiments import RunningExperiment
from qexp.store.selection import selectors
from qexp.store.selection.selectors import Selection
from qexp.truncation import listed

if TYPE_CHECKING:
    import pandas as pd

_NAMED = 8
"""The most names of series in a message."""


@dataclass(frozen=True)
class AttemptOutput:
    """The output of an attempt, and whether the attempt still runs."""

    attempt: int
    pieces: list[OutputPiece]
    running: bool

    def text(self, end: int = 0) -> tuple[str, int]:
        """Return the output after byte *end*, with marks where bytes were left out, and the byte where it ends."""
        parts = []
        for piece in self.pieces:
            if piece.position > end:
                parts.append(f"\n[… {piece.position - end:,} bytes left out …]\n")
            parts.append(piece.text)
            end = piece.position + piece.size
        return "".join(parts), end


class Records:
    """The records of the experiments in one database."""

    def __init__(self, client: Client | None = None) -> None:
        self._client = client or Client()

    def output(self, experiment: int, attempt: int | None = None, after: int = 0) -> AttemptOutput:
        """Return the output of an attempt, by default the last one, from byte *after*."""
        with self._client.begin() as connection:
            selectors.where(connection, Selection(ids=((experiment, experiment),)))
            last, running = records.attempt_of(connection, experiment)
            if not last:
                raise ContextError(f"experiment {experiment} has not run yet; 'qexp explain {experiment}' says why")
            number = last if attempt is None else attempt
            if not 1 <= number <= last:
                raise ContextError(f"experiment {experiment}: there is no attempt {number}; the last one is {last}")
            return AttemptOutput(
                number, records.output(connection, experiment, number, after), running and number == last
            )

    def running(self, experiments: Iterable[int]) -> dict[int, RunningExperiment]:
        """Return how far the running ones of some experiments are, by id: time, finished steps, newest metrics."""
        with self._client.begin() as connection:
            return running_experiments.running(connection, experiments)

    def metrics(
        self, selection: Selection, names: Sequence[str] = (), every: bool = False, params: bool = False
    ) -> pd.DataFrame:
        """
        Return the series of the selected experiments as a long frame; see `qexp.metrics`.

        Raises ContextError for a name that none of them has, unless they have no series at all.
        """
        from qexp.analysis.series_frames import long_frame, with_parameters

        with self._client.begin() as connection:
            # both reads see the same experiments
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            condition = selectors.where(connection, selection)
            points = long_frame(records.series(connection, condition, names, every))
            found = set(points["name"].unique())
            if absent := [name for name in names if name not in found]:
                _require_series(connection, condition, absent[0])
            frame = _with_study(connection, selection, points)
            if not params:
                return frame
            ids = points["id"].unique().tolist()
            return with_parameters(frame, experiment_queries.parameters(connection, selection, ids))

    def rows(self, selection: Selection, name: str) -> pd.DataFrame:
        """Return the rows of a list of the selected experiments: id, attempt, at, then one column per key."""
        from qexp.analysis.series_frames import list_frame

        with self._client.begin() as connection:
            condition = selectors.where(connection, selection)
            rows = records.entries(connection, condition, name)
            if not rows and name not in (known := records.lists(connection, condition)):
                raise ContextError(f"there is no list {name!r}; the lists are: {', '.join(known) or 'none'}")
            return _with_study(connection, selection, list_frame(rows))

    def lists(self, selection: Selection) -> list[str]:
        """Return the names of the lists that the selected experiments have."""
        with self._client.begin() as connection:
            return records.lists(connection, selectors.where(connection, selection))

    def has_experiments(self, selection: Selection) -> bool:
        """Say whether the selection chooses any experiment."""
        return bool(self._client.experiments(selection, limit=1))

    def artifacts(self, selection: Selection) -> list[records.Artifact]:
        """Return the artifacts of the selected experiments."""
        with self._client.begin() as connection:
            return records.artifacts(connection, selectors.where(connection, selection))

    def fetch(self, artifact: records.Artifact, target: Path) -> None:
        """
        Copy an artifact to a file on this host, which the next snapshot of its folder leaves out.

        Raises FilesError if its checksum differs.
        """
        from qexp.source import written_files

        Files(self._client.settings.artifacts_root).fetch(artifact.url, target, artifact.sha256)
        written_files.note(target)

    def content(self, artifact: records.Artifact) -> bytes:
        """Return an artifact's bytes."""
        return Files(self._client.settings.artifacts_root).get(artifact.url)

    def origin(self, experiment: int, attempt: int | None = None) -> records.CodeOrigin:
        """Return the git commit, the diff and the packages of the revision that an attempt ran."""
        with self._client.begin() as connection:
            selectors.where(connection, Selection(ids=((experiment, experiment),)))
            return records.origin(connection, experiment, attempt)

    def source(self, experiment: int, attempt: int | None = None) -> tuple[records.CodeSnapshot, str]:
        """Return the code that an attempt ran, and the function in it as `module:name`."""
        with self._client.begin() as connection:
            condition = selectors.where(connection, Selection(ids=((experiment, experiment),)))
            function = study_rows.of(connection, condition, None).function
            return records.source(connection, experiment, attempt), function


def _require_series(connection: Connection, condition: ColumnElement[bool], name: str) -> None:
    """Raise ContextError if the chosen experiments have series, but none with this name."""
    known = records.series_names(connection, condition)
    if known and name not in known:
        hint = nearest(name, known) or f"; the series are: {listed(known, _NAMED)}"
        raise ContextError(f"none of these experiments has a series {name!r}{hint}")


def _with_study(connection: Connection, selection: Selection, frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with the column `study` after `id`, if a pattern or several studies were given."""
    if not selection.studies:
        return frame
    names = study_rows.names_by_experiment(connection, frame["id"].unique().tolist())
    frame = frame.rename(columns={"study": "row.study"})  # a key of a list's rows may have this name
    frame.insert(1, "study", frame["id"].map(names).astype("str"))
    return frame
