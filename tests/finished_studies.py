"""Finished studies without worker processes, for the tests of tables and comparisons."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qexp.analysis.table import Table
from qexp.client import Client, tables_and_comparisons
from qexp.errors import RefusedError
from qexp.grid import Grid
from qexp.model import Claim, Error, Failure, Imports, Outcome
from qexp.store.connection import RawConnection
from qexp.store.selection.selectors import parse
from qexp.store.writes import claiming, worker_rows

IMPORTS = Imports(("experiment.py",), ("numpy",))
FAILED = Outcome(error=Error(Failure.ERROR, "ValueError", "bad", fingerprint="ab12"))
TIMEOUT = Outcome(error=Error(Failure.TIMEOUT, "TimeoutError", "late", fingerprint="cd34"))

CLASSIFIERS, DATASETS = ["svc", "tree"], ["iris", "wine"]
GRID = {"classifier": CLASSIFIERS, "dataset": DATASETS, "seed": {"range": [0, 5]}}
SMALL = {"classifier": CLASSIFIERS, "seed": {"range": [0, 5]}}

Ending = Mapping[str, Any] | Outcome | None
"""A result, another outcome, or None: the experiment stays queued."""


class FinishedStudy:
    """A study in its own folder, on a queue without workers."""

    def __init__(self, client: Client, raw: RawConnection, folder: Path) -> None:
        self.client, self.raw, self.folder = client, raw, folder
        self.name = f"table_{uuid.uuid4().hex[:8]}"
        self.write("experiment.py", "def f(**params): ...\n")

    def write(self, file: str, text: str) -> None:
        """Write a file into the study's folder for the next enqueue."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / file).write_text(text)

    def enqueue(self, **grid: Any) -> FinishedStudy:
        """Enqueue a grid; keys are those of grid files."""
        given = {"study": self.name, "function": "experiment:f", "queue": "nobody", **grid}
        self.client.enqueue(Grid.from_dict(given, self.folder))
        return self

    def worker(self, packages: Mapping[str, str] | None = None, cpu: str = "a processor", gpu: str = "") -> uuid.UUID:
        """Register a worker with its packages and machine."""
        made, digest = uuid.uuid4(), uuid.uuid4().hex
        self.raw.execute(
            "INSERT INTO environment (digest, python, implementation, platform, cpu, cores, packages, gpus) "
            "VALUES (%s, '3.11', 'CPython', 'Linux', %s, 8, %s::text::jsonb, %s)",
            [digest, cpu, json.dumps(packages or {}), [gpu] if gpu else []],
        )
        station = worker_rows.WorkerInfo("here", 1, "worker@here", ["nobody"], 2, environment=digest)
        worker_rows.register(self.raw, made, station)
        return made

    def end(
        self,
        ending: Callable[[dict[str, Any]], Ending],
        where: str | None = None,
        worker: uuid.UUID | None = None,
        imports: Imports | None = IMPORTS,
    ) -> FinishedStudy:
        """Finish open experiments with the result of *ending* for their parameters."""
        worker = worker or self.worker()
        self.raw.execute(
            "UPDATE experiment e SET status = 'queued' FROM study s "
            "WHERE s.id = e.study AND s.name = %s AND status = 'pending'",
            [self.name],
        )
        endings = {
            view.id: ended
            for view in self.client.experiments(parse([self.name], ["queued"], where=where))
            if (ended := ending(dict(view.params))) is not None
        }
        claims = claiming.claims(self.raw, list(endings), worker, pid=1)
        assert len(claims) == len(endings)
        results: list[claiming.EncodedResult] = []
        names: dict[str, None] = {}
        for claim in claims:
            ended = endings[claim.id]
            outcome = ended if isinstance(ended, Outcome) else Outcome(result=ended, imports=imports)
            names |= dict.fromkeys(outcome.result or ())
            if outcome.is_done:
                results.append(claiming.encode_result(claim, outcome))
            else:
                assert claiming.finish(self.raw, claim, outcome)
        if claims:
            claiming.name_results(self.raw, claims[0].study_id, list(names))
        assert len(claiming.finish_all(self.raw, worker, results)) == len(results)
        return self

    def claim(self, experiment: int, worker: uuid.UUID | None = None) -> Claim:
        """Return a claim of one experiment."""
        claimed = claiming.claim(self.raw, experiment, worker or self.worker(), pid=1)
        assert claimed is not None
        return claimed

    def ids(self, where: str | None = None) -> list[int]:
        """Return the ids of experiments that satisfy a condition."""
        return [view.id for view in self.client.experiments(parse([self.name], where=where))]

    def table(
        self, metric: str = "accuracy", rows: str = "classifier", columns: str = "dataset", **options: Any
    ) -> Table:
        """Return a table of this study."""
        return tables_and_comparisons.table(self.name, metric, rows, columns, client=self.client, **options)

    def refusal(
        self, metric: str = "accuracy", rows: str = "classifier", columns: str = "dataset", **options: Any
    ) -> str:
        """Return the only reason for which a table is refused."""
        (reason,) = self.refusals(metric, rows, columns, **options)
        return reason

    def refusals(self, *names: str, **options: Any) -> list[str]:
        """Return the reasons for which a table is refused."""
        try:
            made = self.table(*names, **options)
        except RefusedError as error:
            return error.reasons
        raise AssertionError(f"the table was not refused: {made.cells}")


def accuracy(params: Mapping[str, Any]) -> dict[str, float]:
    """Return results that differ between all classifiers, datasets and seeds."""
    base = 0.5 + len(str(params.get("classifier", ""))) / 100 + len(str(params.get("dataset", ""))) / 1000
    value = base + 0.0001 * (7 * int(params.get("seed", 0)) % 11)
    return {"accuracy": value, "loss": 1 - value}


def texts(table: Table, kind: str) -> list[str]:
    """Return the notes of one kind."""
    return [note.text for note in table.notes if note.kind == kind]


def is_cell(params: Mapping[str, Any], classifier: str = "svc", dataset: str = "iris", **others: Any) -> bool:
    """Return whether parameters belong to a cell, by default to svc / iris."""
    return {"classifier": classifier, "dataset": dataset, **others}.items() <= params.items()


def only(ending: Ending) -> Callable[[dict[str, Any]], Ending]:
    """Return a function with this ending for svc / iris at seed 3, and an accuracy for all other experiments."""
    return lambda params: ending if is_cell(params, seed=3) else accuracy(params)


def cells(table: Table) -> list[Any]:
    """Return the cells of a table, row by row."""
    return [cell for row in table.cells for cell in row]
