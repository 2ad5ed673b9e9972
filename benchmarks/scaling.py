"""
The load of 1,000 workers with 8 children each on Postgres and the broker: `python -m benchmarks.scaling [PART…]`.

It measures one real worker, then simulated workers with the same statements (qexp.store) and commands, as many as
this machine carries. Computed figures are marked by `~`. Parts: real, postgres, pooled, broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis
import redis.asyncio as aredis

from benchmarks.pgbouncer import PROGRAM, PgBouncer
from qexp import services, settings
from qexp.client import Client
from qexp.model import Outcome
from qexp.settings import Settings
from qexp.store.connection import RawConnection, connect
from qexp.store.writes import claiming, worker_rows

WORKERS, CHILDREN = 1_000, 8
DURATIONS = {"1 s": 1.0, "10 s": 10.0, "60 s": 60.0, "1 h": 3600.0}
SECONDS = 15.0
"""Length of a measurement."""
MOST = 900.0
"""Limit of simulated experiments per second, because this machine is both client and server."""
QUEUE = "scaling"
FUNCTION = "import time\ndef f(x, seconds):\n    time.sleep(seconds)\n    return {'y': x}\n"


@contextlib.contextmanager
def site(connections: int = 300) -> Iterator[tuple[Settings, Path]]:
    """Start services in a separate folder, with this many connections to Postgres."""
    with tempfile.TemporaryDirectory(prefix="qexp-scaling-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        os.environ["QEXP_HOME"] = str(folder / "home")
        try:
            services.up(settings.load_with_origins())
            with connect(settings.load()) as raw:
                raw.execute(f"ALTER SYSTEM SET max_connections = {connections}".encode())
            services.down(settings.load())
            services.up(settings.load_with_origins())
            Client(settings.load()).migrate()
            (folder / "experiment.py").write_text(FUNCTION)
            yield settings.load(), folder
        finally:
            services.down(settings.load())


def enqueue(folder: Path, number: int, seconds: float = 0.0) -> list[int]:
    """Enqueue a study of sleeps, and return its ids."""
    name = f"s{uuid.uuid4().hex[:8]}"
    grid = {"study": name, "function": "experiment:f", "queue": QUEUE, "parameters": {"x": {"range": [0, number]}}}
    (folder / "grid.yaml").write_text(json.dumps({**grid, "settings": {"seconds": seconds}}))
    line = [sys.executable, "-m", "qexp", "enqueue", "grid.yaml"]
    subprocess.run(line, cwd=folder, check=True, capture_output=True)
    with connect(settings.load()) as raw:
        if not seconds:  # no real worker takes these, so they are claimed without an announcement
            raw.execute("UPDATE experiment SET status = 'queued' WHERE status = 'pending'")
        query = "SELECT e.id FROM experiment e JOIN study s ON s.id = e.study WHERE s.name = %s ORDER BY e.id"
        return [row[0] for row in raw.execute(query, [name])]


# -- work of the services ----------------------------------------------------------------------------------------------


@dataclass
class Reading:
    """Counters of both services; their differences over time are the load of the clients."""

    at: float
    postgres_cpu: float
    transactions: int
    wal: int
    broker_cpu: float
    commands: int
    received: int
    sent: int
    calls: dict[str, int]

    @classmethod
    def take(cls, raw: RawConnection, broker: redis.Redis) -> Reading:
        row = raw.execute(
            "SELECT xact_commit + xact_rollback, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"
            " FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
        assert row is not None  # noqa: S101 - we are connected to it
        info: Any = broker.info("everything")
        calls = {key[8:]: value["calls"] for key, value in info.items() if key.startswith("cmdstat_")}
        cpu = info["used_cpu_user"] + info["used_cpu_sys"]
        received, sent = info["total_net_input_bytes"], info["total_net_output_bytes"]
        return cls(
            time.monotonic(), cpu_of_postgres(raw), row[0], int(row[1]), cpu, info["total_commands_processed"],
            received, sent, calls,
        )  # fmt: skip

    def rates_until(self, later: Reading) -> Reading:
        """Return the rates per second between two readings."""
        took = later.at - self.at
        counters = {
            name: (getattr(later, name) - getattr(self, name)) / took
            for name in vars(self)
            if name not in ("at", "calls")
        }
        calls: Any = {name: (n - self.calls.get(name, 0)) / took for name, n in later.calls.items()}
        return Reading(at=took, **counters, calls=calls)

    def less(self, other: Reading) -> Reading:
        """Return these rates minus *other*, the rates of the leader and of the measurement."""
        counters = {name: getattr(self, name) - getattr(other, name) for name in vars(self) if name != "calls"}
        calls: Any = {name: rate - other.calls.get(name, 0) for name, rate in self.calls.items()}
        return Reading(**counters, calls=calls)


def cpu_of_postgres(raw: RawConnection) -> float:
    """Return the CPU seconds of all processes of a server, also of ended ones."""
    row = raw.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
    postmaster = psutil.Process(int(row[0].split()[0])) if row else psutil.Process()
    ended = postmaster.cpu_times()
    total: float = ended.user + ended.system + ended.children_user + ended.children_system
    for process in postmaster.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def memory_of_postgres(raw: RawConnection) -> float:
    """Return the unshared bytes of the server's processes."""
    row = raw.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
    postmaster = psutil.Process(int(row[0].split()[0])) if row else psutil.Process()
    total = 0
    for process in postmaster.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().uss
    return total


