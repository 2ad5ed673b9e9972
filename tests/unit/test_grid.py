"""A grid file becomes ordered parameter sets; errors name the line."""

import json
import math
import re
import statistics
import traceback
from decimal import Decimal
from pathlib import Path

import pytest

from qexp import Grid
from qexp.client.function_check import checked
from qexp.errors import GridError
from qexp.grid.axis_forms import LogNormal, Normal
from qexp.model import fingerprint

# behaviours of Memento and PyExperimenter, and mistakes that their users report
CASES = json.loads((Path(__file__).parents[1] / "data" / "grid_cases.json").read_text())


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "grid.yaml"
        path.write_text(text, encoding="utf-8")
        return Grid.load(path)

    return load


def body(text):
    """Return a grid whose first line of interest is line 3."""
    return f"study: a\nfunction: m:f\n{text}"


@pytest.mark.parametrize("case", [c for c in CASES if "error" not in c], ids=lambda case: case["name"])
def test_a_reference_grid_gives_its_experiments_in_order(load, case):
    rows = list(load(case["grid"]))
    assert len(rows) == case["n"]
    if "rows" in case:
        assert [list(row.items()) for row in rows] == [list(row.items()) for row in case["rows"]]
        assert json.dumps(rows) == json.dumps(case["rows"])
    else:
        assert (rows[0], rows[-1]) == (case["first"], case["last"])


