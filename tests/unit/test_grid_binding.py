"""A grid is checked against its function, and conditions are converted like values."""

import dataclasses
import datetime
import enum
import pathlib
import typing

import pytest
from tests_support import signature_of

from qexp.client.function_check import checked
from qexp.errors import GridError
from qexp.grid import Grid, bind


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Options:
    lr: float
    decay: float = 0.0


def bound(annotation, **keys):
    """Return a grid of the parameters x, which has this annotation, and y."""
    return bind(Grid.from_dict({"study": "g", "function": "m:f", **keys}), signature_of(annotation))


# an annotation, two values of it, and another spelling of the first
SPELLINGS = [
    (bool, ["yes", "no"], True),
    (bool, [True, False], "on"),
    (int, [1, 2], "1"),
    (float, ["0.10", 2], 0.1),
    (float, [1, 2], 1.0),
    (str, ["a", "b"], "a"),
    (pathlib.Path, ["a/b", "c"], "a//b"),
    (Colour, ["red", "blue"], "red"),
    (typing.Literal["a", 1], ["a", 1], "a"),
    (datetime.date, ["2024-01-01", "2024-01-02"], "2024-01-01T00:00:00"),
    (datetime.datetime, ["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"], "2024-01-01T00:00:00+00:00"),
    (datetime.timedelta, [60, 90], "PT1M"),
    (Options, [{"lr": "1"}, {"lr": 2}], {"lr": 1.0}),
    (dict[str, float], [{"lr": 1}, {"lr": 2}], {"lr": "1.0"}),
    (int | None, ["1", None], 1),
]
LISTS = [(list[int], [["1", 2], [3]], [1, 2]), (set[int], [[2, 1], [3]], ["1", "2"])]


@pytest.mark.parametrize(("annotation", "values", "other"), [*SPELLINGS, *LISTS], ids=str)
def test_a_condition_is_converted_like_the_values(annotation, values, other):
    written = [other] if isinstance(other, list) else other  # a list in a rule means any of its values
    axes = {"parameters": {"x": {"values": values}}}
    when = bound(annotation, **axes, when=[{"if": {"x": written}, "parameters": {"y": [10, 20]}}])
    assert [row.get("y") for row in when] == [10, 20, None]
    assert when.warnings() == []
    exclude = bound(annotation, **axes, exclude=[{"x": written}])
    assert (len(exclude), exclude.warnings()) == (1, [])
    include = bound(annotation, **axes, include=[{"x": other}])
    assert len(include) == 2
    assert "in the product already" in include.warnings()[0]


@pytest.mark.parametrize(("annotation", "values", "other"), [*SPELLINGS, *LISTS], ids=str)
def test_two_spellings_of_one_value_are_one_value(annotation, values, other):
    with pytest.raises(GridError, match="twice"):
        bound(annotation, parameters={"x": {"values": [values[0], other]}})


def test_values_from_the_command_line_are_converted_as_conditions_are(tmp_path):
    (tmp_path / "experiment.py").write_text("def f(augment: bool, angle: int = 0): ...\n")
    path = tmp_path / "grid.yaml"
    path.write_text(
        "function: experiment:f\nparameters: {augment: [no]}\n"
        "when:\n  - {if: {augment: yes}, parameters: {angle: [10, 20]}}\n"
    )
    assert len(checked(Grid.load(path, ["augment=yes,no"]))) == 3
    assert len(checked(Grid.load(path, ["augment=true,off"]))) == 3


@pytest.mark.parametrize("value", ["maybe", 7, None, ["yes", "no"]])
def test_a_condition_that_never_holds_warns_with_its_line(tmp_path, value):
    (tmp_path / "experiment.py").write_text("def f(augment: bool, angle: int = 0): ...\n")
    path = tmp_path / "grid.yaml"
    path.write_text(
        "function: experiment:f\nparameters: {augment: [no]}\n"
        f"when:\n  - if: {{augment: [{'null' if value is None else value}]}}\n    parameters: {{angle: [10, 20]}}\n"
    )
    grid = checked(Grid.load(path))
    assert len(grid) == 1
    assert [warning.partition(": ")[0][-6:] for warning in grid.warnings()] == ["line 4"]
    assert "never holds" in grid.warnings()[0]


def test_a_list_in_a_rule_means_any_of_its_values_also_for_a_parameter_of_lists():
    axes = {"parameters": {"x": {"values": [[64, 32], [128]]}}}
    named = bound(list[int], **axes, exclude=[{"x": [[64, 32]]}])
    assert list(named) == [{"x": [128]}]
    listed = bound(list[int], **axes, exclude=[{"x": [64, 32]}])
    assert len(listed) == 2
    assert "matches nothing" in listed.warnings()[0]


