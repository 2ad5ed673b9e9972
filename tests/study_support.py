"""Studies with results: the test itself claims and finishes experiments, without a worker."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qexp.client import Client
from qexp.grid import Grid
from qexp.model import Error, Failure, Outcome
from qexp.store.connection import RawConnection
from qexp.store.selection.selectors import Selection
from qexp.store.writes import claiming, worker_rows

Results = Callable[[Mapping[str, Any]], "Mapping[str, Any] | Failure | None"]
"""A function from parameters to a result, a failure, or None for no change."""


class Made:
    """A study whose experiments the test finishes."""

    def __init__(self, client: Client, raw: RawConnection, folder: Path, name: str) -> None:
        self.client, self.raw, self.folder, self.name = client, raw, folder, name
        self.worker = uuid.uuid4()
        worker_rows.register(raw, self.worker, worker_rows.WorkerInfo("here", 1, "w@here", ["nobody"], 1))

    def enqueue(self, parameters: Mapping[str, Any], source: str = "def f(**given): ...\n", **grid: Any) -> Made:
        """Enqueue a grid, or another one of the same study, and queue its experiments."""
        (self.folder / "experiment.py").write_text(source)
        given = {"study": self.name, "function": "experiment:f", "queue": "nobody", "parameters": parameters, **grid}
        self.client.enqueue(Grid.from_dict(given, self.folder))
        self.queue()
        return self

    def queue(self) -> None:
        """Queue pending experiments, like an announcement."""
        self.raw.execute(
            "update experiment set status = 'queued' where status = 'pending'"
            " and study = (select id from study where name = %s)",
            [self.name],
        )

    def finish(self, results: Results, where: str | None = None) -> Made:
        """Finish each queued experiment with its outcome by *results*."""
        from qexp.store.selection.selectors import parse

        chosen = Selection(self.name) if where is None else parse([self.name], where=where)
        names: dict[str, None] = {}
        for view in self.client.experiments(chosen):
            outcome = results(view.params) if view.status == "queued" else None
            if outcome is not None:
                self._end(view.id, outcome)
                names |= dict.fromkeys(outcome if isinstance(outcome, Mapping) else ())
        known = self.raw.execute("select results from study where name = %s", [self.name]).fetchone()[0]
        merged = [*dict.fromkeys([*known, *names])]
        self.raw.execute("update study set results = %s where name = %s", [merged, self.name])
        return self

    def _end(self, number: int, outcome: Mapping[str, Any] | Failure) -> None:
        claim = claiming.claim(self.raw, number, self.worker, 1)
        if isinstance(outcome, Failure):
            error = Error(outcome, "ValueError", "no", fingerprint="ab12")
            claiming.finish(self.raw, claim, Outcome(error=error))
        else:
            claiming.finish(self.raw, claim, Outcome(result=outcome))

    def start(self, where: str) -> None:
        """Start queued experiments without finishing them."""
        from qexp.store.selection.selectors import parse

        for view in self.client.experiments(parse([self.name], where=where)):
            claiming.claim(self.raw, view.id, self.worker, 1)

    def ids(self, where: str) -> list[int]:
        """Return the ids of experiments."""
        from qexp.store.selection.selectors import parse

        return [view.id for view in self.client.experiments(parse([self.name], where=where))]


def made_study(client: Client, raw: RawConnection, folder: Path, prefix: str = "study") -> Made:
    """Return a study of a new name that has no experiments yet."""
    folder.mkdir(parents=True, exist_ok=True)
    return Made(client, raw, folder, f"{prefix}_{uuid.uuid4().hex[:8]}")
