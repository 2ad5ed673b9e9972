"""The commands delete, archive and prune."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from qexp.analysis.column_fitting import TableColumn
from qexp.cli.options import format_option, split_names
from qexp.cli.output import console, say, show_json, table, wrapped
from qexp.cli.terminal_writer import echo
from qexp.model import counted
from qexp.units import size_text

if TYPE_CHECKING:
    from qexp.client.pruning import Pruned
    from qexp.store.reads.deletion_plan import DeletionPlan


@click.command()
@click.argument("study")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for the study's name.")
@format_option
def delete_(study: str, yes: bool, form: str) -> None:
    """
    Delete a study for good: experiments, results, attempts, series, checkpoints, artifacts and snapshots.

    It says how much this is, and asks for the study's name. Files and snapshots that other studies have stay. While
    experiments run, it refuses. If it is interrupted, the same command continues. 'qexp archive' only hides a study.
    """
    from qexp.client import Client
    from qexp.client.study_bars import delayed_bar

    client = Client(keeps=True)
    plan = client.deletion(study)
    if plan is None:
        say(f"the deletion of {study} was interrupted, and continues")
    elif not yes:
        _ask(plan)
    try:
        with delayed_bar(plan.experiments if plan else 0) as progress:
            done = client.delete_study(study, progress)
    except KeyboardInterrupt:
        say(wrapped(f"the deletion of {study} is not complete; 'qexp delete {study}' continues it"))
        raise
    if form == "json":
        show_json(done)
        return
    echo(done.sentence)
    for left in done.left:
        say(wrapped(left.sentence))


def _ask(plan: DeletionPlan) -> None:
    """Say what a deletion removes, and ask for the study's name; without a terminal, refuse."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"{plan.study} has {counted(plan.experiments, 'experiment')}. Add -y to delete it")
    say("\n  ".join([f"{plan.study} will be deleted for good:", *_lines(plan)]))
    answer = click.prompt("Type the study's name to delete it", default="", show_default=False, err=True)
    if answer.strip() != plan.study:
        say(wrapped(f"found {answer!r}, expected {plan.study}: nothing was deleted"))
        raise SystemExit(2)


def _lines(plan: DeletionPlan) -> list[str]:
    """Return the lines about the parts of a study that it has."""
    from qexp.store.reads.deletion_plan import MOST_COUNTED

    waiting = f", {plan.waiting:,} of them have not run" if plan.waiting else ""
    lines = [f"{counted(plan.experiments, 'experiment')}{waiting}"]
    for number, noun in ((plan.attempts, "attempt"), (plan.points, "point"), (plan.rows, "row")):
        where = {"point": " of series", "row": " of lists"}.get(noun, "")
        many = f"more than {MOST_COUNTED:,} {noun}s" if where and number > MOST_COUNTED else counted(number, noun)
        lines += [f"{many}{where}"] * bool(number)
    for files, noun in ((plan.artifacts, "artifact"), (plan.checkpoints, "checkpoint")):
        lines += [files.text(noun)] * bool(files.number)
    if plan.snapshots.number:
        lines.append(f"{counted(plan.snapshots.number, 'snapshot')} of the code ({size_text(plan.snapshots.bytes)})")
    if plan.shared_snapshots:
        verb = "stays" if plan.shared_snapshots == 1 else "stay"
        lines.append(f"{counted(plan.shared_snapshots, 'snapshot')} {verb}: other studies have the same code")
    return lines


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
    names = [study.name for study in client.matching(split_names(studies))]
    changed = {study: client.unarchive(study) if undo else client.archive(study) for study in names}
    if form == "json":
        show_json([{"study": study, "archived": not undo, "changed": new} for study, new in changed.items()])
        return
    for study, new in changed.items():
        if undo:
            echo(f"{study} is {'back' if new else 'not archived'}")
        else:
            echo(f"{study} is {'' if new else 'already '}archived")
            say(wrapped(f"bring it back with 'qexp archive {study} --undo'"))


@click.command()
@click.option("-n", "--dry-run", is_flag=True, help="Say how much would be removed, and remove nothing.")
@format_option
def prune_(dry_run: bool, form: str) -> None:
    """
    Remove what nothing needs any more, and say how much it was.

    \b
      - experiments and files that interrupted deletions left
      - files in the artifacts that no attempt has recorded
      - snapshots of code in the database that no study has
      - rows of workers, silent for a week, that no attempt names
      - on this machine:
          unpacked snapshots of code
          scratch folders of dead workers
          incomplete files
          results that @qexp.cached kept for earlier sources of a function

    It leaves alone what a process uses. Unpacked snapshots come back when they are needed.
    """
    from qexp.client import Client

    done = Client(keeps=True).prune(dry_run)
    if form == "json":
        show_json(done)
        return
    _show_pruned(done)


def _show_pruned(done: Pruned) -> None:
    kinds = [kind for kind in done.kinds if kind.number]
    if kinds:
        numbers = [*(kind.number for kind in kinds), sum(kind.number for kind in kinds)]
        sizes = [*(kind.bytes for kind in kinds), done.bytes]
        columns = [
            TableColumn(
                "would be removed" if done.dry_run else "removed", [*(kind.kind for kind in kinds), "together"]
            ),
            TableColumn("number", [f"{number:,}" for number in numbers], right=True),
            TableColumn("size", list(map(size_text, sizes)), right=True),
        ]
        console().print(table(columns))
    else:
        echo("nothing to remove")
    for note in done.notes:
        say(wrapped(note))
