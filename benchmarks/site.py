"""The site of a measurement: services, workers and studies in a temporary folder."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from qexp.settings import Settings, load
from qexp.store.connection import RawConnection, connect

ROOT = Path(__file__).resolve().parent.parent
"""The folder that contains the package `benchmarks`."""
LONGEST = 240.0
"""Timeout of a command in seconds."""
_END_OTHERS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()
"""
EXPERIMENTS = """
import time
def noop(x):
    return {"y": x}
def sleep(x, seconds):
    time.sleep(seconds)
    return {"y": x}
"""


@dataclass(frozen=True)
class Took:
    """The seconds of a command, and the peak memory of its process in bytes."""

    seconds: float
    peak: float


class Worker:
    """A worker in its own process group."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self.log = process, log

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def ready(self) -> bool:
        """Whether the worker takes messages and lives."""
        return self.alive and b" ready." in self.log.read_bytes()

    def await_ready(self) -> None:
        """Wait until the worker takes messages. Raises RuntimeError if it has ended."""
        await_that(lambda: self.ready or not self.alive)
        if not self.alive:
            raise RuntimeError(f"a worker ended: {self.log.read_text(errors='replace')[-500:]}")

    def end(self) -> None:
        """Stop the worker by SIGTERM, so that its running experiments can finish."""
        if self.alive:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
        self.kill()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Site:
    """
    Services in a folder with their workers and studies, without any settings of the caller.

    Commands always write bytecode, like for an installed package. Otherwise each would compile all of qexp.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ours = ("QEXP_", "SLURM_", "PYTHONDONTWRITEBYTECODE")
        outside = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self.environ = {**outside, "QEXP_HOME": str(folder / "home")}
        self.workers: list[Worker] = []
        self._number = 0
        self._launches = itertools.count()
        (folder / "experiment.py").write_text(EXPERIMENTS)

    @property
    def settings(self) -> Settings:
        return load(self.environ, self.folder)

    @property
    def broker_url(self) -> str:
        return self.settings.broker_url or ""

    def raw(self) -> RawConnection:
        """Open a connection to Postgres."""
        return connect(self.settings)

    def value(self, query: str, *values: object) -> Any:
        """Return the first value of a query."""
        with self.raw() as raw:
            row = raw.execute(query.encode(), values).fetchone()
        return row[0] if row else None

    def qexp(self, *arguments: str, environ: Mapping[str, str] | None = None) -> str:
        """Run a command of qexp and return its output. Raises RuntimeError if it fails."""
        line = [sys.executable, "-m", "qexp", *arguments]
        done = subprocess.run(
            line,
            cwd=self.folder,
            env={**self.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"qexp {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def timed(self, *arguments: str) -> Took:
        """
        Run Python with these arguments, and return its costs.

        Raises RuntimeError if it fails, and TimeoutError after LONGEST, when its statements are ended, too.
        """
        report, said = self.folder / "took.json", self.folder / "said"
        line = [sys.executable, "-S", "-E", str(ROOT / "benchmarks/peak.py"), str(report), sys.executable, *arguments]
        environ = {**self.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), self.environ.get("PYTHONPATH", "")])}
        with said.open("wb") as output:
            process = subprocess.Popen(
                line,
                cwd=self.folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{' '.join(arguments)} took longer than {LONGEST:g} s") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                self.value(_END_OTHERS)
        found = json.loads(report.read_text())
        if found["status"]:
            raise RuntimeError(f"{' '.join(arguments)}: {said.read_text(errors='replace').strip()[-500:]}")
        return Took(found["seconds"], found["peak"])

    def grid(self, function: str, parameters: Mapping[str, Any], study: str | None = None, **keys: Any) -> str:
        """Write a grid of a new study with a queue of the same name, and return this name."""
        self._number += 1
        name = study or f"study{self._number}"
        grid = {"study": name, "function": f"experiment:{function}", "queue": name, "parameters": parameters, **keys}
        (self.folder / f"{name}.yaml").write_text(json.dumps(grid))
        return name

    def worker(
        self, queue: str, concurrency: int = 1, environ: Mapping[str, str] | None = None, app: str = "qexp"
    ) -> Worker:
        """Start a worker and wait until it is ready."""
        made = self.start_worker(queue, concurrency, environ, app)
        made.await_ready()
        return made

    def start_worker(
        self, queue: str, concurrency: int = 1, environ: Mapping[str, str] | None = None, app: str = "qexp"
    ) -> Worker:
        """Start a worker."""
        number = next(self._launches)
        log = self.folder / f"worker-{number}.log"
        line = [sys.executable, "-m", "celery", "-A", app, "worker", "-c", str(concurrency), "-Q", queue, "-l", "INFO"]
        path = os.pathsep.join([str(ROOT), self.environ.get("PYTHONPATH", "")])
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*line, "-n", f"worker-{number}@%h"],
                cwd=self.folder,
                env={**self.environ, "PYTHONPATH": path, **(environ or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        made = Worker(process, log)
        self.workers.append(made)
        return made

    def broker(self) -> redis.Redis:
        return redis.Redis.from_url(self.broker_url)

    def stop(self) -> None:
        """End all workers, so that the next one leads without waiting for the lease of a killed one."""
        for worker in self.workers:
            worker.end()
        self.workers.clear()


def await_that(condition: Callable[[], object], seconds: float = 180.0, pause: float = 0.02) -> float:
    """Wait for a condition; return the time at which it first held, in seconds since 1970."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain")
        time.sleep(pause)
    return time.time()


@contextlib.contextmanager
def opened() -> Iterator[Site]:
    """Give a new site with running services; remove all of it at the end."""
    with tempfile.TemporaryDirectory(prefix="qexp-bench-") as folder:
        site = Site(Path(folder))
        try:
            site.qexp("up")
            site.qexp("db", "migrate")
            yield site
        finally:
            site.stop()
            site.qexp("down", "-y")
