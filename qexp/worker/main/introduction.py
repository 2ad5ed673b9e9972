"""The lines at the start and the stop of a worker."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version

from qexp.model import counted
from qexp.settings import Settings, place
from qexp.truncation import listed

log = logging.getLogger(__name__)

_WIDTH = 65
"""Characters of a line that fits into 80 columns after its time, and leaves room for a comma."""
_SHOWN = 5
"""The most queues that a line names."""


def log_start(settings: Settings, hostname: str, children: int, queues: Sequence[str]) -> None:
    """Log what a worker is, where its services are, and how to stop it."""
    here = f"queue{'' if len(queues) == 1 else 's'} {listed(queues, _SHOWN)}"
    host = hostname.rpartition("@")[2]
    log.info("qexp %s on %s: %s at once from %s", version("qexp"), host, counted(children, "experiment"), here)
    places = [f"Postgres at {place(settings.database_url or '')}", f"broker at {place(settings.broker_url or '')}"]
    for line in [", ".join(places)] if sum(map(len, places)) < _WIDTH else places:
        log.info("%s", line)
    if settings.lifetime is not None:
        ends = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() + settings.lifetime))
        log.info("stops at %s at the latest, the end of its lifetime", ends)
    if settings.exit_when_idle:
        log.info("stops when there is nothing to do")
    if os.geteuid() == 0:
        log.info("experiments run as root here, and may change everything on this machine")
    once, twice = ("Ctrl-C", "twice") if _is_interactive() else (f"kill {os.getpid()}", f"kill -QUIT {os.getpid()}")
    log.info("%s lets running experiments end; %s gives them to other workers", once, twice)


def log_stop(signal_name: str, how: str, running: int) -> None:
    """Log that a worker was told to stop, and for how many experiments it waits."""
    if how != "Warm":
        return  # the line about experiments that are given back says it
    if not running:
        log.info("stopping")
        return
    again = "Ctrl-C again" if signal_name == "SIGINT" else f"kill -QUIT {os.getpid()}"
    runs, them = ("1 experiment runs", "it") if running == 1 else (f"{running:,} experiments run", "them")
    log.info("stopping: %s to the end; %s gives %s to other workers", runs, again, them)


def _is_interactive() -> bool:
    return sys.__stdin__ is not None and sys.__stdin__.isatty()