def load(tmp_path, text, function="def f(kernel, gamma: float, degree: int = 3): ..."):
    (tmp_path / "experiment.py").write_text(f"{function}\n")
    (tmp_path / "grid.yaml").write_text(f"function: experiment:f\n{text}")
    return checked(Grid.load(tmp_path / "grid.yaml"))


TWO = """\
parameters: {{kernel: {kernels}, degree: [2, 3]}}
when:
  - {{if: {{kernel: rbf}}, parameters: {{gamma: [0.1, 1]}}}}
  - if: {condition}
    parameters:
      gamma: [1, 2, 3]
"""


def test_a_name_may_have_other_values_under_each_of_several_conditions(tmp_path):
    grid = load(tmp_path, TWO.format(kernels="[rbf, poly]", condition="{kernel: poly}"))
    rows = [(row["kernel"], row["gamma"]) for row in grid if row["degree"] == 2]
    assert rows == [("rbf", 0.1), ("rbf", 1.0), ("poly", 1.0), ("poly", 2.0), ("poly", 3.0)]
    assert len(grid) == 10
    assert grid.names == ["kernel", "degree", "gamma"]


@pytest.mark.parametrize(
    ("condition", "shown"),
    [
        ("{kernel: [poly, rbf]}", "kernel=rbf"),
        ("{degree: 3}", "kernel=rbf degree=3"),
        ("{degree: ['3', 4]}", "kernel=rbf degree=3"),
    ],
)
def test_two_conditions_that_hold_together_may_not_give_one_name(tmp_path, condition, shown):
    with pytest.raises(GridError) as caught:
        load(tmp_path, TWO.format(kernels="[rbf, poly]", condition=condition))
    place, _, problem = str(caught.value).partition(": ")
    assert place.endswith("line 7")
    assert problem.startswith("the name 'gamma' is used twice: ")
    assert problem.endswith(f"grid.yaml, line 4 gives it too where {shown}")


def test_conditions_that_hold_together_only_where_a_rule_excludes_are_apart(tmp_path):
    text = TWO.format(kernels="[rbf, poly]", condition="{degree: 3}")
    text += "exclude:\n  - {kernel: rbf, degree: 3}\n  - {kernel: poly, degree: 2}\n"
    assert [row["gamma"] for row in load(tmp_path, text)] == [0.1, 1.0, 1.0, 2.0, 3.0]


def test_a_name_that_is_given_anyway_is_not_given_by_a_condition_too(tmp_path):
    with pytest.raises(GridError, match=r"line 3: the name 'gamma' is used twice"):
        load(
            tmp_path,
            "parameters: {kernel: rbf, gamma: 1}\nwhen: [{if: {kernel: rbf}, parameters: {gamma: [2]}}]\n",
        )


def test_a_required_argument_may_be_given_by_conditions_that_leave_out_none(tmp_path):
    with pytest.raises(GridError) as caught:
        load(tmp_path, TWO.format(kernels="[rbf, poly, linear]", condition="{kernel: poly}"))
    assert "line 4: the function experiment:f requires 'gamma', which is not given where kernel=linear" in str(
        caught.value
    )


def test_a_later_condition_tests_a_name_that_several_give():
    grid = Grid.from_dict(
        {
            "study": "g",
            "function": "m:f",
            "parameters": {"kernel": ["rbf", "poly", "linear"]},
            "when": [
                {"if": {"kernel": "rbf"}, "parameters": {"gamma": [1, 2]}},
                {"if": {"kernel": "poly"}, "parameters": {"gamma": [1, 3]}},
                {"if": {"gamma": 1}, "parameters": {"more": ["a"]}},
            ],
            "exclude": [{"gamma": 3}],
        }
    )
    assert list(grid) == [
        {"kernel": "rbf", "gamma": 1, "more": "a"},
        {"kernel": "rbf", "gamma": 2},
        {"kernel": "poly", "gamma": 1, "more": "a"},
        {"kernel": "linear"},
    ]


def test_a_condition_stands_below_all_that_give_the_name_it_tests(tmp_path):
    text = "parameters: {kernel: [rbf, poly]}\nwhen:\n  - {if: {kernel: rbf}, parameters: {gamma: [1]}}\n"
    text += "  - {if: {gamma: 1}, parameters: {degree: [1]}}\n  - {if: {kernel: poly}, parameters: {gamma: [1]}}\n"
    with pytest.raises(GridError, match="line 5: the name 'gamma' is given further below too; move this entry below"):
        load(tmp_path, text)


OPTIMIZERS = {
    "study": "g",
    "function": "m:f",
    "parameters": {"opt": ["sgd", "adam", "none"]},
    "sampling": {"samples": 3, "seed": 7},
    "when": [
        {"if": {"opt": "sgd"}, "parameters": {"lr": {"loguniform": [1e-2, 1]}, "momentum": {"uniform": [0, 1]}}},
        {"if": {"opt": "adam"}, "parameters": {"lr": {"loguniform": [1e-5, 1e-3]}}},
    ],
}


