"""The judge of a drill: checks of the rows against the log of the function."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.drill.function import Fate

RETRIES = {"error": 1, "crashed": 3, "lost": 1000}
"""The retries of the drill's grid; `error` and `crashed` have few, so that each wrong charge shows."""
FAILURES: Mapping[Fate, str] = {"raises": "error", "exits": "crashed"}
"""The failure of experiments that raise or exit."""
CUT_SHORT = frozenset({"lost", "crashed", "released"})
"""Outcomes of attempts that may have ended before the call of the function."""


@dataclass(frozen=True)
class Execution:
    """A call of the function, from the function's own log."""

    experiment: int
    attempt: int
    pid: int
    at: float
    """Seconds since 1970."""


@dataclass(frozen=True)
class Experiment:
    """A row of an experiment, and its fate without faults."""

    id: int
    x: int
    status: str
    attempt: int
    failure: str | None
    forgiven: int
    result: Any
    fate: Fate


@dataclass(frozen=True)
class Attempt:
    """A row of an attempt."""

    experiment: int
    number: int
    outcome: str
    pid: int | None


@dataclass(frozen=True)
class Facts:
    """The input of the judge."""

    number: int
    """Number of enqueued values of x."""
    experiments: Sequence[Experiment]
    attempts: Sequence[Attempt]
    begun: Sequence[Execution]
    ended: Sequence[Execution]
    quarantined: Sequence[str] = ()
    """Names of quarantined workers."""
    left: Sequence[int] = ()
    """Ids of processes of stopped or killed workers."""


@dataclass(frozen=True)
class Verdict:
    """The result of one check: a line, and the first few violations."""

    what: str
    passed: bool
    told: str
    against: Sequence[str] = ()


def judge(facts: Facts) -> list[Verdict]:
    """Return the verdict of each check."""
    return [rule(facts) for rule in (_lost, _stuck, _twice, _rows, _charged, _numbers)]


def read(path: Path) -> tuple[list[Execution], list[Execution]]:
    """Return the started and the ended executions of a log; incomplete lines are skipped."""
    found: dict[str, list[Execution]] = {"begin": [], "end": []}
    for line in path.read_text().splitlines() if path.exists() else []:
        what, *facts = line.split()
        if what in found and len(facts) == 4:
            experiment, attempt, pid, at = facts
            found[what].append(Execution(int(experiment), int(attempt), int(pid), float(at)))
    return found["begin"], found["end"]


def _verdict(what: str, told: str, against: Sequence[str]) -> Verdict:
    return Verdict(what, not against, told, against)


def _lost(facts: Facts) -> Verdict:
    """Check that each value has one row, and each done row has the result of its last attempt."""
    values = Counter(one.x for one in facts.experiments)
    against = [f"x = {x}: there {values[x]} times" for x in range(facts.number) if values[x] != 1]
    results = {one.id: {"y": 2 * one.x, "attempt": one.attempt} for one in facts.experiments if one.status == "done"}
    against += [
        f"experiment {one.id}: its result is {one.result}, expected {results[one.id]}"
        for one in facts.experiments
        if one.id in results and one.result != results[one.id]
    ]
    counts = Counter(one.status for one in facts.experiments)
    return _verdict("nothing is lost", ", ".join(f"{many} {status}" for status, many in counts.most_common()), against)


def _stuck(facts: Facts) -> Verdict:
    """Check that all experiments are finished, and that killed and stopped workers left no process."""
    against = [
        f"experiment {one.id} is {one.status}" for one in facts.experiments if one.status not in ("done", "failed")
    ]
    told = f"{len(against)} experiments open, {len(facts.left)} processes left"
    return _verdict("nothing is stuck", told, [*against, *(f"process {pid} outlives its worker" for pid in facts.left)])


def _twice(facts: Facts) -> Verdict:
    """Check that no attempt was executed twice."""
    pids = defaultdict(list)
    for one in facts.begun:
        pids[one.experiment, one.attempt].append(one.pid)
    against = [
        f"experiment {key[0]}, attempt {key[1]}: executed by {' and '.join(map(str, found))}"
        for key, found in pids.items()
        if len(found) > 1
    ]
    return _verdict("no attempt is executed twice", f"{len(facts.begun):,} executions", against)