@pytest.mark.parametrize("case", [c for c in CASES if "error" in c], ids=lambda case: case["name"])
def test_an_invalid_reference_grid_is_refused(load, case):
    with pytest.raises(GridError) as caught:
        load(case["grid"])
    assert case["error"] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("parameters: [1]\n", 3, "parameters"),
        ("parameters:\n  a: [1]\nqueue: 'not a queue!'\n", 5, "queue"),
        ("parameters:\n  a..b: [1]\n", 4, "found the name 'a..b', expected at most 200 printable characters"),
        ("parameters:\n  .a: [1]\n", 4, "text before and after each dot"),
        ("parameters:\n  ' a': [1]\n", 4, "found the name ' a'"),
        ('parameters:\n  "a\\tb": [1]\n', 4, "printable"),
        ("parameters:\n  '': [1]\n", 4, "found the name ''"),
        ("parameters:\n  a: {range: [0, x]}\n", 4, "number"),
        ("parameters:\n  a:\n    range: [0, 5]\n    more: 1\n", 6, "more"),
        ("parameters:\n  a: {range: [5, 0]}\n", 4, "no values"),
        ("parameters:\n  a: [1]\nexclude:\n  - {a: 1}\n  - {b: 1}\n", 7, "'b'"),
        ("parameters:\n  a: [1]\nseeds: 0\n", 5, "expected a number of at least"),
        ("parameters:\n  a: [1]\nseeds: [1, 1]\n", 5, "twice"),
        ("parameters:\n  seed: [1]\nseeds: 2\n", 5, "twice"),
        ("parameters:\n  a: [1]\nsettings: {a: 2}\n", 5, "twice"),
        ("parameters:\n  a: [1]\ninclude:\n  - {a: 2}\n  - {a: 2.0}\n", 7, "is repeated"),
        ("parameters:\n  a:\n    - 1\n    - 2\n    - 1\n", 7, "twice"),
        ("parameters:\n  a: .nan\n", 4, "finite"),
        ("parameters:\n  a: [1, 1e999]\n", 4, "finite"),
        ("parameters:\n  a: !!python/name:os.system x\n", 4, "tag"),
        ("parameters:\n  a: [1\n", 5, "YAML"),
        ("parameters:\n  a: *nothing\n", 4, "nothing"),
        ("parameters:\n  a: &x [1, *x]\n", 4, "no anchor"),
        ("parameters:\n  ? [a]\n  : [1]\n", 4, "key"),
        ("parameters:\n  1: [1]\n", 4, "key"),
        ("---\nstudy: b\n", 3, "document"),
        ("parameters:\n  a: {linspace: [0, 1]}\n", 4, "at least 3"),
        ("parameters:\n  a: {linspace: [0, 1, 0]}\n", 4, "count 0"),
        ("parameters:\n  a: {linspace: [0, 1, 1]}\n", 4, "both ends"),
        ("parameters:\n  a: {geomspace: [-1, 1, 3]}\n", 4, "same side of 0"),
        ("parameters:\n  a: {range: [0, 1e12]}\n", 4, "at most 10,000,000"),
        ("zip:\n  - {a: [1, 2],\n     b: [1]}\n", 5, "'b' has 1 values, 'a' has 2"),
        ("zip:\n  - {}\n", 4, "at least one"),
        ("zip:\n  - {a: [1, 1], b: [2, 2]}\n", 4, "twice"),
        ("parameters:\n  a: [1]\nzip:\n  - a: [1]\n", 6, "twice"),
        ("parameters:\n  a: [1]\nwhen:\n  - if: {b: 1}\n    parameters: {c: [1]}\n", 6, "above is named 'b'"),
        ("parameters:\n  a: [1]\nwhen:\n  - if: {a: 1}\n    parameters: {a: [1]}\n", 7, "twice"),
        ("parameters:\n  a: [1]\nwhen:\n  - if: {a: 1}\n    parameter: {c: [1]}\n", 7, "mean 'parameters'"),
        ("parameters:\n  a: [1]\nwhen:\n  - if: {}\n    parameters: {c: [1]}\n", 6, "without keys"),
        ("parameters:\n  a: [1]\nwhen:\n  - if: {a: 1}\n    parameters: {c: {uniform: [0, 1]}}\n", 7, "drawn"),
        ("parameters:\n  a: {uniform: [0, 1]}\n", 4, "samples: N"),
        ("parameters:\n  a: {uniform: [1, 0]}\nsampling: {samples: 2}\n", 4, "lower bound first"),
        ("parameters:\n  a: {loguniform: [0, 1]}\nsampling: {samples: 2}\n", 4, "above 0"),
        ("parameters:\n  a: {integers: [0, 1.5]}\nsampling: {samples: 2}\n", 4, "a whole number"),
        ("parameters:\n  a: [1]\nsampling: {samples: 2}\n", 5, "no parameter is drawn"),
        ("parameters:\n  a: {choice: [1]}\nsampling: {sample: 2}\n", 5, "mean 'samples'"),
        ("parameters:\n  a: [1]\ntimeout: soon\n", 5, "time span"),
        ("parameters:\n  a: [1]\nretries: {eror: 1}\n", 5, "mean 'error'"),
        ("parameters:\n  a: [1]\nretries: -1\n", 5, "expected a number of at least"),
        (
            "parameters:\n  a: [1]\nnotify: 5\n",
            5,
            "notify: found a value of type int, expected addresses such as slack://",
        ),
        ("parameters:\n  a: [1]\nnotify: [T0ken]\n", 5, "notify: found a value of type list, expected addresses"),
        ("parameters:\n  a: [1]\nstop_after: 20\n", 5, "such as {failures: 20} or {rate: 0.5}"),
        ("parameters:\n  a: [1]\nstop_after: {}\n", 5, "such as {failures: 20} or {rate: 0.5}"),
        ("parameters:\n  a: [1]\nstop_after:\n  failures: 0\n", 6, "at least 1"),
        ("parameters:\n  a: [1]\nstop_after:\n  rate: 50\n", 6, "a number of at most 1"),
        ("parameters:\n  a: [1]\nstop_after: {failure: 1}\n", 5, "mean 'failures'"),
        ("base: 3\nparameters:\n  a: [1]\n", 3, "path of another grid"),
        ("base: none.yaml\nparameters:\n  a: [1]\n", 3, "no file"),
    ],
)
def test_a_refusal_names_the_line(load, text, line, word):
    with pytest.raises(GridError) as caught:
        load(body(text))
    assert f"line {line}:" in str(caught.value)
    assert word in str(caught.value)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("experiments.py:main", "expected module:name, without .py: experiments:main"),
        ("src/train.py:main", "expected module:name, without .py: train:main with folder: src"),
        ("../lib/train:main", "expected module:name, such as train:main with folder: ../lib"),
        ("./train.py::main", "expected module:name, without .py: train:main"),
        ("train:main()", "expected module:name, such as train:main"),
        ("lib.train.main", "expected module:name, such as lib.train:main"),
        ("train.py", "expected module:name, such as experiment:evaluate"),
        ("train", "expected module:name, such as experiment:evaluate"),
        ("my-module:f", "expected module:name, such as experiment:evaluate"),
    ],
)
def test_a_function_given_as_a_file_or_a_call_is_refused_with_the_right_name(load, written, expected):
    with pytest.raises(GridError) as caught:
        load(f"study: a\nfunction: {written}\nparameters: {{a: 1}}\n")
    assert str(caught.value).endswith(f"line 2: function: found {written!r}, {expected}")


