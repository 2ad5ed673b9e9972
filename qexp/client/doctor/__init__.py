"""
Check every part of qexp, and suggest the command that repairs it: `qexp doctor`.

A check is a function that yields findings. It stores facts for later checks in the `DoctorState`. A check is skipped if
an earlier one did not meet its needs. The doctor writes only one file among the artifacts, and deletes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from qexp.client.doctor import runtime_checks, service_checks
from qexp.client.doctor.finding import DoctorState, Finding, Findings, Verdict, exit_status
from qexp.errors import ServiceError, SettingsError
from qexp.settings import load_with_origins

__all__ = ["Finding", "Verdict", "examine", "exit_status"]


class Check(NamedTuple):
    """A check, its needs, and its time limit as a multiple of `connect_timeout`."""

    name: str
    run: Callable[[str, DoctorState], Findings]
    needs: tuple[str, ...] = ()
    timeouts: float = 3


NEEDS: Mapping[str, str] = {
    "postgres": "Postgres",
    "tables": "tables that are current",
    "broker": "the broker",
    "workers": "the workers",
}
"""The needs that checks may have, and their names in a finding."""

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
    Check("workers", runtime_checks.running_workers, needs=("postgres", "tables")),
    Check("queues", runtime_checks.queues, needs=("postgres", "tables", "workers")),
    Check("progress", runtime_checks.progress, needs=("postgres", "tables", "workers")),
    Check("functions", runtime_checks.functions, ("postgres", "tables"), runtime_checks.IMPORTS + 3),
    Check("artifacts", runtime_checks.artifacts),
    Check("left-overs", runtime_checks.left_overs),
    Check("deletions", runtime_checks.deletions, needs=("postgres", "tables")),
    Check("disk", runtime_checks.disk),
)


def examine() -> Findings:
    """Run all checks and yield their findings, in order."""
    try:
        state = DoctorState(load_with_origins())
    except SettingsError as error:
        yield Finding("settings", Verdict.FAILED, str(error), repair="correct it, or remove it")
        yield from (_skipped(check, "settings") for check in CHECKS[1:])
        return
    for check in CHECKS:
        missing = next((need for need in check.needs if need not in state.met), None)
        if missing is not None:
            yield _skipped(check, NEEDS[missing])
        else:
            yield from _run_in_time(check, state)


def _skipped(check: Check, need: str) -> Finding:
    return Finding(check.name, Verdict.SKIPPED, f"needs {need}")


def _run_in_time(check: Check, state: DoctorState) -> list[Finding]:
    """Return the findings of a check. A check that takes too long is a failure; its thread is not awaited."""
    findings: list[Finding] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            findings.extend(check.run(check.name, state))
        except ServiceError as error:
            findings.append(Finding(check.name, Verdict.FAILED, str(error), unreachable=True))
        except OSError as error:
            findings.append(Finding(check.name, Verdict.FAILED, f"{error.filename}: {error.strerror}".lower()))
        except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
            errors.append(error)

    seconds = check.timeouts * state.settings.connect_timeout
    thread = threading.Thread(target=run, name=f"qexp-doctor-{check.name}", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if thread.is_alive():
        return [Finding(check.name, Verdict.FAILED, f"no answer within {seconds:g} s", unreachable=True)]
    return findings
