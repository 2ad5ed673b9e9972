"""What the children of a worker are at, in memory that they share with its main process."""

from __future__ import annotations

import math
import mmap
import struct
import time
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

from qexp.errors import SettingsError

_SLOT = struct.Struct("=qdqqqdddqBBB5x")
_PID, _BORN, _EXPERIMENT, _PROCESS, _DEADLINE = 0, 8, 16, 32, 56
_COOPERATIVE, _REQUEST, _CLAIMING = 72, 73, 74
"""Offsets within a slot."""
SLOTS = 4096
"""Children that a worker can have."""
_CLOSED, _STOPPING = SLOTS * _SLOT.size, SLOTS * _SLOT.size + 1
_SIZE = _STOPPING + 1


class Request(IntEnum):
    """What the main process wants of a child."""

    NONE = 0
    STOP = 1
    """The node is about to go away: save, and leave."""
    TIMEOUT = 2
    """The attempt has overrun its time."""
    MEMORY = 3
    """The attempt has more memory than it may; its process is killed."""
    STUCK = 4
    """The function is over, and its process does not move on; it is killed."""


class Post(NamedTuple):
    """An attempt that a child is at."""

    pid: int
    """The pool's child."""
    born: float
    """When that process started; see `qexp.worker.attempt.processes.born`."""
    experiment: int
    attempt: int = 0
    """0 while it is about to be claimed."""
    process: int = 0
    """The process that runs the function: the child, or one of its own; 0 when it is over."""
    process_born: float = 0.0
    started: float = 0.0
    """Moments are those of time.monotonic, which processes of a machine share."""
    deadline: float = math.inf
    """Infinite where there is no limit; when the function is over, the moment of that."""
    memory: int = 0
    """Bytes; 0 where there is no limit."""
    cooperative: bool = False
    """The function has asked whether it should stop, so it is worth telling it."""
    request: Request = Request.NONE


class Board:
    """
    A file that main process and children map into their memory, with a slot for each child.

    The child writes its slot, except for the request, which is the main process's, who also clears the slot of a child
    that died. Behind the slots stands whether anything may be begun, and whether the worker was told to stop.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._memory: mmap.mmap | None = None

    @property
    def _map(self) -> mmap.mmap:
        if self._memory is None:
            with self.path.open("r+b") as file:
                self._memory = mmap.mmap(file.fileno(), _SIZE)
        return self._memory

    def make(self) -> None:
        """
        Make the file, before children are forked. SettingsError if the disk has no room for all of it.

        Memory that is mapped from a file with holes ends whoever touches it, by SIGBUS, once the disk is full.
        """
        try:
            self.path.write_bytes(bytes(_SIZE))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise SettingsError(f"{self.path}: {reason}; make room there, or set TMPDIR to another folder") from error
        _ = self._map

    def put(self, slot: int, post: Post) -> None:
        """Say what the child at *slot* begins with."""
        claiming = self._map[slot * _SLOT.size + _CLAIMING]
        _SLOT.pack_into(self._map, slot * _SLOT.size, *post, claiming)

    def get(self, slot: int) -> Post | None:
        """Return what the child at *slot* is at, None if it is at nothing."""
        return _post(self._map[slot * _SLOT.size : (slot + 1) * _SLOT.size])

    def clear(self, slot: int) -> None:
        """Say that the child at *slot* is at nothing any more."""
        start = slot * _SLOT.size + _EXPERIMENT  # after the process, which tells whose slot it is
        self._map[start : start + 8] = bytes(8)

    def finish(self, slot: int) -> None:
        """Say that the function at *slot* is over, though its outcome is not known to others yet."""
        start = slot * _SLOT.size
        struct.pack_into("=q", self._map, start + _PROCESS, 0)
        struct.pack_into("=dqB", self._map, start + _DEADLINE, time.monotonic(), 0, False)

    def claiming(self, slot: int, is_claiming: bool) -> None:
        """Say whether the child at *slot* has a claim under way."""
        self._map[slot * _SLOT.size + _CLAIMING] = is_claiming

    def claims(self) -> list[int]:
        """Return the ids of the processes that have a claim under way."""
        slots = (slot * _SLOT.size for slot in range(self._used()))
        return [_SLOT.unpack_from(self._map, start)[0] for start in slots if self._map[start + _CLAIMING]]

    def close(self) -> None:
        """Have no child begin with anything any more: the worker stops at once."""
        self._map[_CLOSED] = 1

    @property
    def closed(self) -> bool:
        """Whether nothing is to be begun any more."""
        return bool(self._map[_CLOSED])

    def stop(self) -> None:
        """Say that the worker was told to stop."""
        self._map[_STOPPING] = 1

    @property
    def stopping(self) -> bool:
        """Whether the worker was told to stop."""
        return bool(self._map[_STOPPING])

    def cooperate(self, slot: int) -> None:
        """Say that the function at *slot* wants to know when it should stop."""
        self._map[slot * _SLOT.size + _COOPERATIVE] = 1

    def run_in(self, slot: int, process: int, born: float) -> None:
        """Say that another process than the child runs the function at *slot*."""
        struct.pack_into("=qd", self._map, slot * _SLOT.size + _PROCESS, process, born)

    def ask(self, slot: int, request: Request) -> None:
        """Note what the main process wants of the child at *slot*."""
        self._map[slot * _SLOT.size + _REQUEST] = request

    def busy(self) -> dict[int, Post]:
        """Return what all children are at, by slot."""
        used = self._used()
        return {slot: post for slot in range(used) if (post := self.get(slot)) is not None}

    def take(self, slot: int) -> None:
        """
        Take a slot, as a new child; what a dead one was at there is kept in a file until its death is dealt with.

        OSError: there is no room for that file.
        """
        if (post := self.get(slot)) is not None:
            start = slot * _SLOT.size
            self._left_by(post.pid).write_bytes(self._map[start : start + _SLOT.size])
        self._map[slot * _SLOT.size : (slot + 1) * _SLOT.size] = bytes(_SLOT.size)

    def of(self, pid: int) -> Post | None:
        """Return what a child is at, or was when it died; None: at nothing, as far as is known."""
        found = next((post for post in self.busy().values() if post.pid == pid), None)
        if found is None and (path := self._left_by(pid)).is_file():
            data = path.read_bytes()
            return _post(data) if len(data) == _SLOT.size else None
        return found

    def forget(self, pid: int) -> None:
        """Say that the death of a child was dealt with."""
        for slot, post in self.busy().items():
            if post.pid == pid:
                self.clear(slot)
        self._left_by(pid).unlink(missing_ok=True)

    def _left_by(self, pid: int) -> Path:
        return self.path.with_name(f"{self.path.name}-{pid}")

    def _used(self) -> int:
        """Return how many slots were ever taken; children take the lowest that is free."""
        number = 0
        while number < SLOTS and self._map[number * _SLOT.size : number * _SLOT.size + 8] != bytes(8):
            number += 1
        return number


def _post(data: bytes) -> Post | None:
    fields: list[Any] = list(_SLOT.unpack(data)[:-1])
    fields[9:] = bool(fields[9]), Request(fields[10])
    return Post(*fields) if fields[2] else None
