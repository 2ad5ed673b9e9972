"""`qexp.attach`: give another process the context of a running attempt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from qexp.client import Client
from qexp.errors import ContextError
from qexp.model import Status
from qexp.store.reads.experiment_rows import ExperimentView
from qexp.store.reconnecting import PATIENCE, ReconnectingConnection
from qexp.store.selection.selectors import Selection
from qexp.store.writes.journal import AttemptFence
from qexp.worker.context.context import Context
from qexp.worker.context.journal_flusher import JournalFlusher
from qexp.worker.context.postgres_journal import PostgresJournal


class Attached(Context):
    """
    The context of an attempt that another process runs. Raises ContextError once the attempt has ended.

    `close` writes buffered values; a `with` block calls it at its end.
    """

    def __init__(self, journal: PostgresJournal, flusher: JournalFlusher, view: ExperimentView) -> None:
        super().__init__(journal, view.id, view.study, view.attempt, view.params)
        self._written, self._flusher = journal, flusher
        flusher.start(journal)

    def record(self, **values: Any) -> None:
        self._check()
        super().record(**values)

    def metric(self, step: int | None = None, **values: Any) -> None:
        self._check()
        super().metric(step, **values)

    def append(self, name: str, row: Mapping[str, Any]) -> None:
        self._check()
        super().append(name, row)

    def close(self) -> None:
        """Write buffered values. Raises ContextError if the attempt ended before all were written."""
        self._flusher.stop()
        self._written.flush(PATIENCE)
        self._check()

    def _check(self) -> None:
        if self._written.over:
            raise self._written.ended()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def attach(id: int, client: Client | None = None) -> Attached:  # noqa: A002 - its name in the whole interface
    """
    Return the context of the attempt that runs experiment *id* now, for use in another process.

    A child process of the function, or a notebook, can record metrics, result parts, list rows, checkpoints and
    artifacts: ``with qexp.attach(17) as context: context.metric(step, loss=0.1)``. If the function records the same
    series, give each metric a step. Raises ContextError unless the experiment is running.
    """
    client = client or Client()
    (view,) = client.experiments(Selection(ids=((id, id),)))
    if view.status is not Status.RUNNING:
        raise ContextError(f"experiment {id} is {view.status}, expected a running one; see 'qexp show {id}'")
    postgres = ReconnectingConnection(client.settings)
    journal = PostgresJournal(postgres, AttemptFence(id, view.attempt, None), _no_folder, lambda: False, view.study)
    return Attached(journal, JournalFlusher(postgres), view)


def _no_folder() -> Path:
    raise ContextError(
        "the folder of an attempt is on the host that runs it; keep files for all hosts with context.artifact"
    )
