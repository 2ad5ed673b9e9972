"""A site that tests may break, workers in separate groups, a function with a log, and checks of invariants."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from tests_support import eventually, signal_all

from benchmarks import breaking
from qexp import services, settings
from qexp.client import Client
from qexp.grid import Grid
from qexp.settings import Settings
from qexp.store.connection import connect

log = logging.getLogger(__name__)  # shown if a test fails

HEARTBEAT, LEASE = 0.5, 3.0
PATIENCE = float(os.environ.get("FAULTS_PATIENCE", "60"))
"""Timeout in seconds until all experiments of a study are finished."""
PACE = {"QEXP_HEARTBEAT": str(HEARTBEAT), "QEXP_LEASE": str(LEASE)}
"""Short, so that a lost worker is recovered during a test."""

SOURCE = '''
import os, pathlib, time
import qexp

def note(log, context, what):
    """Add a line in one write, so that lines of several processes never mix."""
    line = f"{context.id} {context.attempt} {os.getpid()} {what}\\n".encode()
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    assert os.write(file, line) == len(line)
    os.close(file)

def f(x, log, seconds=0.0, gate=None, *, context: qexp.Context):
    note(log, context, "begin")
    time.sleep(seconds)
    while gate is not None and not pathlib.Path(gate).exists():
        time.sleep(0.02)
    note(log, context, "end")
    return {"y": 2 * x, "attempt": context.attempt}
'''
"""Sleeps for `seconds`, and until the file `gate` exists."""


class Worker:
    """A worker in its own process group, which can be stopped and killed as a whole."""

    def __init__(self, folder: Path, environ: Mapping[str, str], *options: str):
        self.name = uuid.uuid4().hex[:8]
        self.log = folder / f"worker-{self.name}.log"
        line = [sys.executable, "-m", "celery", "-A", "qexp", "worker", "--loglevel", "INFO"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*line, "-n", f"{self.name}@%h", *options],
                stdout=log,
                stderr=log,
                cwd=folder,
                env=environ,
                start_new_session=True,
            )

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def await_ready(self) -> Worker:
        eventually(lambda: " ready." in self.text() or not self.alive, "a worker to be ready", PATIENCE)
        assert self.alive, self.text()
        return self

    def await_text(self, text: str) -> None:
        eventually(lambda: text in self.text() or not self.alive, f"{text!r} in a worker's log", PATIENCE)
        assert text in self.text(), self.text()

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the main process and its descendants, like batch systems and service managers."""
        signal_all(self.process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait()


class Site:
    """Both services in a separate home, which tests kill, stop, restart and wipe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {**os.environ, "QEXP_HOME": str(folder / "home"), "HOME": str(folder), **PACE}
        self._loaded = settings.load_with_origins({"QEXP_HOME": str(folder / "home"), **PACE}, folder)
        self._workers: list[Worker] = []
        self.up()

    @property
    def settings(self) -> Settings:
        return settings.load({"QEXP_HOME": str(self.folder / "home"), **PACE}, self.folder)

    @property
    def client(self) -> Client:
        return Client(self.settings)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return rows of Postgres over a separate connection without faults."""
        with connect(self.settings) as raw:
            found = raw.execute(query, values)  # type: ignore[arg-type]
            return found.fetchall() if found.description is not None else []

    def broker(self) -> redis.Redis:
        return redis.Redis.from_url(self.settings.broker_url)

    # the services

    def up(self) -> None:
        services.up(self._loaded)

    def kill_postgres(self) -> None:
        """Kill the server and all of its processes, like a power failure."""
        breaking.kill(breaking.postgres(self.home))

    def kill_broker(self) -> None:
        breaking.kill(breaking.broker(self.settings.broker_url))

    def restart_broker(self) -> None:
        """Kill the broker and restart it with its data."""
        self.kill_broker()
        self.up()

    def wipe_broker(self) -> None:
        """Kill the broker and start an empty one at the same address."""
        self.kill_broker()
        breaking.forget_messages(self.home)
        self.up()

    @property
    def home(self) -> Path:
        return self.settings.home

    # workers

    def worker(self, *options: str, **environ: str) -> Worker:
        made = Worker(self.folder, {**self.environ, **environ}, *options)
        self._workers.append(made)
        return made

    def workers(self, number: int, *options: str) -> list[Worker]:
        """Start workers and wait until all of them are ready."""
        return [worker.await_ready() for worker in [self.worker(*options) for _ in range(number)]]

    def told(self, ids: Iterable[int]) -> str:
        """Return the log lines of workers about some experiments, or about any experiment."""
        named = re.compile(rf"\b({'|'.join(map(str, ids))})\b|silent|published again|forgotten|Postgres")
        return "\n".join(
            f"{worker.name} {line[:200]}"
            for worker in self._workers
            for line in worker.text().splitlines()
            if named.search(line[len("2026-01-31 23:59:59 ") :])
        )

    def end_workers(self) -> None:
        for worker in self._workers:
            worker.kill()
            last = [line[:300] for line in worker.text().splitlines()[-12:]]
            log.warning("%s:\n%s", worker.name, "\n".join(last))
        self._workers.clear()

    def close(self) -> None:
        self.end_workers()
        services.down(self.settings)

    # studies

    def study(self, number: int, source: str = SOURCE, **keys: Any) -> Study:
        """Make a study of the function above with *number* values of x and its own queue, without an enqueue."""
        return Study(self, f"s_{uuid.uuid4().hex[:8]}", number, source, keys)


class Study:
    """A study and the log of its function."""

    def __init__(self, site: Site, name: str, number: int, source: str, keys: dict[str, Any]) -> None:
        self.site, self.name, self.queue = site, name, f"q_{name}"
        self.folder = site.folder / name
        self.folder.mkdir()
        (self.folder / "experiment.py").write_text(source)
        self.log, self.gate = self.folder / "log", self.folder / "gate"
        settings = {"log": str(self.log), **keys.pop("settings", {})}
        if keys.pop("gated", False):
            settings["gate"] = str(self.gate)
        self.grid = {
            "study": name,
            "function": "experiment:f",
            "queue": self.queue,
            "parameters": {"x": {"range": [number]}} if number > 1 else {"x": 0},
            "settings": settings,
            "retries": {"crashed": 9, "lost": 9, "delay": "0.1s"},
            **keys,
        }

    def enqueue(self) -> Study:
        self.site.client.enqueue(Grid.from_dict(self.grid, self.folder))
        return self

    def open_gate(self) -> None:
        self.gate.touch()

    def executions(self) -> list[Execution]:
        """Return the log of the function, in order."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [Execution(int(i), int(a), int(p), w) for i, a, p, w in (line.split() for line in lines)]

    def running(self) -> list[Execution]:
        """Return the executions that started and did not end, also dead ones."""
        found = self.executions()
        ended = {(one.experiment, one.attempt) for one in found if one.what == "end"}
        return [one for one in found if one.what == "begin" and (one.experiment, one.attempt) not in ended]

    def strangers(self) -> list[Execution]:
        """Return the executions that belong to no finished or running attempt."""
        query = (
            "SELECT e.id, unnest(e.attempt || ARRAY(SELECT a.number FROM attempt a WHERE a.experiment = e.id)) "
            "FROM experiment e JOIN study s ON s.id = e.study WHERE s.name = %s"
        )
        known = set(self.site.rows(query, self.name))
        return [one for one in self.executions() if (one.experiment, one.attempt) not in known]

    def await_begun(self, number: int) -> list[Execution]:
        """Wait until *number* executions have started; return those that have not ended."""
        eventually(
            lambda: sum(one.what == "begin" for one in self.executions()) >= number, f"{number} to begin", PATIENCE
        )
        return self.running()

    def statuses(self) -> Counter[str]:
        query = "SELECT e.status FROM experiment e JOIN study s ON s.id = e.study WHERE s.name = %s"
        return Counter(row[0] for row in self.site.rows(query, self.name))

    def outcomes(self) -> Counter[str]:
        query = "SELECT a.outcome FROM attempt a JOIN study s ON s.id = a.study WHERE s.name = %s"
        return Counter(row[0] for row in self.site.rows(query, self.name))

    def await_done(self, number: int, seconds: float = PATIENCE) -> None:
        eventually(lambda: self.statuses()["done"] >= number, f"{number} to be done", seconds)

    def await_closed(self, seconds: float = PATIENCE) -> Study:
        """Wait until all experiments are finished."""

        def closed() -> bool:
            return not self.statuses().keys() - {"done", "failed", "cancelled"}

        try:
            eventually(closed, f"{self.name} to close", seconds)
        except pytest.fail.Exception:
            log.warning("%s: %s, attempts: %s", self.name, dict(self.statuses()), dict(self.outcomes()))
            raise
        return self


@dataclass(frozen=True)
class Execution:
    """A line of the log: the start or the end of an execution of an attempt."""

    experiment: int
    attempt: int
    pid: int
    what: str


CUT_SHORT = frozenset({"lost", "crashed", "released"})
"""Outcomes of attempts that may have ended before the call of their function."""


def assert_consistent(
    study: Study,
    number: int,
    outcomes: Mapping[str, int] | None = None,
    among: Iterable[str] = ("done",),
    failed: Mapping[str, int] | None = None,
    unbegun: bool = False,
) -> None:
    """
    Compare the tables with the log of the function.

    *outcomes*: the exact number of attempts by outcome; or *among*: the allowed outcomes. *failed*: how many
    experiments end as failed, by failure; the others are done. *unbegun*: attempts that were cut short may lack
    an execution.
    """
    site = study.site
    experiments = site.rows(
        "SELECT e.id, e.status, e.attempt, e.result, e.failure, e.worker, e.params FROM experiment e "
        "JOIN study s ON s.id = e.study WHERE s.name = %s",
        study.name,
    )
    attempts = site.rows(
        "SELECT a.experiment, a.number, a.outcome, a.worker, a.pid, a.error_type FROM attempt a "
        "JOIN study s ON s.id = a.study WHERE s.name = %s ORDER BY a.experiment, a.number",
        study.name,
    )
    begun = Counter((one.experiment, one.attempt) for one in study.executions() if one.what == "begin")
    ended = Counter((one.experiment, one.attempt) for one in study.executions() if one.what == "end")
    pids = {(one.experiment, one.attempt): one.pid for one in study.executions()}
    by_experiment: dict[int, list[Any]] = {row[0]: [] for row in experiments}
    for row in attempts:
        by_experiment[row[0]].append(row)
    # every experiment has one row, and is finished
    assert sorted(row[6]["x"] for row in experiments) == list(range(number))
    failures = Counter(row[4] for row in experiments if row[1] == "failed")
    assert failures == Counter(failed or {})
    assert (
        Counter(row[1] for row in experiments)
        == Counter({"done": number - failures.total(), "failed": failures.total()}) - Counter()
    )
    for id_, status, last, result, failure, worker, params in experiments:
        mine = by_experiment[id_]
        # numbers of attempts have no gaps, and only the last attempt counts
        assert [row[1] for row in mine] == [*range(1, last + 1)], mine
        assert [row[1] for row in mine if row[2] == "done"] == ([last] if status == "done" else []), (id_, mine)
        assert mine[-1][2] == (failure or "done"), (id_, mine)
        assert mine[-1][3] == worker
        if status == "done":
            assert result == {"y": 2 * params["x"], "attempt": last}, (id_, result, mine)
    # each attempt has one execution, in the process that its row names, and the reverse
    keys = {(row[0], row[1]): row for row in attempts}
    twice = [one for one in study.executions() if begun[one.experiment, one.attempt] > 1]
    assert not twice, f"executed more than once: {twice}\n{site.told({one.experiment for one in twice})}"
    assert not begun.keys() - keys.keys(), "executed without an attempt"
    assert {key: keys[key][4] for key in begun} == {key: pids[key] for key in begun}
    missing = [keys[key] for key in keys.keys() - begun.keys()]
    assert not [row for row in missing if not (unbegun and row[2] in CUT_SHORT)], "an attempt without an execution"
    assert not [key for key, row in keys.items() if row[2] == "done" and ended[key] != 1], "done, and did not end"
    # and each attempt has the expected outcome
    found = Counter(row[2] for row in attempts)
    if outcomes is not None:
        assert found == Counter(outcomes), found
    else:
        assert found.keys() <= {"done", *among}, found


def temporary_site() -> tuple[tempfile.TemporaryDirectory[str], Site]:
    """Make a site in a folder with a path short enough for a socket."""
    folder = tempfile.TemporaryDirectory(prefix="qexp-faults-", ignore_cleanup_errors=True)
    return folder, Site(Path(folder.name))
