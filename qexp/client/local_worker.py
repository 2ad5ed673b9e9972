"""Start workers on this machine, and stop them when this program ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import gethostname
from types import TracebackType
from typing import Self

from qexp.errors import WorkerError
from qexp.settings import Settings

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WARM = 10.0
"""Seconds that a worker gets to finish what it runs before it is told to stop at once."""


def command(concurrency: int | None = None, queues: Sequence[str] = (), more: Sequence[str] = ()) -> list[str]:
    """Return the command line of a worker with the flags that qexp wants, `python -P -m celery -A qexp worker …`."""
    # -O fair is Celery's default; gossip and mingle are off for every worker of this application
    line = [sys.executable, "-P", "-m", "celery", "-A", "qexp", "worker", "--hostname", f"qexp-{os.getpid()}@%h"]
    if concurrency is not None:
        line += ["--concurrency", str(concurrency)]
    if queues:
        line += ["--queues", ",".join(queues)]
    return [*line, *more]


class LocalWorker:
    """A worker with *concurrency* children that logs to a file; used as a context manager, it is stopped at the end."""

    def __init__(self, settings: Settings, concurrency: int, queue: str) -> None:
        settings.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.log = settings.logs / f"worker-{os.getpid()}.log"
        name = f"qexp-{os.getpid()}@{gethostname()}"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "qexp.celery", str(concurrency), queue, name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise WorkerError if the worker has ended by itself."""
        status = self._process.poll()
        if status is not None:
            raise WorkerError(status, _last_line(self.log), self.log)

    def stop(self, patience: float = _WARM) -> None:
        """Let what runs come to its end for *patience* seconds, then give it back and stop at once; leave nothing."""
        with _unhurried():
            for number in (signal.SIGTERM, signal.SIGQUIT):
                if self._process.poll() is None:
                    self._process.send_signal(number)
                    with suppress(subprocess.TimeoutExpired):
                        self._process.wait(patience)
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(patience=_WARM if error is None else 2.0)


@contextmanager
def ending_on_signals() -> Iterator[Callable[[], None]]:
    """
    Let TERM and HUP end what goes on as Ctrl-C does, so that a worker started here is stopped on the way out.

    Gives what raises KeyboardInterrupt if one of them has come: Python drops an exception that is raised in a finalizer
    or a weak reference's callback, and SQLAlchemy has both in every transaction, so 2 of 700 signals were lost.
    """
    came = False

    def interrupt(number: int, frame: object) -> None:
        nonlocal came
        came = True
        raise KeyboardInterrupt

    def check() -> None:
        if came:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _ENDING}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _unhurried() -> Iterator[None]:
    """Take no further Ctrl-C while a worker is being stopped: the one way to leave it behind."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
