"""Dotted names set keys of mappings; other names that are no Python identifiers reach **params."""

import dataclasses
import json
import typing

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from qexp.errors import FunctionError, GridError
from qexp.functions import Signature
from qexp.grid import Grid, bind
from qexp.model import fingerprint


@dataclasses.dataclass
class Optimizer:
    name: str
    lr: float
    momentum: float = 0.0
    nesterov: bool = False


class Strict(BaseModel, extra="forbid"):
    name: str
    rate: float = Field(alias="lr")


class Sgd(TypedDict):
    name: typing.Literal["sgd"]
    momentum: float


class Adam(TypedDict):
    name: typing.Literal["adam"]
    amsgrad: bool


class Encoder(BaseModel):
    depth: int
    width: int = 8


class Network(BaseModel):
    encoder: Encoder
    name: str = "net"


def one(optimizer: Optimizer, seed: int = 0): ...


def any_of(**params): ...


def bound(function, **keys):
    grid = Grid.from_dict({"study": "g", "function": "m:f", **keys})
    return bind(grid, Signature.of(function, "m:f"))


def calls(function, **keys):
    """Return the arguments that each experiment calls a function with."""
    grid, signature = bound(function, **keys), Signature.of(function, "m:f")
    return [signature.bind({**grid.settings, **json.loads(text)}) for _, text, _ in grid.encoded()]


BASES = {"values": [{"name": "sgd", "momentum": "0.9"}, {"name": "adam"}]}


def test_a_dotted_name_sets_one_key_of_a_mapping_and_is_a_parameter_of_its_own():
    keys = {"parameters": {"optimizer": BASES, "optimizer.lr": ["0.1", 1]}}
    grid = bound(one, **keys)
    assert grid.names == ["optimizer", "optimizer.lr"]
    assert next(iter(grid)) == {"optimizer": {"name": "sgd", "momentum": 0.9}, "optimizer.lr": 0.1}
    assert [digest for digest, _, _ in grid.encoded()] == [fingerprint(row).bytes for row in grid]
    assert [call["optimizer"] for call in calls(one, **keys)] == [
        Optimizer("sgd", 0.1, 0.9),
        Optimizer("sgd", 1.0, 0.9),
        Optimizer("adam", 0.1),
        Optimizer("adam", 1.0),
    ]


def test_without_a_mapping_one_is_made():
    when = [{"if": {"optimizer.name": "sgd"}, "parameters": {"optimizer.nesterov": ["yes", "no"]}}]
    parameters = {"optimizer.name": ["sgd", "adam"], "optimizer.lr": [1]}
    assert [call["optimizer"] for call in calls(one, parameters=parameters, when=when)] == [
        Optimizer("sgd", 1.0, nesterov=True),
        Optimizer("sgd", 1.0),
        Optimizer("adam", 1.0),
    ]


@pytest.mark.parametrize("settings", [{"optimizer": {"name": "sgd", "momentum": 0.5}}, {"optimizer.name": "sgd"}])
def test_settings_have_the_mapping_or_keys_of_it(settings):
    (call,) = calls(one, settings=settings, parameters={"optimizer.lr": ["0.1"]})
    assert (call["optimizer"].name, call["optimizer"].lr) == ("sgd", 0.1)
    (call,) = calls(any_of, settings={"a": {"b": 1, "c": 2}}, parameters={"a.b": [3]})
    assert call == {"a": {"b": 3, "c": 2}}


def test_keys_of_keys_are_set_in_copies():
    parameters = {
        "net": {"values": [{"encoder": {"depth": 1, "width": 2}}]},
        "net.encoder.depth": ["3", 4],
        "net.name": ["a"],
    }
    found = calls(lambda net: None, parameters=parameters)
    assert [call["net"] for call in found] == [
        {"encoder": {"depth": "3", "width": 2}, "name": "a"},
        {"encoder": {"depth": 4, "width": 2}, "name": "a"},
    ]

    def typed(net: Network): ...

    assert [call["net"].encoder for call in calls(typed, parameters=parameters)] == [
        Encoder(depth=3, width=2),
        Encoder(depth=4, width=2),
    ]


