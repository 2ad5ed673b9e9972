"""The options --install-completion and --show-completion."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import psutil

from qexp.cli.completion import SHELLS, VARIABLE
from qexp.cli.terminal_writer import echo, exact

_ANCESTORS = 5
"""The most processes above this one that are asked for the shell: `uv run qexp` has one in between."""


def script(cli: click.Command, shell: str) -> str:
    """Return the script that makes a shell complete `qexp`."""
    text = SHELLS[shell](cli, {}, "qexp", VARIABLE).source_template % {
        "complete_func": "_qexp_completion",
        "complete_var": VARIABLE,
        "prog_name": "qexp",
    }
    return f"{text.strip()}\n"


def show(cli: click.Command, shell: str | None) -> None:
    """Print the script of a shell, by default of the present one."""
    exact(script(cli, shell or present_shell()))


def install(cli: click.Command, shell: str | None) -> None:
    """Write the script of a shell, by default of the present one, where the shell loads it; say where."""
    target = _target(shell or present_shell(), os.environ)
    echo(f"{target.script}: {_written(target.script, script(cli, target.shell))}")
    if target.startup is not None:
        new = _add_line(target.startup, target.line)
        echo(f"{target.startup}: {'a line was added that loads it' if new else 'loads it already'}")
    echo(f"now open a new terminal, or run: {target.now}")


def present_shell() -> str:
    """
    Return the shell that started this process. If no shell did, return the one that SHELL names.

    Raises UsageError if neither is known.
    """
    process = psutil.Process()
    for parent in process.parents()[:_ANCESTORS]:
        name = str(parent.name()).lstrip("-")  # a login shell has a minus before its name
        if name in SHELLS:
            return name
    name = Path(os.environ.get("SHELL", "")).name
    if name not in SHELLS:
        raise click.UsageError(f"found no known shell, expected one of {', '.join(SHELLS)}, such as {_EXAMPLE}")
    return name


_EXAMPLE = "'qexp --install-completion bash'"


@dataclass(frozen=True)
class CompletionTarget:
    """The files by which a shell learns to complete `qexp`."""

    shell: str
    script: Path
    startup: Path | None
    """The file that gets a line; None: the shell finds the script by itself."""
    line: str
    now: str
    """The command that completes in the present terminal."""


def _target(shell: str, environ: Mapping[str, str]) -> CompletionTarget:
    home = Path.home()
    if shell == "fish":
        config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
        path = config / "fish" / "completions" / "qexp.fish"
        return CompletionTarget(shell, path, None, "", f"source {shlex.quote(str(path))}")
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    path = data / "qexp" / f"completion.{shell}"
    quoted = shlex.quote(str(path))
    load = f"if [ -r {quoted} ]; then . {quoted}; fi"
    if shell == "zsh":
        load = f"autoload -Uz compinit && (( $+functions[compdef] )) || compinit; {load}"
        startup = Path(environ.get("ZDOTDIR") or home) / ".zshrc"
    else:
        startup = home / ".bashrc"
    return CompletionTarget(shell, path, startup, f"{load}  # qexp: completion", f"exec {shell}")


def _written(path: Path, text: str) -> str:
    """Write a file if it is different, and say so."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return "is up to date"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return "written"


def _add_line(path: Path, line: str) -> bool:
    """Add a line at the end of a file. Returns False if the file has the line."""
    text = path.read_text(encoding="utf-8", errors="surrogateescape") if path.is_file() else ""
    if line in text.splitlines():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" * (text != "" and not text.endswith("\n")) + line + "\n")
    return True
