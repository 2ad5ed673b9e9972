"""One experiment runs in this process, with the code and the parameters that it has, and nothing is written."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

from qexp.client import Client
from qexp.functions import switch
from qexp.store import studies
from qexp.store.hot import Claim
from qexp.store.journal import Writer
from qexp.store.line import Line
from qexp.store.selectors import Selection
from qexp.worker import isolation, runner
from qexp.worker.code import Code
from qexp.worker.context import Leaving
from qexp.worker.journal import PostgresJournal
from qexp.worker.notebook import Notebook
from qexp.worker.values import Encoded


def claim_of(client: Client, experiment: int) -> Claim:
    """Return what a worker would be given of an experiment, without taking it."""
    (view,) = client.experiments(Selection(ids=((experiment, experiment),)))
    with client.begin() as connection:
        study = studies.find(connection, view.study)
        settings, source = studies.current(connection, study)
    return Claim(
        view.id,
        view.attempt + 1,
        uuid.UUID(int=0),
        view.params,
        study.id,
        study.name,
        study.function,
        Path(study.folder) if study.folder else None,
        settings,
        tuple(study.results),
        view.fingerprint,
        source,
    )


def debug(experiment: int, client: Client | None = None) -> tuple[object, Notebook]:
    """
    Run an experiment here, as its next attempt would, and return what its function returned and what it left.

    Its checkpoints are read; nothing is written anywhere but below its temporary `workdir`. Exceptions of the function
    come out as they are; the working directory is the caller's.
    """
    client = client or Client()
    claim = claim_of(client, experiment)
    line = Line(client.settings)
    notebook = Notebook(_stored(line, experiment))
    context = runner.context_of(claim, notebook)
    folder = Code(client.settings, line).folder(claim)
    switch(folder)
    values = {**claim.settings, **claim.params}
    function, arguments = runner.prepare(claim.function, folder, values, context)
    isolation.seed(context.seed)
    try:
        value = function(**arguments)
    except Leaving:
        value = context.departure
    finally:
        line.release()
    return value, notebook


def _stored(line: Line, experiment: int) -> Callable[[str], Encoded | None]:
    reader = PostgresJournal(line, Writer(experiment, 0, None), Path, lambda: False, "")
    return reader.encoded
