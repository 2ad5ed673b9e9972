"""What a process has claimed and not begun, or ended and not recorded: a file, so that its death costs none of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qexp.store.hot import Done
from qexp.worker.board import Board

_LARGEST = 100_000
"""Bytes after which a ledger is begun anew, with what is still held."""


@dataclass(frozen=True)
class Held:
    """What a ledger holds."""

    claimed: Sequence[int] = ()
    """Ids that the process had claimed, or was about to claim, in the order in which it runs them."""
    attempts: Mapping[int, int] = field(default_factory=dict)
    """Of those the ones that it has got and that have not ended, in that order, with the numbers of their attempts."""
    done: Sequence[Done] = ()
    ended: frozenset[int] = frozenset()
    """Ids of what was claimed last and has ended."""

    def unbegun(self, current: int | None) -> list[int]:
        """Return what was claimed and not begun, by a process that is at *current*."""
        return [number for number in self.claimed if number not in self.ended and number != current]

    def begun(self, board: Board, pid: int) -> dict[int, int]:
        """
        Return which attempt the process is at, or was when it died: {id: attempt}, of one or none.

        Where another process has its slot by now, that is the first of what has not ended.
        """
        try:
            post = board.of(pid)
        except KeyError:
            return dict([*self.attempts.items()][:1])
        return {post.experiment: post.attempt} if post is not None and post.attempt else {}

    @property
    def under_way(self) -> list[int]:
        """What is being claimed."""
        return [number for number in self.unbegun(None) if number not in self.attempts]

    @property
    def ids(self) -> list[int]:
        """Ids of all that is held."""
        return [*self.claimed, *(item.id for item in self.done)]


class Ledger:
    """
    Written by one process, read by others when it is dead. OSError: there is no room for it.

    A line is what is claimed together, which is what matters of all that was claimed before; what of that was to be
    had; or a result. Lines are added, so that a process may be killed at any moment; now and then a new file takes the
    place of the old one.
    """

    def __init__(self, folder: Path, pid: int) -> None:
        self._path = folder / f"held-{pid}"
        self._file, self._size = _open(self._path), 0

    def intend(self, ids: Sequence[int], items: Sequence[Done]) -> None:
        """Note what is about to be claimed; *items* are the results of before that may not be recorded yet."""
        if self._size < _LARGEST:
            self._write(self._file, json.dumps(ids))
            return
        draft = self._path.with_name(f"draft-{self._path.name}")
        file, self._size = _open(draft), 0
        try:
            self._write(file, "\n".join([*(item.text for item in items), json.dumps(ids)]))
            draft.replace(self._path)
        except OSError:
            os.close(file)
            raise
        os.close(self._file)
        self._file = file

    def have(self, attempts: Mapping[int, int], doubtful: Iterable[int] = ()) -> None:
        """Note what was claimed of that, {id: attempt}, and what may have been."""
        self._write(self._file, json.dumps([*attempts.items(), *((number, 0) for number in doubtful)]))

    def add(self, item: Done) -> None:
        """Note a result that is to be recorded together with others."""
        self._write(self._file, item.text)

    def clear(self) -> None:
        """Hold nothing any more."""
        if self._size:
            os.ftruncate(self._file, 0)
            self._size = 0

    def _write(self, file: int, line: str) -> None:
        data = f"{line}\n".encode()
        if os.write(file, data) != len(data):
            raise OSError("the disk is full")
        self._size += len(data)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600)


def held(folder: Path, pid: int) -> Held:
    """Return what a process holds, or held when it died; a line that it could not end counts for nothing."""
    try:
        text = (folder / f"held-{pid}").read_text(encoding="utf-8", errors="replace")  # it may end within a character
    except FileNotFoundError:
        return Held()
    claimed: list[int] = []
    attempts: list[tuple[int, int]] = []
    done: list[Done] = []
    last = 0
    *lines, _ = text.split("\n")  # results may contain what else is a line's end
    for line in lines:
        facts = json.loads(line)
        if isinstance(facts, list) and facts and isinstance(facts[0], list):
            attempts = [(number, attempt) for number, attempt in facts if attempt]
            claimed = [number for number, _ in facts]
        elif isinstance(facts, list):
            still = set(facts) - {item.id for item in done[last:]}
            attempts = [(number, attempt) for number, attempt in attempts if number in still]
            claimed, last = facts, len(done)
        else:
            done.append(_done(facts, line))
    ended = frozenset(item.id for item in done[last:])
    return Held(claimed, {number: attempt for number, attempt in attempts if number not in ended}, done, ended)


def forget(folder: Path, pid: int, held: Held) -> None:
    """
    Forget what a process held that is dead, when it was dealt with.

    A claim that was under way stays: the server may make it yet.
    """
    path = folder / f"held-{pid}"
    if held.under_way:
        path.write_text(f"{json.dumps(held.under_way)}\n", encoding="utf-8")
    else:
        path.unlink(missing_ok=True)


def _done(facts: Any, text: str) -> Done:
    return Done(facts["id"], facts["study"], facts["attempt"], tuple(facts["result"]), text)


def holders(folder: Path) -> list[int]:
    """Return the ids of the processes that have a ledger in a worker's folder."""
    return [int(path.name.removeprefix("held-")) for path in folder.glob("held-*")]
