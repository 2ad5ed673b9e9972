"""
Each link between a person and a result, looked at in turn, with the command that repairs it.

A check is a function that yields findings. What it has learnt and later checks need, it keeps in the `Chart`; a check
whose needs were not met is skipped and says so. Nothing is written but a file among the artifacts, which is deleted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from qexp.client.doctor import experiment_checks, service_checks
from qexp.client.doctor.finding import Chart, Finding, Findings, Verdict, exit_status
from qexp.errors import ServiceError, SettingsError
from qexp.settings import load_with_origins

__all__ = ["Finding", "Verdict", "examine", "exit_status"]


class Check(NamedTuple):
    """A check, the needs it has, and how many times `connect_timeout` it may take."""

    name: str
    look: Callable[[str, Chart], Findings]
    needs: tuple[str, ...] = ()
    patience: float = 3


NEEDS: Mapping[str, str] = {
    "postgres": "Postgres",
    "tables": "tables that are current",
    "broker": "the broker",
    "workers": "the workers",
}
"""What checks may need, in words."""

CHECKS = (
    Check("settings", service_checks.origins),
    Check("Postgres", service_checks.postgres),
    Check("schema", service_checks.tables, needs=("postgres",)),
    Check("rights", service_checks.rights, needs=("postgres",)),
    Check("clock", service_checks.clock, needs=("postgres",)),
    Check("connections", service_checks.connections, needs=("postgres",)),
    Check("broker", service_checks.redis),
    Check("memory", service_checks.memory, needs=("broker",)),
    Check("embedded", service_checks.embedded),
    Check("workers", experiment_checks.crew, needs=("postgres", "tables")),
    Check("queues", experiment_checks.queues, needs=("postgres", "tables", "workers")),
    Check("progress", experiment_checks.progress, needs=("postgres", "tables", "workers")),
    Check("functions", experiment_checks.functions, ("postgres", "tables"), experiment_checks.IMPORTS + 3),
    Check("artifacts", experiment_checks.artifacts),
    Check("left-overs", experiment_checks.left_overs),
    Check("disk", experiment_checks.disk),
)


def examine() -> Findings:
    """Yield what each check finds, as it finds it."""
    try:
        chart = Chart(load_with_origins())
    except SettingsError as error:
        yield Finding("settings", Verdict.FAILED, str(error), repair="correct it, or remove it")
        yield from (_skipped(check, "settings") for check in CHECKS[1:])
        return
    for check in CHECKS:
        missing = next((need for need in check.needs if need not in chart.met), None)
        if missing is not None:
            yield _skipped(check, NEEDS[missing])
        else:
            yield from _within(check, chart)


def _skipped(check: Check, need: str) -> Finding:
    return Finding(check.name, Verdict.SKIPPED, f"needs {need}")


def _within(check: Check, chart: Chart) -> list[Finding]:
    """Return what a check finds, or that it took too long: it then goes on in a thread that nobody awaits."""
    findings: list[Finding] = []
    errors: list[BaseException] = []

    def look() -> None:
        try:
            findings.extend(check.look(check.name, chart))
        except ServiceError as error:
            findings.append(Finding(check.name, Verdict.FAILED, str(error), unreachable=True))
        except OSError as error:
            findings.append(Finding(check.name, Verdict.FAILED, f"{error.filename}: {error.strerror}".lower()))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that asks
            errors.append(error)

    seconds = check.patience * chart.settings.connect_timeout
    thread = threading.Thread(target=look, name=f"qexp-doctor-{check.name}", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if thread.is_alive():
        return [Finding(check.name, Verdict.FAILED, f"no answer within {seconds:g} s", unreachable=True)]
    return findings
