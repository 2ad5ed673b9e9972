"""Random faults for minutes, and every experiment still ends with one result."""

from __future__ import annotations

import logging
import os
import random
import signal
import time
from collections.abc import Callable

import pytest
from acceptance.faults.support import Site, Study, Worker, assert_consistent
from tests_support import eventually

log = logging.getLogger(__name__)

NUMBER = int(os.environ.get("FAULTS_NUMBER", "2000"))
SECONDS = float(os.environ.get("FAULTS_SECONDS", "300"))
ONLY = os.environ.get("FAULTS_ONLY", "").split()
"""Names of the faults that may happen; none: all of them."""
SEED = int(os.environ.get("FAULTS_SEED") or time.time_ns() % 2**32)
WORKERS = 3


class Storm:
    """Faults, each of which leaves both services and all workers running again."""

    def __init__(self, site: Site, study: Study, dice: random.Random) -> None:
        self.site, self.study, self.dice = site, study, dice
        self.workers = [self._start() for _ in range(WORKERS)]

    def _start(self) -> Worker:
        return self.site.worker("-Q", self.study.queue, "-c", "1")

    def _replace(self, number: int) -> None:
        self.workers[number] = self._start()

    def revive(self) -> None:
        """Start anew what has ended: a worker that finds a service away when it starts does not wait for it."""
        for number, worker in enumerate(self.workers):
            if not worker.alive:
                self._replace(number)

    def _any(self) -> int:
        return self.dice.randrange(WORKERS)

    def _pause(self, longest: float) -> None:
        time.sleep(self.dice.uniform(0, longest))

    def kill_a_child(self) -> None:
        if running := self.study.running():
            try:
                os.kill(self.dice.choice(running[-WORKERS:]).pid, signal.SIGKILL)
            except ProcessLookupError:
                return

    def kill_a_worker(self) -> None:
        number = self._any()
        self.workers[number].kill()
        self._replace(number)

    def kill_two_workers(self) -> None:
        for number in self.dice.sample(range(WORKERS), 2):
            self.workers[number].kill()
            self._replace(number)

    def tell_a_worker_to_stop(self) -> None:
        number = self._any()
        self.workers[number].signal(self.dice.choice([signal.SIGTERM, signal.SIGINT, signal.SIGQUIT]))
        self._replace(number)

    def stop_a_worker_for_a_while(self) -> None:
        worker = self.workers[self._any()]
        worker.signal(signal.SIGSTOP)
        self._pause(8)
        worker.signal(signal.SIGCONT)

    def stop_a_main_process_for_a_while(self) -> None:
        worker = self.workers[self._any()]
        os.kill(worker.process.pid, signal.SIGSTOP)
        self._pause(8)
        os.kill(worker.process.pid, signal.SIGCONT)

    def kill_postgres(self) -> None:
        self.site.kill_postgres()
        self._pause(4)
        self.site.up()

    def kill_the_broker(self) -> None:
        self.site.kill_broker()
        self._pause(4)
        self.site.up()

    def wipe_the_broker(self) -> None:
        self.site.wipe_broker()

    def flush_the_broker(self) -> None:
        with self.site.broker() as broker:
            broker.flushall()

    def put_garbage_on_the_queue(self) -> None:
        with self.site.broker() as broker:
            broker.rpush(self.study.queue, b"garbage", b"{}", b"[1, 2]")

    def faults(self) -> list[Callable[[], None]]:
        names = [name for name in vars(Storm) if not name.startswith("_") and name not in ("faults", "revive")]
        return [getattr(self, name) for name in ONLY or names]


@pytest.mark.slow
def test_random_faults_for_minutes_lose_nothing_and_count_nothing_twice(own):
    log.warning("FAULTS_SEED=%d", SEED)
    dice = random.Random(SEED)
    seconds = 0.5 * SECONDS * WORKERS / NUMBER
    study = own.study(NUMBER, settings={"seconds": seconds}, retries={"crashed": 99, "lost": 99, "delay": 0.1})
    study.enqueue()
    storm = Storm(own, study, dice)
    eventually(lambda: study.statuses()["done"] > 0, "the first to be done")
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and study.statuses()["done"] < NUMBER:
        fault = dice.choice(storm.faults())
        log.warning("%s at %d done", fault.__name__, study.statuses()["done"])
        fault()
        storm.revive()
        time.sleep(dice.uniform(0.5, 3))
    storm.revive()
    study.await_closed(SECONDS + 120)
    log.warning("%s", dict(study.outcomes()))
    assert_consistent(study, NUMBER, among={"lost", "crashed", "released"}, unbegun=True)
