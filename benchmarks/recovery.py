"""
Recovery times after the death of processes, with the default settings: `python -m benchmarks.recovery`.

It starts a site in a temporary folder, kills real processes, and prints the seconds of each recovery.
"""

from __future__ import annotations

import os
import signal
import statistics
import time

from benchmarks import breaking
from benchmarks.site import Site, Worker, await_that, opened
from qexp.store.connection import RawConnection

ROUNDS = 3

FUNCTION = """
import os, pathlib, time
def f(x, folder, seconds=600.0):
    with open(pathlib.Path(folder) / "began", "a") as file:
        print(x, time.time(), os.getpid(), file=file)
    time.sleep(seconds if x != "short" else 0)
"""


def enqueue(site: Site, name: str, *values: str) -> None:
    (site.folder / "experiment.py").write_text(FUNCTION)
    settings = {"folder": str(site.folder)}
    site.grid("f", {"x": list(values)}, name, settings=settings, retries={"crashed": 0})
    site.qexp("enqueue", f"{name}.yaml")


def began(site: Site, value: str) -> list[tuple[float, int]]:
    """Return the times and processes of the starts of the experiment with this value."""
    path = site.folder / "began"
    rows = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [(float(row[1]), int(row[2])) for row in rows if row[0] == value]


def child(site: Site, raw: RawConnection, number: int) -> float:
    """Time from the kill of a child to the end of its attempt."""
    name, value = f"child{number}", f"c{number}"
    site.worker(name)
    enqueue(site, name, value)
    await_that(lambda: began(site, value))
    (_, pid), killed = began(site, value)[0], time.time()
    os.kill(pid, signal.SIGKILL)
    return await_that(lambda: count(raw, "attempt WHERE outcome = 'crashed' AND pid = %s", pid)) - killed


def node(site: Site, raw: RawConnection, number: int) -> float:
    """Time from the kill of a worker to the next execution of its experiments on another one."""
    name, value = f"node{number}", f"n{number}"
    first = site.worker(name)
    enqueue(site, name, value)
    await_that(lambda: began(site, value))
    site.worker(name)
    killed = time.time()
    first.kill()
    await_that(lambda: len(began(site, value)) == 2)
    return began(site, value)[1][0] - killed


def broker(site: Site, raw: RawConnection, number: int) -> float:
    """Time from the empty restart of a killed broker to the first execution."""
    name, value = f"broker{number}", f"b{number}"
    enqueue(site, name, value)
    site.worker(name + "x")  # leads, and listens on another queue
    breaking.kill(breaking.broker(site.broker_url))
    breaking.forget_messages(site.settings.home)
    site.qexp("up")
    back = time.time()
    site.worker(name)
    await_that(lambda: began(site, value))
    return began(site, value)[0][0] - back


def leader(site: Site, raw: RawConnection, number: int) -> float:
    """Time from the kill of the leader to the next leader."""
    one, two = site.worker(f"leader{number}"), site.worker(f"leader{number}")
    led = "worker w JOIN leader l ON l.worker = w.id WHERE l.until > now() AND w.pid = %s"

    def leads(worker: Worker) -> bool:
        return bool(count(raw, led, worker.pid))

    await_that(lambda: leads(one) or leads(two))
    first, second = (one, two) if leads(one) else (two, one)
    killed = time.time()
    first.kill()
    return await_that(lambda: leads(second)) - killed


def count(raw: RawConnection, rows: str, *values: object) -> int:
    row = raw.execute(f"SELECT count(*) FROM {rows}".encode(), values).fetchone()
    return int(row[0]) if row else 0


def main() -> None:
    """Measure each recovery, and print the seconds of each round and their median."""
    with opened() as site:
        for measure in (child, node, leader, broker):
            found = []
            for number in range(ROUNDS):
                with site.raw() as raw:
                    found.append(measure(site, raw, number))
                site.stop()
            line = (measure.__doc__ or "").rstrip(".")
            print(f"{line}: {statistics.median(found):.1f} s", [round(seconds, 1) for seconds in found], flush=True)


if __name__ == "__main__":
    main()
