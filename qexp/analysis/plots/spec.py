"""The request for a picture, with the checks that need no data."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from qexp.errors import MissingLibraryError, OptionError, nearest

if TYPE_CHECKING:
    from qexp.analysis.statistics.statistic_names import Statistic

KINDS = ("line", "box", "scatter", "heatmap", "curve")
ALLOWED = ("open", "mixed")
LOGS = ("x", "y", "xy")
STYLES = ("paper", "screen")

_SIZE = re.compile(r"([0-9.]+)\s*[x×]\s*([0-9.]+)")  # noqa: RUF001 - people paste the sign of multiplication
_SMALLEST, _LARGEST = 1.0, 60.0
"""Inches of a side of a picture."""
_NEEDS = {"line": ("x",), "box": ("x",), "scatter": ("x",), "heatmap": ("x", "by"), "curve": ()}
_LOGS_OF = {"box": ("y",), "heatmap": ()}
_WITHOUT_STATISTIC = ("box", "scatter")


@dataclass(frozen=True)
class PlotSpec:
    """A picture as a person asks for it. Raises OptionError if its parts contradict each other."""

    kind: str
    """One of KINDS."""
    metric: str
    """A result; for `curve` a series."""
    x: str | None = None
    """A parameter; for `scatter` any column of numbers. None for `curve`."""
    by: str | None = None
    """The parameter with a line, box or colour per value; for `heatmap` its vertical axis."""
    over: tuple[str, ...] | None = None
    """The parameters whose values are the replicates. None: `seed`, if the study has it."""
    facet: str | None = None
    """The parameter with a panel per value."""
    log: str = ""
    """The axes with a logarithmic scale: x, y or xy."""
    statistic: str | None = None
    """A name of `qexp.analysis.statistics`. None: mean±std; the cells of a heat map show the mean alone."""
    title: str | None = None
    size: tuple[float, float] | None = None
    """Width and height in inches. None: by the style and the number of panels."""
    style: str = "paper"
    """One of STYLES."""
    allow: str = ""
    """
    `open`, `mixed` or both with a comma.

    `open`: one line, box or cell may pool experiments that differ in other parameters. `mixed`: experiments with other
    settings or code than the newest revision are drawn too.
    """

    def __post_init__(self) -> None:
        self._check_choices()
        _ = self.center
        self._check_axes()
        if self.statistic is not None and self.kind in _WITHOUT_STATISTIC:
            raise OptionError(
                f"--stat: --kind {self.kind} shows single experiments, expected --kind line, heatmap or curve"
            )
        for axis in self.log:
            if axis not in _LOGS_OF.get(self.kind, ("x", "y")):
                raise OptionError(
                    f"--log {axis}: the {axis} axis of --kind {self.kind} has categories, expected numbers"
                )

    @property
    def center(self) -> Statistic:
        """Return the statistic of each point, cell or line. Raises StatisticsError if there is none of this name."""
        from qexp.analysis.statistics.statistic_names import Statistic, statistic_of

        return Statistic.MEAN_STD if self.statistic is None else statistic_of(self.statistic)

    @property
    def allowed(self) -> tuple[str, ...]:
        """Return the words of *allow*."""
        return names_of(self.allow)

    def _check_choices(self) -> None:
        for word in self.allowed:
            if word not in ALLOWED:
                raise OptionError(f"--allow: found {word!r}, expected open, mixed or both")
        choices = [("--kind", self.kind, KINDS), ("--style", self.style, STYLES)]
        choices += [("--log", self.log, LOGS)] * bool(self.log)
        for option, found, known in choices:
            if found not in known:
                raise OptionError(
                    f"{option}: found {found!r}, expected one of {', '.join(known)}{nearest(found, known)}"
                )

    def _check_axes(self) -> None:
        for role in _NEEDS[self.kind]:
            if getattr(self, role) is None:
                raise OptionError(f"--kind {self.kind}: found no --{role}, expected --{role} PARAMETER")
        if self.over is not None and self.kind == "scatter":
            raise OptionError("--over: --kind scatter shows single experiments, expected no --over")
        if self.x is not None and self.kind == "curve":
            raise OptionError("--x: --kind curve has the steps of the series there, expected no --x")
        given: dict[str, str] = {}
        for option, name in self.roles:
            if name in given:
                raise OptionError(f"{option} {name}: found it also as {given[name]}, expected another parameter")
            given[name] = option

    @property
    def roles(self) -> list[tuple[str, str]]:
        """Return the parameters that are asked for, each behind its option."""
        single = [("--x", self.x), ("--by", self.by), ("--facet", self.facet)]
        found = [(option, name) for option, name in single if name is not None]
        return found + [("--over", name) for name in self.over or ()]


def names_of(names: str | Iterable[str]) -> tuple[str, ...]:
    """
    Return names written with commas, in a list, or both; each counts once.

    >>> names_of(["seed,fold", "seed"])
    ('seed', 'fold')
    """
    texts = [names] if isinstance(names, str) else names
    parts = [part.strip() for text in texts for part in text.split(",")]
    return tuple(dict.fromkeys(part for part in parts if part))


def size_of(text: str) -> tuple[float, float]:
    """
    Return width and height in inches.

    >>> size_of("6x4")
    (6.0, 4.0)
    """
    match = _SIZE.fullmatch(text.strip())
    try:
        sides = (float(match[1]), float(match[2])) if match else (math.nan, math.nan)
    except ValueError:  # 1.2.3
        sides = (math.nan, math.nan)
    if not all(_SMALLEST <= side <= _LARGEST for side in sides):
        raise OptionError(
            f"--size: found {text!r}, expected width and height in inches such as 6x4, "
            f"each from {_SMALLEST:g} to {_LARGEST:g}"
        )
    return sides


def require_matplotlib() -> ModuleType:
    """Return matplotlib. Raises MissingLibraryError if it is not installed."""
    try:
        import matplotlib
    except ImportError as error:
        raise MissingLibraryError("a picture", "matplotlib") from error
    return matplotlib
