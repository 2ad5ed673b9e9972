"""The forms in which a grid gives the values of a parameter: one class per form, which lists or draws them."""

from __future__ import annotations

import functools
import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from statistics import NormalDist
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StrictFloat, StrictInt, Tag

from qexp.model import Json

MAX_VALUES = 10_000_000
"""The most values of an axis."""

Number = StrictInt | StrictFloat


class Form(BaseModel):
    """A mapping with one key that names the form and holds its arguments."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ListedForm(Form):
    """A form that lists its values."""

    def listing(self) -> Sequence[Json]:
        """Return the values in order. Raises ValueError for wrong arguments."""
        raise AssertionError(f"{type(self).__name__} lists nothing")


class DrawnForm(Form):
    """A form whose values are drawn: `sampling` says how many and from which seed."""

    def check(self) -> None:
        """Raise ValueError if the arguments describe no distribution."""

    def at(self, quantile: float) -> Json:
        """Return the value at a quantile in [0, 1)."""
        raise AssertionError(f"{type(self).__name__} draws nothing")


class Values(ListedForm):
    """A list of values, needed if a value is a mapping: `{values: [{name: svc}]}`."""

    values: list[Json] = Field(description="the values, as they are")

    def listing(self) -> Sequence[Json]:
        return self.values


class Range(ListedForm):
    """Python's range with exact decimals: `[start, stop, step]`, the stop excluded."""

    range: Annotated[list[Number], Field(min_length=1, max_length=3, description="[start, stop, step]")]

    def listing(self) -> Sequence[Json]:
        start, stop, step = _bounds(self.range)
        if step == 0:
            raise ValueError("the step is 0, expected a number above or below it")
        first, last, width = (Decimal(repr(number)) for number in (start, stop, step))
        count = max(0, math.ceil((Fraction(last) - Fraction(first)) / Fraction(width)))
        _check_count(count)
        if isinstance(start, int) and isinstance(stop, int) and isinstance(step, int):
            return _integers(start, stop, step)
        _check_floats("range", (start, stop))
        return array("d", (first + index * width for index in range(count)))


class Linspace(ListedForm):
    """Equally spaced numbers, both ends included: `[first, last, count]`."""

    linspace: Annotated[list[Number], Field(min_length=3, max_length=3, description="[first, last, count]")]

    def listing(self) -> Sequence[Json]:
        first, last, count = _ends(self.linspace)
        _check_floats("linspace", (first, last))
        exact = Fraction(Decimal(repr(first))), Fraction(Decimal(repr(last)))
        step = (exact[1] - exact[0]) / (count - 1) if count > 1 else Fraction(0)
        return array("d", (float(exact[0] + index * step) for index in range(count)))


class Geomspace(ListedForm):
    """Numbers whose logarithms are equally spaced, both ends included: `[first, last, count]`."""

    geomspace: Annotated[list[Number], Field(min_length=3, max_length=3, description="[first, last, count]")]

    def listing(self) -> Sequence[Json]:
        first, last, count = _ends(self.geomspace)
        _check_floats("geomspace", (first, last))
        if first == 0 or last == 0 or (first > 0) is not (last > 0):
            raise ValueError("geomspace: both ends must lie on the same side of 0")
        if count == 1:
            return array("d", [first])
        ratio = math.log(abs(last)) - math.log(abs(first))
        sign = 1 if first > 0 else -1
        between = (
            tidy(sign * math.exp(math.log(abs(first)) + ratio * index / (count - 1))) for index in range(1, count - 1)
        )
        return array("d", [first, *between, last])


class Stepped(DrawnForm):
    """A distribution whose values may be rounded to multiples of `step`, within its bounds."""

    step: Number | None = Field(None, description="round to multiples of this; a whole step gives whole numbers")

    def bounds(self) -> Sequence[float] | None:
        """Return the lowest and the highest value. Returns None if the distribution has no bounds."""
        return None

    def check(self) -> None:
        if self.step is None:
            return
        _check_floats("step", (0, self.step))
        if self.step <= 0:
            raise ValueError(f"found the step {self.step}, expected one above 0")
        bounds = self.bounds()
        if bounds is not None and not _multiples(*bounds, self.step):
            raise ValueError(f"no multiple of the step {self.step} lies between {bounds[0]} and {bounds[1]}")

    def rounded(self, number: float) -> Json:
        """Return the multiple of the step that is nearest to a number, or the number if there is no step."""
        if self.step is None:
            return tidy(number)
        step, bounds = _exact_step(self.step), self.bounds()
        count = round(Fraction(f"{number:.12g}") / step)
        if bounds is not None:
            counts = _multiples(*bounds, self.step)
            count = min(max(count, counts.start), counts.stop - 1)
        return count * self.step if isinstance(self.step, int) else float(count * step)


