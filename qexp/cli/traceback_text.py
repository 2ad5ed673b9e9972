"""Shorten stored tracebacks for people: frames of qexp and of the pool that called it are left out."""

from __future__ import annotations

import re
from pathlib import Path

_FRAME = re.compile(r'(?P<edge>[ |]*)  File "(?P<file>.*?)", line (\d+|\?\?\?),? in ')
_PACKAGE = Path(__file__).parents[1]
_CALLER = "worker/attempt/function_call.py"
_HEADS = ("Traceback (most recent call last):", "Exception Group Traceback (most recent call last):")


def is_stack(text: str) -> bool:
    """Say whether a stored traceback is the stack that faulthandler printed when a signal ended the process."""
    return text.startswith("Fatal Python error: ")


def own_frames_left_out(text: str) -> tuple[str, int]:
    """
    Return a traceback, or a stack by faulthandler, without frames of qexp; and the number of frames left out.

    A frame is one of qexp if its file is in this package, wherever the package is on the host of the attempt.
    """
    if is_stack(text):
        return _stack(text)
    kept, number = list[str](), 0
    lines = iter(text.split("\n"))
    hidden: str | None = None
    for line in lines:
        frame = _FRAME.match(line)
        if frame is not None:
            hidden = f"{frame['edge']}    " if _is_own(frame["file"]) else None
            number += hidden is not None
        if hidden is None:
            kept.append(line)
        elif frame is None and not line.startswith((hidden, hidden[:-2] + "[Previous line repeated")):
            hidden = None
            kept.append(line)
    return "\n".join(_without_empty_heads(kept)), number


def _without_empty_heads(lines: list[str]) -> list[str]:
    """Return the lines without heads of tracebacks that have lost all frames."""
    following = [*lines[1:], ""]
    return [
        line
        for line, after in zip(lines, following, strict=True)
        if not line.strip(" |+-").startswith(_HEADS) or _FRAME.match(after)
    ]


def _stack(text: str) -> tuple[str, int]:
    """Leave out the threads of qexp, and the frames of the pool below the call of the function."""
    head, *threads = re.split(r"\n(?=(?:Current thread|Thread) 0x)", text.partition("\nExtension modules:")[0])
    found = [head.rstrip()]
    for thread in threads:
        current = thread.startswith("Current thread")
        owned = [_own_part(frame["file"]) for line in thread.split("\n") if (frame := _FRAME.match(line))]
        if not current and any(owned) and _CALLER not in owned:
            continue
        kept = list[str]()
        for line in thread.rstrip().split("\n"):
            frame = _FRAME.match(line)
            part = _own_part(frame["file"]) if frame else None
            if part == _CALLER:
                break
            if part is None:
                kept.append(line)
        found.append("\n".join(kept))
    shown = "\n\n".join(found)
    return shown, _count(text) - _count(shown)


def _count(text: str) -> int:
    return sum(_FRAME.match(line) is not None for line in text.split("\n"))


def _is_own(file: str) -> bool:
    return _own_part(file) is not None


def _own_part(file: str) -> str | None:
    """Return the path of a file within qexp. Returns None if it belongs to no qexp."""
    _, package, part = file.rpartition("/qexp/")
    return part if package and part and (_PACKAGE / part).is_file() else None
