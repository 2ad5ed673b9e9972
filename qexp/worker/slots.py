"""Memory that a worker's processes share: each child has a slot, and writes there the attempt that it runs."""

from __future__ import annotations

import math
import mmap
import os
import struct
import sys
import time
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

from qexp.errors import SettingsError

_SLOT = struct.Struct("=qdqqqdddqBBB5x")
_EXPERIMENT, _ATTEMPT, _PROCESS, _DEADLINE = 16, 24, 32, 56
_ASKS_TO_STOP, _REQUEST, _CLAIMING = 72, 73, 74
"""Offsets within a slot."""
SLOTS = 4096
"""The most children that a worker can have."""
_REFUSES_NEW, _STOPPING = SLOTS * _SLOT.size, SLOTS * _SLOT.size + 1
_SIZE = _STOPPING + 1


class ChildRequest(IntEnum):
    """A request of the main process to a child."""

    NONE = 0
    STOP = 1
    """The attempt should save and stop."""
    TIMEOUT = 2
    """The attempt ran longer than its timeout."""
    MEMORY = 3
    """The attempt exceeded its memory limit; its process is killed."""
    STUCK = 4
    """The function ended and its process does not continue; it is killed."""


class SlotEntry(NamedTuple):
    """The attempt that a child runs."""

    pid: int
    """The pool's child."""
    born: float
    """The start time of that process; see `qexp.worker.attempt.process_control.born`."""
    experiment: int
    attempt: int = 0
    """0 while the child claims."""
    process: int = 0
    """The process that runs the function: the child or its subprocess; 0 when the function has ended."""
    process_born: float = 0.0
    started: float = 0.0
    """Times are those of time.monotonic, which processes of a machine share."""
    deadline: float = math.inf
    """Infinite without a limit; after the function has ended, the time of its end."""
    memory: int = 0
    """Bytes; 0 without a limit."""
    asks_to_stop: bool = False
    """The function has called `stop_requested`, so it may stop by itself."""
    request: ChildRequest = ChildRequest.NONE


