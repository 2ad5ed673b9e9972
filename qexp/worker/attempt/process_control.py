"""Processes of attempts: measure their memory, kill them, and describe why they died."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

import psutil

from qexp.model import Error, Failure
from qexp.worker.attempt.failure import TIMEOUT, fingerprint
from qexp.worker.attempt.signals import timeout_message
from qexp.worker.slots import ChildRequest, SlotEntry

_PARENT_DIES = 1  # PR_SET_PDEATHSIG


def death_error(entry: SlotEntry | None, status: int) -> Error:
    """Return the error of an attempt whose process ended with *status*; a negative one is a signal."""
    name = signal.Signals(-status).name if status < 0 else None
    if entry is not None and entry.request == ChildRequest.TIMEOUT:
        message = timeout_message(entry.deadline - entry.started)
        return Error(Failure.TIMEOUT, TIMEOUT, message, fingerprint=fingerprint(TIMEOUT, []), signal=name)
    if entry is not None and entry.request == ChildRequest.MEMORY:
        kind = "MemoryLimit"
        message = f"its process was killed: it had more memory than its limit of {entry.memory / 1e6:g} MB"
        return Error(Failure.CRASHED, kind, message, fingerprint=fingerprint(kind, []), signal=name)
    if entry is not None and entry.request == ChildRequest.STUCK:
        return crash_error("it hung after its function returned", name)
    return crash_error(f"signal {-status} ({name})" if name else f"exitcode {status}", name)


def crash_error(reason: str, signal_name: str | None) -> Error:
    """Return the error of an attempt whose process died for a *reason*."""
    kind = "ProcessDied"
    mark = fingerprint(kind, [reason])
    return Error(Failure.CRASHED, kind, f"its process died: {reason}", fingerprint=mark, signal=signal_name)


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its *parent* dies; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DIES, signal.SIGKILL)
        if os.getppid() != parent:  # the parent has died already
            os._exit(1)


def memory_of(pid: int, tree: bool = True) -> int:
    """Return the resident bytes of a process and, with *tree*, of its descendants; shared memory counts once."""
    processes = _tree(pid) if tree else _one(pid)
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss if len(processes) == 1 else _share(process)
    return total


def _share(process: psutil.Process) -> int:
    """Return the resident bytes of a process; on Linux, forks that share a page count a part of it each."""
    if not psutil.LINUX:
        return int(process.memory_info().rss)
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        return int(process.memory_info().rss)


def born(pid: int) -> float | None:
    """
    Return the start time of a process, independent of changes of the clock. Returns None if it is dead.

    Id and start time together identify a process, since the system gives the id to another process later.
    """
    try:
        if not psutil.LINUX:
            return float(psutil.Process(pid).create_time())
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - fast, since it runs often
            state, *fields = file.read().rpartition(b")")[2].split()
        return None if state in b"ZX" else float(fields[18])
    except (OSError, psutil.Error, IndexError):
        return None


def kill_tree(pid: int, since: float | None = None) -> None:
    """Kill a process and its descendants; with *since*, only if it started at that time."""
    if since is not None and born(pid) != since:
        return
    for process in _tree(pid):
        with contextlib.suppress(psutil.Error):
            process.kill()


def _one(pid: int) -> list[psutil.Process]:
    try:
        return [psutil.Process(pid)]
    except psutil.Error:
        return []


def _tree(pid: int) -> list[psutil.Process]:
    """Return the living processes of a tree, children before their parents."""
    for top in _one(pid):
        with contextlib.suppress(psutil.Error):
            return [*reversed(top.children(recursive=True)), top]
    return []
