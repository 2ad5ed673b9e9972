"""The command archive."""

from __future__ import annotations

import click

from qexp.cli.options import format_option
from qexp.cli.output import show_json
from qexp.cli.terminal_writer import echo


@click.command()
@click.argument("studies", nargs=-1, required=True, metavar="STUDY...")
@click.option("--undo", is_flag=True, help="Bring archived studies back.")
@format_option
def archive_(studies: tuple[str, ...], undo: bool, form: str) -> None:
    """
    Leave finished studies out of 'qexp status' and of lists of all studies.

    Their experiments stay: every command that is given the study's name finds them. 'qexp status --archived' lists
    archived studies. An enqueue or a requeue brings a study back.
    """
    from qexp.client import Client

    client = Client()
    changed = {study: client.unarchive(study) if undo else client.archive(study) for study in dict.fromkeys(studies)}
    if form == "json":
        show_json([{"study": study, "archived": not undo, "changed": new} for study, new in changed.items()])
        return
    for study, new in changed.items():
        if undo:
            echo(f"{study} is {'back' if new else 'not archived'}")
        else:
            echo(f"{study} is {'' if new else 'already '}archived; bring it back with 'qexp archive {study} --undo'")
