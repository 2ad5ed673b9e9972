"""The command `qexp`: it imports only the called command, and prints an error as one line."""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from io import TextIOWrapper
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from qexp.argument_spelling import use_options
from qexp.cli.terminal_writer import echo, open_closed, out
from qexp.errors import QexpError, nearest

INTERRUPTED = 130
_COMPLETION = "_QEXP_COMPLETE"
"""Set by a shell that completes a line; see `qexp.cli.completion`."""


class CommandEntry(NamedTuple):
    """The module of a command, and its line in `--help`, which needs no import."""

    module: str
    help: str


SECTIONS: Mapping[str, Mapping[str, CommandEntry]] = {
    "Run experiments": {
        "init": CommandEntry("init", "Write a first grid for a function, or an example."),
        "run": CommandEntry("run", "Enqueue a grid, run it on this machine and show the results."),
        "enqueue": CommandEntry("enqueue", "Add the experiments of a grid and queue them for the workers."),
        "diff": CommandEntry("grid", "Show what enqueueing a grid would change; writes nothing."),
        "worker": CommandEntry("worker", "Run experiments on this machine until stopped."),
        "wait": CommandEntry("status", "Wait until all experiments of studies have finished."),
        "requeue": CommandEntry("control", "Run finished experiments again."),
        "accept": CommandEntry("control", "Accept the kept parts of failed experiments as their results."),
        "pause": CommandEntry("control", "Pause studies: their running experiments are given back."),
        "resume": CommandEntry("control", "Resume paused studies, or experiments that paused themselves."),
        "cancel": CommandEntry("control", "Cancel experiments that wait or run."),
    },
    "Look at them": {
        "status": CommandEntry("status", "Count the experiments of studies by status."),
        "list": CommandEntry("experiment_list", "List experiments with their parameters and results."),
        "show": CommandEntry("show", "Show all about an experiment: parameters, result, attempts."),
        "explain": CommandEntry("show", "Say why an experiment is in its state, and how to change it."),
        "workers": CommandEntry("worker_list", "List the workers: host, state, experiments, last heartbeat."),
        "errors": CommandEntry("show", "Group failures by error, each with the command to run them again."),
        "logs": CommandEntry("records", "Print the output of an experiment."),
        "metrics": CommandEntry("records", "Show the series that experiments have recorded, and their lists."),
        "artifacts": CommandEntry("records", "List the artifacts of experiments, or copy them to this machine."),
        "source": CommandEntry("records", "Show the exact code that an experiment ran."),
        "debug": CommandEntry("debug", "Run one experiment in this process and write nothing."),
        "monitor": CommandEntry("worker", "Watch workers and experiments in the browser (Flower)."),
    },
    "Summarize them": {
        "table": CommandEntry("table", "Show a metric over parameters, as mean ± std over seeds."),
        "coverage": CommandEntry("coverage", "Count the done experiments of each cell, with reasons for gaps."),
        "compare": CommandEntry("compare", "Compare methods or studies in pairs: difference, wins, p."),
        "plot": CommandEntry("plot", "Draw results over parameters, or series over steps."),
        "report": CommandEntry("report", "Write all about a study to one .html file."),
        "stale": CommandEntry("stale", "Say which results come from older settings or code."),
        "export": CommandEntry("show", "Write experiments to a .csv, .parquet or .json file."),
    },
    "Clean up": {
        "delete": CommandEntry("cleanup", "Delete a study for good: its experiments, results and files."),
        "archive": CommandEntry("cleanup", "Leave finished studies out of 'qexp status': they stay loadable."),
        "prune": CommandEntry("cleanup", "Remove what nothing needs any more: caches, scratch, leftovers."),
    },
    "Services and help": {
        "up": CommandEntry("services", "Start the embedded Postgres and Valkey."),
        "down": CommandEntry("services", "Stop the embedded Postgres and Valkey; their data are kept."),
        "doctor": CommandEntry("doctor", "Check every part of qexp, with the command that repairs it."),
        "config": CommandEntry("services", "Show each setting, its value and where it came from."),
        "db": CommandEntry("services", "Migrate the database, or print its roles."),
        "grid": CommandEntry("grid", "Help with writing grid files."),
    },
}
VERBS = {name: verb for section in SECTIONS.values() for name, verb in section.items()}


class ClosedPipeError(Exception):
    """The reader of the output, such as `head`, has closed the pipe."""


