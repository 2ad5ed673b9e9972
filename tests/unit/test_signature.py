"""Values that a function takes by `**params` are converted by its annotation, like other parameters."""

import collections.abc
import dataclasses
import typing

import pytest
import typing_extensions

from qexp import Context
from qexp.errors import FunctionError, GridError
from qexp.functions import Signature
from qexp.grid import Grid, bind


class Rates(typing.TypedDict):
    lr: float
    decay: typing.NotRequired[float]


def any_floats(x: int = 0, **params: float): ...


def any_values(x: int = 0, **params): ...


def rates(x: int = 0, **params: typing.Unpack[Rates]): ...


def same_rates(context: Context, x: int = 0, **params: typing_extensions.Unpack[Rates]): ...


def bound(function, **keys):
    return bind(Grid.from_dict({"study": "g", "function": "m:f", **keys}), Signature.of(function, "m:f"))


def test_names_that_only_params_takes_are_converted_as_its_annotation_says():
    data = {"parameters": {"learning-rate": ["1e-3", 1], "x": ["1", 2]}}
    rows = [(row["learning-rate"], row["x"]) for row in bound(any_floats, **data)]
    assert repr(rows) == "[(0.001, 1), (0.001, 2), (1.0, 1), (1.0, 2)]"
    assert len(bound(any_floats, **data, exclude=[{"learning-rate": 0.001, "x": 1}])) == 3
    assert Signature.of(any_floats, "m:f").bind({"learning-rate": "1e-3", "x": "1"}) == {"learning-rate": 0.001, "x": 1}
    assert [row["learning-rate"] for row in bound(any_values, **data)][::2] == ["1e-3", 1]


def test_a_value_that_params_does_not_take_is_refused_at_its_place():
    with pytest.raises(
        GridError, match=r"grid, at parameters.rate.1: parameter 'rate': found 'high', expected a number"
    ):
        bound(any_floats, parameters={"rate": [1, "high"]})


@pytest.mark.parametrize("function", [rates, same_rates])
def test_the_fields_of_an_unpacked_typed_dict_are_names_that_the_function_takes(function):
    assert list(bound(function, parameters={"lr": ["0.1"], "x": [1]})) == [{"lr": 0.1, "x": 1}]
    assert list(bound(function, parameters={"lr": [1], "decay": ["2"]})) == [{"lr": 1.0, "decay": 2.0}]
    with pytest.raises(GridError, match="requires 'lr', which is not given"):
        bound(function, parameters={"x": [1]})
    with pytest.raises(GridError, match=r"takes no 'decy' \(did you mean 'decay'\?\)"):
        bound(function, parameters={"lr": [1], "decy": [1]})


@dataclasses.dataclass
class Folds:
    folds: collections.abc.Collection[int] = ()


class Plain:
    pass


@dataclasses.dataclass
class Holder:
    plain: Plain | None = None


@pytest.mark.parametrize(
    ("annotation", "found", "repair"),
    [
        (Folds, "found collections.abc.Collection[int] in a field", "; write list[…]"),
        (
            Holder,
            "found <class 'tests.unit.test_signature.Plain'> in a field",
            "set arbitrary_types_allowed in its class",
        ),
    ],
)
def test_a_field_that_no_data_can_become_is_refused_with_advice(annotation, found, repair):
    def f(x): ...

    f.__annotations__ = {"x": annotation}
    with pytest.raises(FunctionError) as caught:
        Signature.of(f, "m:f")
    assert str(caught.value).startswith(f"function m:f: annotation of 'x': {found}, expected a type")
    assert repair in str(caught.value)


def test_a_whole_number_with_too_many_digits_is_refused_with_advice():
    with pytest.raises(ValueError, match="found 1e\\+22, expected a whole number of fewer digits; write it without"):
        Signature.of(any_floats, "m:f").canonical("x", 1e22)
