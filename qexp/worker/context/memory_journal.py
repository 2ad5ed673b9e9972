"""The journal that keeps a context's records in memory, to try a function without Postgres."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qexp.model import Json
from qexp.store.writes.journal import Point
from qexp.worker.context.checkpoint_encoding import EncodedCheckpoint, Load, decode
from qexp.worker.context.loop_state import FinishedSteps

StoredFile = Callable[[str], EncodedCheckpoint | None]
"""A function that returns the checkpoint of a name, or None."""


def _nothing(name: str) -> None:
    return None


class MemoryJournal:
    """
    Keeps `recorded`, `series`, `lists`, `checkpoints` and `artifacts` of a function, each by name.

    Set `stop` to ask the function to save and return.
    """

    def __init__(self, stored: StoredFile = _nothing) -> None:
        self.recorded: dict[str, Json] = {}
        self.series: dict[str, list[Point]] = {}
        self.lists: dict[str, list[Json]] = {}
        self.checkpoints: dict[str, EncodedCheckpoint] = {}
        self.artifacts: dict[str, bytes | Path] = {}
        self.stop = False
        self._stored = stored
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def point(self, name: str, step: int | None, value: float, at: float) -> None:
        """Keep one value of a series."""
        series = self.series.setdefault(name, [])
        series.append(Point(len(series) if step is None else step, value, at))

    def record(self, values: Mapping[str, Json], at: float) -> None:
        """Keep parts of the result."""
        self.recorded |= values

    def append(self, name: str, row: Json, at: float) -> None:
        """Keep a row of a list."""
        self.lists.setdefault(name, []).append(row)

    def save(self, name: str, encoded: EncodedCheckpoint, keep: bool, steps: FinishedSteps | None = None) -> None:
        """Keep an encoded checkpoint."""
        self.checkpoints[name] = encoded

    def load(self, name: str, default: Any, load: Load | None) -> Any:
        """Return a checkpoint that this or an earlier attempt saved. Returns *default* if there is none."""
        encoded = self.checkpoints.get(name) or self._stored(name)
        return default if encoded is None else decode(encoded.kind, encoded.data, load)

    def artifact(self, name: str, content: bytes | Path) -> str:
        """Keep a file's content or path."""
        self.artifacts[name] = content
        return f"memory://{name}"

    def workdir(self) -> Path:
        """Return a temporary folder, removed with this journal."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="qexp-local-")
        return Path(self._folder.name)

    def stopping(self) -> bool:
        """Say whether the function should save and return."""
        return self.stop