@pytest.mark.parametrize("text", ["", "parameters:\n", "parameters: {}\ninclude: []\n", "settings: {k: 1}\n"])
def test_a_grid_without_parameters_is_one_experiment(load, text):
    grid = load(body(text))
    assert (len(grid), list(grid), grid.names, grid.warnings()) == (1, [{}], [], [])
    assert list(grid.encoded()) == [(fingerprint({}).bytes, "{}", None)]


def test_a_grid_whose_combinations_are_all_excluded_is_refused(load):
    with pytest.raises(GridError, match="the grid is empty: every combination is excluded"):
        load(body("parameters: {a: 1}\nexclude: [{a: 1}]\n"))
    with pytest.raises(GridError, match="line 3: parameter 'a' has no values"):
        load(body("parameters: {a: []}\n"))


def test_a_function_that_requires_a_parameter_is_refused_a_grid_without(tmp_path):
    (tmp_path / "requires_x.py").write_text("def f(x): pass\ndef g(x=1, *, k): pass\n")
    path = tmp_path / "grid.yaml"
    path.write_text("function: requires_x:f\n")
    with pytest.raises(GridError, match=r"line 1: the function requires_x:f requires 'x', which is not given"):
        checked(Grid.load(path))
    path.write_text("function: requires_x:g\nsettings: {k: 1}\n")
    assert list(checked(Grid.load(path))) == [{}]


DRAWS = [
    ({"normal": [0, 1]}, float),
    ({"normal": [10, 2], "step": 1}, int),
    ({"normal": [0, 1], "step": 0.1}, float),
    ({"lognormal": [0, 1]}, float),
    ({"lognormal": [2, 0.5], "step": 0.25}, float),
    ({"loguniform": [1, 1000], "step": 1}, int),
    ({"loguniform": [1e-3, 1], "step": 1e-3}, float),
    ({"uniform": [0, 1], "step": 0.1}, float),
    ({"uniform": [0.05, 0.95], "step": 0.3}, float),
    ({"uniform": [-7, 9], "step": 5}, int),
    ({"integers": [-100, 100], "step": 7}, int),
]


@pytest.mark.parametrize("method", ["random", "latin_hypercube", "sobol"])
@pytest.mark.parametrize(("form", "kind"), DRAWS, ids=str)
def test_draws_are_exact_multiples_of_their_step_within_their_bounds_and_always_the_same(form, kind, method):
    data = {"study": "a", "function": "m:f", "parameters": {"x": form}}
    data["sampling"] = {"samples": 200, "seed": 3, "method": method}
    values = [row["x"] for row in Grid.from_dict(data)]
    assert values == [row["x"] for row in Grid.from_dict(data)]
    assert {type(value) for value in values} == {kind}
    bounds = next(iter(form.values()))
    if "normal" not in form and "lognormal" not in form:
        assert all(bounds[0] <= value <= bounds[1] for value in values)
    if "step" in form:
        assert all(Decimal(repr(value)) % Decimal(repr(form["step"])) == 0 for value in values)
    assert len(set(values)) >= 3


