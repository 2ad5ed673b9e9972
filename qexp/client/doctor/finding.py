"""The findings of checks, and the facts that checks share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from qexp.errors import ServiceError
from qexp.settings import Settings, SettingsWithOrigins
from qexp.store.reads.workers import WorkerView


class Verdict(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """A finding of a check, the expected state, and the command that repairs it."""

    name: str
    verdict: Verdict
    found: str
    expected: str = ""
    repair: str = ""
    unreachable: bool = False
    """It failed because a service does not answer."""


def exit_status(findings: Iterable[Finding]) -> int:
    """Return 0 if nothing failed, 3 if a service does not answer, otherwise 2."""
    failed = [finding for finding in findings if finding.verdict is Verdict.FAILED]
    return ServiceError.exit_status if any(finding.unreachable for finding in failed) else 2 * bool(failed)


Findings = Iterator[Finding]


@dataclass
class DoctorState:
    """Facts from earlier checks that later ones need."""

    loaded: SettingsWithOrigins
    met: set[str] = field(default_factory=set)
    """Needs of later checks that are met."""
    workers: Sequence[WorkerView] = ()

    @property
    def settings(self) -> Settings:
        return self.loaded.values

    @property
    def live(self) -> list[WorkerView]:
        return [worker for worker in self.workers if worker.live]
