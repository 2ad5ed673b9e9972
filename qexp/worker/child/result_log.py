"""The file in which a process keeps its unrecorded results, so that none is lost if it dies."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from qexp import private_folders
from qexp.store.writes.claiming import EncodedResult

_PREFIX = "results-1-"
"""The number is the version of the format; files of other versions are not read."""
_LARGEST = 100_000
"""The size in bytes above which a log is rewritten with only the unrecorded results."""


class ResultLog:
    """
    Writes the log of this process; others read it when the process is dead. Raises OSError if the disk is full.

    Each line is a result. Lines are appended, so a kill damages at most the last one.
    """

    def __init__(self, folder: Path, pid: int) -> None:
        self._path = path_of(folder, pid)
        self._file, self._size = _open(self._path), 0

    def add(self, item: EncodedResult) -> None:
        """Append an unrecorded result."""
        self._write(self._file, f"{item.text}\n")

    def keep(self, items: Sequence[EncodedResult]) -> None:
        """Remove all results but *items*, since the others are recorded."""
        if not items:
            if self._size:
                os.ftruncate(self._file, 0)
                self._size = 0
        elif self._size > _LARGEST:
            self._replace(items)

    def _replace(self, items: Iterable[EncodedResult]) -> None:
        draft = self._path.with_name(f"draft-{self._path.name}")
        file, self._size = _open(draft), 0
        try:
            self._write(file, "".join(f"{item.text}\n" for item in items))
            draft.replace(self._path)
        except OSError:
            os.close(file)
            raise
        os.close(self._file)
        self._file = file

    def _write(self, file: int, text: str) -> None:
        data = text.encode()
        if os.write(file, data) != len(data):
            raise OSError("the disk is full")
        self._size += len(data)


@dataclass(frozen=True)
class LoggedResults:
    """The content of a dead process's log."""

    results: Sequence[EncodedResult] = ()
    damaged: bool = False
    """Whether some lines cannot be read."""


class _Line(BaseModel):
    """The fields of a result that are checked here; Postgres reads the rest."""

    id: int = Field(gt=0, lt=2**63)
    study: int = Field(gt=0, lt=2**31)
    attempt: int = Field(gt=0, lt=2**31)
    result: dict[str, Any]


def read(folder: Path, pid: int) -> LoggedResults:
    """Return the results in a process's log. An incomplete last line is ignored: the process died as it wrote it."""
    path = path_of(folder, pid)
    if not os.path.lexists(path):
        return LoggedResults()
    if not private_folders.is_owned(path) or not path.is_file():
        return LoggedResults(damaged=True)
    data = path.read_bytes()
    results, damaged = [], False
    for line in data.split(b"\n")[:-1]:
        try:
            facts = _Line.model_validate(json.loads(line))
        except (ValueError, RecursionError):
            damaged = True
        else:
            results.append(EncodedResult(facts.id, facts.study, facts.attempt, tuple(facts.result), line.decode()))
    return LoggedResults(results, damaged)


def writers(folder: Path) -> list[int]:
    """Return the ids of the processes whose logs are in a worker's folder."""
    names = (path.name.removeprefix(_PREFIX) for path in folder.glob(f"{_PREFIX}*"))
    return [int(name) for name in names if name.isascii() and name.isdecimal() and len(name) < 10]


def forget(folder: Path, pid: int) -> None:
    """Delete the log of a dead process after its results are recorded."""
    path_of(folder, pid).unlink(missing_ok=True)


def path_of(folder: Path, pid: int) -> Path:
    """Return the path of a process's log."""
    return folder / f"{_PREFIX}{pid}"


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600)
