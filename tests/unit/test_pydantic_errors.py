"""Errors of pydantic about functions, settings and files become sentences of qexp."""

import dataclasses
import datetime
import decimal
import enum
import pathlib
import uuid
from collections.abc import Callable, Iterable
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from qexp.pydantic_errors import expected, own_sentence


class Kernel(enum.Enum):
    RBF = "rbf"
    LINEAR = "linear"


@dataclasses.dataclass
class Optimizer:
    lr: float


class Strict(BaseModel, extra="forbid"):
    lr: float = 0.1


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        (bool, "x", "true or false"),
        (bytes, 3, "text"),
        (Callable[[int], int], 3, "a function"),
        (complex, "z", "a number or text such as 1+2j"),
        (datetime.date, "z", "a date such as 2026-01-31"),
        (datetime.datetime, "z", "a date and time such as 2026-01-31T12:00:00"),
        (datetime.time, "z", "a time such as 12:00:00"),
        (datetime.timedelta, "z", "a time span such as 12:00:00 or PT30M"),
        (decimal.Decimal, "z", "a number"),
        (dict[str, int], 3, "a mapping"),
        (float, "z", "a number"),
        (frozenset[int], 3, "a list"),
        (int, 1.5, "a whole number"),
        (int, None, "a whole number"),
        (Iterable[int], 3, "a list"),
        (Kernel, "z", "'rbf' or 'linear'"),
        (Literal["a", "b"], "z", "'a' or 'b'"),
        (Optimizer, 3, "a mapping"),
        (Optimizer, {}, "a value for this key"),
        (pathlib.Path, 3, "a path"),
        (Strict, {"lr": 1, "mu": 1}, "no such key"),
        (tuple[int, int], [1], "another entry"),
        (tuple[int, int], [1, 2, 3], "at most 2 entries"),
        (uuid.UUID, "z", "a UUID"),
        (Annotated[str, Field(min_length=3)], "a", "text of at least 3 characters"),
        (Annotated[str, Field(min_length=1)], "", "text of at least 1 character"),
        (Annotated[list[int], Field(min_length=1)], [], "at least 1 entry"),
        (Annotated[str, Field(pattern="^a$")], "b", "text that matches ^a$"),
        (Annotated[str, Field(pattern="^[A-Z]{3}$")], "b", "a country in three capital letters, such as DEU"),
        (Annotated[int, Field(multiple_of=3)], 4, "a multiple of 3"),
        (Annotated[datetime.date, Field(le=datetime.date(2026, 1, 1))], "2026-01-31", "a value of at most 2026-01-01"),
    ],
)
def test_no_words_of_pydantic_reach_a_person(annotation, value, words):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(annotation).validate_python(value)
    assert expected(caught.value.errors()[0]) == words


def test_a_check_of_qexp_has_its_own_sentence():
    assert own_sentence({"type": "value_error", "msg": "Value error, found 'x', expected y"}) == "found 'x', expected y"
    assert own_sentence({"type": "int_type", "msg": "Input should be a valid integer"}) is None
