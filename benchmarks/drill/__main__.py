"""`python -m benchmarks.drill --seed N`: inject random faults and check that every experiment ends correctly."""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks import breaking
from benchmarks.drill import function
from benchmarks.drill.judge import RETRIES, Attempt, Experiment, Facts, judge, longest_pause, read
from benchmarks.drill.plan import KINDS, plan
from benchmarks.drill.report import Report
from benchmarks.drill.storm import STUDY, WORKERS, Diary, Storm
from benchmarks.drill.watch import Watch
from benchmarks.site import Site, await_that
from qexp.client.worker_subprocess import ending_on_signals
from qexp.errors import QexpError

_PATIENCE = 120.0
"""Seconds, plus three leases, for the experiments to end after the last fault."""
_LEAVING = 30.0
"""Seconds for workers to stop after a stop signal."""
_EXPERIMENTS = """
SELECT e.id, (e.params ->> 'x')::int, e.status, e.attempt, e.failure, e.forgiven, e.result
FROM   experiment e JOIN study s ON s.id = e.study WHERE s.name = %s ORDER BY e.id
"""
_ATTEMPTS = """
SELECT a.experiment, a.number, a.outcome, a.pid
FROM   attempt a JOIN study s ON s.id = a.study WHERE s.name = %s ORDER BY a.experiment, a.number
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a drill and print its report; return 0 if all checks passed, 130 if interrupted, and 1 otherwise."""
    asked = _parser().parse_args(arguments)
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    folder = Path(tempfile.mkdtemp(prefix="qexp-drill-"))
    print(f"seed {seed}, in {folder}", file=sys.stderr, flush=True)
    try:
        with ending_on_signals():
            report = drill(folder, seed, asked)
    except KeyboardInterrupt:
        print(f"interrupted; its logs and faults are in {folder}", file=sys.stderr)
        return 130
    print(json.dumps(report.data(), indent=2) if asked.format == "json" else report.text())
    if report.passed and not asked.keep:
        shutil.rmtree(folder)
    else:
        print(f"its logs, faults, executions and rows are in {folder}", file=sys.stderr)
    return 0 if report.passed else 1


def drill(folder: Path, seed: int, asked: argparse.Namespace) -> Report:
    """Run the experiments during the faults, and judge the result."""
    log = folder / "executions"
    with _site(folder, asked.lease) as site:
        _prepare(site, seed, asked.experiments, log)
        diary = Diary(folder / "faults.log")
        storm = Storm(site, diary, asked.experiments)
        watch = Watch(site, storm)
        try:
            await_that(log.exists)
            watch.start()
            began = time.time()
            storm.rage(plan(seed, asked.minutes * 60, asked.lease, asked.only or KINDS))
            over = time.time()
            with contextlib.suppress(TimeoutError):  # the judge reports unfinished experiments
                await_that(lambda: _closed(site), _PATIENCE + 3 * asked.lease, 0.5)
            closed = time.time()
            storm.rest()
            with contextlib.suppress(TimeoutError):
                await_that(lambda: not storm.left(), _LEAVING, 0.5)
            left = [process.pid for process in storm.left()]
            samples = watch.stop()
        finally:
            storm.rest()
            storm.end()
            diary.close()
        facts = replace(_facts(site, seed, asked.experiments, log), left=left)
        (folder / "rows.json").write_text(json.dumps(asdict(facts), indent=1, default=str))
        (folder / "samples.json").write_text(json.dumps([asdict(one) for one in samples], default=str))
    return Report(
        seed,
        asked.experiments,
        over - began,
        closed - over,
        storm.counts,
        Counter(row.outcome for row in facts.attempts),
        judge(facts),
        longest_pause(samples, facts.begun),
        diary.lines,
        began,
    )


@contextlib.contextmanager
def _site(folder: Path, lease: float) -> Iterator[Site]:
    """Give a site in a folder with its temporary files; kill all of its processes at the end."""
    site = Site(folder)
    temporary = folder / "tmp"
    temporary.mkdir()
    site.environ |= {"QEXP_LEASE": str(lease), "QEXP_HEARTBEAT": str(lease / 6), "TMPDIR": str(temporary)}
    try:
        site.qexp("up")
        site.qexp("db", "migrate")
        yield site
    finally:
        with contextlib.suppress(RuntimeError):
            site.qexp("down", "-y")
        breaking.kill(breaking.having("QEXP_HOME", site.environ["QEXP_HOME"]))


def _prepare(site: Site, seed: int, number: int, log: Path) -> None:
    """Enqueue the experiments."""
    shutil.copy(function.__file__, site.folder / "experiment.py")
    settings = {"seed": seed, "log": str(log)}
    retries = {**RETRIES, "delay": "0.1s"}
    site.grid("run", {"x": {"range": [number]}}, STUDY, settings=settings, retries=retries)
    site.qexp("enqueue", f"{STUDY}.yaml")


def _closed(site: Site) -> bool:
    query = "SELECT count(*) FROM experiment WHERE status NOT IN ('done', 'failed', 'cancelled')"
    try:
        return bool(site.value(query) == 0)
    except QexpError:
        return False


def _facts(site: Site, seed: int, number: int, log: Path) -> Facts:
    with site.raw() as raw:
        rows = raw.execute(_EXPERIMENTS.encode(), [STUDY]).fetchall()
        experiments = [Experiment(*(*row, function.fate(seed, row[1])[0])) for row in rows]
        attempts = [Attempt(*row) for row in raw.execute(_ATTEMPTS.encode(), [STUDY])]
        names = [row[0] for row in raw.execute("SELECT name FROM worker WHERE quarantined_at IS NOT NULL")]
    begun, ended = read(log)
    return Facts(number, experiments, attempts, begun, ended, names)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drill", description=__doc__)
    parser.add_argument("--seed", type=int, help="the seed of faults and experiments; default: a random one")
    parser.add_argument("--minutes", type=float, default=4.0, help="duration of the faults, one per second; default 4")
    parser.add_argument(
        "--experiments", type=int, default=2000, help=f"number of experiments for {WORKERS} workers; default 2000"
    )
    parser.add_argument("--lease", type=float, default=30.0, help="the lease of workers in seconds; default 30")
    parser.add_argument(
        "--only", nargs="+", choices=KINDS, metavar="FAULT", help=f"only these faults of {', '.join(map(repr, KINDS))}"
    )
    parser.add_argument("--format", choices=["text", "json"], default="text", help="default text")
    parser.add_argument("--keep", action="store_true", help="keep the folder even if all checks passed")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