class Uniform(Stepped):
    """Numbers drawn evenly from `[low, high)`."""

    uniform: Annotated[list[Number], Field(min_length=2, max_length=2, description="[low, high]")]

    def check(self) -> None:
        _rising("uniform", self.uniform)
        super().check()

    def bounds(self) -> Sequence[float]:
        return self.uniform

    def at(self, quantile: float) -> Json:
        low, high = self.uniform
        return self.rounded(low + (high - low) * quantile)


class LogUniform(Stepped):
    """Numbers whose logarithms are drawn evenly: `[low, high)`, both above 0."""

    loguniform: Annotated[list[Number], Field(min_length=2, max_length=2, description="[low, high], above 0")]

    def check(self) -> None:
        _rising("loguniform", self.loguniform)
        if self.loguniform[0] <= 0:
            raise ValueError("loguniform: found a bound that is not above 0")
        super().check()

    def bounds(self) -> Sequence[float]:
        return self.loguniform

    def at(self, quantile: float) -> Json:
        low, high = (math.log(bound) for bound in self.loguniform)
        return self.rounded(math.exp(low + (high - low) * quantile))


class Normal(Stepped):
    """Numbers drawn from a normal distribution: `[mean, standard deviation]`."""

    normal: Annotated[list[Number], Field(min_length=2, max_length=2, description="[mean, standard deviation]")]

    def check(self) -> None:
        _check_deviation("normal", self.normal)
        super().check()

    def at(self, quantile: float) -> Json:
        return self.rounded(_normal(self.normal, quantile))


class LogNormal(Stepped):
    """Numbers whose natural logarithms are drawn from a normal distribution: `[mean, standard deviation]` of these."""

    lognormal: Annotated[
        list[Number], Field(min_length=2, max_length=2, description="[mean, standard deviation] of the logarithm")
    ]

    def check(self) -> None:
        _check_deviation("lognormal", self.lognormal)
        if max(abs(_normal(self.lognormal, quantile)) for quantile in (0.0, 1.0)) > _LARGEST_LOGARITHM:
            raise ValueError("lognormal: found logarithms that are too far from 0, expected numbers of at most 1.8e308")
        super().check()

    def at(self, quantile: float) -> Json:
        return self.rounded(math.exp(_normal(self.lognormal, quantile)))


class Integers(DrawnForm):
    """Whole numbers drawn evenly from `[low, high]`, both included; with `step`, from its multiples between them."""

    integers: Annotated[list[StrictInt], Field(min_length=2, max_length=2, description="[low, high]")]
    step: Annotated[StrictInt, Field(ge=1, description="only multiples of this")] = 1

    def check(self) -> None:
        low, high = self.integers
        _check_floats("integers", self.integers)
        if low > high:
            raise ValueError(f"integers: found {low} before {high}, expected the lower bound first")
        if not _multiples(*self.integers, self.step):
            raise ValueError(f"no multiple of the step {self.step} lies between {low} and {high}")

    def at(self, quantile: float) -> Json:
        counts = _multiples(*self.integers, self.step)
        number = counts.stop - counts.start
        return (counts.start + min(number - 1, int(quantile * number))) * self.step


class Choice(DrawnForm):
    """One of the values, each as likely as the others."""

    choice: Annotated[list[Json], Field(min_length=1, description="the values")]

    def at(self, quantile: float) -> Json:
        return self.choice[int(quantile * len(self.choice))]


def tidy(number: float) -> float:
    """
    Round a number to 12 significant digits, so that logarithms are equal on every machine.

    >>> tidy(0.1 + 0.2)
    0.3
    """
    return float(f"{number:.12g}")


def _exact(number: float) -> Fraction:
    """Return the exact value of a number's shortest spelling, as it stands in the grid."""
    return Fraction(Decimal(repr(number)))


@functools.lru_cache(maxsize=64)
def _multiples(low: float, high: float, step: float) -> Any:
    """Return the factors of a step whose multiples lie within bounds."""
    return _integers(math.ceil(_exact(low) / _exact(step)), math.floor(_exact(high) / _exact(step)) + 1)


_exact_step = functools.lru_cache(maxsize=64)(_exact)

_LARGEST_LOGARITHM = 709.0
_FINEST = 2.0**-54
"""Half of the smallest drawn quantile above 0; a normal distribution has no value at 0 and 1."""


def _normal(form: Sequence[float], quantile: float) -> float:
    mean, deviation = form
    return NormalDist(mean, deviation).inv_cdf(min(max(quantile, _FINEST), 1 - 2 * _FINEST))


