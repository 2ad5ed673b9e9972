"""The Python stack of a process that a signal ended: faulthandler prints it, and the error of the attempt keeps it."""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import os
import re
from collections.abc import Iterator
from pathlib import Path
from traceback import FrameSummary

from qexp.model import Error
from qexp.worker.attempt import failure

SIGNALS = frozenset({"SIGSEGV", "SIGFPE", "SIGABRT", "SIGBUS", "SIGILL"})
"""The signals for which faulthandler prints the stack. No handler can catch SIGKILL."""
_TAIL = 262_144
"""Bytes at the end of the output in which a stack is looked for."""
_HEAD = b"Fatal Python error: "
_THREAD = re.compile(r"(Current thread|Thread) 0x[0-9a-f]+.* \(most recent call first\):")
_FRAME = re.compile(r'  File "(.*)", line (\d+|\?\?\?) in (.*)')
_OTHER = re.compile(r"  (<.*>|\.\.\.|Binary file .*|Garbage-collecting)|Current thread's C stack trace .*")
_CALLER = "/qexp/worker/attempt/function_call.py"


def print_stacks(output: int) -> None:
    """
    Print the stack into the file *output*, a descriptor, if a signal ends this process.

    Call it before each attempt: the last one may have chosen another file.
    """
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # no stack is better than no attempt
        faulthandler.enable(output)


def forget() -> None:
    """Let the next `print_stacks` install all handlers, after an experiment has replaced some of them."""
    faulthandler.disable()


def with_stack(error: Error, output: Path, folder: Path | None = None, original: Path | None = None) -> Error:
    """
    Return the error of a dead process with the stack in its *output*, if a signal ended it and there is a stack.

    The user's frames are below *folder*, or *original* for people. They tell errors with the same signal apart.
    """
    text = _last_stack(output) if error.signal in SIGNALS and error.traceback is None else ""
    if not text:
        return error
    frames = list(failure.user_frames(list(_frames(text)), folder))
    last = frames[-1] if frames else None
    marks = [error.message, *failure.marks(frames, folder)]
    return dataclasses.replace(
        error,
        frame=failure.frame_of(last.filename, last.lineno or 0, last.name, folder) if last else None,
        fingerprint=failure.fingerprint(error.type, marks) if frames else error.fingerprint,
        traceback=failure.relocated(failure.stored(text), folder, original),
    )


def _last_stack(output: Path) -> str:
    """Return the last stack in an output. Returns an empty text if there is none."""
    try:
        with output.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            _, head, stack = file.read().rpartition(_HEAD)
    except OSError:
        return ""
    return "\n".join(stack_lines((head + stack).decode(errors="replace").splitlines())).rstrip() if head else ""


def stack_lines(lines: list[str]) -> Iterator[str]:
    """Yield those of an output's lines that belong to the stack at its beginning."""
    for number, line in enumerate(lines):
        known = not line or _THREAD.match(line) or _FRAME.match(line) or _OTHER.match(line)
        if number and not (known or line.startswith(("Python runtime state:", "Extension modules:"))):
            return
        yield line


def _frames(stack: str) -> Iterator[FrameSummary]:
    """Yield the frames of the thread that received the signal, the outermost one first, without those of a pool."""
    threads = re.split(r"\n(?=(?:Current thread|Thread) 0x)", stack)
    current = next((thread for thread in threads if thread.startswith("Current thread")), threads[-1])
    found = []
    for file, line, name in _FRAME.findall(current):
        if file.endswith(_CALLER):
            break
        found.append(FrameSummary(file, int(line) if line.isdigit() else 0, name, lookup_line=False))
    yield from reversed(found)
