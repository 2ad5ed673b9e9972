"""Options and arguments that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from qexp.model import Status

Command = TypeVar("Command", bound=Callable[..., Any])

format_option = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print it.",
)
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask, however many experiments are affected.")


assignments_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUES",
    help="Override or add an axis (lr=1e-3,1e-4), a key (study=other) or a setting (settings.epochs=5); repeatable. "
    "parameters.NAME and grid.KEY tell a parameter from a key of the same name.",
)
EXPERIMENT = click.IntRange(1, 2**63 - 1)
CONCURRENCY = click.IntRange(1, 10_000)
STATUS = click.Choice([str(status) for status in Status])


def selection_options(required: bool = True) -> Callable[[Command], Command]:
    """Give a command the one grammar for naming experiments; it receives them as `selection`."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def wrapper(
            targets: tuple[str, ...],
            statuses: tuple[str, ...],
            failed: bool,
            error: str | None,
            orphaned: bool,
            stale: bool,
            where: str | None,
            since: str | None,
            host: str | None,
            **rest: Any,
        ) -> Any:
            from qexp.store.selectors import parse

            selection = parse(targets, statuses, failed, error, orphaned, where, since, host, stale or None)
            return command(selection=selection, **rest)

        options = [
            click.argument("targets", nargs=-1, required=required, metavar="STUDY|IDS..."),
            click.option("--status", "statuses", type=STATUS, multiple=True, help="Only these; repeatable."),
            click.option("--failed", is_flag=True, help="Short for --status failed."),
            click.option("--error", metavar="GROUP", help="Only those of an error group that 'qexp errors' shows."),
            click.option("--orphaned", is_flag=True, help="Only those that their grid has left out since."),
            click.option("--stale", is_flag=True, help="Only the done ones that 'qexp stale' counts."),
            click.option(
                "--where",
                metavar="CONDITION",
                help="Only those for which this holds: \"lr > 0.1 and dataset = 'wine'\"; names are those of frames.",
            ),
            click.option(
                "--since",
                metavar="TIME",
                help="Only those that have ended, else started, else were made, since then: '6 hours', 2026-01-31.",
            ),
            click.option("--host", metavar="NAME", help="Only those that ran there last; node* stands for several."),
        ]
        wrapped: Any = wrapper
        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped  # type: ignore[no-any-return]

    return decorate
