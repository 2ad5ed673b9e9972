"""Assignments by `--set` or from Python: each sets a parameter, a setting or a key, and none is ignored."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qexp import Grid
from qexp.client.function_check import checked
from qexp.client.study import grid_of
from qexp.errors import GridError
from qexp.grid import assignments_of
from qexp.grid.assignments import Assignment
from qexp.grid.overlay import layered

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cn", "Co")), max_size=5)
HEAD = "study: a\nfunction: m:f\n"
FULL = (
    HEAD
    + """\
parameters:
  a: [1]
  queue: [fifo]
zip:
  - {b: [1, 2], c: [3, 4]}
when:
  - {if: {a: 1}, parameters: {d: [5]}}
include:
  - {timeout: 9}
settings: {epochs: 5, priority: high}
seeds: 2
"""
)


@pytest.fixture
def write(tmp_path):
    def write(text, name="grid.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("assignments", "rows"),
    [
        (["a=5"], [{"a": 5, "b": "x"}]),
        (["a=1e-3,1e-4"], [{"a": 0.001, "b": "x"}, {"a": 0.0001, "b": "x"}]),
        (["b=[p, q]"], [{"a": 1, "b": "p"}, {"a": 1, "b": "q"}]),
        (["c=true"], [{"a": 1, "b": "x", "c": True}]),
        (["a={range: [0, 2]}"], [{"a": 0, "b": "x"}, {"a": 1, "b": "x"}]),
        (["b={k: 1}"], [{"a": 1, "b": {"k": 1}}]),
        (["seeds=2"], [{"a": 1, "b": "x", "seed": 0}, {"a": 1, "b": "x", "seed": 1}]),
        (["a=2", "a=3"], [{"a": 3, "b": "x"}]),
        (["a=[64, 32],[128]"], [{"a": [64, 32], "b": "x"}, {"a": [128], "b": "x"}]),
        (["a=[[64, 32], [128]]"], [{"a": [64, 32], "b": "x"}, {"a": [128], "b": "x"}]),
        (["b={k: 1},{k: 2}"], [{"a": 1, "b": {"k": 1}}, {"a": 1, "b": {"k": 2}}]),
        (["b=[{range: [0, 2]}]"], [{"a": 1, "b": {"range": [0, 2]}}]),
        (["b={range: [0, 2]},x"], [{"a": 1, "b": {"range": [0, 2]}}, {"a": 1, "b": "x"}]),
        (["parameters.a=5"], [{"a": 5, "b": "x"}]),
        (["parameters={a: 5}"], [{"a": 5, "b": "x"}]),
        (["grid.parameters.a=5"], [{"a": 5, "b": "x"}]),
        (["parameters.seeds=7"], [{"a": 1, "b": "x", "seeds": 7}]),
        (["seeds=2", "seeds="], [{"a": 1, "b": "x"}]),
        (["seeds=[3]"], [{"a": 1, "b": "x", "seed": 3}]),
        (["grid.seeds=3,5"], [{"a": 1, "b": "x", "seed": 3}, {"a": 1, "b": "x", "seed": 5}]),
        (["a=1,2", "exclude={a: 1}"], [{"a": 2, "b": "x"}]),
        (["a=1,2,3", "exclude={a: 1},{a: 2}"], [{"a": 3, "b": "x"}]),
        (["a=1,2,3", "exclude=[{a: 1}, {a: 2}]"], [{"a": 3, "b": "x"}]),
        (["a=1,2", "exclude={a: 1}", "exclude="], [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]),
        (["include={a: 7}"], [{"a": 1, "b": "x"}, {"a": 7}]),
        (["zip={c: [1, 2], d: [3, 4]}"], [{"a": 1, "b": "x", "c": 1, "d": 3}, {"a": 1, "b": "x", "c": 2, "d": 4}]),
        (["when={if: {a: 1}, parameters: {c: [8]}}"], [{"a": 1, "b": "x", "c": 8}]),
    ],
    ids=str,
)
def test_assignments_override_or_add_an_axis(write, assignments, rows):
    assert list(Grid.load(write(HEAD + "parameters:\n  a: [1]\n  b: [x]\n"), assignments)) == rows


def test_assignments_reach_other_keys_and_settings(write):
    path = write(HEAD + "parameters:\n  a: [1]\nsettings: {k: 1, l: 2}\n")
    grid = Grid.load(path, ["study=other", "settings.k=9", "queue=gpu"])
    assert (grid.study, grid.settings, grid.file.queue) == ("other", {"k": 9, "l": 2}, "gpu")


@pytest.mark.parametrize(
    ("assignment", "word"),
    [
        ("a", "NAME=VALUE"),
        ("=1", "NAME=VALUE"),
        ("a=", "no values"),
        ("a=1,1", "twice"),
        ("study=No", "study"),
        ("a=[1", "YAML"),
        ("1..x=2", "1..x"),
        ("a=[64, 32],[128", "YAML"),
        ("grid.paramters=1", "there is no key 'paramters' in a grid (did you mean 'parameters'?)"),
        ("grid.queue.x=1", "there is no key 'queue.x' in a grid"),
        ("retries.eror=1", "no key 'eror' in 'retries'"),
        ("exclude={a: 1},{c: 1}", "no parameter is named 'c'"),
        ("a={range: [0, 5, 0]}", "step"),
    ],
)
def test_a_bad_assignment_is_named(write, assignment, word):
    with pytest.raises(GridError) as caught:
        Grid.load(write(HEAD + "parameters:\n  a: [1]\n"), [assignment])
    assert str(caught.value).startswith(f"--set {assignment}: ")
    assert word in str(caught.value)


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("queue=gpu", "write parameters.queue=… or grid.queue=…"),
        ("timeout=2h", "write parameters.timeout=… or grid.timeout=…"),
        ("priority=1", "write settings.priority=… or grid.priority=…"),
        ("epochs=5,10", "write settings.epochs=…, or take it out of 'settings' to vary it"),
        ("seed=3", "write seeds=[…]"),
        ("b=7", "line 7): write grid.zip=[…]"),
        ("parameters.c=7", "line 7): write grid.zip=[…]"),
        ("d=7", "line 9): write grid.when=[…]"),
    ],
)
def test_a_name_that_may_mean_two_things_is_refused_with_the_spellings(write, assignment, expected):
    with pytest.raises(GridError) as caught:
        Grid.load(write(FULL), [assignment])
    assert str(caught.value).startswith(f"--set {assignment}: ")
    assert expected in str(caught.value)


def test_each_meaning_has_a_spelling(write):
    spelled = ["parameters.queue=lifo", "grid.queue=gpu", "grid.timeout=2h", "settings.priority=low", "grid.priority=3"]
    grid = Grid.load(write(FULL), [*spelled, "settings.epochs=9", "seeds=1", "grid.zip={b: [1], c: [2]}"])
    assert list(grid) == [{"a": 1, "queue": "lifo", "b": 1, "c": 2, "d": 5, "seed": 0}, {"timeout": 9}]
    assert (grid.file.queue, grid.file.timeout, grid.file.priority) == ("gpu", 7200, 3)
    assert grid.settings == {"epochs": 9, "priority": "low"}


def test_each_assignment_is_read_against_the_grid_with_the_earlier_ones(write):
    grid = Grid.load(write(FULL), ["zip=", "when=", "b=7", "d=8"])
    assert next(iter(grid)) == {"a": 1, "queue": "fifo", "b": 7, "d": 8, "seed": 0}


def test_an_included_experiment_keeps_its_own_values(write):
    grid = Grid.load(write(HEAD + "parameters: {a: [1]}\ninclude:\n  - {a: 2, e: 3}\n"), ["e=4"])
    assert list(grid) == [{"a": 1, "e": 4}, {"a": 2, "e": 3}]


def test_a_parameter_may_be_named_as_a_section_and_a_name_in_it(write):
    text = HEAD + "parameters: {a: 1}\ninclude:\n  - {settings.rate: 1}\nsettings: {rate: 2}\n"
    with pytest.raises(GridError, match=r"write parameters\.settings\.rate=… or grid\.settings\.rate=…"):
        Grid.load(write(text), ["settings.rate=3"])


def test_a_base_from_the_command_line_replaces_that_of_the_file(write, tmp_path, monkeypatch):
    write(HEAD + "parameters: {a: 1}\n", "one.yaml")
    write(HEAD + "parameters: {b: 2}\n", "two.yaml")
    path = write("base: one.yaml\nparameters: {c: 3}\n")
    monkeypatch.chdir(tmp_path)
    assert list(Grid.load(path, ["base=two.yaml", "b=5"])) == [{"b": 5, "c": 3}]
    with pytest.raises(GridError, match=r"--set base=none\.yaml: base: there is no file none\.yaml"):
        Grid.load(path, ["base=none.yaml"])


def test_a_section_can_be_emptied(write):
    grid = Grid.load(write(HEAD + "parameters: {a: {uniform: [0, 1]}}\nsampling: {samples: 9}\n"), ["sampling=", "a=1"])
    assert list(grid) == [{"a": 1}]


def test_python_sets_by_the_same_rules(write):
    path = write(FULL)
    values = {"a": range(2), "parameters.queue": "lifo", "settings.epochs": 7, "seeds": 1}
    grid = grid_of(path, {"study": "x", "queue": "gpu", "exclude": [{"a": 1}]}, values)
    assert (grid.study, grid.file.queue, grid.settings["epochs"]) == ("x", "gpu", 7)
    assert [(row["a"], row["queue"], row["b"]) for row in grid if "a" in row] == [(0, "lifo", 1), (0, "lifo", 2)]
    # an existing Grid and a mapping change in the same way
    again = grid_of(grid, {"study": "y"}, {"a": [0, 2]})
    assert (again.study, again.file.queue, len(again)) == ("y", "gpu", 5)
    data = {"function": "m:f", "parameters": {"a": 1, "b": 1}}
    assert list(grid_of(data, {"study": "z"}, {"a": [4, 5]})) == [{"a": 4, "b": 1}, {"a": 5, "b": 1}]


def test_python_values_are_the_values_of_an_axis_as_a_file_has_them(write):
    path = write(HEAD + "parameters: {a: [1]}\n")
    for value, expected in (([[64, 32], [128]], [[64, 32], [128]]), ({"range": [2]}, [0, 1]), ("x,y", ["x,y"])):
        assert [row["a"] for row in grid_of(path, {}, {"a": value})] == expected


@pytest.mark.parametrize(
    ("keys", "values", "expected"),
    [
        ({}, {"queue": "gpu"}, "set, 'queue': 'queue' has two meanings here: write parameters.queue"),
        ({}, {"a": []}, "set, 'a': parameter 'a' has no values"),
        ({}, {1: 2}, "set, 1: found 1 as a name, expected text"),
        ({}, {"a": object()}, "set, 'a': an object is not data"),
        ({"paramters": {}}, {}, "argument 'paramters': there is no key 'paramters'"),
        ({"study": "No"}, {}, "argument 'study': study: found 'No'"),
        ({"notify": {"url": "T0ken"}}, {}, "argument 'notify': notify: found a value of type dict"),
    ],
)
def test_an_error_names_the_argument(write, keys, values, expected):
    with pytest.raises(GridError) as caught:
        grid_of(write(FULL), keys, values)
    assert str(caught.value).startswith(expected)


def test_no_error_shows_the_value_of_notify(write):
    for assignment in ("grid.notify={a: T0ken}", "grid.notify=T0ken", "notify=[T0ken"):
        with pytest.raises(GridError) as caught:
            Grid.load(write(HEAD + "parameters: {a: 1}\n"), [assignment])
        assert "T0ken" not in str(caught.value)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.from_regex(r"(grid\.|parameters\.|settings\.)?[a-z]{0,9}[=.]?[][{}a-z0-9,:=. *&<!'#-]{0,12}", fullmatch=True))
def test_any_assignment_gives_a_grid_or_one_line_that_names_it(write, assignment):
    path = write(FULL)
    try:
        grid = Grid.load(path, [assignment])
    except GridError as error:
        assert str(error).startswith(f"--set {assignment}: ") and "\n" not in str(error)
        return
    assert len(grid) >= 1


DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(DATA)
def test_a_value_is_the_same_from_a_file_the_command_line_and_python(tmp_path_factory, value):
    text = json.dumps(value, ensure_ascii=False)
    head = tmp_path_factory.getbasetemp() / "value.yaml"
    head.write_text(f"study: a\nfunction: m:f\nparameters:\n  x: [{text}]\n", encoding="utf-8")
    whole = Grid.load(head)
    head.write_text("study: a\nfunction: m:f\n", encoding="utf-8")
    grids = [whole, Grid.load(head, [f"x=[{text}]"]), grid_of(head, {}, {"x": [value]})]
    assert {json.dumps(list(grid)) for grid in grids} == {json.dumps([{"x": value}])}


def test_a_dotted_name_that_begins_with_no_section_is_a_parameter(write):
    path = write(HEAD + "parameters: {a: 1}\n")
    for one in (*assignments_of({}, {"optimizer.lr": [0.1]}), Assignment.from_text("optimizer.lr=0.1")):
        assert layered(path, [one]).data["parameters"] == {"a": 1, "optimizer.lr": [0.1]}


def test_a_key_that_the_function_takes_as_a_parameter_is_refused_until_it_is_spelled(write, tmp_path):
    (tmp_path / "takes_queue.py").write_text("def f(queue='fifo', x=1, **rest): pass\n")
    path = write("study: a\nfunction: takes_queue:f\nparameters: {x: 1}\n")
    with pytest.raises(GridError) as caught:
        checked(Grid.load(path, ["queue=lifo"]))
    assert str(caught.value) == (
        "--set queue=lifo: 'queue' has two meanings: takes_queue:f takes a parameter of this name too: "
        "write grid.queue=… or parameters.queue=…"
    )
    assert list(checked(Grid.load(path, ["parameters.queue=lifo"]))) == [{"x": 1, "queue": "lifo"}]
    assert checked(Grid.load(path, ["grid.queue=lifo", "seeds=1"])).file.queue == "lifo"