class SlotTable:
    """
    A file that the main process and its children map into their memory, with a slot for each child.

    The child writes its slot; the main process writes the request, and clears the slots of dead children. Two flags
    follow the slots: whether children may begin attempts, and whether the worker stops.
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

    def create(self) -> None:
        """
        Create the file before the pool forks its children. Raises SettingsError if the disk has no room for it.

        Writes all bytes: on a full disk, SIGBUS kills a process that touches a mapped page without disk space.
        """
        try:
            self.path.write_bytes(bytes(_SIZE))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise SettingsError(f"{self.path}: {reason}; make room there, or set TMPDIR to another folder") from error
        _ = self._map

    def write(self, slot: int, entry: SlotEntry) -> None:
        """Write the attempt that the child of *slot* begins; the slot reads as free until all of it is written."""
        # slices, not pack_into: that fills its target with zeros first, and other processes may read or kill meanwhile
        start, data = slot * _SLOT.size, _SLOT.pack(*entry, self._map[slot * _SLOT.size + _CLAIMING])
        self.clear(slot)
        self._map[start + _ATTEMPT : start + _SLOT.size] = data[_ATTEMPT:]
        self._map[start : start + _EXPERIMENT] = data[:_EXPERIMENT]
        self._map[start + _EXPERIMENT : start + _ATTEMPT] = data[_EXPERIMENT:_ATTEMPT]

    def read(self, slot: int) -> SlotEntry | None:
        """Return the attempt of a slot. Returns None if it is free."""
        return _entry(self._map[slot * _SLOT.size : (slot + 1) * _SLOT.size])

    def clear(self, slot: int) -> None:
        """Free a slot."""
        start = slot * _SLOT.size + _EXPERIMENT  # the process id before it stays, as the slot's owner
        self._map[start : start + 8] = bytes(8)

    def mark_function_over(self, slot: int) -> None:
        """Write that the function of a slot has ended; its outcome is not recorded yet."""
        start = slot * _SLOT.size
        self._map[start + _PROCESS : start + _PROCESS + 8] = bytes(8)
        self._map[start + _DEADLINE : start + _REQUEST] = struct.pack("=dqB", time.monotonic(), 0, False)

    def mark_claiming(self, slot: int, is_claiming: bool) -> None:
        """Write whether the child of a slot is claiming."""
        self._map[slot * _SLOT.size + _CLAIMING] = is_claiming

    def claiming_processes(self) -> list[int]:
        """Return the ids of the processes that are claiming."""
        return [pid for slot, pid in self._owners().items() if self._map[slot * _SLOT.size + _CLAIMING]]

    def refuse_new(self) -> None:
        """Forbid children to begin attempts, since the worker stops now."""
        self._map[_REFUSES_NEW] = 1

    @property
    def refuses_new(self) -> bool:
        """Whether children may begin no more attempts."""
        return bool(self._map[_REFUSES_NEW])

    def announce_stop(self) -> None:
        """Write that the worker was told to stop."""
        self._map[_STOPPING] = 1

    @property
    def worker_stops(self) -> bool:
        """Whether the worker was told to stop."""
        return bool(self._map[_STOPPING])

    def mark_asks_to_stop(self, slot: int) -> None:
        """Write that the function of a slot has called `stop_requested`."""
        self._map[slot * _SLOT.size + _ASKS_TO_STOP] = 1

    def set_process(self, slot: int, process: int, born: float) -> None:
        """Write that a subprocess of the child runs the function."""
        start = slot * _SLOT.size + _PROCESS
        self._map[start : start + 16] = struct.pack("=qd", process, born)

    def request(self, slot: int, request: ChildRequest) -> None:
        """Write a request to the child of a slot."""
        self._map[slot * _SLOT.size + _REQUEST] = request

    def occupied(self) -> dict[int, SlotEntry]:
        """Return the attempts of all children, by slot."""
        return {slot: entry for slot in self._owners() if (entry := self.read(slot)) is not None}

    def occupy(self, slot: int) -> None:
        """
        Occupy a slot as a new child; save the attempt of its dead predecessor to a file until its death is recorded.

        Raises OSError if the disk has no room for that file.
        """
        start = slot * _SLOT.size
        if (entry := self.read(slot)) is not None:
            self._saved_path(entry.pid).write_bytes(self._map[start : start + _SLOT.size])
        self.clear(slot)
        self._map[start : start + 8] = os.getpid().to_bytes(8, sys.byteorder)
        self._map[start + 8 : start + _SLOT.size] = bytes(_SLOT.size - 8)

    def find(self, pid: int) -> SlotEntry | None:
        """Return the attempt that a child runs, or ran when it died. Returns None if no attempt is known."""
        found = next((entry for entry in self.occupied().values() if entry.pid == pid), None)
        if found is None and (path := self._saved_path(pid)).is_file():
            data = path.read_bytes()
            return _entry(data) if len(data) == _SLOT.size else None
        return found

    def clear_dead(self, pid: int) -> None:
        """Free the slot of a dead child after its death is recorded."""
        for slot, entry in self.occupied().items():
            if entry.pid == pid:
                self.clear(slot)
        self._saved_path(pid).unlink(missing_ok=True)

    def _saved_path(self, pid: int) -> Path:
        return self.path.with_name(f"{self.path.name}-{pid}")

    def _owners(self) -> dict[int, int]:
        """Return the processes that have occupied slots, by slot. Children may occupy them in any order."""
        pids = memoryview(self._map)[: SLOTS * _SLOT.size].cast("q")[:: _SLOT.size // 8].tolist()
        return {slot: pid for slot, pid in enumerate(pids) if pid}


def _entry(data: bytes) -> SlotEntry | None:
    fields: list[Any] = list(_SLOT.unpack(data)[:-1])
    fields[9:] = bool(fields[9]), ChildRequest(fields[10])
    return SlotEntry(*fields) if fields[2] else None
