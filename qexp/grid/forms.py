"""How a grid writes the values of a parameter: one class per form, each listing what it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StrictFloat, StrictInt, Tag

from qexp.model import Json

MAX_VALUES = 10_000_000
"""Values that one axis may have."""

Number = StrictInt | StrictFloat


class Form(BaseModel):
    """A mapping with one key that names the form and holds its arguments."""

    model_config = ConfigDict(extra="forbid", strict=True)

    def values(self) -> list[Json]:
        """Return the values that the form stands for, in order; ValueError says what is wrong with its arguments."""
        raise AssertionError(f"{type(self).__name__} lists nothing")


class Values(Form):
    """A list of values, where a bare mapping or scalar could be misread: `{values: [{name: svc}]}`."""

    listed: list[Json] = Field(alias="values", description="the values, as they are")

    def values(self) -> list[Json]:
        return self.listed


class Range(Form):
    """Python's range with exact decimals: `[start, stop, step]`, the stop excluded."""

    range: Annotated[list[Number], Field(min_length=1, max_length=3, description="[start, stop, step]")]

    def values(self) -> list[Json]:
        start, stop, step = _bounds(self.range)
        if step == 0:
            raise ValueError("the step is 0, expected a number above or below it")
        first, last, width = (Decimal(repr(number)) for number in (start, stop, step))
        count = max(0, ceil((Fraction(last) - Fraction(first)) / Fraction(width)))
        if count > MAX_VALUES:
            raise ValueError(f"the range has {count:,} values, more than {MAX_VALUES:,}")
        whole = all(isinstance(number, int) for number in (start, stop, step))
        kind: type[int] | type[float] = int if whole else float
        return [kind(first + index * width) for index in range(count)]


def _bounds(numbers: list[int | float]) -> tuple[int | float, int | float, int | float]:
    if len(numbers) == 1:
        return 0, numbers[0], 1
    return numbers[0], numbers[1], numbers[2] if len(numbers) == 3 else 1


FORMS: Mapping[str, type[Form]] = {"values": Values, "range": Range}


TAG = "form "
"""What marks, in the location of a pydantic error, the form that was taken; it is no key of the file."""


def kind_of(value: Any) -> str | None:
    """Return which way of writing values *value* is; None: a mapping of no known form."""
    if isinstance(value, Form):
        return TAG + next(name for name, form in FORMS.items() if type(value) is form)
    if isinstance(value, Mapping):
        return next((TAG + name for name in FORMS if name in value), None)
    return TAG + ("list" if isinstance(value, list | tuple) else "scalar")


Axis = Annotated[
    Annotated[list[Json], Tag(TAG + "list")]
    | Annotated[bool | StrictInt | StrictFloat | str | None, Tag(TAG + "scalar")]
    | Annotated[Values, Tag(TAG + "values")]
    | Annotated[Range, Tag(TAG + "range")],
    Discriminator(kind_of),
]


def listed(axis: Any) -> list[Json]:
    """Return the values of one axis as validated."""
    return axis.values() if isinstance(axis, Form) else axis if isinstance(axis, list) else [axis]
