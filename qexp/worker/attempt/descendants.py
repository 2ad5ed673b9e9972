"""Let experiments start processes, and end those that an attempt leaves running."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import process as _process
from types import ModuleType
from typing import Any

import psutil

mp_process: Any = _process
"""multiprocessing.process, untyped, since private names are used."""
log = logging.getLogger(__name__)

_CHILD_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
_ROUNDS = 10
"""The most rounds of killing: a process may start others while it is killed."""
_PATIENCE = 5.0
"""Seconds to wait for the death of processes that were killed."""
_TRACKERS = tuple(
    f"{package}.resource_tracker" for package in ("multiprocessing", "loky.backend", "joblib.externals.loky.backend")
)


def allow() -> None:
    """
    Let functions in this process start processes in each way that Python has.

    On Linux a process that they leave running becomes a child of this process when its parent ends.
    """
    config = mp_process.current_process()._config
    config["daemon"] = False  # pool children are daemons, which may not have children of their own
    config["authkey"] = mp_process.AuthenticationString(config["authkey"])  # billiard's type cannot be sent to children
    sys.modules["__main__"] = ModuleType("__main__")  # a spawned process would import Celery's main module
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_CHILD_SUBREAPER, 1)


def has_children() -> bool:
    """Say whether this process has children, including ended ones that were not waited for."""
    if not hasattr(os, "waitid"):  # macOS, before Python 3.13
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # reaps nothing
    except ChildProcessError:
        return False
    return True


def end(experiment: int, everything: bool = False) -> None:
    """
    Kill the processes that an attempt has left running below this process.

    Python's trackers of shared resources stay. Unless *everything*, processes of multiprocessing to which an object
    here refers stay too: a module may keep a pool for the next experiment.
    """
    if not has_children():
        return
    ended = 0
    with suppress(psutil.Error, OSError):
        active = mp_process.active_children()
        unheld = [process for process in active if everything or not _is_held(process, active)]
        for process in unheld:
            os.kill(process.pid, signal.SIGKILL)
            process.join(_PATIENCE)
        ended += len(unheld)
        held = {process.pid for process in mp_process.active_children()}
        if not held:
            _stop_fork_server()
        kept = {*held, *_helpers()}
        for _ in range(_ROUNDS):
            left = [
                process for child in psutil.Process().children() if child.pid not in kept for process in _tree(child)
            ]
            if not left:
                break
            ended += sum(map(_end, left))
            psutil.wait_procs(left, _PATIENCE)
    if ended:
        log.warning("experiment %d: killed %d processes that it left running", experiment, ended)


def _is_held(process: Any, active: list[Any]) -> bool:
    """Say whether an object refers to a process of multiprocessing, other than the library and *active*."""
    return any(holder is not mp_process._children and holder is not active for holder in gc.get_referrers(process))


def _fork_server() -> Any:
    """Return the server of the start method "forkserver". Returns None if it was not used."""
    return getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)


def _stop_fork_server() -> None:
    """Kill the fork server: its forks have the environment and output of the attempt that started it."""
    server = _fork_server()
    if server is not None and server._forkserver_pid is not None:
        os.kill(server._forkserver_pid, signal.SIGKILL)
        server._stop()


def _helpers() -> Iterator[int | None]:
    """Yield the ids of processes that Python or loky starts once and keeps."""
    for name in _TRACKERS:
        tracker = getattr(sys.modules.get(name), "_resource_tracker", None)
        yield getattr(tracker, "_pid", None)
    yield getattr(_fork_server(), "_forkserver_pid", None)


def _tree(child: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return [child, *child.children(recursive=True)]
    return [child]


def _end(process: psutil.Process) -> bool:
    """Kill a process; say whether it was running."""
    with suppress(psutil.Error):
        was_running = bool(process.status() != psutil.STATUS_ZOMBIE)
        process.kill()
        return was_running
    return False