def test_replaced_keys_of_a_mapping_stay_as_written():
    (row,) = bound(one, parameters={"optimizer": {"values": [{"name": "sgd", "lr": "9"}]}, "optimizer.lr": ["0.1"]})
    assert row == {"optimizer": {"name": "sgd", "lr": "9"}, "optimizer.lr": 0.1}


def test_dotted_names_are_varied_together_drawn_excluded_and_included():
    keys = {
        "parameters": {"optimizer.momentum": {"uniform": [0, 1]}},
        "zip": [{"optimizer.name": ["sgd", "adam"], "optimizer.lr": ["0.1", "0.2"]}],
        "sampling": {"samples": 2},
        "exclude": [{"optimizer.lr": 0.2}],
        "include": [{"optimizer.name": "lion", "optimizer.lr": "3"}],
    }
    grid = bound(one, **keys)
    assert grid.warnings() == []
    assert [(row["optimizer.name"], row["optimizer.lr"]) for row in grid] == [
        ("sgd", 0.1),
        ("sgd", 0.1),
        ("lion", 3.0),
    ]


def test_a_rule_may_look_inside_of_a_mapping():
    values = {"values": [{"name": "sgd", "lr": "1", "nesterov": "yes"}, {"name": "adam", "lr": 1}]}
    grid = bound(
        one,
        parameters={"optimizer": values},
        when=[{"if": {"optimizer.name": "sgd"}, "parameters": {"seed": [1, 2]}}],
        exclude=[{"optimizer.nesterov": True, "seed": "2"}, {"optimizer.missing": 1}],
    )
    assert [row.get("seed") for row in grid] == [1, None]
    assert grid.warnings() == ["grid, at exclude.1: this rule of 'exclude' matches nothing"]


def test_values_are_converted_in_a_combination_that_has_them():
    def f(opt: typing.Annotated[Sgd | Adam, Field(discriminator="name")]): ...

    grid = bound(
        f,
        parameters={"opt.name": ["sgd", "adam"]},
        when=[
            {"if": {"opt.name": "sgd"}, "parameters": {"opt.momentum": ["0.5"]}},
            {"if": {"opt.name": "adam"}, "parameters": {"opt.amsgrad": ["yes"]}},
        ],
    )
    assert list(grid) == [{"opt.name": "sgd", "opt.momentum": 0.5}, {"opt.name": "adam", "opt.amsgrad": True}]


def test_a_model_that_forbids_other_keys_takes_dotted_names_by_their_aliases():
    def f(opt: Strict): ...

    (call,) = calls(f, parameters={"opt.name": ["sgd"], "opt.lr": ["0.5"]})
    assert call["opt"].rate == 0.5
    with pytest.raises(GridError, match=r"at parameters.opt.rate.0: parameter 'opt.rate': .*expected no such key"):
        bound(f, parameters={"opt.name": ["sgd"], "opt.lr": [1], "opt.rate": [1]})


def test_any_name_reaches_a_function_that_takes_params():
    parameters = {"learning-rate": [0.1], "lambda": [1], "class": ["a"], "größe": [2], "two words": [3], "1": [4]}
    assert calls(any_of, parameters=parameters) == [
        {"learning-rate": 0.1, "lambda": 1, "class": "a", "größe": 2, "two words": 3, "1": 4}
    ]
    assert calls(any_of, parameters={"optimizer.lr": [1]}, include=[{"a.b.c": 1}]) == [
        {"optimizer": {"lr": 1}},
        {"a": {"b": {"c": 1}}},
    ]


@pytest.fixture
def load(tmp_path):
    def load(text, function):
        path = tmp_path / "grid.yaml"
        path.write_text(f"study: g\nfunction: m:f\n{text}")
        return bind(Grid.load(path), Signature.of(function, "m:f"))

    return load


def closed(learning_rate: float, opt: dict): ...


