"""The command `qexp stale`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from qexp.cli.options import format_option
from qexp.cli.output import say, show_json, wrapped
from qexp.cli.terminal_writer import echo

if TYPE_CHECKING:
    from qexp.store.reads.staleness_model import Outdated, Staleness


@click.command()
@click.argument("study")
@format_option
def stale_(study: str, form: str) -> None:
    """
    Say which results come from older settings or code.

    A changed setting, another function, or another content of a file that the attempt imported makes a result stale. A
    file that it did not import makes nothing stale. The last enqueue or requeue made the newest revision.
    """
    from qexp.client import Client
    from qexp.client.staleness import stale

    found = stale(Client(), study)
    if form == "json":
        show_json(_data(found))
        return
    for line in found.lines():
        echo(line)
    if found.count:
        echo(f"run them again with 'qexp requeue {study} --stale'")
    if hint := found.hint():
        say(wrapped(hint))


def _data(found: Staleness) -> dict[str, Any]:
    return {
        "study": found.study,
        "revision": found.revision,
        "done": found.done,
        "stale": found.count,
        "groups": [_group(group) for group in found.outdated],
        "folder": found.folder,
        "edited": found.edited,
    }


def _group(group: Outdated) -> dict[str, Any]:
    settings = {name: {"before": before, "after": after} for name, (before, after) in group.settings.items()}
    return {**vars(group), "settings": settings}
