"""Experiments per second: no-ops compared with raw Celery, sleeps, and workers with a slow network."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit, urlunsplit

from benchmarks.raw import QUEUE, app, noop
from benchmarks.site import ROOT, Site, await_that, opened
from benchmarks.suite import How, Line, Measure, Options
from qexp.settings import Settings

RAW, NOOPS, SLEEPS = 5_000, 40_000, 2_000
CHILDREN = 16
"""Number of children that run sleeps."""
AWAY = 0.02
"""Seconds of a round trip to distant services."""
AT_MOST = 15.0
"""Seconds after which a rate covers only the finished experiments."""


@contextmanager
def ordinary(options: Options) -> Iterator[Site]:
    """Make a site for measures without a million rows."""
    with opened() as site:
        yield site


@contextmanager
def quiet(options: Options) -> Iterator[Site]:
    """Make a separate site, because vacuums and workers of no-ops would disturb the measure."""
    with opened() as site:
        yield site


def rate(site: Site, study: str, wanted: int, seconds: float = 180.0) -> float:
    """Return the finished experiments per second of a study, from its first start to its last end."""
    with site.raw() as raw:
        query = b"SELECT count(*) FROM experiment JOIN study s ON s.id = study WHERE s.name = %s AND status = %s"

        def done() -> int:
            row = raw.execute(query, [study, "done"]).fetchone()
            return int(row[0]) if row else 0

        try:
            await_that(lambda: done() >= wanted, seconds, pause=0.25)
        except TimeoutError:
            if not done():
                raise
    return float(
        site.value(
            "SELECT count(*) / extract(epoch FROM max(finished_at) - min(started_at)) "
            "FROM experiment JOIN study s ON s.id = study WHERE s.name = %s AND status = 'done'",
            study,
        )
    )


def raw_noops(site: Site) -> Mapping[str, float]:
    """Fill a Celery queue, start a worker, and time until the queue is empty."""
    app.conf.broker_url = site.broker_url
    with app.connection_for_write() as connection, connection.Producer() as producer, producer.batch():
        for number in range(RAW):
            noop.apply_async((number,), producer=producer)
    worker = site.worker(QUEUE, 2, {"BENCHMARK_BROKER": site.broker_url}, app="benchmarks.raw")
    with site.broker() as broker:
        first, began = int(broker.llen(QUEUE)), time.time()
        ended = await_that(lambda: not broker.llen(QUEUE))
    worker.kill()
    return {"raw": first / (ended - began)}


def _noops(site: Site, number: int, environ: Mapping[str, str]) -> float:
    study = site.grid("noop", {"x": {"range": [0, number]}})
    site.qexp("enqueue", f"{study}.yaml", environ=environ)
    site.worker(study, 2, environ)
    return rate(site, study, number, AT_MOST)


def noops(site: Site) -> Mapping[str, float]:
    return {"noop": _noops(site, NOOPS, {})}


def one_each(site: Site) -> Mapping[str, float]:
    """Run no-ops with one id per message, like long experiments."""
    names = {"bundle", "bundle_seconds"} & set(Settings.model_fields)
    return {"one": _noops(site, RAW, {f"QEXP_{name.upper()}": "0" for name in names})}


def sleeps(site: Site) -> Mapping[str, float]:
    """Run sleeps on warm children, and return the share of time that they sleep."""
    few = 4 * CHILDREN
    warm = site.grid("sleep", {"x": {"range": [0, few]}}, settings={"seconds": 0.1})
    study = site.grid("sleep", {"x": {"range": [0, SLEEPS]}}, settings={"seconds": 0.1}, queue=warm)
    site.worker(warm, CHILDREN)
    for name, number in ((warm, few), (study, SLEEPS)):
        site.qexp("enqueue", f"{name}.yaml")
        found = rate(site, name, number)
    return {"sleeps": found * 0.1 / CHILDREN}


def pool_sleeps(site: Site) -> Mapping[str, float]:
    """Run the same sleeps in Python's own pool, without a queue or a database."""
    with multiprocessing.get_context("forkserver").Pool(CHILDREN) as pool:
        pool.map(time.sleep, [0.1] * 4 * CHILDREN, chunksize=1)
        began = time.monotonic()
        pool.map(time.sleep, [0.1] * SLEEPS, chunksize=1)
        return {"pool sleeps": SLEEPS * 0.1 / CHILDREN / (time.monotonic() - began)}