def bytes_of(settings: Settings, action: Callable[[RawConnection], object]) -> tuple[int, int]:
    """Return the bytes that an action with prepared statements sends to Postgres and receives."""
    with connect(settings) as raw, tempfile.TemporaryFile("w+") as file:
        for _ in range(10):
            action(raw)
        raw.pgconn.trace(file.fileno())
        raw.pgconn.set_trace_flags(psycopg.pq.Trace.SUPPRESS_TIMESTAMPS)
        action(raw)
        raw.pgconn.untrace()
        file.seek(0)
        found = {"F": 0, "B": 0}
        for line in file:
            way, length = line.split("\t")[:2]
            found[way] += int(length) + 1
    return found["F"], found["B"]


# -- one real worker ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def worker(folder: Path, *options: str) -> Iterator[None]:
    """Run a real worker during this context."""
    log = folder / f"worker-{uuid.uuid4().hex[:6]}.log"
    line = [sys.executable, "-m", "celery", "-A", "qexp", "worker", "-l", "INFO", "-n", f"{log.stem}@%h", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(line, cwd=folder, stdout=output, stderr=output, start_new_session=True)
    try:
        while b" ready." not in log.read_bytes():
            if process.poll() is not None:
                raise RuntimeError(log.read_text())
            time.sleep(0.1)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def real() -> None:
    """Print the connections and requests of one worker with 8 children, without those of the leader."""
    with site() as (here, folder), connect(here) as raw, redis.Redis.from_url(here.broker_url or "") as broker:

        def open_now() -> tuple[int, int]:
            row = raw.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'qexp'").fetchone()
            return (row[0] if row else 0) - 1, len(broker.client_list()) - 1

        def watch(seconds: float) -> tuple[Reading, list[tuple[int, int]]]:
            before, seen = Reading.take(raw, broker), []
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                time.sleep(0.5)
                seen.append(open_now())
            return before.rates_until(Reading.take(raw, broker)), seen

        print("\nOne real worker with 8 children\n")
        print("| doing | Postgres: connections | transactions/s | broker: connections | commands/s | in, out B/s |")
        print("|---|---|---|---|---|---|")
        with worker(folder, "-c", "1", "-Q", "nobody"):
            time.sleep(2)
            alone, seen = watch(SECONDS)
            base = [max(pair[side] for pair in seen) for side in (0, 1)]
            with worker(folder, "-c", str(CHILDREN), "-Q", QUEUE):
                time.sleep(2)
                for title, seconds, number, length in (
                    ("nothing", 0.0, 0, SECONDS),
                    ("1 s", 1.0, 8 * 30, SECONDS),
                    ("15 s", 15.0, 8 * 4, 45.0),
                ):
                    if number:
                        enqueue(folder, number, seconds)
                        time.sleep(3)
                    found, seen = watch(length)
                    own = found.less(alone)
                    most = [max(pair[side] for pair in seen) - base[side] for side in (0, 1)]
                    print(
                        f"| {title} | {most[0]} | {own.transactions:.1f} | {most[1]} | {own.commands:.1f}"
                        f" | {own.received:.0f}, {own.sent:.0f} |",
                        flush=True,
                    )
                    calls = {name: round(rate, 2) for name, rate in own.calls.items() if rate > 0.05}
                    print(f"<!-- {title}: {calls} -->", flush=True)
                kept: Any = broker.client_list()
                print(f"memory of a connection to the broker: {[item['tot-mem'] for item in kept]} bytes")


# -- simulated workers on Postgres -------------------------------------------------------------------------------------


@dataclass
class Timings:
    """Seconds of statements, and the number of refused claims."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    refused: int = 0

    def add(self, name: str, began: float) -> None:
        self.seconds.setdefault(name, []).append(time.perf_counter() - began)

    def merge(self, other: Timings) -> None:
        for name, values in other.seconds.items():
            self.seconds.setdefault(name, []).extend(values)
        self.refused += other.refused

    def shown(self, name: str) -> str:
        """Return median and 99th percentile in ms."""
        found = sorted(self.seconds.get(name, []))
        if not found:
            return "-"
        return f"{1000 * found[len(found) // 2]:.1f} / {1000 * found[math.ceil(0.99 * len(found)) - 1]:.1f}"


def main_processes(here: Settings, workers: Sequence[uuid.UUID], ready: Any, stop: Any) -> Timings:
    """
    Simulate main processes of workers until *stop*: two connections, a heartbeat and a leader check in 5 s.

    A few threads share the workers, while a real worker has its own process.
    """
    threads = 10

    def some(mine: Sequence[uuid.UUID]) -> Timings:
        found = Timings()
        lines = [(worker, connect(here), connect(here)) for worker in mine]
        ready.release()
        began, number = time.monotonic(), 0
        while not stop.is_set():
            worker, heartbeats, leader = lines[number % len(lines)]
            number += 1
            stop.wait(max(0.0, began + here.heartbeat * number / len(lines) - time.monotonic()))
            start = time.perf_counter()
            worker_rows.beat(heartbeats, worker)
            worker_rows.unwanted(heartbeats, worker, [])
            worker_rows.strays(heartbeats, worker, [])
            found.add("beat", start)
            worker_rows.lead(leader, worker, 10.0, 30.0)
        for _, heartbeats, leader in lines:
            heartbeats.close()
            leader.close()
        return found

    total = Timings()
    with ThreadPoolExecutor(threads) as pool:
        for found in pool.map(some, [workers[part::threads] for part in range(threads)]):
            total.merge(found)
    return total


def children(
    here: Settings, worker: uuid.UUID, ids: Sequence[int], rate: float, reconnect: bool, seconds: float
) -> Timings:
    """
    Simulate children that finish an experiment and claim the next, *rate* times a second; 0: without a limit.

    *reconnect*: open a new connection each time, like after experiments of more than ten seconds.
    """
    threads, waiting, lock = 12, iter(ids), threading.Lock()
    began = time.monotonic()

    def some(first: int) -> Timings:
        found, raw, held = Timings(), connect(here), None
        number = first
        while (now := time.monotonic()) < began + seconds:
            if rate:
                due = began + number / rate
                if due > began + seconds:
                    break
                time.sleep(max(0.0, due - now))
                number += threads
            if reconnect:
                raw.close()
                start = time.perf_counter()
                raw = connect(here)
                found.add("connect", start)
            if held is not None:
                start = time.perf_counter()
                claiming.finish(raw, held, Outcome({"y": 1}))
                found.add("finish", start)
            with lock:
                experiment = next(waiting)
            start = time.perf_counter()
            held = claiming.claim(raw, experiment, worker, os.getpid())
            found.add("claim", start)
            found.refused += held is None
        raw.close()
        return found

    total = Timings()
    with ThreadPoolExecutor(threads) as pool:
        for found in pool.map(some, range(threads)):
            total.merge(found)
    return total


def idle_children(here: Settings, number: int, ready: Any, stop: Any) -> None:
    """Simulate children that keep an idle connection until *stop*."""
    with ThreadPoolExecutor(8) as pool:
        lines = list(pool.map(lambda _: connect(here), range(number)))
    ready.release()
    stop.wait()
    for line in lines:
        line.close()


def register(raw: RawConnection, number: int) -> list[uuid.UUID]:
    workers = [uuid.uuid4() for _ in range(number)]
    for worker in workers:
        worker_rows.register(raw, worker, worker_rows.WorkerInfo("node", 1, "simulated", [QUEUE], CHILDREN))
    return workers


def table() -> None:
    print("\n| workers' load | experiments/s | server connections | statements/s | CPU of Postgres, cores | WAL kB/s"
          " | beat (3 statements) p50 / p99 ms | claim | finish | connect |\n|" + "---|" * 10)  # fmt: skip


def load(
    title: str,
    here: Settings,
    direct: Settings,
    ids: list[int],
    rate: float,
    beating: int,
    reconnect: bool,
    idle: int = 0,
) -> None:
    """Simulate a load for a while, and print a line of the table."""
    context = get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(3, mp_context=context) as pool, connect(direct) as raw:
        ready, stop = manager.Semaphore(0), manager.Event()
        workers = register(raw, max(1, beating))
        jobs = [pool.submit(main_processes, here, workers, ready, stop)] if beating else []
        crowds = [pool.submit(idle_children, here, idle, ready, stop)] if idle else []
        for _ in range(10 * bool(beating) + bool(idle)):
            ready.acquire()
        with redis.Redis.from_url(direct.broker_url or "") as broker:
            running = pool.submit(children, here, workers[0], ids, rate, reconnect, SECONDS + 2) if ids else None
            time.sleep(1.5)
            before = Reading.take(raw, broker)
            time.sleep(SECONDS - 2)
            row = raw.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'qexp'").fetchone()
            memory, found = memory_of_postgres(raw), before.rates_until(Reading.take(raw, broker))
        timings = running.result() if running else Timings()
        stop.set()
        for job in jobs:
            timings.merge(job.result())
        for gone in crowds:
            gone.result()
    done = len(timings.seconds.get("finish", ())) / (SECONDS + 2)
    shown = " | ".join(timings.shown(name) for name in ("beat", "claim", "finish", "connect"))
    print(f"| {title} | {done:.0f} | {row[0] - 1 if row else 0} | {found.transactions:.0f} | {found.postgres_cpu:.2f}"
          f" | {found.wal / 1000:.0f} | {shown} |", flush=True)  # fmt: skip
    print(f"<!-- {memory / 2**20:.0f} MiB of Postgres's own memory; {timings.refused} claims in vain -->", flush=True)


def postgres() -> None:
    """Print the load of simulated workers on Postgres."""
    with site(2 * WORKERS + 100) as (here, folder), connect(here) as raw:
        ids = enqueue(folder, 60_000)
        [worker], sample = register(raw, 1), iter(ids[:40])

        def experiment(line: RawConnection) -> None:
            claim = claiming.claim(line, next(sample), worker, 1)
            assert claim is not None  # noqa: S101 - nobody else takes any
            claiming.finish(line, claim, Outcome({"y": 1}))

        def beat(line: RawConnection) -> None:
            worker_rows.beat(line, worker)
            worker_rows.unwanted(line, worker, [])
            worker_rows.strays(line, worker, [])

        print(f"\nbytes to and from Postgres: claim + finish {bytes_of(here, experiment)}, beat {bytes_of(here, beat)}")
        ids = ids[40:]
        table()
        load("nothing connected", here, here, [], 0, 0, False)
        load("1,000 workers, idle", here, here, [], 0, WORKERS, False)
        for title, seconds in reversed(DURATIONS.items()):
            rate = WORKERS * CHILDREN / seconds
            if rate <= MOST:
                taken, ids = ids[: int(rate * (SECONDS + 5)) + 100], ids[int(rate * (SECONDS + 5)) + 100 :]
                load(f"1,000 workers, {title}", here, here, taken, rate, WORKERS, seconds > 10)
        load("as fast as can be", here, here, ids, 0, 0, False)
        raw.execute("ALTER SYSTEM SET synchronous_commit = off")
        raw.execute("SELECT pg_reload_conf()")
        load("the same, synchronous_commit=off", here, here, enqueue(folder, 90_000), 0, 0, False)


def pooled() -> None:
    """Print the same load through PgBouncer, with the connections of all children."""
    if PROGRAM is None:
        print("\nno program 'pgbouncer' here; apt-get install pgbouncer")
        return
    with site() as (here, folder):
        between = PgBouncer(here, folder, 20)
        try:
            ids = enqueue(folder, 40_000)
            table()
            rate = WORKERS * CHILDREN / 10
            process = psutil.Process(between.process.pid)
            used = sum(process.cpu_times()[:2])
            load("1,000 workers, 10 s, 8,000 children's connections", between.settings, here, ids[:20_000], rate,
                 WORKERS, False, WORKERS * CHILDREN)  # fmt: skip
            print(f"<!-- PgBouncer: {sum(process.cpu_times()[:2]) - used:.1f} s of CPU in all, "
                  f"{process.memory_info().rss / 2**20:.0f} MiB -->")  # fmt: skip
            load("as fast as can be", between.settings, here, ids[20_000:], 0, 0, False)
        finally:
            between.stop()


# -- simulated workers on the broker -----------------------------------------------------------------------------------

LISTS = [QUEUE, *(f"{QUEUE}\x06\x16{level}" for level in range(1, 10))]
"""The ten lists of a queue, in the order in which workers read them."""
MESSAGE, EVENT = b"m" * 900, b"e" * 600
"""Names as long as real ones."""


async def listener(url: str, number: int, stop: asyncio.Event) -> int:
    """Simulate a worker for the broker: it takes messages, and sends a Celery heartbeat every 2 s."""

    def line() -> Any:
        return aredis.Redis.from_url(url, single_connection_client=True)

    waits, idle, speaks, hears, other = (line() for _ in range(5))
    remote, taken = hears.pubsub(), 0
    await remote.psubscribe("/0.celery.pidbox")
    await asyncio.gather(idle.ping(), other.ping())

    async def send_heartbeats() -> None:
        await asyncio.sleep(2 * number / WORKERS)
        while not stop.is_set():
            await speaks.publish("/0.celeryev/worker.heartbeat", EVENT)
            await asyncio.sleep(2)

    beating = asyncio.create_task(send_heartbeats())
    while not stop.is_set():
        if await waits.brpop(LISTS, timeout=1) is not None:
            taken += 1
    await beating
    await remote.aclose()
    for each in (waits, idle, speaks, hears, other):
        await each.aclose()
    return taken


async def listen(here: Settings, title: str, rate: float, monitor: bool) -> None:
    """Let simulated workers take this number of messages a second, and print a line of the table."""
    url, stop = here.broker_url or "", asyncio.Event()
    async with aredis.Redis.from_url(url) as producer:
        watching = producer.pubsub()
        if monitor:
            await watching.psubscribe("/0.celeryev/*")
            hearing = asyncio.create_task(_hear(watching, stop))
        tasks: list[asyncio.Task[int]] = []
        for number in range(WORKERS):
            tasks.append(asyncio.create_task(listener(url, number, stop)))
            await asyncio.sleep(0.005)
        await asyncio.sleep(4)
        with redis.Redis.from_url(url) as broker, connect(here) as raw:
            before, began, sent = Reading.take(raw, broker), time.monotonic(), 0
            while (now := time.monotonic()) < began + SECONDS:
                if rate and (due := round((now - began) * rate) - sent) > 0:
                    await producer.lpush(QUEUE, *[MESSAGE] * due)
                    sent += due
                await asyncio.sleep(0.02)
            found, info = before.rates_until(Reading.take(raw, broker)), broker.info("everything")
        left = await producer.llen(QUEUE)
        stop.set()
        await asyncio.gather(*tasks)
        if monitor:
            await hearing
        await watching.aclose()  # type: ignore[no-untyped-call]
    print(f"| {title} | {info['connected_clients']} | {(sent - left) / SECONDS:.0f} | {found.commands:.0f}"
          f" | {found.broker_cpu:.2f} | {found.received / 1e6:.2f}, {found.sent / 1e6:.2f}"
          f" | {info['used_memory'] / 2**20:.0f} |", flush=True)  # fmt: skip


async def _hear(watching: Any, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await watching.get_message(timeout=1)


def broker() -> None:
    """Print the load of simulated workers on the broker."""
    with site() as (here, _):
        print("\n| workers' load | connections | messages/s | commands/s | CPU, cores | in, out MB/s | memory, MiB |")
        print("|" + "---|" * 7)
        asyncio.run(listen(here, "1,000 workers, idle", 0, monitor=False))
        asyncio.run(listen(here, "the same with one monitor", 0, monitor=True))
        asyncio.run(listen(here, "1,000 workers, 60 s", WORKERS * CHILDREN / 60, monitor=False))
        asyncio.run(listen(here, "1,000 workers, 10 s", WORKERS * CHILDREN / 10, monitor=False))


PARTS = {"real": real, "postgres": postgres, "pooled": pooled, "broker": broker}


def main() -> None:
    """Measure the parts that the command line names; default: all."""
    print(f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB")
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main()