def test_normal_draws_have_the_mean_and_deviation_that_were_asked_for():
    data = {"study": "a", "function": "m:f", "parameters": {"x": {"normal": [5, 2]}, "y": {"lognormal": [1, 0.5]}}}
    rows = list(Grid.from_dict({**data, "sampling": {"samples": 4096, "method": "sobol"}}))
    for values, mean, deviation in (
        ([row["x"] for row in rows], 5, 2),
        ([math.log(row["y"]) for row in rows], 1, 0.5),
    ):
        assert statistics.fmean(values) == pytest.approx(mean, abs=0.01)
        assert statistics.stdev(values) == pytest.approx(deviation, rel=0.01)


def test_draws_of_a_seed_never_change():
    forms = {"a": {"normal": [0, 1]}, "b": {"lognormal": [0, 1]}, "c": {"loguniform": [1, 1000], "step": 1}}
    data = {"study": "a", "function": "m:f", "parameters": forms, "sampling": {"samples": 2, "seed": 7}}
    assert list(Grid.from_dict(data)) == [
        {"a": -1.25523154527, "b": 0.31473352473, "c": 77},
        {"a": 0.535911309762, "b": 7.12960936456, "c": 387},
    ]


def test_a_normal_draw_is_finite_at_the_ends():
    for form in (Normal(normal=[0, 1]), LogNormal(lognormal=[0, 1]), Normal(normal=[0, 1], step=1)):
        assert all(math.isfinite(form.at(quantile)) for quantile in (0.0, 1 - 2**-53))


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"normal": [0, 0]}, "found the standard deviation 0, expected one above 0"),
        ({"normal": [0]}, "at least 2 entries"),
        ({"normal": [1e308, 1e308]}, "at most 1.8e308"),
        ({"lognormal": [0, 100]}, "at most 1.8e308"),
        ({"uniform": [0, 1], "step": 0}, "found the step 0, expected one above 0"),
        ({"uniform": [0.1, 0.2], "step": 1}, "no multiple of the step 1 lies between 0.1 and 0.2"),
        ({"integers": [1, 9], "step": 10}, "no multiple of the step 10 lies between 1 and 9"),
        ({"integers": [1, 9], "step": 0.5}, "expected a whole number"),
        ({"choice": [1, 2], "step": 1}, "found the key 'step' beside a form"),
        ({"range": [9], "step": 1}, "found the key 'step' beside a form"),
    ],
    ids=str,
)
def test_an_invalid_draw_is_refused(form, expected):
    data = {"study": "a", "function": "m:f", "parameters": {"x": form}, "sampling": {"samples": 1}}
    with pytest.raises(GridError, match=re.escape(expected)):
        Grid.from_dict(data)


def test_the_study_is_named_after_the_file(tmp_path):
    path = tmp_path / "lenet.yaml"
    path.write_text("function: m:f\nparameters: {a: 1}\n")
    assert Grid.load(path).study == "lenet"


def test_a_file_name_that_is_no_study_name_requires_a_study(tmp_path):
    path = tmp_path / "My Grid.yaml"
    path.write_text("function: m:f\nparameters: {a: 1}\n")
    with pytest.raises(GridError, match="no 'study' is given"):
        Grid.load(path)


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"", "empty"),
        (b"just text", "expected a mapping"),
        (b"a: \xff\xfe", "not UTF-8"),
        (b"a: \x00", "U+0000"),
        (b"\xef\xbb\xbfstudy: a\n", "function"),
        (b"[" * 100_000, "nested"),
        (b"x" * 10_000_001, "10 MB"),
    ],
    ids=lambda value: repr(value[:12]) if isinstance(value, bytes) else value,
)
def test_a_file_that_is_no_grid_is_refused(tmp_path, raw, word):
    path = tmp_path / "grid.yaml"
    path.write_bytes(raw)
    with pytest.raises(GridError, match=word.replace("+", r"\+")):
        Grid.load(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(GridError, match="no such file"):
        Grid.load(tmp_path / "none.yaml")


def test_aliases_that_multiply_are_refused(load):
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
    )
    with pytest.raises(GridError, match="aliases"):
        load(bomb)


