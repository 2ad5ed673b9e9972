"""The state of a folder in git: its commit, and the differences of its files from the commit."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qexp.source.forbidden_files import SECRETS, holds_private_key

TIMEOUT = 10.0  # seconds for each call of git
_CUT = 256 * 1024
_MOST_NAMES = 100
_QUIET = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "core.quotePath=false", "color.ui=false")
_PLAIN = ("--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short", "--src-prefix=a/", "--dst-prefix=b/")
_WITHOUT_SECRETS = (
    "--",
    ":(top)",
    *(f":(top,exclude,glob,icase)**/{name}{inside}" for name in SECRETS for inside in ("", "/**")),
)
_KEPT = ("GIT_CONFIG_", "GIT_EXEC_PATH", "GIT_CEILING_", "GIT_DISCOVERY_")


@dataclass(frozen=True)
class GitState:
    """
    The state of a repository: its commit, None before the first, and the changes since, staged or not.

    Files whose names are those of secrets do not count and are not shown.
    """

    commit: str | None
    dirty: bool
    diff: str


def state(folder: Path) -> GitState | None:
    """
    Return the state of the repository that contains *folder*.

    Returns None without git or a repository, or if git refuses, such as in a repository of another user. If git needs
    too long for the differences, the repository counts as dirty and the diff says so.
    """
    top = _git(folder, "rev-parse", "--show-toplevel")
    if not top:
        return None
    root = Path(os.fsdecode(top.removesuffix(b"\n")))
    commit = _line(_git(root, "rev-parse", "--quiet", "--verify", "HEAD^{commit}"))
    base = commit or _line(_git(root, "hash-object", "-t", "tree", "--stdin"))
    changes = _changes(root)
    tracked = [name for code, name in changes or () if code != "??"]
    diff = _git(root, "diff", *_PLAIN, base, *_WITHOUT_SECRETS) if tracked else b""
    if changes is None or diff is None:
        return GitState(
            commit or None, True, f"# git gave no diff: it failed, or took longer than {TIMEOUT:.0f} seconds\n"
        )
    untracked = [name for code, name in changes if code == "??"]
    return GitState(commit or None, bool(changes), _cut(diff) + _named(untracked))


def _changes(root: Path) -> list[tuple[str, str]] | None:
    """Return the differences from the commit as (code of git, name). A folder without tracked files is one entry."""
    options = ("--porcelain=v1", "-z", "--no-renames", "--untracked-files=normal", "--ignore-submodules=none")
    listing = _git(root, "status", *options, *_WITHOUT_SECRETS)
    if listing is None:
        return None
    return [(entry[:2], entry[3:]) for entry in _text(listing).split("\0") if entry]


def _cut(diff: bytes) -> str:
    """Return the first 256 KB of a diff, without files that hold a private key."""
    parts = re.split(rb"(?m)^(?=diff --git )", diff[:_CUT])
    text = _text(b"".join(part for part in parts if not holds_private_key(part))).replace("\0", "\ufffd")
    return text + "\n# cut: the diff is longer than 256 KB\n" if len(diff) > _CUT else text


def _named(untracked: Sequence[str]) -> str:
    def lines() -> Iterator[str]:
        for name in untracked[:_MOST_NAMES]:
            yield "# untracked: " + name.replace("\n", "?") + "\n"
        if len(untracked) > _MOST_NAMES:
            yield f"# untracked: {len(untracked) - _MOST_NAMES} more\n"

    return "".join(lines())


def _git(folder: Path, *arguments: str) -> bytes | None:
    """
    Return the output of git, about 256 KB at most. Returns None if git fails or takes too long.

    Git does not run the programs of the repository's settings: monitors, hooks, pagers and diff tools.
    """
    settings = (part for setting in _QUIET for part in ("-c", setting))
    command = ("git", "--no-pager", "-C", str(folder), *settings, *arguments)
    silent = subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            command, stdin=silent, stdout=subprocess.PIPE, stderr=silent, env=_environment(), process_group=0
        )
    except OSError:
        return None
    return _output(process)


def _output(process: subprocess.Popen[bytes]) -> bytes | None:
    watch = threading.Timer(TIMEOUT, _end, [process])
    watch.daemon = True
    watch.start()
    with process:
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            output = process.stdout.read(_CUT + 1)
            if len(output) <= _CUT:
                process.wait()
        finally:
            _end(process)
            watch.cancel()
    return output if process.returncode == 0 or len(output) > _CUT else None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill git and the filters that it started."""
    with suppress(ProcessLookupError):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def _environment() -> dict[str, str]:
    """Return the environment without variables that lead git to another repository, as inside of a hook."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name.startswith(_KEPT)}
    return kept | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}


def _text(output: bytes) -> str:
    return output.decode(errors="replace")


def _line(output: bytes | None) -> str:
    return _text(output or b"").strip()
