"""What a check finds, and what checks learn from each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from qexp.errors import ServiceError
from qexp.settings import Settings, SettingsWithOrigins
from qexp.store.reads.workers import WorkerView


class Verdict(StrEnum):
    """How a link is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """What a check has found, what was expected instead, and the command that repairs it."""

    name: str
    verdict: Verdict
    found: str
    expected: str = ""
    repair: str = ""
    unreachable: bool = False
    """It has failed because a service is out of reach."""


def exit_status(findings: Iterable[Finding]) -> int:
    """Return 0 if nothing has failed, 3 if a service is out of reach, else 2."""
    failed = [finding for finding in findings if finding.verdict is Verdict.FAILED]
    return ServiceError.exit_status if any(finding.unreachable for finding in failed) else 2 * bool(failed)


Findings = Iterator[Finding]


@dataclass
class Chart:
    """What checks have learnt that later ones need."""

    loaded: SettingsWithOrigins
    met: set[str] = field(default_factory=set)
    """Needs of later checks that were found to be met."""
    crew: Sequence[WorkerView] = ()

    @property
    def settings(self) -> Settings:
        return self.loaded.values

    @property
    def live(self) -> list[WorkerView]:
        return [worker for worker in self.crew if worker.live]
