"""The output of an attempt, as text that shows itself with its lines."""

from __future__ import annotations

import re
from typing import Self

from qexp.analysis.html_elements import visible

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_OVERWRITTEN = re.compile(r"[^\n]*\r(?!\n)")
"""The earlier states of a progress bar, which a terminal overwrites."""


class AttemptText(str):
    """
    The exact output of an attempt, and whether the attempt still runs.

    It shows itself without colours, without the earlier states of progress bars, and with escapes for other characters
    that control a terminal.
    """

    experiment: int
    attempt: int
    running: bool

    def __new__(cls, text: str, experiment: int, attempt: int, running: bool) -> Self:
        made = super().__new__(cls, text)
        made.experiment, made.attempt, made.running = experiment, attempt, running
        return made

    def __repr__(self) -> str:
        if self:
            return visible(_OVERWRITTEN.sub("", _COLOUR.sub("", self))).rstrip("\n")
        return f"attempt {self.attempt} of experiment {self.experiment} has no output{' yet' if self.running else ''}"
