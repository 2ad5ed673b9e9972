"""Times that a user waits for: help, a first start, a small grid."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

from benchmarks.rates import ordinary
from benchmarks.site import Site, await_that
from benchmarks.suite import How, Line, Measure

STARTS = 3


def help_(site: Site) -> Mapping[str, float]:
    """Time both in turns and take the fastest run of each, because other programs slow the rest."""
    times = [(site.timed("-m", "qexp", "--help").seconds, site.timed("-c", "pass").seconds) for _ in range(5)]
    return {"help": min(row[0] for row in times), "help empty": min(row[1] for row in times)}


def start(site: Site) -> Mapping[str, float]:
    """Time `qexp enqueue` until the start of the first experiment on an idle worker."""
    first = site.grid("noop", {"x": 0})
    site.worker(first, 2)
    times = [
        _start(site, first) for _ in range(1 + STARTS)
    ]  # the first experiment lets the children import their modules
    return {"start": statistics.median(times[1:])}


def imports(site: Site) -> Mapping[str, float]:
    """Import the libraries that `qexp enqueue` needs, in its order, without qexp."""
    libraries = "click, kombu.transport.redis, psycopg, pydantic.main, sqlalchemy.dialects.postgresql, yaml"
    line = f"import gc, os; gc.disable(); import {libraries}; os._exit(0)"
    return {"imports": statistics.median(site.timed("-c", line).seconds for _ in range(STARTS))}


def _start(site: Site, queue: str) -> float:
    study = site.grid("noop", {"x": [1, 2, 3, 4]}, queue=queue)
    query = b"SELECT extract(epoch FROM min(started_at)) FROM experiment JOIN study s ON s.id = study WHERE name = %s"
    with site.raw() as raw:

        def started() -> float | None:
            row = raw.execute(query, [study]).fetchone()
            return None if row is None or row[0] is None else float(row[0])

        began = time.time()
        site.qexp("enqueue", f"{study}.yaml")
        await_that(started)
        return (started() or 0.0) - began


def _run(site: Site) -> float:
    study = site.grid("noop", {"x": [1, 2, 3, 4]})
    return site.timed("-m", "qexp", "run", f"{study}.yaml").seconds


def run_up(site: Site) -> Mapping[str, float]:
    return {"run up": _run(site)}


def run_down(site: Site) -> Mapping[str, float]:
    site.qexp("down", "-y")
    return {"run down": _run(site)}


MEASURES = (
    Measure(("help", "help empty"), ordinary, help_),
    Measure(("start",), ordinary, start),
    Measure(("imports",), ordinary, imports),
    Measure(("run up",), ordinary, run_up),
    Measure(("run down",), ordinary, run_down),
)
NOTE = """
The times count from the start of the command. `qexp --help` and `python -c pass` are the best of five. The first start
is compared with the time that Python needs to import the libraries of an enqueue: SQLAlchemy, psycopg, pydantic, kombu,
redis, click and yaml.
"""
LINES = (
    Line("help", "qexp --help", "help", "s", "help empty", "python -c pass", How.MORE, most=0.2),
    Line(
        "start",
        "qexp enqueue to the first start, idle worker",
        "start",
        "s",
        "imports",
        "to import its libraries",
        How.PLAIN,
        most=0.5,
    ),
    Line("run-up", "qexp run, 4 no-ops, services up", "run up", "s", how=How.PLAIN, most=3.0),
    Line("run-down", "– services down, data there", "run down", "s", how=How.PLAIN, most=5.0),
)
