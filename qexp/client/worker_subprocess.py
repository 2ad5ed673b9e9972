"""Start a worker on this machine, and stop it when this program ends."""

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

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_FINISH_TIME = 10.0
"""Seconds that a worker may use to finish its running experiments."""


def command(concurrency: int | None = None, queues: Sequence[str] = (), more: Sequence[str] = ()) -> list[str]:
    """Return the command line of a worker with qexp's flags: `python -P -m celery -A qexp worker …`."""
    line = [sys.executable, "-P", "-m", "celery", "-A", "qexp", "worker", "--hostname", f"qexp-{os.getpid()}@%h"]
    if concurrency is not None:
        line += ["--concurrency", str(concurrency)]
    if queues:
        line += ["--queues", ",".join(queues)]
    return [*line, *more]


class LocalWorker:
    """A worker with *concurrency* children that logs to a file; a `with` block stops it at its end."""

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
        """Raise WorkerError if the worker has ended on its own."""
        status = self._process.poll()
        if status is not None:
            raise WorkerError(status, _last_line(self.log), self.log)

    def stop(self, patience: float = _FINISH_TIME) -> None:
        """Let experiments finish for *patience* seconds, then give them back and kill the worker's processes."""
        with _handled_by(signal.SIG_IGN):  # otherwise a second Ctrl-C would leave the worker running
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
        self.stop(patience=_FINISH_TIME if error is None else 2.0)


@contextmanager
def ending_on_signals() -> Iterator[Callable[[], None]]:
    """
    Let INT, TERM and HUP raise KeyboardInterrupt, so that a worker started here is stopped before the exit.

    Yields a function that raises it again after a signal: Python drops exceptions in finalizers and in callbacks of
    weak references, and every transaction of SQLAlchemy has both.
    """
    received = False

    def interrupt(number: int, frame: object) -> None:
        nonlocal received
        received = True
        raise KeyboardInterrupt

    def check() -> None:
        if received:
            raise KeyboardInterrupt

    with _handled_by(interrupt):
        yield check


@contextmanager
def _handled_by(handler: Callable[[int, object], None] | signal.Handlers) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it logged nothing"
