"""The commands status and wait."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from qexp.cli.options import Number, format_option, is_one_name, split_names
from qexp.cli.output import console, say, show_json
from qexp.cli.terminal_writer import echo
from qexp.model import Status

if TYPE_CHECKING:
    from qexp.client import Client
    from qexp.store.reads.study_progress import StudyProgress


@click.command()
@click.argument("study", required=False)
@click.option("--watch", is_flag=True, help="Show it live, until all experiments have finished or Ctrl-C.")
@click.option("--archived", is_flag=True, help="Show the archived studies, which are left out otherwise.")
@format_option
def status_(study: str | None, watch: bool, archived: bool, form: str) -> None:
    """Count the experiments of one study, or of all, by status."""
    from qexp.cli.listing_tables import status_table
    from qexp.client import Client

    if watch:
        _watch(Client(keeps=True), study)
        return
    found = Client().counts(study, archived)
    if form == "json":
        show_json([counts_json(counts) for counts in found])
    elif found:
        console().print(status_table(found))
    elif archived:
        say("no study is archived; 'qexp archive STUDY' archives one")
    else:
        say("there are no studies yet; start with 'qexp enqueue grid.yaml'")


def counts_json(counts: StudyProgress) -> dict[str, Any]:
    """Return the progress of a study as data."""
    return {
        "study": counts.study,
        "total": counts.total,
        **{str(status): number for status, number in counts.counts.items()},
        "rate": counts.rate,
        "seconds_left": counts.seconds_left,
        "paused_at": counts.paused_at,
        "pause_reason": counts.pause_reason,
        "archived_at": counts.archived_at,
    }


def _watch(client: Client, study: str | None) -> None:
    from rich.live import Live

    from qexp.cli.listing_tables import status_table
    from qexp.client.wait_for_study import pause

    with Live(console=console(), auto_refresh=False) as live:
        while True:
            began = time.monotonic()
            found = client.counts(study)
            took = time.monotonic() - began
            live.update(status_table(found), refresh=True)
            if all(counts.is_settled for counts in found):
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
    """
    from qexp.cli.progress import wait_with_progress
    from qexp.client import Client

    client = Client()
    began = time.monotonic()
    found: list[StudyProgress] = []
    for study in client.matching(split_names(studies)):
        rest = timeout
        if timeout is not None and found:
            rest = max(0.0, round(timeout - (time.monotonic() - began), 1))
        try:
            found.append(wait_with_progress(client, study.name, timeout=rest))
        except TimeoutError as error:
            say(f"qexp: {error}")
            return 1
        if form != "json":
            echo(ending(found[-1]))
    if form == "json":
        ended = [counts_json(counts) for counts in found]
        show_json(ended[0] if is_one_name(studies) else ended)
    return max(map(exit_status, found))


def ending(counts: StudyProgress) -> str:
    """Return a line about a finished study, with the command that shows failures."""
    parts = ", ".join(f"{number} {status}" for status, number in counts.counts.items() if number)
    hint = f"; see 'qexp errors {counts.study}'" if counts.counts[Status.FAILED] else ""
    from qexp.cli.listing_tables import pause_line

    pause = pause_line(counts)
    return f"{counts.study}: {parts or 'no experiments'}{hint}" + f"\n{pause}" * bool(pause)


def exit_status(counts: StudyProgress) -> int:
    """Return 0 if all experiments are done, otherwise 1."""
    return 0 if counts.counts[Status.DONE] == counts.total else 1
