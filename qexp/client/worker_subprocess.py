"""Start a worker on this machine, and stop it when this program ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
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
INTERRUPTED_FINISH_TIME = 2.0
"""The same after an interrupt."""
_GIVE_BACK_TIME = 8.0
"""Seconds that a worker may use to give its experiments back; functions get 5 s of them to stop by themselves."""
_HURRY = 3.0
"""The same after a second interrupt; usually it takes less than half a second. A third one ends the wait."""
_POLL = 0.02
"""Seconds between two looks at the worker's process."""


def command(concurrency: int | None = None, queues: Sequence[str] = (), more: Sequence[str] = ()) -> list[str]:
    """Return the command line of a worker with qexp's flags: `python -P -m celery -A qexp worker …`."""
    line = [sys.executable, "-P", "-m", "celery", "-A", "qexp", "worker", "--hostname", f"qexp-{os.getpid()}@%h"]
    if concurrency is not None:
        line += ["--concurrency", str(concurrency)]
    if queues:
        line += ["--queues", ",".join(queues)]
    return [*line, *more]


class Interrupts:
    """The number of signals that told this program to end; a call raises KeyboardInterrupt if there was one."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self) -> None:
        if self.number:
            raise KeyboardInterrupt


class LocalWorker:
    """
    A worker for one study, with *concurrency* children, that logs to a file; a `with` block stops it at its end.

    It stops by itself if this process dies.
    """

    def __init__(self, settings: Settings, concurrency: int, study: str, interrupts: Interrupts) -> None:
        self._interrupts = interrupts
        settings.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.log = settings.logs / f"worker-{os.getpid()}.log"
        name = f"qexp-{os.getpid()}@{gethostname()}"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "qexp.celery", str(concurrency), study, name, str(os.getpid())],
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
        """
        Let experiments finish for *patience* seconds, then give them back and kill the worker's processes.

        A second signal to this process ends the first wait, and shortens the second one.
        """
        signals = max(0, self._interrupts.number - 1)

        def count(number: int, frame: object) -> None:
            nonlocal signals
            signals += 1

        with _handled_by(count):  # a second Ctrl-C must not leave the worker running
            self._process.send_signal(signal.SIGTERM)
            self._await_end(patience, lambda: signals > 0)
            self._process.send_signal(signal.SIGQUIT)
            given = time.monotonic()
            self._await_end(_GIVE_BACK_TIME, lambda: signals > 1 or (signals > 0 and time.monotonic() > given + _HURRY))
            self._kill()

    def _kill(self) -> None:
        """Kill the worker with its children, which have sessions of their own, if it has not ended."""
        import psutil

        with suppress(psutil.NoSuchProcess):
            worker = psutil.Process(self._process.pid)
            for process in [*worker.children(recursive=True), worker]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        self._process.wait()

    def _await_end(self, patience: float, is_over: Callable[[], bool]) -> None:
        deadline = time.monotonic() + patience
        while self._process.poll() is None and time.monotonic() < deadline and not is_over():
            time.sleep(_POLL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(patience=_FINISH_TIME if error is None else INTERRUPTED_FINISH_TIME)


@contextmanager
def ending_on_signals(once: bool = False) -> Iterator[Interrupts]:
    """
    Let INT, TERM and HUP raise KeyboardInterrupt, so that a worker started here is stopped before the exit.

    Yields a callable that raises it again after a signal: Python drops exceptions in finalizers and in callbacks of
    weak references, and every transaction of SQLAlchemy has both. With *once*, only the first signal raises by itself:
    another one could come just before `LocalWorker.stop`, which would then leave the worker running.
    """
    received = Interrupts()

    def interrupt(number: int, frame: object) -> None:
        received.number += 1
        if received.number == 1 or not once:
            raise KeyboardInterrupt

    with _handled_by(interrupt):
        yield received


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
