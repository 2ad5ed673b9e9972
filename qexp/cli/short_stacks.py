"""Shorten the stacks of ended processes in an output, which arrives in pieces, as `qexp show` shortens them."""

from __future__ import annotations

import re

from qexp.cli.traceback_text import own_frames_left_out

_HEAD = "Fatal Python error: "
_SNAPSHOT = re.compile(r'(?<=  File ")[^"\n]*/sources/[0-9a-f]{64}/')
"""The folder of an unpacked snapshot, whose name tells nothing."""


class ShortStacks:
    """Leaves out frames of qexp in stacks that faulthandler printed into an output; other text stays as it is."""

    def __init__(self) -> None:
        self.left_out = 0
        """The frames that were left out."""
        self._held = ""

    def write(self, text: str) -> str:
        """Return a piece without frames of qexp. A stack at its end is held until more text shows that it ended."""
        text, self._held, shown = self._held + text, "", ""
        while (start := text.find(_HEAD)) >= 0:
            shown, text = shown + text[:start], text[start:]
            end = _end(text)
            if end is None:
                self._held = text
                return shown
            shown, text = shown + self._short(text[:end]), text[end:]
        begun = next((size for size in range(len(_HEAD) - 1, 0, -1) if text.endswith(_HEAD[:size])), 0)
        self._held = text[len(text) - begun :]
        return shown + text[: len(text) - begun]

    def end(self) -> str:
        """Return the held rest after the last piece."""
        text, self._held = self._held, ""
        return self._short(text) if text.startswith(_HEAD) else text

    def _short(self, stack: str) -> str:
        text, number = own_frames_left_out(stack.rstrip())
        if not number:
            return stack
        self.left_out += number
        return _SNAPSHOT.sub("", f"{text}\n")


def _end(text: str) -> int | None:
    """Return the length of the stack at the beginning of a text. Returns None if more of it may follow."""
    from qexp.worker.attempt.crash_stack import stack_lines

    lines = text.split("\n")[:-1]  # the last one may not be whole yet
    found = list(stack_lines(lines))
    return len("\n".join(found)) + 1 if len(found) < len(lines) else None