def _check_deviation(name: str, form: Sequence[float]) -> None:
    mean, deviation = form
    _check_floats(name, (mean, deviation))
    if deviation <= 0:
        raise ValueError(f"{name}: found the standard deviation {deviation}, expected one above 0")
    if not all(math.isfinite(_normal(form, quantile)) for quantile in (0.0, 1.0)):
        raise ValueError(f"{name}: found values too large, expected at most 1.8e308")


def _bounds(numbers: list[int | float]) -> tuple[int | float, int | float, int | float]:
    if len(numbers) == 1:
        return 0, numbers[0], 1
    return numbers[0], numbers[1], numbers[2] if len(numbers) == 3 else 1


_integers = range  # here, the name `range` belongs to a form


def _ends(numbers: list[int | float]) -> tuple[int | float, int | float, int]:
    first, last, count = numbers
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"found the count {count}, expected a whole number of at least 1")
    _check_count(count)
    if count == 1 and first != last:
        raise ValueError("found the count 1, expected at least 2: both ends are included")
    return first, last, count


def _check_count(count: int) -> None:
    if count > MAX_VALUES:
        raise ValueError(f"it has {count:,} values, expected at most {MAX_VALUES:,}")


def _check_floats(name: str, ends: Sequence[float]) -> None:
    """Raise ValueError unless both ends and their difference are finite floats."""
    try:
        finite = all(map(math.isfinite, [*ends, float(ends[1]) - float(ends[0])]))
    except OverflowError:  # a whole number too large for a float
        finite = False
    if not finite:
        raise ValueError(f"{name}: found ends that are too large or too far apart, expected at most 1.8e308")


def _rising(name: str, bounds: Sequence[float]) -> None:
    _check_floats(name, bounds)
    if not bounds[0] < bounds[1]:
        raise ValueError(f"{name}: found {bounds[0]} before {bounds[1]}, expected the lower bound first")


LISTED: Mapping[str, type[ListedForm]] = {
    "values": Values,
    "range": Range,
    "linspace": Linspace,
    "geomspace": Geomspace,
}
DRAWN: Mapping[str, type[DrawnForm]] = {
    "uniform": Uniform,
    "loguniform": LogUniform,
    "normal": Normal,
    "lognormal": LogNormal,
    "integers": Integers,
    "choice": Choice,
}
FORMS: Mapping[str, type[Form]] = {**LISTED, **DRAWN}

TAG = "form "
"""The prefix of a form's tag in the location of a pydantic error; such a part is no key of the file."""


def kind_of(value: Any) -> str | None:
    """Return the tag of the form of *value*. Returns None for a mapping of no known form."""
    if isinstance(value, Form):
        return TAG + next(name for name, form in FORMS.items() if type(value) is form)
    if isinstance(value, Mapping):
        return next((TAG + name for name in FORMS if name in value), None)
    return TAG + ("list" if isinstance(value, list | tuple) else "scalar")


AxisForm = Annotated[
    Annotated[list[Json], Tag(TAG + "list")]
    | Annotated[bool | StrictInt | StrictFloat | str | None, Tag(TAG + "scalar")]
    | Annotated[Values, Tag(TAG + "values")]
    | Annotated[Range, Tag(TAG + "range")]
    | Annotated[Linspace, Tag(TAG + "linspace")]
    | Annotated[Geomspace, Tag(TAG + "geomspace")]
    | Annotated[Uniform, Tag(TAG + "uniform")]
    | Annotated[LogUniform, Tag(TAG + "loguniform")]
    | Annotated[Normal, Tag(TAG + "normal")]
    | Annotated[LogNormal, Tag(TAG + "lognormal")]
    | Annotated[Integers, Tag(TAG + "integers")]
    | Annotated[Choice, Tag(TAG + "choice")],
    Discriminator(kind_of),
]


def listed(axis: Any) -> Sequence[Json]:
    """Return the values of a validated axis. Raises ValueError for a drawn form or wrong arguments."""
    if isinstance(axis, DrawnForm):
        raise ValueError("a drawn parameter stands under 'parameters' only; all draws form one axis")
    return axis.listing() if isinstance(axis, ListedForm) else axis if isinstance(axis, list) else [axis]


def columns_of(drawn: Mapping[str, DrawnForm], quantiles: Iterable[Sequence[float]]) -> dict[str, Sequence[Json]]:
    """Return a column of values per drawn parameter, from one row of quantiles per sample."""
    columns: dict[str, Any] = {
        name: array("d") if isinstance(form, Stepped) and not isinstance(form.step, int) else []
        for name, form in drawn.items()
    }
    for row in quantiles:
        for (name, form), quantile in zip(drawn.items(), row, strict=True):
            columns[name].append(form.at(quantile))
    return columns
