"""Run commands in a pseudo-terminal of a given width, and compare what a person sees with a file."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname

import pytest
from rich.cells import cell_len
from tests_support import PATIENCE

EXPECTED = Path(__file__).parent / "data" / "terminal"
_CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_=>])|\x07")
_VARIES = (
    (r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?(?:\+\d\d:?\d\d)?", "<date>"),
    (r"\b\d[\d,.]* ?(?:ms|s|min|h|d|days?)\b(?: \d+ (?:ms|s|min|h)\b)?", "<time>"),
    (r"\b\d[\d,.]*/(?:s|min|h|d)\b", "<rate>"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<uuid>"),
)
"""Patterns of text that differs between two runs of the same command, with their placeholders."""


@dataclass(frozen=True)
class Screen:
    """What a command wrote to its terminal: `text` has no control sequences. `status` is the exit status."""

    text: str
    raw: str
    status: int
    columns: int

    def matches(self, name: str, replace: Mapping[str, str] | None = None) -> None:
        """
        Assert that the text is that of `tests/data/terminal/NAME.COLUMNS.txt`.

        *replace* maps texts of this run (the name of a study, an id as a whole word) to stable ones. Dates, durations,
        rates, the host and the widths of gaps and rules do not count. WRITE_SNAPSHOTS=1 writes the file: read it
        before you commit it.
        """
        file = EXPECTED / f"{name}.{self.columns}.txt"
        found = _stable(self.text, replace or {})
        if os.environ.get("WRITE_SNAPSHOTS"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(found, encoding="utf-8")
        assert found == file.read_text(encoding="utf-8"), f"{file.name} differs; the terminal shows:\n{self.text}"


def terminal(
    *command: object,
    columns: int = 80,
    keys: Sequence[tuple[str, str]] = (),
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
    seconds: float = PATIENCE,
) -> Screen:
    """
    Run a command in a pseudo-terminal, and assert that no line is wider than it.

    The command `qexp` is that of this Python. *keys* are pairs: once the first text has appeared, the second one is
    typed ("y\\n"; Ctrl-C is "\\x03"). At a question, type Enter after Ctrl-C: Python's `input` notices an interrupt
    between its question and its read only once it has read a line. The command's process group is killed if it runs
    for more than *seconds*.
    """
    line = [str(part) for part in command]
    if line[0] == "qexp":
        line[:1] = [sys.executable, "-m", "qexp"]
    main, other = pty.openpty()
    termios.tcsetwinsize(other, (50, columns))
    process = subprocess.Popen(
        line,
        stdin=other,
        stdout=other,
        stderr=other,
        cwd=cwd,
        env=_environment(environ or {}),
        start_new_session=True,
        preexec_fn=_own_terminal,  # noqa: PLW1509 - it only makes system calls
    )
    os.close(other)
    try:
        raw = _conversation(main, list(keys), time.monotonic() + seconds, process)
        status = process.wait(PATIENCE)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(main)
    text = _plain(raw)
    wide = [shown for shown in text.split("\n") if cell_len(shown) > columns]
    assert not wide, f"wider than {columns} columns: {wide}"
    return Screen(text, raw, status, columns)


def _own_terminal() -> None:
    """Let Ctrl-C in the terminal reach the command, even if the tests run where interrupts are ignored."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    without = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    kept = {name: value for name, value in os.environ.items() if name not in without}
    return {**kept, "TERM": "xterm-256color", **more}


def _conversation(main: int, keys: list[tuple[str, str]], deadline: float, process: subprocess.Popen[bytes]) -> str:
    """Read until the command closes its terminal. Type each answer after its question, which follows the last one."""
    read, seen = b"", 0
    while True:
        if keys and (at := read.decode(errors="replace").find(keys[0][0], seen)) >= 0:
            seen = at + len(keys[0][0])
            os.write(main, keys.pop(0)[1].encode())
        if not select.select([main], [], [], max(0, deadline - time.monotonic()))[0]:
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail(f"{process.args} has not ended; it wrote:\n{_plain(read.decode(errors='replace'))}")
        try:
            piece = os.read(main, 65536)
        except OSError as error:  # Linux says so when the last process has closed the terminal
            assert error.errno == errno.EIO
            piece = b""
        if not piece:
            assert not keys, f"never shown: {keys[0][0]!r}; it wrote:\n{_plain(read.decode(errors='replace'))}"
            return read.decode()
        read += piece


def _plain(raw: str) -> str:
    """Return the text without control sequences; of a line that was written several times, the last version."""
    lines = _CONTROL.sub("", raw).replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2].rstrip() for line in lines)


def _stable(text: str, replace: Mapping[str, str]) -> str:
    for found in sorted(replace, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(found)}(?!\w)", replace[found], text)
    for pattern, placeholder in _VARIES:
        text = re.sub(pattern, placeholder, text)
    text = text.replace(gethostname(), "<host>")
    text = re.sub(r"(?<=\S) {2,}", "  ", text)
    return re.sub("([─━])+", r"\1", text).rstrip("\n") + "\n"