@pytest.mark.parametrize(
    ("function", "text", "line", "words"),
    [
        (closed, "parameters:\n  learning-rate: 1\n", 4, ["takes no 'learning-rate' (did you mean 'learning_rate'?)"]),
        (closed, "parameters:\n  class: 1\n", 4, ["takes no 'class'", "only a function with **params takes it"]),
        (
            closed,
            "parameters:\n  optt.lr: 1\n",
            4,
            ["takes no 'optt' (did you mean 'opt'?); 'optt.lr' sets a key of it"],
        ),
        (closed, "parameters:\n  learning_rate: 1\n", 4, ["requires 'opt', which is not given"]),
        (
            one,
            "parameters:\n  optimizer.name: sgd\n  optimizer.lr: [1, high]\n",
            5,
            ["'high'}['lr'], expected a number"],
        ),
        (one, "parameters:\n  optimizer.name: sgd\n", 4, ["['lr'], expected a value for this key"]),
        (
            one,
            "parameters:\n  optimizer:\n    values:\n      - {name: sgd}\n      - 3\n  optimizer.lr: [1, 2]\n",
            8,
            ["'optimizer.lr' sets a key of 'optimizer', which is 3, expected a mapping", "grid.yaml, line 7)"],
        ),
        (
            any_of,
            "parameters:\n  a.b: [1]\n  a.b.c: [2]\n",
            5,
            ["'a.b.c' sets a key of 'a.b', which is 1, expected a mapping", "grid.yaml, line 4)"],
        ),
        (any_of, "parameters:\n  a.b: [1]\nsettings:\n  a.b: 2\n", 6, ["'a.b' is used twice"]),
        (any_of, "parameters:\n  a.b: [1]\nexclude:\n  - {a.c: 2}\n", 6, ["no parameter is named 'a.c'"]),
        (one, "include:\n  - {optimizer.name: sgd, optimizer.lr: high}\n", 4, ["expected a number"]),
    ],
)
def test_names_that_do_not_go_together_are_refused_at_their_lines(load, function, text, line, words):
    with pytest.raises(GridError) as caught:
        load(text, function)
    assert f"line {line}: " in str(caught.value)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_combination_that_a_model_refuses_is_named(load):
    class Picky(BaseModel):
        low: int
        high: int

        def model_post_init(self, context):
            if self.low >= self.high:
                raise ValueError("low must be below high")

    def f(span: Picky): ...

    text = "parameters:\n  span.low: [1, 5]\n  span.high: [3, 9]\n"
    with pytest.raises(GridError, match=r"low must be below high, where span.low=5 span.high=3"):
        load(text, f)
    assert len(load(f"{text}exclude:\n  - {{span.low: 5, span.high: 3}}\n", f)) == 3


def test_dotted_names_are_set_from_the_command_line(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text("study: g\nfunction: m:f\nparameters:\n  optimizer.name: sgd\n")
    grid = bind(Grid.load(path, ["optimizer.lr=1e-3,1e-4"]), Signature.of(one, "m:f"))
    assert [row["optimizer.lr"] for row in grid] == [1e-3, 1e-4]


def test_a_run_refuses_names_that_do_not_go_together():
    with pytest.raises(FunctionError, match=r"parameter 'a\.b' sets a key of 'a', which is 3"):
        Signature.of(any_of, "m:f").bind({"a": 3, "a.b": 1})
    with pytest.raises(FunctionError, match="requires 'optimizer'"):
        Signature.of(one, "m:f").bind({})


def test_a_dotted_name_that_replaces_a_mapping_is_refused_with_the_name_to_write():
    parameters = {"opt": {"values": [{"inner": {"a": 1, "b": 2}}]}, "opt.inner": [3]}
    with pytest.raises(GridError, match=r"'opt.inner' replaces a mapping of 'opt', expected its keys: 'opt.inner.a'"):
        bound(any_of, parameters=parameters)
    by_key = {"opt": parameters["opt"], "opt.inner.a": [5, 6]}
    assert [call["opt"]["inner"]["a"] for call in calls(any_of, parameters=by_key)] == [5, 6]
