"""
Answers to a shell that completes a command line: commands, options, studies, columns and so on.

The shell waits for each answer, so nothing here imports the client.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    shell_complete,
)

from qexp.cli.terminal_writer import printable

if TYPE_CHECKING:
    from qexp.store.reads.suggestions import ChosenTargets, Suggestions

VARIABLE = "_QEXP_COMPLETE"
"""The environment variable by which a shell asks for completions."""

Find = Callable[["Suggestions", "ChosenTargets", str], Sequence[str | tuple[str, str]]]
"""Returns suggestions for the beginning of a word, some with a description."""


def respond(cli: click.Command, instruction: str) -> int:
    """
    Print the completions that a shell asks for, and return the exit status.

    Without a database, or on any other problem, there are fewer suggestions and no message: the person is in the
    middle of typing a line.
    """
    if not instruction.endswith("_complete"):  # --show-completion prints the script
        return 1
    sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the process ends
    try:
        return shell_complete(cli, {}, "qexp", VARIABLE, instruction)
    except Exception:  # noqa: BLE001 - a traceback would destroy the line that is being typed
        return 0


class _Completion(ShellComplete):
    """Completes the values of options and arguments that name something in the database."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Return the completions of a word; see `click.shell_completion.ShellComplete.get_completions`."""
        from click.shell_completion import _resolve_context, _resolve_incomplete

        args = [word for word in args if word != "="]  # bash makes three words of --sort=acc
        context = _resolve_context(self.cli, self.ctx_args, self.prog_name, args)
        option, equals, value = incomplete.partition("=")
        if equals and option.startswith("--"):  # zsh and fish replace the whole word
            return [_prefixed(f"{option}=", item) for item in self.get_completions([*args, option], value)]
        if args and args[-1] == "--sort" and incomplete.startswith("-"):  # it is no option: the largest first
            return [_prefixed("-", item) for item in self.get_completions(args, incomplete[1:])]
        found, word = _resolve_incomplete(context, args, incomplete)
        find = _finder(context, found)
        if find is None:
            return found.shell_complete(context, word)
        items = list(_items(find, _targets(context), word, isinstance(found, click.Option) and "--sort" in found.opts))
        takes_file = context.info_name == "table" and isinstance(found, click.Argument)  # of a paper's tables
        return items or [CompletionItem(word, type="file")] * takes_file


def _prefixed(text: str, item: CompletionItem[str]) -> CompletionItem[str]:
    return CompletionItem(f"{text}{item.value}", item.type, item.help)


def _items(find: Find, given: ChosenTargets, word: str, signed: bool) -> Iterator[CompletionItem[str]]:
    """Yield suggestions for a word, of a list after its last comma, and after a minus if the names are signed."""
    from qexp.settings import load
    from qexp.store.reads.suggestions import suggestions

    before, comma, start = word.rpartition(",")
    taken = before.split(",")
    sign = "-" * (signed and start.startswith("-"))
    start = start[len(sign) :]
    settings = load()
    if settings.database_url is None:
        return
    with suggestions(settings) as source:
        for name in find(source, given, start):
            text, help_ = name if isinstance(name, tuple) else (name, None)
            if text.startswith(start) and text not in taken and text == printable(text):
                yield CompletionItem(before + comma + sign + text, help=help_)


def _finder(context: click.Context, parameter: click.Command | click.Parameter) -> Find | None:
    """Return the function that finds values of a parameter; None: click knows the values."""
    if isinstance(parameter, click.Argument):
        return _ARGUMENTS.get(parameter.name or "")
    if not isinstance(parameter, click.Option):
        return None
    command = context.info_name or ""
    for name in parameter.opts:
        if (find := _OF_COMMANDS.get((command, name)) or _OPTIONS.get(name)) is not None:
            return find
    return None


def _targets(context: click.Context) -> ChosenTargets:
    """Return the studies and ids that the line already has."""
    from qexp.store.reads.suggestions import ChosenTargets

    given = [context.params.get(name) for name in _ARGUMENTS]
    words = [word for one in given if one for word in ([one] if isinstance(one, str) else one)]
    words += context.args  # after an option that lacks its value, click has not assigned the arguments yet
    parts = [part for word in words for part in word.split(",")]
    ids = [int(part.partition("-")[0]) for part in parts if part[:1].isdecimal()]
    patterns = [part.replace("_", r"\_").replace("*", "%").replace("?", "_") for part in parts if set(part) & {*"*?"}]
    return ChosenTargets([part for part in parts if not part[:1].isdecimal()], patterns, ids)


def _studies(source: Suggestions, _: ChosenTargets, start: str) -> Sequence[str]:
    return source.studies(start)


def _all_columns(source: Suggestions, given: ChosenTargets, _: str) -> Sequence[str]:
    known = source.columns(given)
    return [*known.parameters, *known.results, *known.facts]


def _parameters(source: Suggestions, given: ChosenTargets, _: str) -> Sequence[str]:
    return source.columns(given).parameters


def _results(source: Suggestions, given: ChosenTargets, _: str) -> Sequence[str]:
    return source.columns(given).results


def _parameters_and_results(source: Suggestions, given: ChosenTargets, _: str) -> Sequence[str]:
    known = source.columns(given)
    return [*known.parameters, *known.results]


def _results_and_series(source: Suggestions, given: ChosenTargets, _: str) -> Sequence[str]:
    return [*dict.fromkeys([*source.columns(given).results, *source.records("metric", given)])]


def _errors(source: Suggestions, given: ChosenTargets, _: str) -> Sequence[tuple[str, str]]:
    return [(group, f"{number:,} failed") for group, number in source.error_groups(given)]


def _hosts(source: Suggestions, _: ChosenTargets, __: str) -> Sequence[str]:
    return source.hosts()


def _records(table: str) -> Find:
    return lambda source, given, _: source.records(table, given)


_ARGUMENTS: Mapping[str, Find] = {"targets": _studies, "studies": _studies, "study": _studies}
_OPTIONS: Mapping[str, Find] = {
    **dict.fromkeys(["--rows", "--over", "--average", "--best", "--per", "--facet", "--by"], _parameters),
    "--columns": _all_columns,
    "--error": _errors,
    "--get": _records("artifact"),
    "--host": _hosts,
    "--list": _records("entry"),
    "--metric": _results,
    "--name": _records("metric"),
    "--sort": _all_columns,
    "--where": _all_columns,
    "--x": _parameters_and_results,
}
_OF_COMMANDS: Mapping[tuple[str, str], Find] = {
    **{(command, "--columns"): _parameters for command in ("table", "coverage", "report")},
    ("table", "--by"): _results,
    ("table", "--sort"): lambda *_: ("grid", "name", "value"),
    ("plot", "--metric"): _results_and_series,
}
"""Options that have other values in a command than in the others."""


class _Bash(_Completion, BashComplete):
    """Completion in bash. The bash of macOS is old: it has neither `nosort` nor `compopt`."""

    source_template = BashComplete.source_template.replace(
        "complete -o nosort -F %(complete_func)s %(prog_name)s",
        "complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null ||\n"
        "        complete -o default -F %(complete_func)s %(prog_name)s",
    ).replace("compopt -o default", "compopt -o default 2>/dev/null")


class _Zsh(_Completion, ZshComplete):
    """Completion in zsh."""


class _Fish(_Completion, FishComplete):
    """Completion in fish."""

    # a value may have commas
    source_template = FishComplete.source_template.replace('string split ","', 'string split --max 1 ","')


SHELLS: Mapping[str, type[Any]] = {made.name: add_completion_class(made) for made in (_Bash, _Zsh, _Fish)}
