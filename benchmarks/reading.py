"""How soon reading commands answer: on a million experiments, ten thousand failures and three thousand studies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from benchmarks.bulk import MANY, STUDY, Bulk, filled
from benchmarks.site import Site, opened
from benchmarks.suite import How, Line, Measure, Options

FAILING = "failing"
FAILURES, ERRORS, STUDIES, WORKERS = 10_000, 200, 3_000, 200
ROUNDS = 2
"""The fastest of these counts, because other programs slow the rest."""
_FAILED = """
    INSERT INTO experiment (study, params, fingerprint, status, attempt, failure, error_fingerprint, revision,
                            queued_at, started_at, finished_at)
    SELECT s.id, jsonb_build_object('x', n), gen_random_uuid(), 'failed', 1, 'error', 'e' || n %% %(errors)s,
           s.revision, now(), now() - interval '1 min', now()
    FROM   study s, generate_series(1, %(failures)s) n
    WHERE  s.name = %(study)s
"""
_ATTEMPTS = """
    INSERT INTO attempt (experiment, number, study, revision, started_at, finished_at, outcome, error_type,
                         error_message, error_frame, error_fingerprint, traceback)
    SELECT e.id, 1, e.study, e.revision, e.started_at, e.finished_at, 'error', 'ValueError',
           'x is ' || e.id || repeat(' and its message is long', 40), 'experiment.py:' || e.error_fingerprint,
           e.error_fingerprint, repeat('  File "experiment.py", line 3, in noop\n    raise ValueError(x)\n', 30)
    FROM   experiment e JOIN study s ON s.id = e.study
    WHERE  s.name = %(study)s AND e.status = 'failed'
"""
_STUDIES = """
    INSERT INTO study (name, function, folder, queue, revision, parameters)
    SELECT 'study_' || n, function, folder, queue, 1, parameters
    FROM   study, generate_series(1, %(studies)s) n
    WHERE  name = %(study)s
"""
_REVISIONS = """
    INSERT INTO revision (study, number, grid, settings, function, folder, python, qexp, host, "user", source, total)
    SELECT s.id, 1, r.grid, r.settings, r.function, r.folder, r.python, r.qexp, r.host, r."user", r.source, 10
    FROM   study s, revision r JOIN study t ON t.id = r.study
    WHERE  t.name = %(study)s AND r.number = 1 AND s.name LIKE 'study\\_%%'
"""
_EXPERIMENTS = """
    INSERT INTO experiment (study, params, fingerprint, revision)
    SELECT s.id, jsonb_build_object('x', n), gen_random_uuid(), 1
    FROM   study s, generate_series(1, 10) n
    WHERE  s.name LIKE 'study\\_%%'
"""
_WORKERS = """
    INSERT INTO worker (id, host, pid, name, queues, concurrency)
    SELECT gen_random_uuid(), 'node' || n, n, 'worker@node' || n, '{none}', 8 FROM generate_series(1, %(workers)s) n
"""


class Crowded:
    """A site with failures, studies and workers that were written by SQL."""

    def __init__(self, site: Site) -> None:
        self.site, self.stop = site, site.stop
        self._fill(site.grid("noop", {"x": -1}, FAILING), (_FAILED, _ATTEMPTS))
        self._fill(site.grid("noop", {"x": -1}, "template"), (_STUDIES, _REVISIONS, _EXPERIMENTS, _WORKERS))
        with site.raw() as raw:
            raw.execute(b"VACUUM (ANALYZE)")

    def _fill(self, study: str, statements: Sequence[str]) -> None:
        self.site.qexp("enqueue", f"{study}.yaml")
        values = {
            "study": study,
            "errors": ERRORS,
            "failures": FAILURES,
            "studies": STUDIES,
            "workers": WORKERS,
        }
        with self.site.raw() as raw:
            for statement in statements:
                raw.execute(statement.encode(), values)


@contextmanager
def crowded(_: Options) -> Iterator[Crowded]:
    with opened() as site:
        yield Crowded(site)


Commands = Mapping[str, Sequence[str]]
ID = "ID"
"""Stands for the first experiment of the study."""
MILLION: Commands = {
    "status": ["status"],
    "list": ["list", STUDY],
    "sort": ["list", STUDY, "--sort", "-loss", "--limit", "10"],
    "newest": ["list"],
    "show": ["show", ID],
    "errors": ["errors", STUDY],
    "explain": ["explain", ID],
    "workers": ["workers"],
}
FAILED: Commands = {
    "status": ["status", FAILING],
    "list": ["list", FAILING, "--failed"],
    "show": ["show", ID],
    "errors": ["errors", FAILING],
    "explain": ["explain", ID],
}
MANY_STUDIES: Commands = {
    "status": ["status"],
    "list": ["list"],
    "pattern": ["list", "study_1*"],
    "errors": ["errors", "study_7"],
    "workers": ["workers"],
}


def _timed(site: Site, study: str, commands: Commands, prefix: str) -> Mapping[str, float]:
    query = "SELECT max(e.id) FROM experiment e JOIN study s ON s.id = e.study WHERE s.name = %s"
    number = str(site.value(query, study))
    found = {}
    for name, command in commands.items():
        line = [number if part == ID else part for part in command]
        found[f"{prefix} {name}"] = min(site.timed("-m", "qexp", *line).seconds for _ in range(ROUNDS))
    return found


def million(bulk: Bulk) -> Mapping[str, float]:
    bulk.finish(bulk.rows)
    return _timed(bulk.site, STUDY, MILLION, "million")


def failures(site: Crowded) -> Mapping[str, float]:
    return _timed(site.site, FAILING, FAILED, "failures")


def studies(site: Crowded) -> Mapping[str, float]:
    return _timed(site.site, "study_7", MANY_STUDIES, "studies")


def _names(prefix: str, commands: Commands) -> tuple[str, ...]:
    return tuple(f"{prefix} {name}" for name in commands)


def _lines(prefix: str, commands: Commands, where: Callable[[str], str]) -> list[Line]:
    return [
        Line(f"{prefix}-{name}", where(" ".join(command)), f"{prefix} {name}", "s", how=How.PLAIN, most=1.0)
        for name, command in commands.items()
    ]


MEASURES = (
    Measure(_names("failures", FAILED), crowded, failures),
    Measure(_names("studies", MANY_STUDIES), crowded, studies),
    Measure(_names("million", MILLION), filled, million),
)
NOTE = f"""
The times are those of whole commands, with the start of Python; the faster of {ROUNDS} runs counts. The failures have
{ERRORS} errors, and messages of 1,000 characters. The {STUDIES:,} studies have 10 experiments each.
"""
LINES = (
    *_lines("million", MILLION, lambda command: f"qexp {command}, {MANY} rows"),
    *_lines("failures", FAILED, lambda command: f"qexp {command}, {FAILURES:,} failures"),
    *_lines("studies", MANY_STUDIES, lambda command: f"qexp {command}, {STUDIES:,} studies"),
)
