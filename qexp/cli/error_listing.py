"""The error groups of `qexp errors`: a few lines each, with the command that repeats their experiments."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from rich.text import Text

from qexp.cli.folded_text import folded
from qexp.cli.output import console, say
from qexp.escapes import printable
from qexp.model import SHORT_GROUP, compact, counted
from qexp.store.selection.selectors import parse
from qexp.truncation import shortened, single_line

if TYPE_CHECKING:
    from qexp.store.reads.error_groups import ErrorGroup

_LINES = 3
"""The most lines of a message in a terminal."""
_PIPED = 300
"""The most characters of a message, a place or ids in a pipe."""
_INDENT = 16
_FEW = 60
"""The most characters of ids in a command; for more ids, it repeats the options of this command."""
_STUDIES = 10
"""The most studies that a command names; for more, it repeats the arguments of this command."""
_FILTERS = ("statuses", "failed", "error", "form")
"""Options that choose among failures or the format; the command to repeat a group has its own."""


def print_groups(groups: Sequence[ErrorGroup]) -> None:
    """Print a few lines per group: the error, its place, the experiments, and the command that requeues them."""
    targets, options = _selection(click.get_current_context())
    with_studies = not parse(targets).ids
    cut = False
    for group in groups:
        short = group.fingerprint[:SHORT_GROUP]
        block = Text()
        block.append(f"{short}  ", style="bold")
        block.append(f"{group.count} {group.failure}", style="bold red")
        head = len(block)
        block.append(f"  {_bounded(single_line(group.error_type), head + 2, 2)}")
        message = single_line(group.error_message)
        shown = _bounded(message, _INDENT, _LINES)
        others = _others(group)
        cut = cut or shown.endswith("…") or "…\n" in f"{others}\n"
        chosen = [*(group.studies if with_studies and len(group.studies) <= _STUDIES else targets), *options]
        if options and len(ids := compact(group.ids)) <= _FEW:
            chosen = [ids]
        for name, text in (
            ("message", shown),
            ("also", others),
            ("at", _bounded(group.error_frame or "", _INDENT, 2)),
            ("ids", _ids(group)),
            ("again", _command(["qexp", "requeue", *chosen, "--error", short])),
        ):
            if text:
                block.append(f"\n        {name:8}", style="dim")
                block.append(text)
        console().print(block, soft_wrap=True, highlight=False)
    if cut:
        say("messages that end in … are whole in 'qexp show ID' and with --format json")


def _bounded(text: str, indent: int, lines: int) -> str:
    """Return text in at most some lines of a terminal, or at most 300 characters in a pipe, with an ellipsis."""
    text = printable(text)
    if not console().is_terminal:
        return shortened(text, _PIPED)
    room = max(20, console().width - indent)
    found = folded(shortened(text, lines * room), indent, 0).split("\n")
    if len(found) <= lines:
        return "\n".join(found)
    return "\n".join([*found[: lines - 1], f"{found[lines - 1][: console().width - 1]}…"])


def _others(group: ErrorGroup) -> str:
    """Return other messages of a group, each in two lines at most, and the number of those that are not shown."""
    found = [_bounded(single_line(text) or "no message", _INDENT, 2) for text in group.other_messages]
    if found and group.messages is None:
        found.append("and perhaps more")
    elif group.messages is not None and (more := group.messages - 1 - len(found)) > 0:
        found.append(f"and {counted(more, 'other message')}")
    return f"\n{'':{_INDENT}}".join(found)


def _ids(group: ErrorGroup) -> str:
    """Return the ids of a group, cut after a comma to one line."""
    ids, room = compact(group.ids), (max(20, console().width - _INDENT) if console().is_terminal else _PIPED)
    if len(ids) <= room:
        return ids
    number = f" ({counted(group.count, 'experiment')})"
    return f"{ids[: room - len(number) - 1].rpartition(',')[0]},…{number}"


def _selection(context: click.Context) -> tuple[list[str], list[str]]:
    """Return the arguments and options of this command that choose experiments, without those that choose failures."""
    found: list[str] = []
    for option in context.command.params:
        value = context.params.get(option.name or "")
        if isinstance(option, click.Option) and value and option.name not in _FILTERS:
            found += [option.opts[-1]] if value is True else [option.opts[-1], str(value)]
    return list(context.params["targets"]), found


def _command(words: Sequence[str]) -> str:
    """Return a command for a shell; if it is wider than the terminal, it continues on the next line."""
    width = console().width - _INDENT - 2
    lines = [""]
    for word in map(_quoted, words):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(f"  {word}")
        else:
            lines[-1] = f"{lines[-1]} {word}".lstrip() if len(lines) == 1 else f"{lines[-1]} {word}"
    return f" \\\n{'':{_INDENT}}".join(lines)


def _quoted(word: str) -> str:
    """Quote a word for a shell; words with apostrophes get double quotes where these mean the same."""
    simple = "'" in word and not set("$`\\!") & set(word)
    return '"' + word.replace('"', '\\"') + '"' if simple else shlex.quote(word)