def test_an_anchor_may_be_used_again(load):
    grid = load(body("parameters:\n  a: &x [1, 2]\n  b: *x\n"))
    assert len(grid) == 4


def test_a_rule_that_matches_nothing_warns(load):
    grid = load(body("parameters:\n  a: [1, 2]\nexclude:\n  - {a: 1}\n  - {a: 3}\n"))
    assert [warning.partition(": ")[2] for warning in grid.warnings()] == ["this rule of 'exclude' matches nothing"]
    assert "line 7" in grid.warnings()[0]


def test_an_included_experiment_that_the_product_holds_is_there_once_and_warns(load):
    grid = load(body("parameters:\n  a: [1, 2]\ninclude:\n  - {a: 2.0}\n"))
    assert list(grid) == [{"a": 1}, {"a": 2}]
    assert "in the product already" in grid.warnings()[0]


def test_an_excluded_experiment_can_be_included_again(load):
    grid = load(body("parameters:\n  a: [1, 2]\nexclude:\n  - {a: 2}\ninclude:\n  - {a: 2}\n"))
    assert list(grid) == [{"a": 1}, {"a": 2}]


def test_rules_tell_true_from_one(load):
    grid = load(body("parameters:\n  a: [1, true, '1']\nexclude:\n  - {a: 1}\n"))
    assert list(grid) == [{"a": True}, {"a": "1"}]


def test_a_grid_from_python_takes_numpy_and_ranges():
    import numpy as np

    grid = Grid.from_dict({"study": "a", "function": "m:f", "parameters": {"x": np.array([1, 2]), "y": range(2)}})
    assert list(grid)[-1] == {"x": 2, "y": 1}


def test_a_grid_from_python_names_the_place():
    with pytest.raises(GridError, match=r"grid, at parameters\.a"):
        Grid.from_dict({"study": "a", "function": "m:f", "parameters": {"a": []}})


def test_no_error_of_a_grid_shows_a_notification_address(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text("study: a\nfunction: m:f\nparameters: {x: 1}\nnotify: {url: slack://T0ken}\n")
    for assignments in ([], ["notify=T0ken"], ["notify={a: T0ken}"], ["notify=[T0ken"]):
        with pytest.raises(GridError) as caught:
            Grid.load(path, assignments)
        assert "T0ken" not in "".join(traceback.format_exception(caught.value))
    assert Grid.load(path, ["notify=json://a/T0ken json://b"]).file.notify == ["json://a/T0ken", "json://b"]


def test_repeated_draws_are_left_out_with_a_warning(load):
    grid = load(body("parameters: {lr: 0.1, layers: {integers: [2, 3]}}\nsampling: {samples: 20}\n"))
    assert sorted(row["layers"] for row in grid) == [2, 3]
    assert any("18 of the draws repeat others and are left out" in warning for warning in grid.warnings())


def test_an_error_in_a_form_names_the_parameter(load):
    with pytest.raises(GridError, match="parameter 'lr': found 5"):
        load(body("parameters: {lr: {range: 5}}\n"))


def test_two_mappings_that_differ_only_in_their_order_are_refused_with_advice(load):
    with pytest.raises(GridError, match="for values that differ in the order of keys, write lists of pairs"):
        load(body("parameters: {steps: [{b: 1, a: 2}, {a: 2, b: 1}]}\n"))
    with pytest.raises(GridError, match=r"'kind' has the value print twice$"):
        load(body("parameters: {kind: [print, len, print]}\n"))


def test_a_number_as_the_name_of_a_study_gets_a_similar_name(load):
    with pytest.raises(GridError, match=r"found 17, expected a lower-case letter.* \(did you mean 'study_17'\?\)"):
        load("study: 17\nfunction: a:f\nparameters: {x: [1]}\n")
