"""Costs of an idle worker."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from benchmarks.rates import ordinary
from benchmarks.raw import QUEUE
from benchmarks.site import Site
from benchmarks.suite import How, Line, Measure

WATCHED = 30.0
"""Seconds of counting the queries of an idle worker."""
_QUERY = re.compile(rb"LOG:  (statement|execute [^:]*): ")


def memory(pid: int) -> float:
    """Return the megabytes of a process and its descendants; shared memory counts once if Linux reports it."""
    parent = psutil.Process(pid)
    infos = [process.memory_full_info() for process in (parent, *parent.children(recursive=True))]
    return float(sum(getattr(info, "pss", info.rss) for info in infos)) / 1e6


def worker(site: Site) -> Mapping[str, float]:
    """Measure the memory and queries of a worker with two unused children."""
    log = Path(site.settings.home / "postgres/log")
    made = site.worker("nothing", 2)
    with site.raw() as raw:
        for change in (b"ALTER SYSTEM SET log_statement = 'all'", b"SELECT pg_reload_conf()"):
            raw.execute(change)
        time.sleep(WATCHED / 6)  # exclude the work of the start
        before = len(_QUERY.findall(log.read_bytes()))
        time.sleep(WATCHED)
        asked = len(_QUERY.findall(log.read_bytes())) - before
        for change in (b"ALTER SYSTEM RESET log_statement", b"SELECT pg_reload_conf()"):
            raw.execute(change)
    found = memory(made.pid)
    made.kill()
    return {"idle": found, "idle queries": asked / WATCHED}


def raw_worker(site: Site) -> Mapping[str, float]:
    made = site.worker(QUEUE, 2, {"BENCHMARK_BROKER": site.broker_url}, app="benchmarks.raw")
    found = memory(made.pid)
    made.kill()
    return {"raw idle": found}


MEASURES = (Measure(("idle", "idle queries"), ordinary, worker), Measure(("raw idle",), ordinary, raw_worker))
NOTE = """
The worker has two processes and no experiments. Memory that processes share counts once (PSS). Postgres logs the
queries of 30 s.
"""
LINES = (
    Line("idle-memory", "memory of an idle worker, -c 2", "idle", "MB", "raw idle", "raw Celery", most=1.3),
    Line("idle-queries", "– queries to Postgres", "idle queries", "/s", how=How.PLAIN, most=1.0),
)
