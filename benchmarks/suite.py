"""The measures, and how their rounds become lines: quantities, medians, and values of two quantities."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby
from typing import Any

TIMES = "×"
"""The unit of ratios."""
FALLEN = 0.7
"""A line below this share of its record is reported."""


class How(StrEnum):
    """The formula of a line's value from its two quantities."""

    RATIO = "ratio"
    MORE = "more"
    """The first minus the second."""
    PLAIN = "plain"
    """The first; the reference only describes the machine."""


@dataclass(frozen=True)
class Line:
    """A row of the table: a quantity, its reference and its target."""

    name: str
    what: str
    ours: str
    """The quantity of qexp."""
    unit: str
    """The unit of the quantities."""
    beside: str | None = None
    limit: str = ""
    """The reference in words."""
    how: How = How.RATIO
    least: float | None = None
    most: float | None = None

    @property
    def quantities(self) -> list[str]:
        return [name for name in (self.ours, self.beside) if name is not None]

    @property
    def value_unit(self) -> str:
        return TIMES if self.how is How.RATIO else self.unit

    @property
    def target(self) -> float:
        found = self.least if self.least is not None else self.most
        if found is None:
            raise ValueError(f"{self.name} has nothing to reach")
        return found

    def value(self, ours: float, beside: float | None) -> float:
        """Return the value that is compared with the target."""
        if self.how is How.PLAIN or beside is None:
            return ours
        return ours / beside if self.how is How.RATIO else ours - beside

    def goal(self, beside: float) -> float:
        """Return the quantity of qexp that reaches the target."""
        if self.how is How.PLAIN:
            return self.target
        return self.target * beside if self.how is How.RATIO else self.target + beside

    def reached(self, value: float) -> bool:
        return value >= self.target if self.least is not None else value <= self.target

    def share(self, value: float, of: float) -> float:
        """
        Return the quality of a value as a share of another: 0.5 is half as good, in either direction.

        Noise can make a difference zero or negative, which counts as good.
        """
        better, worse = (value, of) if self.least is not None else (of, value)
        return better / worse if worse > 0 else 1.0


@dataclass(frozen=True)
class Options:
    """Options of measures: a factor for the cases of a million rows."""

    size: float = 1.0

    @property
    def rows(self) -> int:
        """Rows of the large cases."""
        return max(10_000, round(100 * self.size) * 10_000)


Place = Callable[[Options], AbstractContextManager[Any]]
"""Makes the site of a measure; consecutive measures with the same place share it for a round."""


@dataclass(frozen=True)
class Measure:
    """An action that runs once per round and gives quantities by name."""

    gives: tuple[str, ...]
    place: Place
    act: Callable[[Any], Mapping[str, float]]


class NotAvailableError(Exception):
    """This version of qexp lacks the measured feature."""


@dataclass
class Samples:
    """The values of rounds by quantity, and the reasons for missing ones."""

    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    missing: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False


@dataclass(frozen=True)
class Result:
    """The result of all rounds of a line."""

    name: str
    value: float
    ours: float
    beside: float | None
    rounds: int
    spread: tuple[float, float]
    """The lowest and the highest value of all rounds."""


def choose(lines: Sequence[Line], names: Sequence[str]) -> list[Line]:
    """
    Return the lines with these names, or all without names; `enqueue` includes `enqueue-memory`.

    Raises ValueError for an unknown name.
    """
    for name in names:
        if not any(_is(line, name) for line in lines):
            raise ValueError(f"there is no case {name!r}; 'python -m benchmarks --list' lists them")
    return [line for line in lines if not names or any(_is(line, name) for name in names)]


def _is(line: Line, name: str) -> bool:
    return line.name == name or line.name.startswith(f"{name}-")


def run(
    lines: Sequence[Line], measures: Sequence[Measure], rounds: int, options: Options, say: Callable[[str], None]
) -> Samples:
    """
    Take the measures of lines, each once per round, so that changes of the machine affect all of them.

    After an interrupt, it returns the values so far.
    """
    wanted = {name for line in lines for name in line.quantities}
    chosen = [measure for measure in measures if wanted & set(measure.gives)]
    samples = Samples()
    try:
        for number in range(1, rounds + 1):
            for place, group in groupby(chosen, key=lambda measure: measure.place):
                with place(options) as site:
                    for measure in group:
                        began = time.monotonic()
                        said = _take(measure, site, samples)
                        say(f"round {number} of {rounds}, {time.monotonic() - began:3.0f} s: {said}")
    except KeyboardInterrupt:
        samples.interrupted = True
        say("interrupted; what was measured until now counts")
    return samples


def _take(measure: Measure, site: Any, samples: Samples) -> str:
    """Take a measure once; a failure is recorded for its lines, and the other measures continue."""
    names = ", ".join(measure.gives)
    try:
        found = measure.act(site)
    except NotAvailableError as error:
        samples.missing |= dict.fromkeys(measure.gives, str(error))
        return f"{names}: not available: {error}"
    except Exception as error:  # noqa: BLE001 - an hour's other measures are not lost to one
        samples.failed |= dict.fromkeys(measure.gives, f"{type(error).__name__}: {error}")
        return f"{names}: {type(error).__name__}: {error}"
    finally:
        site.stop()
    for name, value in found.items():
        samples.values[name].append(value)
    return ", ".join(f"{name} {short(value)}" for name, value in found.items())


def results(lines: Iterable[Line], samples: Samples) -> tuple[list[Result], dict[str, str]]:
    """Return the measured lines with their medians, and the reasons for the others."""
    found, without = [], {}
    for line in lines:
        reasons = [samples.missing.get(name) or samples.failed.get(name) for name in line.quantities]
        lists = [samples.values.get(name, []) for name in line.quantities]
        if not all(lists):
            kind = "failed" if any(name in samples.failed for name in line.quantities) else "not available"
            without[line.name] = f"{kind}: {next((reason for reason in reasons if reason), 'it gave nothing')}"
            continue
        medians = [statistics.median(values) for values in lists]
        each = [line.value(row[0], row[1] if len(row) > 1 else None) for row in zip(*lists, strict=False)]
        beside = medians[1] if len(medians) > 1 else None
        value = line.value(medians[0], beside)
        found.append(Result(line.name, value, medians[0], beside, len(each), (min(each), max(each))))
    return found, without


def short(value: float) -> str:
    """
    Return a number with three digits, or with all digits before the point.

    >>> [short(value) for value in (0.01234, 1.2345, 12.345, 1234.5, 0)]
    ['0.0123', '1.23', '12.3', '1,234', '0']
    """
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
