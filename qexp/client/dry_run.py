"""One experiment runs in this process, with the code and the parameters that it has, and nothing is written."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from qexp.client import Client
from qexp.functions import switch_folder
from qexp.model import Claim, Departure, Json
from qexp.store.reads import study_rows
from qexp.store.reconnecting import ReconnectingConnection
from qexp.store.selection.selectors import Selection
from qexp.store.writes.journal import AttemptFence
from qexp.worker.attempt import experiment_state, function_call, results
from qexp.worker.attempt.code import AttemptCode
from qexp.worker.context.context import Leaving
from qexp.worker.context.memory import MemoryJournal
from qexp.worker.context.postgres import PostgresJournal


class DryRun:
    """
    An experiment as its next attempt would run it, here.

    Its checkpoints are read; nothing is written but code to this host's cache and files below its temporary `workdir`.
    The working directory is the caller's. With *live* its code is the folder's as it is now.
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
        """Where its code is on this host; None: only what is installed."""
        return AttemptCode(self._client.settings, self._postgres).folder(self.claim)

    @property
    def code(self) -> str:
        """What its code is, in words."""
        digest, folder = self.claim.source, self.claim.folder
        return f"snapshot {digest[:12]}" if digest else f"the code in {folder}" if folder else "installed code"

    def run(self) -> dict[str, Json] | None:
        """Return the result that the experiment would have; None if it leaves or pauses. Its exceptions come out."""
        claim = self.claim
        context = function_call.context_of(claim, self.journal)
        switch_folder(self.folder)
        call = function_call.prepare(claim.function, self.folder, {**claim.settings, **claim.params}, context)
        experiment_state.seed(context.seed)
        try:
            value = function_call.returned(call, claim.function)
        except Leaving:
            value = context.departure
        finally:
            self._postgres.release()
        if isinstance(value, Departure):
            return None
        return {**self.journal.recorded, **results.mapping(value, call.result_keys)}

    def left(self) -> Iterator[str]:
        """Yield a line for each thing, beside its result, that the experiment would have left."""
        for name, points in self.journal.series.items():
            yield f"series {name}: {len(points)} points, the last {points[-1].value:.6g}"
        for name, rows in self.journal.lists.items():
            yield f"list {name}: {len(rows)} rows"
        for name, saved in self.journal.checkpoints.items():
            yield f"checkpoint {name}: {len(saved.data):,} bytes"
        for name in self.journal.artifacts:
            yield f"artifact {name}"


def _claim(client: Client, experiment: int) -> Claim:
    """Return what a worker would be given of an experiment, without taking it."""
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
