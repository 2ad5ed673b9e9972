"""The commands status and wait."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from qexp.cli.options import Number, WholeNumber, format_option, is_one_name, split_names
from qexp.cli.output import console, say, show_json, wrapped
from qexp.cli.terminal_writer import echo
from qexp.model import Status, them

if TYPE_CHECKING:
    from collections.abc import Callable

    from qexp.store.reads.study_overview import StudyOverview
    from qexp.store.reads.study_progress import StudyProgress


_SHOWN = 30


@click.command()
@click.argument("studies", nargs=-1, metavar="[STUDY]...")
@click.option("--open", "only_open", is_flag=True, help="Only studies with unfinished experiments.")
@click.option(
    "--limit",
    type=WholeNumber("a whole number, or 0 for all", 0),
    help=f"The most studies to show, the newest ones; 0: all.  [default: {_SHOWN} in a table]",
)
@click.option("--watch", is_flag=True, help="Show it live, until all experiments have finished or Ctrl-C.")
@click.option("--archived", is_flag=True, help="Show the archived studies, which are left out otherwise.")
@format_option
def status_(
    studies: tuple[str, ...], only_open: bool, limit: int | None, watch: bool, archived: bool, form: str
) -> None:
    """
    Count the experiments of studies by status; the newest study is the last.

    \b
      qexp status
      qexp status 'lenet*' --open
    """
    from qexp.client import Client

    limit = (None if form == "json" else _SHOWN) if limit is None else limit or None
    client = Client(keeps=watch)

    def look() -> StudyOverview:
        return client.overview(split_names(studies), limit, archived, only_open)

    if watch:
        with suppress(KeyboardInterrupt):  # its usual end
            _watch(look)
    elif form == "json":
        show_json([counts_json(counts) for counts in look().shown])
    else:
        _print(look(), archived, only_open, narrowed=bool(studies))


def _print(found: StudyOverview, archived: bool, only_open: bool, narrowed: bool) -> None:
    from qexp.cli.status_table import status_table

    if found.shown:
        console().print(status_table(found.shown))
    elif only_open:
        say("no study has unfinished experiments")
    elif archived:
        say("no study is archived; 'qexp archive STUDY' archives one")
    else:
        say(without_studies(found, narrowed))
    if found.shown and found.others and narrowed and not archived:
        noun = "study" if found.others == 1 else "studies"
        say(f"{found.others:,} archived {noun} not shown; --archived shows {them(found.others)}")
    if found.older:
        say(wrapped(_older(found, only_open)))


def without_studies(found: StudyOverview, narrowed: bool = False) -> str:
    """Return a line about an overview that shows no study, of those that a person named or of all."""
    if found.others and narrowed:
        return "all of these studies are archived; --archived shows them"
    if found.others:
        return "all studies are archived; 'qexp status --archived' shows them"
    return "there are no studies yet; start with 'qexp enqueue grid.yaml'"


def _older(found: StudyOverview, only_open: bool) -> str:
    """Return a line about the studies beyond the limit."""
    text = f"{found.older:,} older {'study' if found.older == 1 else 'studies'} not shown"
    if only_open or not found.older_open:
        return f"{text}; --limit 0 shows all"
    return f"{text}, {found.older_open:,} unfinished: --open, or --limit 0 for all"


def counts_json(counts: StudyProgress) -> dict[str, Any]:
    """Return the progress of a study as data."""
    return {
        "study": counts.study,
        "total": counts.total,
        **{str(status): number for status, number in counts.counts.items()},
        "rate": counts.rate,
        "seconds_left": counts.seconds_left,
        "has_worker": counts.has_worker,
        "paused_at": counts.paused_at,
        "pause_reason": counts.pause_reason,
        "archived_at": counts.archived_at,
    }


def _watch(look: Callable[[], StudyOverview]) -> None:
    from rich.live import Live

    from qexp.cli.status_table import status_table
    from qexp.client.wait_for_study import pause

    with Live(console=console(), auto_refresh=False) as live:
        while True:
            began = time.monotonic()
            found = look()
            took = time.monotonic() - began
            live.update(status_table(found.shown), refresh=True)
            if found.is_settled:
                return
            time.sleep(max(0.5, pause(took)))


@click.command()
@click.argument("studies", nargs=-1, required=True, metavar="STUDY...")
@click.option(
    "--timeout",
    type=Number("a number of seconds from 0", 0),
    help="Give up after this many seconds, with exit status 1.",
)
@format_option
def wait_(studies: tuple[str, ...], timeout: float | None, form: str) -> int:
    """
    Wait until all experiments of studies have finished or they are paused; exit 0 if all are done, otherwise 1.

    \b
      qexp wait lenet && qexp export lenet -o lenet.csv
    """
    from qexp.cli.main import INTERRUPTED
    from qexp.cli.progress import wait_with_progress
    from qexp.client import Client, missing_results
    from qexp.client.study_bars import without_wait

    client = Client()
    began = time.monotonic()
    found: list[StudyProgress] = []
    for study in client.matching(split_names(studies)):
        rest = timeout
        if timeout is not None and found:
            rest = max(0.0, round(timeout - (time.monotonic() - began), 1))
        try:
            found.append(wait_with_progress(client, study.name, timeout=rest))
        except KeyboardInterrupt:
            text = without_wait(client, study.name)
            say(wrapped(text if sys.stderr.isatty() else f"qexp: interrupted; {text}"))
            return INTERRUPTED
        except TimeoutError as error:
            say(f"qexp: {error}")
            return 1
        if form != "json":
            echo(ending(found[-1]))
            if text := missing_results.note(client, study.name):
                say(wrapped(text))
    if form == "json":
        ended = [counts_json(counts) for counts in found]
        show_json(ended[0] if is_one_name(studies) else ended)
    return max(map(exit_status, found))


def ending(counts: StudyProgress) -> str:
    """Return a line about a finished study, with the command that shows failures."""
    parts = ", ".join(f"{number} {status}" for status, number in counts.counts.items() if number)
    hint = f"; see 'qexp errors {counts.study}'" if counts.counts[Status.FAILED] else ""
    from qexp.cli.status_table import pause_line

    pause = pause_line(counts)
    return f"{counts.study}: {parts or 'no experiments'}{hint}" + f"\n{pause}" * bool(pause)


def exit_status(counts: StudyProgress) -> int:
    """Return 0 if all experiments are done, otherwise 1."""
    return 0 if counts.counts[Status.DONE] == counts.total else 1
