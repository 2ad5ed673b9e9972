"""The results of a process that Postgres does not have yet: a file, so that its death costs none of them."""

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
"""The number is the version of the format; files of another one are not read."""
_LARGEST = 100_000
"""Bytes after which a log is written again, with what is still waiting."""


class ResultLog:
    """
    Written by one process, read by others when it is dead. OSError: there is no room for it.

    A line is a result. Lines are added, so that a process may be killed at any moment.
    """

    def __init__(self, folder: Path, pid: int) -> None:
        self._path = path_of(folder, pid)
        self._file, self._size = _open(self._path), 0

    def add(self, item: EncodedResult) -> None:
        """Note a result that is to be recorded."""
        self._write(self._file, f"{item.text}\n")

    def keep(self, items: Sequence[EncodedResult]) -> None:
        """Forget all but those *items*: the others are recorded."""
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
class Left:
    """What a process has left in its log."""

    results: Sequence[EncodedResult] = ()
    damaged: bool = False
    """Some of it cannot be read."""


class _Line(BaseModel):
    """What of a result is looked at here; Postgres reads the rest."""

    id: int = Field(gt=0, lt=2**63)
    study: int = Field(gt=0, lt=2**31)
    attempt: int = Field(gt=0, lt=2**31)
    result: dict[str, Any]


def read(folder: Path, pid: int) -> Left:
    """Return what a process has left. A last line without an end counts for nothing: the process died in it."""
    path = path_of(folder, pid)
    if not os.path.lexists(path):
        return Left()
    if not private_folders.is_owned(path) or not path.is_file():
        return Left(damaged=True)
    data = path.read_bytes()
    results, damaged = [], False
    for line in data.split(b"\n")[:-1]:
        try:
            facts = _Line.model_validate(json.loads(line))
        except (ValueError, RecursionError):
            damaged = True
        else:
            results.append(EncodedResult(facts.id, facts.study, facts.attempt, tuple(facts.result), line.decode()))
    return Left(results, damaged)


def writers(folder: Path) -> list[int]:
    """Return the ids of the processes that have a log in a worker's folder."""
    names = (path.name.removeprefix(_PREFIX) for path in folder.glob(f"{_PREFIX}*"))
    return [int(name) for name in names if name.isascii() and name.isdecimal() and len(name) < 10]


def forget(folder: Path, pid: int) -> None:
    """Delete the log of a process that is dead, when it was dealt with."""
    path_of(folder, pid).unlink(missing_ok=True)


def path_of(folder: Path, pid: int) -> Path:
    """Return where the log of a process is."""
    return folder / f"{_PREFIX}{pid}"


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600)
