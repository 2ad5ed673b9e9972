"""Run one experiment in this process with its code and parameters, and write nothing: `qexp debug`."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from qexp.client import Client
from qexp.functions import switch_folder
from qexp.model import Claim, Departure, Json, with_recorded
from qexp.store.reads import study_rows
from qexp.store.reconnecting import ReconnectingConnection
from qexp.store.selection.selectors import Selection
from qexp.store.writes.journal import AttemptFence
from qexp.worker.attempt import function_call, process_state_for_experiments, returned_value
from qexp.worker.attempt.code import AttemptCode
from qexp.worker.context.context import AttemptLeft
from qexp.worker.context.memory_journal import MemoryJournal
from qexp.worker.context.postgres_journal import PostgresJournal


class DebugRun:
    """
    The next attempt of an experiment, run in this process.

    It reads checkpoints. It writes only code into this host's cache, and files into the temporary `workdir`. The
    working directory is the caller's. With *live* it runs the current code of the grid's folder.
    """

    def __init__(self, experiment: int, client: Client | None = None, live: bool = False) -> None:
        self._client = client or Client()
        self._postgres = ReconnectingConnection(self._client.settings)
        claim = _claim(self._client, experiment)
        self.claim = claim._replace(source=None) if live else claim
        reader = PostgresJournal(
            self._postgres, AttemptFence(experiment, 0, None), Path, lambda: False, self.claim.study
        )
        self.journal = MemoryJournal(reader.encoded)

    @cached_property
    def folder(self) -> Path | None:
        """The folder of its code on this host. None means that only installed code is used."""
        return AttemptCode(self._client.settings, self._postgres).folder(self.claim)

    @property
    def code(self) -> str:
        """A description of its code."""
        digest, folder = self.claim.source, self.claim.folder
        return f"snapshot {digest[:12]}" if digest else f"the code in {folder}" if folder else "installed code"

    def run(self) -> dict[str, Json] | None:
        """Return the result. Returns None if the function leaves or pauses. Raises the exceptions of the function."""
        claim = self.claim
        context = function_call.context_of(claim, self.journal)
        switch_folder(self.folder)
        call = function_call.prepare(claim.function, self.folder, {**claim.settings, **claim.params}, context)
        process_state_for_experiments.seed(context.seed)
        try:
            value = function_call.returned(call, claim.function)
        except AttemptLeft:
            value = context.departure
        finally:
            self._postgres.release()
        if isinstance(value, Departure):
            return None
        return with_recorded(self.journal.recorded, returned_value.mapping(value, call.result_keys))

    def records(self) -> Iterator[str]:
        """Yield a line for each series, list, checkpoint and artifact that the experiment recorded."""
        for name, points in self.journal.series.items():
            yield f"series {name}: {len(points)} points, the last {points[-1].value:.6g}"
        for name, rows in self.journal.lists.items():
            yield f"list {name}: {len(rows)} rows"
        for name, saved in self.journal.checkpoints.items():
            yield f"checkpoint {name}: {len(saved.data):,} bytes"
        for name in self.journal.artifacts:
            yield f"artifact {name}"


def _claim(client: Client, experiment: int) -> Claim:
    """Return the claim that a worker would get, without claiming the experiment."""
    (view,) = client.experiments(Selection(ids=((experiment, experiment),)))
    with client.begin() as connection:
        study = study_rows.find(connection, view.study)
        settings, source = study_rows.current(connection, study)
    return Claim(
        id=view.id,
        attempt=view.attempt + 1,
        worker=uuid.UUID(int=0),
        params=view.params,
        study_id=study.id,
        study=study.name,
        function=study.function,
        folder=Path(study.folder) if study.folder else None,
        settings=settings,
        result_names=tuple(study.results),
        fingerprint=view.fingerprint,
        source=source,
    )
