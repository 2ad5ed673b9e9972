"""Measures of a million experiments: enqueue, count, claim, export and change."""

from __future__ import annotations

import os
import statistics
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property

from benchmarks.copying import TABLE
from benchmarks.site import Site, Took, opened
from benchmarks.suite import How, Line, Measure, Options
from qexp.model import Outcome
from qexp.store.connection import Database
from qexp.store.reads import study_progress
from qexp.store.writes import claiming, worker_rows

STUDY = "bulk"
PROBES = 1_500
"""Number of timed pairs of claim and finish."""
MEGABYTE = 1e6

_FINISHED = f"""
    INSERT INTO experiment (study, params, fingerprint, status, attempt, result, revision, worker, pid,
                            queued_at, started_at, finished_at)
    SELECT s.id, b.params, b.fingerprint, 'done', 1, jsonb_build_object('y', b.id, 'loss', 1.0 / b.id), s.revision,
           %(worker)s, 1, now(), now() - interval '1 min', now() - interval '1 min' + interval '1 ms' * (b.id %% 1000)
    FROM   {TABLE} b, study s
    WHERE  s.name = %(study)s AND b.id > %(first)s AND b.id <= %(last)s
    ORDER  BY b.id
"""
_ATTEMPTS = """
    INSERT INTO attempt (experiment, number, study, revision, worker, pid, started_at, finished_at, outcome,
                         cpu_seconds, peak_memory)
    SELECT e.id, 1, e.study, e.revision, e.worker, e.pid, e.started_at, e.finished_at, 'done', 0.5, 100000000
    FROM   experiment e JOIN study s ON s.id = e.study
    WHERE  s.name = %(study)s AND NOT EXISTS (SELECT FROM attempt a WHERE a.experiment = e.id)
"""


