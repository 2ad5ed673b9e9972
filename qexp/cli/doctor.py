"""The command `qexp doctor`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from qexp.cli.options import format_option
from qexp.cli.output import console, say, show_json, wrapped
from qexp.cli.terminal_writer import printable, visible

if TYPE_CHECKING:
    from qexp.client.doctor import Finding


@click.command()
@format_option
def doctor_(form: str) -> int:
    """
    Check every part of qexp, with the command that repairs it.

    It checks settings, Postgres, broker, embedded services, workers, queues, functions, artifacts and disks. A ✓ is
    good, a ! may become a problem, a ✗ is a problem. A - is skipped, because it needs a part that failed. The doctor
    writes only a small file among the artifacts, and deletes it. No check waits much longer than 'connect_timeout'.

    Exit status: 0 without ✗, 3 if a service does not answer, otherwise 2.
    """
    from qexp.client import doctor

    findings = doctor.examine()
    if form == "json":
        found = list(findings)
        show_json(found)
    else:
        found = list(_shown(findings))
    status = doctor.exit_status(found)
    if not status:
        say("nothing is broken")
    return status


_MARKS = {"ok": ("✓", "green"), "warning": ("!", "bold yellow"), "failed": ("✗", "bold red")}
_NAMES = len("connections")
_INDENT = 2 + _NAMES + 2


def _shown(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Print findings and yield them; checks that were skipped for the same reason share a line."""
    skipped: list[Finding] = []
    for finding in findings:
        if skipped and finding.found != skipped[0].found:
            _print_skipped(skipped)
            skipped = []
        if finding.verdict == "skipped":
            skipped.append(finding)
        else:
            _print(finding)
        yield finding
    if skipped:
        _print_skipped(skipped)


def _print_skipped(skipped: list[Finding]) -> None:
    text = f"{skipped[0].found}: {', '.join(finding.name for finding in skipped)}"
    console().print(f"- {'skipped':{_NAMES}}  {wrapped(text, _INDENT)}", style="dim", soft_wrap=True, highlight=False)


def _print(finding: Finding) -> None:
    from rich.text import Text

    mark, style = _MARKS[finding.verdict]
    line = Text()
    line.append(mark, style=style)
    line.append(f" {finding.name:{_NAMES}}  {wrapped(printable(finding.found), _INDENT)}")
    for title, given in (("expected", finding.expected), ("repair", finding.repair)):
        if given:
            text = visible(given)
            line.append(f"\n{'':{_INDENT}}{title:8}  ", style="dim")
            line.append(wrapped(text, _INDENT + 10) if title == "expected" else text)
    console().print(line, soft_wrap=True)