@contextmanager
def proxied(site: Site, seconds: float) -> Iterator[Mapping[str, str]]:
    """Give the environment of a worker whose network delays both services by these seconds."""
    settings = site.settings
    database, broker = urlsplit(settings.database_url or ""), urlsplit(settings.broker_url or "")
    socket = f"{parse_qs(database.query)['host'][0]}/.s.PGSQL.5432"
    line = [sys.executable, "-m", "benchmarks.proxy", str(seconds), socket, f"{broker.hostname}:{broker.port}"]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE) as proxy:
        try:
            assert proxy.stdout is not None  # noqa: S101 - for the type checker: it was asked for
            ports = json.loads(proxy.stdout.readline())
            urls = [
                urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}", query=""))
                for parts, port in zip((database, broker), ports, strict=True)
            ]
            yield {"QEXP_DATABASE_URL": urls[0], "QEXP_BROKER_URL": urls[1]}
        finally:
            proxy.kill()


def _through(site: Site, seconds: float) -> tuple[float, float]:
    """Return the rates of experiments of 1 s and of no-ops through the proxy, on 8 children."""
    long = site.grid("sleep", {"x": {"range": [0, 64]}}, settings={"seconds": 1.0})
    warm = site.grid("noop", {"x": {"range": [0, 16]}}, queue=long)
    quick = site.grid("noop", {"x": {"range": [0, 10_000]}}, queue=long)
    with proxied(site, seconds) as environ:
        worker = site.worker(long, 8, environ)
        found = []
        for name, number in ((warm, 16), (long, 64), (quick, 10_000)):
            site.qexp("enqueue", f"{name}.yaml")
            found.append(rate(site, name, number, AT_MOST if name == quick else 180.0))
        worker.kill()
    return found[1], found[2]


def near(site: Site) -> Mapping[str, float]:
    return dict(zip(("near", "near no-ops"), _through(site, 0.0), strict=True))


def far(site: Site) -> Mapping[str, float]:
    return dict(zip(("far", "far no-ops"), _through(site, AWAY), strict=True))


NOTE = """
Experiments are queued first, then a worker starts. The rate counts from the first start to the last end. For raw Celery
it is the time until a queue is empty. Sleeps run in processes that have run experiments before. They are compared with
Python's `multiprocessing.Pool`, which stores no result. A proxy that delays each packet by 10 ms puts the services 20
ms away; the same proxy without delay is the comparison.
"""
PER_SECOND = "/s"
RAW_CELERY = "raw Celery, -c 2"
MEASURES = (
    Measure(("noop",), ordinary, noops),
    Measure(("raw",), ordinary, raw_noops),
    Measure(("one",), ordinary, one_each),
    Measure(("sleeps",), quiet, sleeps),
    Measure(("pool sleeps",), quiet, pool_sleeps),
    Measure(("near", "near no-ops"), ordinary, near),
    Measure(("far", "far no-ops"), ordinary, far),
)
LINES = (
    Line("noop", "no-ops, -c 2", "noop", PER_SECOND, "raw", RAW_CELERY, least=7.0),
    Line("one", "the same, one id per message", "one", PER_SECOND, "raw", RAW_CELERY, least=0.75),
    Line(
        "sleeps",
        "2,000 sleeps of 100 ms, 16 children: part slept",
        "sleeps",
        "",
        "pool sleeps",
        "multiprocessing.Pool",
        How.PLAIN,
        least=0.97,
    ),
    Line("far", "experiments of 1 s, -c 8, services 20 ms away", "far", PER_SECOND, "near", "0 ms away", least=0.8),
    Line("far-noop", "no-ops, -c 8, services 20 ms away", "far no-ops", PER_SECOND, how=How.PLAIN, least=1000.0),
)
