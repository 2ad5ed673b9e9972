"""
How long it takes until what has died is made good, with the default settings: `python -m benchmarks.recovery`.

A site of its own is started in a temporary folder, real processes are killed, and seconds are printed, a line each.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import redis

from qexp.settings import load
from qexp.store.connect import Raw, connect

ROUNDS = 3

FUNCTION = """
import os, pathlib, time
def f(x, folder, seconds=600.0):
    with open(pathlib.Path(folder) / "began", "a") as file:
        print(x, time.time(), os.getpid(), file=file)
    time.sleep(seconds if x != "short" else 0)
"""


class Site:
    """Services, workers and studies in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "experiment.py").write_text(FUNCTION)
        self.workers: list[subprocess.Popen[bytes]] = []

    def qexp(self, *arguments: str) -> str:
        line = [sys.executable, "-m", "qexp", *arguments]
        done = subprocess.run(line, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def worker(self, queue: str) -> subprocess.Popen[bytes]:
        line = [sys.executable, "-m", "celery", "-A", "qexp", "worker", "-c", "1", "-Q", queue, "-l", "INFO"]
        name = f"worker-{len(self.workers)}"
        with (self.folder / f"{name}.log").open("wb") as log:
            line += ["-n", f"{name}@%h"]
            made = subprocess.Popen(line, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
        self.workers.append(made)
        await_that(lambda: b" ready." in (self.folder / f"{name}.log").read_bytes())
        return made

    def enqueue(self, name: str, *values: str) -> None:
        grid = {"study": name, "function": "experiment:f", "queue": name, "parameters": {"x": list(values)}}
        grid |= {"settings": {"folder": str(self.folder)}, "retries": {"crashed": 0}}
        (self.folder / f"{name}.yaml").write_text(json.dumps(grid))
        self.qexp("enqueue", f"{name}.yaml")

    def began(self, value: str) -> list[tuple[float, int]]:
        """Return when, and in which processes, the experiment with this value began."""
        path = self.folder / "began"
        rows = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [(float(row[1]), int(row[2])) for row in rows if row[0] == value]

    def stop(self) -> None:
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
        self.workers.clear()


def await_that(condition: Callable[[], object], seconds: float = 180.0) -> float:
    """Return the moment, in seconds since 1970, at which a condition was first seen to hold."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)
    return time.time()


def child(site: Site, raw: Raw, number: int) -> float:
    """From the kill of a child to its attempt's end."""
    name, value = f"child{number}", f"c{number}"
    site.worker(name)
    site.enqueue(name, value)
    await_that(lambda: site.began(value))
    (_, pid), killed = site.began(value)[0], time.time()
    os.kill(pid, signal.SIGKILL)
    return await_that(lambda: count(raw, "attempt WHERE outcome = 'crashed' AND pid = %s", pid)) - killed


def node(site: Site, raw: Raw, number: int) -> float:
    """From the kill of a whole worker to the next execution of what it ran, on another one."""
    name, value = f"node{number}", f"n{number}"
    first = site.worker(name)
    site.enqueue(name, value)
    await_that(lambda: site.began(value))
    site.worker(name)
    killed = time.time()
    os.killpg(first.pid, signal.SIGKILL)
    await_that(lambda: len(site.began(value)) == 2)
    return site.began(value)[1][0] - killed


def broker(site: Site, raw: Raw, number: int) -> float:
    """From the return of a broker that was killed and came back empty to the first execution."""
    name, value = f"broker{number}", f"b{number}"
    site.enqueue(name, value)
    site.worker(name + "x")  # leads, and listens elsewhere
    settings = load()
    with redis.Redis.from_url(settings.broker_url or "") as server:
        pid = int(server.info("server")["process_id"])
    os.kill(pid, signal.SIGKILL)
    await_that(lambda: not Path(f"/proc/{pid}").exists())
    shutil.rmtree(settings.home / "valkey" / "appendonlydir")
    site.qexp("up")
    back = time.time()
    site.worker(name)
    await_that(lambda: site.began(value))
    return site.began(value)[0][0] - back


def leader(site: Site, raw: Raw, number: int) -> float:
    """From the kill of the leader to the next one."""
    one, two = site.worker(f"leader{number}"), site.worker(f"leader{number}")
    led = "worker w JOIN leader l ON l.worker = w.id WHERE l.until > now() AND w.pid = %s"
    await_that(lambda: count(raw, led, one.pid) or count(raw, led, two.pid))
    first, second = (one, two) if count(raw, led, one.pid) else (two, one)
    killed = time.time()
    os.killpg(first.pid, signal.SIGKILL)
    return await_that(lambda: count(raw, led, second.pid)) - killed


def count(raw: Raw, rows: str, *values: object) -> int:
    row = raw.execute(f"SELECT count(*) FROM {rows}".encode(), values).fetchone()
    return int(row[0]) if row else 0


@contextlib.contextmanager
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="qexp-recovery-") as folder:
        os.environ["QEXP_HOME"] = f"{folder}/home"
        made = Site(Path(folder))
        made.qexp("up")
        try:
            yield made
        finally:
            made.stop()
            made.qexp("down")


def main() -> None:
    """Measure each, and print the seconds of each round and their median."""
    with site() as made:
        made.qexp("db", "migrate")
        for measure in (child, node, leader, broker):
            found = []
            for number in range(ROUNDS):
                with connect(load()) as raw:
                    found.append(measure(made, raw, number))
                made.stop()
            line = (measure.__doc__ or "").rstrip(".")
            print(f"{line}: {statistics.median(found):.1f} s", [round(seconds, 1) for seconds in found], flush=True)


if __name__ == "__main__":
    main()
