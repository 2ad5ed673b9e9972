"""Fixtures with the installed qexp and real workers, whose processes end with the test."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests_support import eventually


class Worker:
    """A Celery worker, started like by a user in its own process group."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.log = folder / f"worker-{uuid.uuid4().hex[:8]}.log"
        with self.log.open("wb") as log:
            line = [sys.executable, "-m", "celery", "-A", "qexp", "worker", "--loglevel", "INFO", *options]
            self.process = subprocess.Popen(line, stdout=log, stderr=log, cwd=folder, start_new_session=True)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def await_ready(self) -> Worker:
        eventually(lambda: " ready." in self.text() or self.process.poll() is not None, "a worker to be ready")
        assert self.process.poll() is None, self.text()
        return self

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def start_worker(site, tmp_path_factory):
    """Start workers on the module's own queue; they and their children are killed at its end."""
    started: list[Worker] = []

    def start_worker(*options: str) -> Worker:
        worker = Worker(tmp_path_factory.mktemp("worker"), *options)
        started.append(worker)
        return worker

    yield start_worker
    for worker in started:
        worker.kill()


@pytest.fixture
def brief(monkeypatch):
    """Workers with a lease of three seconds."""
    monkeypatch.setenv("QEXP_HEARTBEAT", "0.5")
    monkeypatch.setenv("QEXP_LEASE", "3")


@pytest.fixture(scope="module")
def queue():
    return f"q_{uuid.uuid4().hex[:8]}"


@pytest.fixture
def qexp(site, tmp_path):
    """Run the command line like a user, in its own folder."""

    def qexp(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, **dict(options.pop("environ", {}))}
        return subprocess.run(
            [sys.executable, "-m", "qexp", *map(str, arguments)],
            cwd=options.pop("cwd", tmp_path),
            env=environ,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=600,
            **options,
        )

    return qexp


@pytest.fixture
def study(qexp, tmp_path, queue):
    """Write a function and a grid; return functions that enqueue, await and read the study."""
    name = f"s_{uuid.uuid4().hex[:8]}"

    def study(source: str, parameters: dict, **keys: object) -> SimpleNamespace:
        (tmp_path / "experiment.py").write_text(source)
        grid = {"study": name, "function": "experiment:f", "queue": queue, "parameters": parameters}
        grid |= {"retries": {"crashed": 0}, **keys}
        (tmp_path / "grid.yaml").write_text(json.dumps(grid, ensure_ascii=False), encoding="utf-8")

        def enqueue() -> str:
            done = qexp("enqueue", "grid.yaml")
            assert done.returncode == 0, done.stderr
            return done.stdout

        def listed() -> list[dict]:
            return json.loads(qexp("list", name, "--format", "json").stdout)

        def shown() -> list[dict]:
            ids = ",".join(str(row["id"]) for row in listed())
            return json.loads(qexp("show", ids, "--format", "json").stdout)

        def wait() -> int:
            return qexp("wait", name, "--timeout", "120").returncode

        return SimpleNamespace(name=name, folder=tmp_path, enqueue=enqueue, listed=listed, shown=shown, wait=wait)

    return study