@pytest.mark.parametrize("method", ["random", "latin_hypercube", "sobol"])
def test_the_draws_under_a_condition_form_one_axis_there(method):
    rows = list(Grid.from_dict({**OPTIMIZERS, "sampling": {"samples": 3, "method": method}}))
    assert [row["opt"] for row in rows] == ["sgd"] * 3 + ["adam"] * 3 + ["none"]
    assert [list(row) for row in rows[2:4]] == [["opt", "lr", "momentum"], ["opt", "lr"]]
    assert all(1e-2 <= row["lr"] <= 1 for row in rows[:3])
    assert all(1e-5 <= row["lr"] <= 1e-3 for row in rows[3:6])
    assert rows == list(Grid.from_dict({**OPTIMIZERS, "sampling": {"samples": 3, "method": method}}))


def test_draws_under_a_condition_depend_on_no_other_entry_and_continue_with_more_samples():
    rows = list(Grid.from_dict(OPTIMIZERS))
    more = {"if": {"opt": "none"}, "parameters": {"lr": {"uniform": [0, 1]}}}
    parameters = {**OPTIMIZERS["parameters"], "drop": {"uniform": [0, 1]}}
    wider = list(Grid.from_dict({**OPTIMIZERS, "when": [more, *OPTIMIZERS["when"]], "parameters": parameters}))
    assert [row["lr"] for row in wider if row["opt"] == "sgd"][::3] == [row["lr"] for row in rows[:3]]
    longer = list(Grid.from_dict({**OPTIMIZERS, "sampling": {"samples": 5, "seed": 7}}))
    assert longer[:3] == rows[:3]
    assert longer[5:8] == rows[3:6]


def test_draws_under_a_condition_are_these_on_every_machine():
    rows = list(Grid.from_dict(OPTIMIZERS))
    assert rows[0] == {"opt": "sgd", "lr": 0.0625841240346, "momentum": 0.754443738646}


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("  - {if: {kernel: rbf}, parameters: {gamma: {uniform: [0, 1]}}}\n", 4, "'gamma' is drawn; say how often"),
        ("  - {if: {kernel: rbf}, zip: [{gamma: [1], degree: [1, 2]}]}\n", 4, "'degree' has 2 values"),
        ("  - if: {kernel: rbf}\n    zip:\n      - {gamma: {uniform: [0, 1]}}\n", 6, "stands under 'parameters' only"),
        ("  - if: {kernel: rbf}\n    zip: []\n", 4, "expected 'parameters' or 'zip' beside 'if'"),
        ("  - if: {kernel: rbf}\n    zip: [{gamma: [1]}]\n    parameters: {gamma: 1}\n", 5, "used twice"),
    ],
)
def test_a_condition_with_invalid_parameters_is_refused_at_its_line(tmp_path, text, line, word):
    with pytest.raises(GridError) as caught:
        load(tmp_path, f"parameters: {{kernel: [rbf]}}\nwhen:\n{text}")
    assert f"line {line}: " in str(caught.value)
    assert word in str(caught.value)


def test_names_move_together_under_a_condition(tmp_path):
    text = "parameters: {kernel: [rbf, linear]}\nwhen:\n  - if: {kernel: rbf}\n    parameters: {tol: [1, 2]}\n"
    text += "    zip: [{gamma: [1, 2], degree: ['3', 4]}]\n"
    grid = load(tmp_path, text, "def f(kernel, gamma: float = 0, degree: int = 3, tol=0): ...")
    assert [tuple(row.values()) for row in grid] == [
        ("rbf", 1, 1.0, 3),
        ("rbf", 1, 2.0, 4),
        ("rbf", 2, 1.0, 3),
        ("rbf", 2, 2.0, 4),
        ("linear",),
    ]


@pytest.mark.parametrize(
    ("name", "more", "repair"),
    [
        ("lr", {"sampling": {"samples": 3}}, "draws and seeds come after 'when': list its values instead"),
        ("seed", {"seeds": 3}, "draws and seeds come after 'when': list the seeds as a parameter instead"),
    ],
)
def test_a_condition_on_a_name_that_is_set_after_when_is_refused(name, more, repair):
    parameters = {"a": [1]} | ({"lr": {"uniform": [0, 1]}} if name == "lr" else {})
    when = [{"if": {name: 1}, "parameters": {"b": [1]}}]
    with pytest.raises(GridError, match=f"when.0.if.{name}: found '{name}', expected a parameter .* {repair}"):
        Grid.from_dict({"study": "g", "function": "m:f", "parameters": parameters, "when": when, **more})
