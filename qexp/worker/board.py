"""What the children of a worker are at, in memory that they share with its main process."""

from __future__ import annotations

import math
import mmap
import struct
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

from qexp.errors import SettingsError

_SLOT = struct.Struct("=qqqqddqBB6x")
SLOTS = 4096
"""Children that a worker can have."""
_SIZE = SLOTS * _SLOT.size + 1


class Request(IntEnum):
    """What the main process wants of a child."""

    NONE = 0
    STOP = 1
    """The node is about to go away: save, and leave."""
    TIMEOUT = 2
    """The attempt has overrun its time."""
    MEMORY = 3
    """The attempt has more memory than it may; its process is killed."""


class Post(NamedTuple):
    """An attempt that a child is at."""

    pid: int
    """The pool's child."""
    experiment: int
    attempt: int
    process: int
    """The process that runs the function: the child, or one of its own; 0 when it is over."""
    started: float
    """Moments are those of time.monotonic, which processes of a machine share."""
    deadline: float
    """Infinite where there is no limit."""
    memory: int
    """Bytes; 0 where there is no limit."""
    cooperative: bool
    """The function has asked whether it should stop, so it is worth telling it."""
    request: Request


class Board:
    """
    A file that main process and children map into their memory, with a slot for each child.

    Only the child writes a slot, except for its last byte, the request, which is the main process's. Behind the slots
    stands whether anything may be begun.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._memory: mmap.mmap | None = None

    @property
    def _map(self) -> mmap.mmap:
        if self._memory is None:
            with self.path.open("a+b") as file:
                file.truncate(_SIZE)
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
        fields = (post.pid, post.experiment, post.attempt, post.process, post.started, post.deadline, post.memory)
        _SLOT.pack_into(self._map, slot * _SLOT.size, *fields, post.cooperative, post.request)

    def get(self, slot: int) -> Post | None:
        """Return what the child at *slot* is at, None if it is at nothing."""
        fields: list[Any] = list(_SLOT.unpack_from(self._map, slot * _SLOT.size))
        if not fields[1]:
            return None
        fields[7:9] = bool(fields[7]), Request(fields[8])
        return Post(*fields)

    def clear(self, slot: int) -> None:
        """Say that the child at *slot* has ended what it was at."""
        start = slot * _SLOT.size + 8  # after the process id, which tells whose slot it is
        self._map[start : start + 8] = bytes(8)

    def finish(self, slot: int) -> None:
        """Say that the function at *slot* is over, though its outcome is not known to others yet."""
        start = slot * _SLOT.size
        struct.pack_into("=q", self._map, start + 24, 0)
        struct.pack_into("=dqB", self._map, start + 40, math.inf, 0, False)

    def close(self) -> None:
        """Have no child begin with anything any more: the worker stops at once."""
        self._map[-1] = 1

    @property
    def closed(self) -> bool:
        """Whether nothing is to be begun any more."""
        return bool(self._map[-1])

    def cooperate(self, slot: int) -> None:
        """Say that the function at *slot* wants to know when it should stop."""
        self._map[slot * _SLOT.size + 56] = 1

    def run_in(self, slot: int, process: int) -> None:
        """Say that another process than the child runs the function at *slot*."""
        struct.pack_into("=q", self._map, slot * _SLOT.size + 24, process)

    def ask(self, slot: int, request: Request) -> None:
        """Note what the main process wants of the child at *slot*."""
        self._map[slot * _SLOT.size + 57] = request

    def busy(self) -> dict[int, Post]:
        """Return what all children are at, by slot."""
        used = self._used()
        return {slot: post for slot in range(used) if (post := self.get(slot)) is not None}

    def of(self, pid: int) -> Post | None:
        """Return what a child is at, None if it is at nothing; KeyError if its slot is another one's by now."""
        for slot in range(self._used()):
            if _SLOT.unpack_from(self._map, slot * _SLOT.size)[0] == pid:
                return self.get(slot)
        raise KeyError(pid)

    def _used(self) -> int:
        """Return how many slots were ever taken; children take the lowest that is free."""
        number = 0
        while number < SLOTS and self._map[number * _SLOT.size : number * _SLOT.size + 8] != bytes(8):
            number += 1
        return number
