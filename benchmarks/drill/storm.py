"""The faults of a drill; each repairs its damage at its end."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import psycopg
import redis

from benchmarks import breaking
from benchmarks.drill.plan import Fault
from benchmarks.site import Site, Worker
from qexp.errors import QexpError
from qexp.services import postgres, valkey

WORKERS, CHILDREN = 3, 2
STUDY = "drill"
_MARK = "DRILL_WORKER"
"""The environment variable that marks all processes of a worker, also after their parent's death."""


class Diary:
    """The log of faults, a file beside the logs of the workers."""

    def __init__(self, path: Path) -> None:
        self._began, self._lock = time.time(), threading.Lock()
        self._file = path.open("w", encoding="utf-8")
        self.lines: list[tuple[float, str]] = []

    def note(self, text: str) -> None:
        now = time.time()
        with self._lock:
            self.lines.append((now, text))
            print(f"{now - self._began:7.1f} s  {text}", file=self._file, flush=True)

    def since(self, moment: float) -> float:
        """Return the seconds from the start to a time."""
        return moment - self._began

    def close(self) -> None:
        self._file.close()


class Storm:
    """Three workers, and the faults of workers and services. A victim has one fault at a time."""

    def __init__(self, site: Site, diary: Diary, number: int) -> None:
        self.site, self._diary, self._number = site, diary, number
        self.settings = site.settings  # while the services are up
        self.over = threading.Event()
        """Set after the last fault: stopped processes resume, and services restart."""
        self.counts: Counter[str] = Counter()
        self._marks: dict[int, str] = {}
        self.workers: list[Worker] = [self._start() for _ in range(WORKERS)]
        self._held = {name: threading.Lock() for name in ("postgres", "broker", STUDY, *map(str, range(WORKERS)))}
        self._threads: list[threading.Thread] = []
        self._keeper = threading.Thread(target=self._keep_alive, name="keeper")
        self._rests = threading.Event()

    def rage(self, faults: Sequence[Fault]) -> None:
        """Run each fault at its time, then repair the site; workers that end are restarted."""
        began = time.monotonic()
        self._keeper.start()
        try:
            for fault in faults:
                time.sleep(max(0.0, began + fault.at - time.monotonic()))
                thread = threading.Thread(target=self._happen, args=[fault], name=fault.kind)
                thread.start()
                self._threads.append(thread)
        finally:
            self.over.set()
            for thread in self._threads:
                thread.join()
        self._make_whole()

    def rest(self) -> None:
        """Stop restarting workers."""
        self._rests.set()
        if self._keeper.is_alive():
            self._keeper.join()

    def end(self) -> None:
        """Kill every process of every worker that was started."""
        breaking.kill(breaking.having(_MARK, *self._marks.values()))

    def left(self) -> list[psutil.Process]:
        """Return the processes of workers that were killed, ended or told to stop."""
        now = {worker.pid for worker in self.workers}
        return breaking.having(_MARK, *(mark for pid, mark in self._marks.items() if pid not in now))

    @property
    def broken(self) -> tuple[str, ...]:
        """The services with an active fault."""
        return tuple(name for name in ("postgres", "broker") if self._held[name].locked())

    @property
    def able(self) -> int:
        """The number of workers that take messages and that no fault has stopped."""
        return sum(worker.ready and not self._held[str(n)].locked() for n, worker in enumerate(self.workers))

    def _happen(self, fault: Fault) -> None:
        action: Callable[[Fault], str] = getattr(self, f"_{fault.kind.replace(' ', '_')}")
        try:
            told = action(fault)
        except (OSError, RuntimeError, QexpError, psycopg.Error, redis.RedisError, psutil.Error) as error:
            told = f"not done: {' '.join(str(error).split())[:200]}"
        else:
            self.counts[fault.kind] += 1
        self._diary.note(f"{fault.kind}: {told}")

    @contextlib.contextmanager
    def _having(self, victim: str, what: str = "") -> Iterator[None]:
        """Reserve a victim for one fault. Raises RuntimeError if another fault has it."""
        if not self._held[victim].acquire(blocking=False):
            raise RuntimeError(f"{victim} has another fault")
        try:
            if what:
                self._diary.note(f"{what}…")
            yield
        finally:
            self._held[victim].release()

    def _wait(self, fault: Fault) -> str:
        self.over.wait(fault.seconds)
        return f"{fault.seconds:.1f} s"

    # workers

    def _start(self) -> Worker:
        mark = uuid.uuid4().hex
        made = self.site.start_worker(STUDY, CHILDREN, {_MARK: mark})
        self._marks[made.pid] = mark
        return made

    def _replace(self, place: int) -> None:
        self.workers[place] = self._start()

    def _processes(self, worker: Worker) -> list[psutil.Process]:
        """Return all processes of a worker in all process groups, because a dead node takes all of them."""
        return breaking.having(_MARK, self._marks[worker.pid])

    def _keep_alive(self) -> None:
        """Restart ended workers, like a service manager, because a worker ends if a service is down at its start."""
        while not self._rests.wait(1.0):
            for place in range(WORKERS):
                with contextlib.suppress(RuntimeError), self._having(str(place)):
                    if not self.workers[place].alive:
                        self._diary.note(f"worker {place} had ended, with {self.workers[place].process.returncode}")
                        self._replace(place)

    def _child(self, fault: Fault) -> psutil.Process:
        children = [child for worker in self.workers if worker.alive for child in psutil.Process(worker.pid).children()]
        if not children:
            raise RuntimeError("there is none")
        return children[int(fault.pick * len(children))]

    def _kill_a_child(self, fault: Fault) -> str:
        child = self._child(fault)
        child.kill()
        return f"process {child.pid}"

    def _stop_a_child(self, fault: Fault) -> str:
        child = self._child(fault)
        child.suspend()
        try:
            return f"process {child.pid}, {self._wait(fault)}"
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.resume()

    def _kill_a_worker(self, fault: Fault) -> str:
        place = int(fault.pick * WORKERS)
        with self._having(str(place)):
            breaking.kill(self._processes(self.workers[place]))
            self._replace(place)
        return f"worker {place}"

    def _kill_a_main_process(self, fault: Fault) -> str:
        place = int(fault.pick * WORKERS)
        with self._having(str(place)):
            self.workers[place].process.kill()
            self.workers[place].process.wait()
            self._replace(place)
        return f"worker {place}"

    def _stop_a_worker(self, fault: Fault) -> str:
        place = int(fault.pick * WORKERS)
        with self._having(str(place), fault.kind):
            return f"worker {place}, {self._stopped(fault, self._processes(self.workers[place]))}"

    def _stop_a_main_process(self, fault: Fault) -> str:
        place = int(fault.pick * WORKERS)
        with self._having(str(place), fault.kind):
            return f"worker {place}, {self._stopped(fault, [psutil.Process(self.workers[place].pid)])}"

    def _tell_a_worker_to_stop(self, fault: Fault) -> str:
        place = int(fault.pick * WORKERS)
        number = random.Random(fault.pick).choice([signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
        with self._having(str(place)):
            self.workers[place].process.send_signal(number)
            self._replace(place)
        return f"worker {place}, by {number.name}"

    def _stopped(self, fault: Fault, processes: Sequence[psutil.Process]) -> str:
        breaking.send(processes, signal.SIGSTOP)
        try:
            return self._wait(fault)
        finally:
            breaking.send(processes, signal.SIGCONT)

    # services

    def _kill_postgres(self, fault: Fault) -> str:
        with self._having("postgres", fault.kind):
            breaking.kill(breaking.postgres(self.settings.home))
            return self._down(fault, lambda: postgres.start(self.settings, None))

    def _restart_postgres(self, fault: Fault) -> str:
        with self._having("postgres", fault.kind):
            server, *rest = breaking.postgres(self.settings.home)
            server.send_signal(signal.SIGQUIT)  # immediate shutdown of Postgres
            breaking.await_gone([server, *rest])
            return self._down(fault, lambda: postgres.start(self.settings, None))

    def _stop_postgres(self, fault: Fault) -> str:
        with self._having("postgres", fault.kind):
            return self._stopped(fault, breaking.postgres(self.settings.home))

    def _cut_connections_to_postgres(self, fault: Fault) -> str:
        many = self.site.value(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE usename = current_user AND pid <> pg_backend_pid()"
        )
        return f"{many} connections"

    def _kill_the_broker(self, fault: Fault) -> str:
        with self._having("broker", fault.kind):
            breaking.kill(breaking.broker(self.settings.broker_url or ""))
            return self._down(fault, lambda: valkey.start(self.settings, None))

    def _wipe_the_broker(self, fault: Fault) -> str:
        with self._having("broker", fault.kind):
            breaking.kill(breaking.broker(self.settings.broker_url or ""))
            breaking.forget_messages(self.settings.home)
            return self._down(fault, lambda: valkey.start(self.settings, None))

    def _stop_the_broker(self, fault: Fault) -> str:
        with self._having("broker", fault.kind):
            return self._stopped(fault, breaking.broker(self.settings.broker_url or ""))

    def _flush_the_broker(self, fault: Fault) -> str:
        with self.site.broker() as broker:
            broker.flushall()
        return "done"

    def _cut_connections_to_the_broker(self, fault: Fault) -> str:
        with self.site.broker() as broker:
            return f"{broker.client_kill_filter(_type='normal', skipme=True)} connections"

    def _put_garbage_on_the_queue(self, fault: Fault) -> str:
        with self.site.broker() as broker:
            broker.rpush(STUDY, b"garbage", b"{}", b"[1, 2]")
        return "done"

    def _down(self, fault: Fault, start: Callable[[], object]) -> str:
        try:
            return self._wait(fault)
        finally:
            start()

    # commands of users

    def _pause_the_study(self, fault: Fault) -> str:
        with self._having(STUDY, fault.kind):
            self.site.qexp("pause", STUDY)
            try:
                return self._wait(fault)
            finally:
                self._resume()

    def _resume(self) -> None:
        """Resume the study; retry until Postgres and the broker are up, or until the last fault."""
        while True:
            try:
                self.site.qexp("resume", STUDY, "-y")
                return
            except RuntimeError:
                if self.over.wait(1.0):
                    return

    def _requeue_failed_ones(self, fault: Fault) -> str:
        first = int(fault.pick * self._number)
        where = f"x >= {first} and x < {first + self._number // 5}"
        return self.site.qexp("requeue", STUDY, "--failed", "--where", where, "-y").strip()[:80]

    def _enqueue_the_grid_again(self, fault: Fault) -> str:
        return self.site.qexp("enqueue", f"{STUDY}.yaml").strip().splitlines()[-1][:80]

    def _make_whole(self) -> None:
        """Make sure that both services are up and that the study is not paused."""
        self.site.qexp("up")
        self.site.qexp("resume", STUDY, "-y")
        self._diary.note("the faults are over")