def _rows(facts: Facts) -> Verdict:
    """
    Check that executions match the rows of attempts, including their processes.

    Rows with `done` or `error` need an execution. A `lost`, `crashed` or `released` attempt may have ended before its
    start. A running attempt has no row yet.
    """
    runs = {(one.id, one.attempt) for one in facts.experiments if one.status == "running"}
    begun = {(one.experiment, one.attempt): one for one in facts.begun}
    ended = {(one.experiment, one.attempt) for one in facts.ended}
    rows = {(one.experiment, one.number): one for one in facts.attempts}
    against = [
        f"experiment {key[0]}, attempt {key[1]}: executed by {one.pid}, "
        + (f"its row says {rows[key].pid}" if key in rows else "no row")
        for key, one in begun.items()
        if key not in runs and (key not in rows or rows[key].pid != one.pid)
    ]
    against += [
        f"experiment {key[0]}, attempt {key[1]}: {one.outcome}, and was not executed"
        for key, one in rows.items()
        if (key not in begun and one.outcome not in CUT_SHORT) or (one.outcome == "done" and key not in ended)
    ]
    never = Counter(one.outcome for key, one in rows.items() if key not in begun)
    told = f"{len(rows):,} rows, {len(rows.keys() & begun.keys()):,} executed"
    if never:
        told += f"; claimed only: {', '.join(f'{many} {outcome}' for outcome, many in never.most_common())}"
    return _verdict("executions are rows", told, against)


def _charged(facts: Facts) -> Verdict:
    """
    Check that experiments and workers are charged only for their own failures.

    An experiment that raises or exits fails after its retries, also after a requeue; no other one fails.
    """
    outcomes: dict[int, list[Attempt]] = defaultdict(list)
    for row in facts.attempts:
        outcomes[row.experiment].append(row)
    against = [complaint for one in facts.experiments if (complaint := _complaint(one, outcomes[one.id]))]
    against += [f"worker {name} is quarantined" for name in facts.quarantined]
    failed = Counter(one.failure for one in facts.experiments if one.status == "failed")
    told = ", ".join(f"{many} failed by {failure}" for failure, many in failed.most_common())
    return _verdict("each fails by its own fault only", told or "none has failed", against)


def _complaint(one: Experiment, attempts: Sequence[Attempt]) -> str | None:
    """Return the complaint about the end of an experiment, or None."""
    expected = FAILURES.get(one.fate)
    if one.status not in ("done", "failed"):
        return None  # an open experiment is a complaint of another check
    if one.failure != expected:
        return f"experiment {one.id}, which {one.fate}: failed by {one.failure}, expected {expected}"
    errors = [row.number for row in attempts if row.outcome == "error"]
    if one.fate != "raises" and errors:
        return f"experiment {one.id}, which {one.fate}: attempts {errors} have ended by error"
    if expected is None:
        return None
    tries = RETRIES[expected] + 1
    charged = [row.number for row in attempts if row.outcome == expected]
    last = [number for number in charged if number > one.forgiven]
    if len(last) != tries or (expected == "error" and len(charged) % tries):
        return (
            f"experiment {one.id}, which {one.fate}: {len(charged)} attempts have ended by {expected}, "
            f"{len(last)} of them since it was requeued, expected {tries}"
        )
    return None


def _numbers(facts: Facts) -> Verdict:
    """Check that the numbers of an experiment's attempts are consecutive."""
    numbers: dict[int, list[int]] = {one.id: [] for one in facts.experiments}
    for row in facts.attempts:
        numbers.setdefault(row.experiment, []).append(row.number)
    last = {one.id: one.attempt for one in facts.experiments}
    against = [
        f"experiment {number}: attempts {sorted(found)}, and its row says {last.get(number)}"
        for number, found in numbers.items()
        if sorted(found) != list(range(1, last.get(number, 0) + 1))
    ]
    return _verdict("attempt numbers follow each other", f"{len(against)} experiments with gaps", against)


@dataclass(frozen=True)
class Sample:
    """The state of the site at one time."""

    at: float
    """Seconds since 1970."""
    broken: tuple[str, ...]
    """Services that a fault has stopped or killed."""
    able: int
    """Number of workers that take messages and that no fault has stopped."""
    paused: bool = False
    """Whether the study is paused."""
    queued: int = 0
    due: int = 0
    """Number of pending experiments that may run now."""
    running: int = 0
    rest: Mapping[str, Any] = field(default_factory=dict)
    """Further details."""

    @property
    def free(self) -> bool:
        """Whether an attempt should start soon: no fault is active, and experiments wait."""
        return not self.broken and self.able > 0 and not self.paused and self.queued + self.due > 0


@dataclass(frozen=True)
class Pause:
    """A period without a start of an attempt although one was due."""

    start: float
    end: float
    samples: Sequence[Sample]

    @property
    def seconds(self) -> float:
        return self.end - self.start


def longest_pause(samples: Sequence[Sample], begun: Sequence[Execution]) -> Pause | None:
    """
    Return the longest pause: workers live, services are up, experiments wait, but none starts.

    Returns None without a pause.
    """
    moments = [(one.at, one) for one in samples] + [(one.at, None) for one in begun]
    pauses: list[Pause] = []
    waits: list[Sample] = []
    for at, sample in sorted(moments, key=lambda moment: moment[0]):
        if sample is not None and sample.free:
            waits.append(sample)
        elif waits:
            pauses.append(Pause(waits[0].at, at, tuple(waits)))
            waits = []
    if waits:
        pauses.append(Pause(waits[0].at, waits[-1].at, tuple(waits)))
    return max(pauses, key=lambda pause: pause.seconds, default=None)