class Bulk:
    """A site with a large study, whose rows are made when a measure first needs them."""

    def __init__(self, site: Site, rows: int) -> None:
        self.site, self.rows = site, rows
        self.stop = site.stop
        self._finished = -1
        axes = {"lr": {"geomspace": [1e-5, 1.0, 100]}, "x": {"range": [0, 100]}}
        site.grid("noop", axes, STUDY, seeds=rows // 10_000)
        (site.folder / "experiment.py").write_text("def noop(lr, x, seed):\n    return {'y': x}\n")

    @property
    def _grid(self) -> str:
        return str(self.site.folder / f"{STUDY}.yaml")

    @cached_property
    def copied(self) -> Took:
        """Costs of expanding the grid and copying its rows."""
        return self.site.timed("-m", "benchmarks.copying", "in", self._grid)

    @cached_property
    def enqueued(self) -> Took:
        """Costs of enqueueing the grid."""
        return self.site.timed("-m", "qexp", "enqueue", self._grid)

    def finish(self, number: int) -> None:
        """Make this number of done experiments, vacuumed like on a running site."""
        _ = self.copied
        if self._finished < 0:
            self._begin_anew()
        if self._finished < number:
            values = {"study": STUDY, "worker": self._worker, "first": self._finished, "last": number}
            with self.site.raw() as raw:
                raw.execute(_FINISHED.encode(), values)
                raw.execute(_ATTEMPTS.encode(), values)
                raw.execute(b"UPDATE study SET results = '{y,loss}' WHERE name = %(study)s", values)
            self._finished = number
        self.vacuum()

    def _begin_anew(self) -> None:
        """Empty the study."""
        small = self.site.grid("noop", {"lr": 0.5, "x": 0, "seed": 0}, STUDY)
        self.site.qexp("enqueue", f"{small}.yaml")
        with self.site.raw() as raw:
            raw.execute(b"TRUNCATE experiment CASCADE")
            worker_rows.register(
                raw, self._worker, worker_rows.WorkerInfo("bench", os.getpid(), "bench@bench", ["none"], 1)
            )
        self._finished = 0

    @cached_property
    def _worker(self) -> uuid.UUID:
        return uuid.uuid4()

    def vacuum(self) -> None:
        with self.site.raw() as raw:
            raw.execute(b"VACUUM (ANALYZE) experiment, attempt")
            raw.execute(b"CHECKPOINT")  # write all earlier data to disk before the measurement

    def claim_and_finish(self) -> float:
        """Return the milliseconds of a claim and a finish without the constant share of the disk."""
        probe = self.site.grid("noop", {"lr": 0.1, "x": 0}, seeds=PROBES)
        self.site.qexp("enqueue", f"{probe}.yaml")
        with self.site.raw() as raw:
            query = b"SELECT e.id FROM experiment e JOIN study s ON s.id = e.study WHERE s.name = %s ORDER BY e.id"
            ids = [row[0] for row in raw.execute(query, [probe])]
            raw.execute(b"UPDATE experiment SET status = 'queued' WHERE id = ANY(%s)", [ids])  # like an announcement
            raw.execute(b"SET synchronous_commit = off")
            times = []
            for experiment in ids:
                began = time.perf_counter()
                claim = claiming.claim(raw, experiment, self._worker, os.getpid())
                if claim is None or claiming.finish(raw, claim, Outcome(result={"y": 1})) is None:
                    raise RuntimeError(f"experiment {experiment} could not be claimed")
                times.append(time.perf_counter() - began)
            raw.execute(b"DELETE FROM study WHERE name = %s", [probe])
        return 1000 * statistics.median(times)

    def bare_update(self, change: str) -> float:
        """Return the seconds of one UPDATE of all rows, which is rolled back."""
        self.vacuum()
        with self.site.raw() as raw, raw.transaction(force_rollback=True):
            began = time.perf_counter()
            query = f"UPDATE experiment e SET {change} FROM study s WHERE s.id = e.study AND s.name = %s"
            raw.execute(query.encode(), [STUDY])
            seconds = time.perf_counter() - began
        self.vacuum()
        return seconds


@contextmanager
def filled(options: Options) -> Iterator[Bulk]:
    """Make a site for a large study."""
    with opened() as site:
        yield Bulk(site, options.rows)


def enqueue(bulk: Bulk) -> Mapping[str, float]:
    """Copy, then enqueue, with an unused broker."""
    copied, took = bulk.copied, bulk.enqueued
    with bulk.site.broker() as broker:
        info = broker.info("memory")
    return {
        "copy in": copied.seconds,
        "enqueue": took.seconds,
        "enqueue peak": took.peak / MEGABYTE,
        "broker peak": float(info["used_memory_peak"]) / MEGABYTE,
    }


def again(bulk: Bulk) -> Mapping[str, float]:
    _ = bulk.enqueued
    return {"again": bulk.site.timed("-m", "qexp", "enqueue", bulk._grid).seconds}


def flat(number: Callable[[Bulk], int], name: str) -> Callable[[Bulk], Mapping[str, float]]:
    def measure(bulk: Bulk) -> Mapping[str, float]:
        bulk.finish(number(bulk))
        return {name: bulk.claim_and_finish()}

    return measure


def status(bulk: Bulk) -> Mapping[str, float]:
    """Count the experiments, by the whole command and by its statement alone."""
    bulk.finish(bulk.rows)
    took = min(bulk.site.timed("-m", "qexp", "status").seconds for _ in range(3))
    empty = min(bulk.site.timed("-c", "pass").seconds for _ in range(3))
    with Database(bulk.site.settings).begin() as connection:
        study_progress.counts(connection, bulk.site.settings.lease)  # exclude the first-time costs of SQLAlchemy
        began = time.perf_counter()
        study_progress.counts(connection, bulk.site.settings.lease)
        seconds = time.perf_counter() - began
    return {"status": took, "status empty": empty, "status sql": seconds}


def export(bulk: Bulk) -> Mapping[str, float]:
    bulk.finish(bulk.rows)
    output = str(bulk.site.folder / "out.parquet")
    whole = bulk.site.timed("-m", "qexp", "export", STUDY, "-o", output)
    first = int(bulk.site.value("SELECT min(id) FROM experiment"))
    tenth = f"{first}-{first + bulk.rows // 10 - 1}"
    part = bulk.site.timed("-m", "qexp", "export", tenth, "-o", output)
    return {"export": whole.seconds, "export peak": whole.peak / MEGABYTE, "tenth peak": part.peak / MEGABYTE}


def copy_out(bulk: Bulk) -> Mapping[str, float]:
    bulk.finish(bulk.rows)
    return {"copy out": bulk.site.timed("-m", "benchmarks.copying", "out", STUDY).seconds}


def load(bulk: Bulk) -> Mapping[str, float]:
    bulk.finish(bulk.rows)
    return {"load": bulk.site.timed("-c", f"import qexp; qexp.load({STUDY!r})").seconds}


def requeue(bulk: Bulk) -> Mapping[str, float]:
    bulk.finish(bulk.rows)
    bare = bulk.bare_update(
        "status = 'pending', result = NULL, recorded_at = NULL, forgiven = attempt, started_at = NULL, "
        "finished_at = NULL, worker = NULL, pid = NULL"
    )
    took = bulk.site.timed("-m", "qexp", "requeue", STUDY, "--status", "done", "-y")
    return {"requeue": took.seconds, "requeue bare": bare}


def cancel(bulk: Bulk) -> Mapping[str, float]:
    """Cancel the waiting experiments; without an earlier requeue, SQL makes done ones wait."""
    bulk.finish(bulk.rows)
    with bulk.site.raw() as raw:
        raw.execute(b"UPDATE experiment SET status = 'pending' WHERE status = 'done'")
    bare = bulk.bare_update("status = 'cancelled', reason = NULL, not_before = NULL, finished_at = NULL")
    return {"cancel": bulk.site.timed("-m", "qexp", "cancel", STUDY, "-y").seconds, "cancel bare": bare}


MEASURES = (
    Measure(("copy in", "enqueue", "enqueue peak", "broker peak"), filled, enqueue),
    Measure(("again",), filled, again),
    Measure(("flat 1",), filled, flat(lambda bulk: bulk.rows // 1000, "flat 1")),
    Measure(("flat 2",), filled, flat(lambda bulk: bulk.rows // 10, "flat 2")),
    Measure(("flat 3",), filled, flat(lambda bulk: bulk.rows, "flat 3")),
    Measure(("status", "status empty", "status sql"), filled, status),
    Measure(("export", "export peak", "tenth peak"), filled, export),
    Measure(("copy out",), filled, copy_out),
    Measure(("load",), filled, load),
    Measure(("requeue", "requeue bare"), filled, requeue),
    Measure(("cancel", "cancel bare"), filled, cancel),
)
NOTE = """
The times are those of whole commands, with the start of Python. The COPY for comparison expands and hashes the same
rows, and writes them into a table with the same indexes and checks. Claim and finish are the two statements of a
process, one after the other over a socket, without waiting for the disk. The peak memory of an export may grow by half
for ten times the rows.
"""
MANY = "1,000,000"
COPY_OUT = "COPY TO STDOUT"
LINES = (
    Line("enqueue", f"enqueue {MANY}", "enqueue", "s", "copy in", "expand and COPY", most=2.0),
    Line("enqueue-memory", "– peak memory of the client", "enqueue peak", "MB", how=How.PLAIN, most=150.0),
    Line("enqueue-broker", "– peak memory of the broker", "broker peak", "MB", how=How.PLAIN, most=50.0),
    Line("again", "enqueue the same again", "again", "s", "enqueue", "the first time", most=1.0),
    Line("status", f"qexp status over {MANY}", "status", "s", "status empty", "python -c pass", How.MORE, most=0.6),
    Line("status-sql", "– of which SQL", "status sql", "s", how=How.PLAIN, most=0.2),
    Line("flat-100k", "claim + finish, 100,000 finished", "flat 2", "ms", "flat 1", "1,000 finished", most=1.2),
    Line("flat-1m", f"claim + finish, {MANY} finished", "flat 3", "ms", "flat 1", "1,000 finished", most=1.2),
    Line("export", f"export {MANY} to Parquet", "export", "s", "copy out", COPY_OUT, most=5.0),
    Line("export-memory", "– peak memory", "export peak", "MB", "tenth peak", "of 100,000", most=1.5),
    Line("load", f"qexp.load of {MANY}", "load", "s", "copy out", COPY_OUT, most=5.0),
    Line("requeue", f"requeue {MANY}", "requeue", "s", "requeue bare", "one bare UPDATE", most=2.0),
    Line("cancel", f"cancel {MANY}", "cancel", "s", "cancel bare", "one bare UPDATE", most=2.0),
)
