"""Options and arguments that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
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
    help="The output format.",
)
data_file_option = click.option(
    "-o",
    "--output",
    type=click.Path(allow_dash=True),
    metavar="FILE",
    help="A .csv, .parquet or .json file; or -, for CSV on standard output.",
)
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")


assignments_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUES",
    help="Override or add an axis (lr=1e-3,1e-4), a key (study=other) or a setting (settings.epochs=5); repeatable. "
    "parameters.NAME and grid.KEY tell a parameter from a key of the same name.",
)


class BoundedNumber(click.ParamType[Any]):
    """A number between bounds, with qexp's error message; a mixin before one of click's number types."""

    def __init__(self, expected: str, *bounds: int) -> None:
        super().__init__(*bounds)
        self.expected = expected

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number. Raises BadParameter with the found and the expected value."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            raise click.BadParameter(f"found {value!r}, expected {self.expected}", ctx, param) from error


class WholeNumber(BoundedNumber, click.IntRange):
    """A whole number between bounds."""


class Number(BoundedNumber, click.FloatRange):
    """A number between bounds."""


def split_names(targets: Sequence[str]) -> list[str]:
    """Return the names and patterns in the arguments of a command: `a,b c*` names three."""
    return [name for target in targets for name in target.split(",")]


def is_one_name(targets: Sequence[str]) -> bool:
    """Say whether arguments are one study's name, so that a command prints an object instead of a list."""
    return len(targets) == 1 and not any(mark in targets[0] for mark in "*?,")


NAMES = "NAME[,NAME]"
EXPERIMENT = WholeNumber("the id of an experiment, such as 17", 1, 2**63 - 1)
CONCURRENCY = WholeNumber("a whole number from 1 to 10000", 1, 10_000)


class StatusList(click.Choice[str]):
    """One status or several with commas: `failed,done`."""

    def __init__(self) -> None:
        super().__init__([str(status) for status in Status])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the text. Raises BadParameter if one of its parts is no status."""
        for part in str(value).split(","):
            super().convert(part, param, ctx)
        return value


STATUS = StatusList()


def selection_options(required: bool = True) -> Callable[[Command], Command]:
    """Add the options that select experiments to a command, which receives a `selection`."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def wrapper(
            targets: tuple[str, ...],
            statuses: tuple[str, ...],
            failed: bool,
            error: str | None,
            orphaned: bool,
            current: bool,
            stale: bool,
            where: str | None,
            since: str | None,
            host: str | None,
            **rest: Any,
        ) -> Any:
            from qexp.store.selection.selectors import parse

            selection = parse(targets, statuses, failed, error, orphaned, where, since, host, stale or None, current)
            return command(selection=selection, **rest)

        options = [
            click.argument(
                "targets", nargs=-1, required=required, metavar="STUDY|IDS..." if required else "[STUDY|IDS]..."
            ),
            click.option("--status", "statuses", type=STATUS, multiple=True, help="Only these; several: failed,done."),
            click.option("--failed", is_flag=True, help="Short for --status failed."),
            click.option("--error", metavar="GROUP", help="Only those of an error group that 'qexp errors' shows."),
            click.option("--orphaned", is_flag=True, help="Only those that are no longer in their grid."),
            click.option("--current", is_flag=True, help="Only those in their grid, or added by code."),
            click.option("--stale", is_flag=True, help="Only the done ones that 'qexp stale' counts."),
            click.option(
                "--where",
                metavar="CONDITION",
                help="Only those for which this holds: \"lr > 0.1 and dataset = 'wine'\"; names are those of frames.",
            ),
            click.option(
                "--since",
                metavar="TIME",
                help="Only those that finished (or started, or were enqueued) since then: '6 hours', 2026-01-31.",
            ),
            click.option(
                "--host",
                metavar="NAME",
                help="Only those whose last attempt ran there; node* stands for several hosts.",
            ),
        ]
        wrapped: Any = wrapper
        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped  # type: ignore[no-any-return]

    return decorate
