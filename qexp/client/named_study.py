"""A study by its name, and the selection of its experiments by the arguments of a method."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from qexp.client.client import Client
from qexp.errors import SelectorError
from qexp.store.selection import selectors
from qexp.store.selection.selectors import Selection

ExperimentIds = str | int | Iterable[int] | None
"""Ids as `"17,19-23"` or numbers; None chooses all."""
StatusNames = str | Sequence[str]


class NamedStudy:
    """An existing study, by name. Raises UnknownStudyError if there is none."""

    def __init__(self, name: str, client: Client | None = None) -> None:
        self._client = client or Client()
        self.name = self._client.study(name).name

    def _chosen(self, ids: ExperimentIds = None, status: StatusNames = (), **options: Any) -> Selection | None:
        """Return a selection in this study, of all experiments by default. Returns None for an empty list of ids."""
        if ids is not None and not isinstance(ids, str):
            numbers = [ids] if isinstance(ids, int) else [int(number) for number in ids]
            if not numbers:
                return None
            ids = ",".join(map(str, numbers))
        statuses = [status] if isinstance(status, str) else list(status)
        return selectors.parse([self.name] if ids is None else [self.name, ids], statuses, **options)

    def _one(self, experiment: int) -> int:
        """Return the id of an experiment of this study. Raises UnknownExperimentError if the study has none."""
        if isinstance(experiment, bool) or not isinstance(experiment, int):
            raise SelectorError(f"found {experiment!r}, expected the id of an experiment, such as 17")
        with self._client.begin() as connection:
            selectors.where(connection, Selection(self.name, ids=((experiment, experiment),)))
        return experiment
