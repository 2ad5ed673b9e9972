"""Functions that find, signal and kill the processes of a site, for the drill and tests of faults."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import redis

_PATIENCE = 30.0
"""Seconds to wait for the end of killed processes."""


def postgres(home: Path) -> list[psutil.Process]:
    """Return the processes of the embedded Postgres of a home, the server first."""
    file = home / "postgres" / "data" / "postmaster.pid"
    server = psutil.Process(int(file.read_text().split()[0]))
    return [server, *server.children(recursive=True)]


def broker(url: str) -> list[psutil.Process]:
    """Return the process of the broker that answers at a URL."""
    with redis.Redis.from_url(url) as client:
        return [psutil.Process(client.info("server")["process_id"])]


def having(variable: str, *values: str) -> list[psutil.Process]:
    """Return the processes whose environment variable has one of these values."""
    return [process for process in psutil.process_iter() if _variable(process, variable) in values]


def _variable(process: psutil.Process, name: str) -> str | None:
    try:
        return str(process.environ().get(name))
    except (psutil.Error, OSError):  # of another user, or gone
        return None


def send(processes: Sequence[psutil.Process], number: int) -> None:
    """Send a signal to the processes that still exist."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def kill(processes: Sequence[psutil.Process]) -> None:
    """Kill processes, like a power failure, and wait for their end. Raises TimeoutError if they survive."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    await_gone(processes)


def await_gone(processes: Sequence[psutil.Process]) -> None:
    """Wait until processes have ended or are zombies. Raises TimeoutError if they survive."""
    deadline = time.monotonic() + _PATIENCE
    while left := list(_living(processes)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {[process.pid for process in left]} are still there after {_PATIENCE:g} s")
        time.sleep(0.01)


def _living(processes: Sequence[psutil.Process]) -> Iterator[psutil.Process]:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def forget_messages(home: Path) -> None:
    """Remove the data of the stopped embedded broker, but keep its address."""
    for path in (home / "valkey").iterdir():
        if path.name != "valkey.conf":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
