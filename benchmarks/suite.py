"""What is measured, and how rounds of it become lines: quantities, their medians, and what is made of two of them."""

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
"""The share of what is recorded under which a line is reported."""


class How(StrEnum):
    """How a line's value is made of its two quantities."""

    RATIO = "ratio"
    MORE = "more"
    """The first less the second."""
    PLAIN = "plain"
    """The first; what stands beside it only tells of the machine."""


@dataclass(frozen=True)
class Line:
    """A row of the table: what is measured, beside what, and what is to be reached."""

    name: str
    what: str
    ours: str
    """The quantity of qexp's."""
    unit: str
    """Of the quantities."""
    beside: str | None = None
    limit: str = ""
    """What stands beside it, in words."""
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
        """Return what is compared with the target."""
        if self.how is How.PLAIN or beside is None:
            return ours
        return ours / beside if self.how is How.RATIO else ours - beside

    def goal(self, beside: float) -> float:
        """Return what of ours would reach the target."""
        if self.how is How.PLAIN:
            return self.target
        return self.target * beside if self.how is How.RATIO else self.target + beside

    def reached(self, value: float) -> bool:
        return value >= self.target if self.least is not None else value <= self.target

    def share(self, value: float, of: float) -> float:
        """
        Return how good a value is as a share of another: 0.5 is half as good, whichever way is better.

        Where a value is a difference, or nothing at all, noise may put it at zero or below: that is as good as can be.
        """
        better, worse = (value, of) if self.least is not None else (of, value)
        return better / worse if worse > 0 else 1.0


@dataclass(frozen=True)
class Options:
    """What is asked of the measures: how large those of a million rows are."""

    size: float = 1.0

    @property
    def rows(self) -> int:
        """Rows of the large cases."""
        return max(10_000, round(100 * self.size) * 10_000)


Place = Callable[[Options], AbstractContextManager[Any]]
"""Makes the site that measures are taken in; those that follow each other in the same one share it for a round."""


@dataclass(frozen=True)
class Measure:
    """Something that is done once in a round and gives quantities by name."""

    gives: tuple[str, ...]
    place: Place
    act: Callable[[Any], Mapping[str, float]]


class NotAvailableError(Exception):
    """This qexp has not got what would be measured."""


@dataclass
class Samples:
    """What the rounds gave, by quantity, and what stood in the way of the others."""

    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    missing: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False


@dataclass(frozen=True)
class Result:
    """What rounds of a line have come to."""

    name: str
    value: float
    ours: float
    beside: float | None
    rounds: int
    spread: tuple[float, float]
    """The lowest and the highest value of a round."""


def choose(lines: Sequence[Line], names: Sequence[str]) -> list[Line]:
    """
    Return the lines of these names, all without any; `enqueue` names `enqueue-memory` as well.

    ValueError names one that there is not.
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
    Take the measures that lines need, each once in a round, so that what changes meanwhile changes all of them.

    Interrupted, it returns what there is.
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
    """Take a measure once; what fails is told with its lines, and the others go on."""
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
    """Return the lines that were measured, by medians, and why the others were not."""
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
    Return a number with three digits, or all it has before the point.

    >>> [short(value) for value in (0.01234, 1.2345, 12.345, 1234.5, 0)]
    ['0.0123', '1.23', '12.3', '1,234', '0']
    """
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