@contextmanager
def _closed_pipes() -> Iterator[None]:
    """Raise ClosedPipeError for a closed pipe. Click and rich would exit with 1."""
    try:
        yield
    except (OSError, SystemExit) as error:
        cause = error.__context__ if isinstance(error, SystemExit) else error
        if isinstance(cause, OSError) and cause.errno == errno.EPIPE:
            raise ClosedPipeError from error
        raise


class Commands(click.Group):
    """A group that imports only the called command, so that `qexp --help` is fast."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with _closed_pipes():  # of --help
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _closed_pipes():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Return the commands that begin like a word, without their imports, and the options."""
        names = [name for name in VERBS if name.startswith(incomplete)]
        return [CompletionItem(name, help=VERBS[name].help) for name in names] + click.Command.shell_complete(
            self, ctx, incomplete
        )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = import_module(f"qexp.cli.{VERBS[cmd_name].module}")
        found: click.Command = getattr(module, f"{cmd_name}_")
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            ctx.fail(f"there is no command {args[0]!r}{nearest(args[0], VERBS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, verbs in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, verb.help) for name, verb in verbs.items()])


def _completion_option(verb: str, help_: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the decorator of an option that a function of `completion_install` answers."""

    def answer(context: click.Context, _: click.Parameter, shell: str | None) -> None:
        if shell is None or context.resilient_parsing:
            return
        from qexp.cli import completion_install

        getattr(completion_install, verb)(context.command, None if shell == _PRESENT else shell)
        context.exit()

    return click.option(
        f"--{verb}-completion",
        type=click.Choice(["bash", "zsh", "fish", _PRESENT]),
        is_flag=False,
        flag_value=_PRESENT,
        metavar="[SHELL]",
        is_eager=True,
        expose_value=False,
        callback=answer,
        help=help_,
    )


_PRESENT = "auto"
"""Stands for the shell that started this process."""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="qexp")
@_completion_option("install", "Make the shell complete commands, studies and columns; SHELL: bash, zsh or fish.")
@_completion_option("show", "Print the script that --install-completion installs.")
def qexp() -> None:
    """
    From one Python function and a grid.yaml to ten thousand experiments.

    Begin with 'qexp init', then 'qexp run grid.yaml'. Every command that takes several experiments takes names of
    studies, patterns such as 'lenet*', ids such as 17,19-23, --status, --failed, --error, --orphaned, --current,
    --stale, --where, --since and --host. The commands explain, logs, source and debug take the id of one experiment.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0, 1 if experiments failed, 2 on bad input, 3 if a service is out of reach."""
    gc.set_threshold(200_000, 10, 10)  # imports create no garbage; collection would take 10 % of a short command
    open_closed()
    use_options()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # so that an ASCII terminal causes no error
            stream.reconfigure(errors="backslashreplace")
    status = _status(arguments)
    gc.freeze()  # otherwise the interpreter collects garbage at exit, which takes 130 ms
    raise SystemExit(status)


def _status(arguments: Sequence[str] | None) -> int:
    if (instruction := os.environ.get(_COMPLETION)) is not None:
        from qexp.cli.completion import respond

        return respond(qexp, instruction)
    try:
        status = qexp.main(arguments, prog_name="qexp", standalone_mode=False)
        with _closed_pipes():
            out().flush()
    except ClosedPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out().fileno())
        return 0
    except QexpError as error:
        _say_error(str(error))
        return error.exit_status
    except click.UsageError as error:
        _usage(error)
        return error.exit_code
    except click.ClickException as error:
        _say_error(error.format_message())
        return 2
    except (click.Abort, KeyboardInterrupt):
        echo("qexp: interrupted", err=True)
        return INTERRUPTED
    except OSError as error:
        _say_error(f"{error.filename or 'the output'}: {(error.strerror or str(error)).lower()}")
        return 2
    return status if isinstance(status, int) else 0


def _usage(error: click.UsageError) -> None:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        echo(error.format_message(), err=True)
        return
    where = f"; see '{error.ctx.command_path} --help'" if error.ctx is not None else ""
    message = error.format_message().rstrip(".")
    _say_error(f"{message[0].lower() + message[1:]}{where}")


def _say_error(text: str) -> None:
    """Print an error to stderr, on a terminal in lines that fit."""
    text = f"qexp: {text}"
    if sys.stderr.isatty():
        from qexp.cli.message_lines import message_lines

        text = message_lines(text, os.get_terminal_size(sys.stderr.fileno()).columns)
    echo(text, err=True)
