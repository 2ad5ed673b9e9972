"""Processes of attempts: how much memory they have, how they are ended, and what is said of it."""

from __future__ import annotations

import contextlib
import signal

import psutil

from qexp.model import Failure
from qexp.store.hot import Error
from qexp.worker.attempt.interrupts import over_time
from qexp.worker.attempt.trace import TIMEOUT, fingerprint
from qexp.worker.board import Post, Request


def death(post: Post | None, status: int) -> Error:
    """Return the error of an attempt whose process has ended with a status, or, negative, by a signal."""
    name = signal.Signals(-status).name if status < 0 else None
    if post is not None and post.request == Request.TIMEOUT:
        message = over_time(post.deadline - post.started)
        return Error(Failure.TIMEOUT, TIMEOUT, message, fingerprint=fingerprint(TIMEOUT, []), signal=name)
    if post is not None and post.request == Request.MEMORY:
        kind = "MemoryLimit"
        message = f"its process was killed: it had more memory than its limit of {post.memory / 1e6:g} MB"
        return Error(Failure.CRASHED, kind, message, fingerprint=fingerprint(kind, []), signal=name)
    return crashed(f"signal {-status} ({name})" if name else f"exitcode {status}", name)


def crashed(reason: str, signal_name: str | None) -> Error:
    """Return the error of an attempt whose process died by itself."""
    kind = "ProcessDied"
    mark = fingerprint(kind, [reason])
    return Error(Failure.CRASHED, kind, f"its process died: {reason}", fingerprint=mark, signal=signal_name)


def memory_of(pid: int, tree: bool = True) -> int:
    """Return the bytes in memory of a process, with *tree* of all below it too; what they share counts once."""
    processes = _tree(pid) if tree else _one(pid)
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss if len(processes) == 1 else _share(process)
    return total


def _share(process: psutil.Process) -> int:
    """Return the proportional set size, where there is one: pages that a fork shares belong to each in part."""
    if not psutil.LINUX:
        return int(process.memory_info().rss)
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        return int(process.memory_info().rss)


def kill_tree(pid: int) -> None:
    """End a process and all below it."""
    for process in _tree(pid):
        with contextlib.suppress(psutil.Error):
            process.kill()


def _one(pid: int) -> list[psutil.Process]:
    try:
        return [psutil.Process(pid)]
    except psutil.Error:
        return []


def _tree(pid: int) -> list[psutil.Process]:
    """Return a process and all below it, the children first; without those that are gone."""
    for top in _one(pid):
        with contextlib.suppress(psutil.Error):
            return [*reversed(top.children(recursive=True)), top]
    return []
