"""The expansion compared with a naive one, draws, and errors on arbitrary text."""

import json
import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qexp import Grid, QexpError
from qexp.errors import GridError
from qexp.model import canonical, fingerprint

CASES = json.loads((Path(__file__).parents[1] / "data" / "grid_cases.json").read_text())
SCALARS = st.integers(0, 4) | st.sampled_from(["a", "b", True, None, 0.5])
VALUES = st.lists(SCALARS, min_size=1, max_size=4, unique_by=canonical)


@st.composite
def rules(draw, known):
    names = draw(st.lists(st.sampled_from(sorted(known)), min_size=1, max_size=2, unique=True))
    value = {name: st.sampled_from(known[name]) for name in names}
    return {name: draw(value[name] | st.lists(value[name], max_size=2)) for name in names}


@st.composite
def sections_of(draw, known, name):
    """Draw an entry of `when` that gives one or two names."""
    section = {"if": draw(rules(known))}
    values = draw(VALUES)
    if draw(st.booleans()):
        return section | {"parameters": {name: values}}
    return section | {"zip": [{name: values, f"{name}2": list(range(len(values)))}]}


class Twice(list):
    """Values of a name that several entries give."""


@st.composite
def grids(draw):
    """Draw a grid with parameters, zip, nested conditions that may share names, rules, seeds and rows beside."""
    known = dict(draw(st.dictionaries(st.sampled_from("abc"), VALUES, min_size=1, max_size=3)))
    grid = {"study": "g", "function": "m:f", "parameters": dict(known), "zip": [], "when": []}
    if draw(st.booleans()):
        length = draw(st.integers(1, 3))
        grid["zip"] = [{"d": list(range(length)), "e": [f"e{n}" for n in range(length)]}]
        known |= grid["zip"][0]
    for names in draw(st.sampled_from(["", "f", "f g", "ff", "ff g", "fff gg"])).split():
        sections = [draw(sections_of(known, name)) for name in names]
        grid["when"] += sections
        for section in sections:
            for name, values in [*section.get("parameters", {}).items(), *section.get("zip", [{}])[0].items()]:
                known[name] = known.get(name, []) + values
    grid["exclude"] = [draw(rules(known)) for _ in range(draw(st.integers(0, 2)))]
    if draw(st.booleans()):
        grid["seeds"] = draw(st.integers(1, 3))
    grid["include"] = draw(
        st.lists(st.sampled_from([{"a": 99}, {"a": 1, "z": 1}, {"a": 1}]), max_size=2, unique_by=str)
    )
    return grid


NOWHERE = object()


def value_of(name, row):
    """Return the value of a dotted name in a combination: its own, or the value inside of a mapping."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if (above := ".".join(parts[:length])) in row:
            value = row[above]
            for key in parts[length:]:
                value = value.get(key, NOWHERE) if isinstance(value, dict) else NOWHERE
            return value
    return NOWHERE


def holds(rule, row):
    def any_of(value):
        return [canonical(item) for item in (value if isinstance(value, list) else [value])]

    def is_one(found, value):
        return all(canonical(one) in any_of(value) for one in (found if isinstance(found, Twice) else [found]))

    return all((found := value_of(name, row)) is not NOWHERE and is_one(found, value) for name, value in rule.items())


def together(row, more):
    def both(value, other):
        return Twice([*(value if isinstance(value, Twice) else [value]), other])

    return row | {name: both(row[name], value) if name in row else value for name, value in more.items()}


def oracle(grid):
    """Expand a grid naively: all products, then filters."""
    rows = [{}]
    for name, values in grid["parameters"].items():
        rows = [{**row, name: value} for row in rows for value in values]
    for moving in grid["zip"]:
        sets = [dict(zip(moving, values, strict=True)) for values in zip(*moving.values(), strict=True)]
        rows = [{**row, **more} for row in rows for more in sets]
    for section in grid["when"]:
        moving = section.get("parameters") or section["zip"][0]
        sets = [dict(zip(moving, values, strict=True)) for values in zip(*moving.values(), strict=True)]
        chosen = [sets if holds(section["if"], row) else [{}] for row in rows]
        rows = [together(row, more) for row, options in zip(rows, chosen, strict=True) for more in options]
    if "seeds" in grid:
        rows = [{**row, "seed": seed} for row in rows for seed in range(grid["seeds"])]
    rows = [row for row in rows if not any(holds(rule, row) for rule in grid["exclude"])]
    if any(isinstance(value, Twice) for row in rows for value in row.values()):
        return None
    known = set(map(canonical, rows))
    return rows + [row for row in grid["include"] if canonical(row) not in known]


@settings(max_examples=400, deadline=None)
@given(grids())
def test_the_expansion_equals_a_naive_product_then_filter(data):
    expected = oracle(data)
    if expected is None:
        with pytest.raises(GridError, match="used twice"):
            Grid.from_dict(data)
        return
    if not expected:
        with pytest.raises(GridError, match="empty"):
            Grid.from_dict(data)
        return
    grid = Grid.from_dict(data)
    rows = list(grid)
    assert json.dumps(rows) == json.dumps(expected)
    assert len(grid) == len(rows)
    # and the rows for the database are the same, each time
    encoded = list(grid.encoded())
    assert [json.loads(text) for _, text, _ in encoded] == rows
    assert [digest for digest, _, _ in encoded] == [fingerprint(row).bytes for row in rows]
    assert list(grid.encoded()) == encoded


MAPPINGS = st.lists(
    st.builds(
        lambda name, more: {"name": name} | more,
        st.sampled_from(["sgd", "adam"]),
        st.sampled_from([{}, {"lr": 1}, {"lr": 2}, {"sub": {"a": 1}}, {"lr": 1, "sub": {"a": 2}}]),
    ),
    min_size=1,
    max_size=4,
    unique_by=canonical,
)
KEYS = {"o.name": ["sgd", "adam"], "o.lr": [1, 2, 5], "o.sub.a": [1, 2, 3], "b": [1, 2], "w": [1, 2]}


@st.composite
def grids_with_mappings(draw):
    """Draw a grid whose mappings have keys that other axes give too, here and there."""

    def rule(names):
        chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
        return {name: draw(st.sampled_from(KEYS[name]) | st.just(KEYS[name][:2])) for name in chosen}

    mappings = {"o": {"values": draw(MAPPINGS)}, "b": [1, 2]}
    plain = draw(st.sampled_from([{}, {"o.lr": [1, 5]}, {"o.sub": {"values": [{"a": 1}, {"c": 1}]}}]))
    parameters = {**plain, **mappings} if draw(st.booleans()) else {**mappings, **plain}
    when = []
    if "o.lr" not in plain and draw(st.booleans()):
        when.append({"if": rule(["o.name", "b"]), "parameters": {"o.lr": [1, 5]}})
        if draw(st.booleans()):
            when.append({"if": rule(["o.name", "b"]), "parameters": {"o.lr": [2]}})
    if draw(st.booleans()):
        when.append({"if": rule(["o.lr", "b", "o.name"]), "parameters": {"o.sub.a": [1, 3]}})
    if draw(st.booleans()):
        when.append({"if": rule(["o.lr", "o.sub.a", "o.name"]), "parameters": {"w": [1, 2]}})
    names = ["o.lr", "o.sub.a", "o.name", "b"]
    exclude = [rule(names) for _ in range(draw(st.integers(0, 2)))]
    return {"study": "g", "function": "m:f", "parameters": parameters, "when": when, "exclude": exclude}


@settings(max_examples=400, deadline=None)
@given(grids_with_mappings())
def test_a_rule_sees_a_dotted_name_wherever_it_is_given(data):
    plain = {
        name: values["values"] if isinstance(values, dict) else values for name, values in data["parameters"].items()
    }
    expected = oracle({"zip": [], "include": [], **data, "parameters": plain})
    if not expected:
        with pytest.raises(GridError, match="used twice" if expected is None else "empty"):
            Grid.from_dict(data)
        return
    grid = Grid.from_dict(data)
    assert json.dumps(list(grid)) == json.dumps(expected)
    assert len(grid) == len(expected)
    # and an experiment of `include` is recognized among them
    again = Grid.from_dict({**data, "include": [expected[0]]})
    assert len(again) == len(grid)


def test_a_condition_on_a_key_of_a_mapping_holds_beside_an_axis_that_gives_the_key_elsewhere():
    data = {
        "study": "g",
        "function": "m:f",
        "parameters": {"o": {"values": [{"name": "sgd", "lr": 1}, {"name": "adam"}]}},
        "when": [
            {"if": {"o.name": "adam"}, "parameters": {"o.lr": [1, 5]}},
            {"if": {"o.lr": 1}, "parameters": {"warmup": [10, 20]}},
        ],
    }
    assert len(Grid.from_dict(data)) == 5
    data["parameters"]["b"] = [16, 32]
    assert len(Grid.from_dict({**data, "exclude": [{"o.lr": 1, "b": 16}]})) == 6
    with pytest.raises(GridError, match=r"when.0.if.o.lr: the name 'o.lr' is given further below too; move"):
        Grid.from_dict({**data, "when": data["when"][::-1]})


@settings(max_examples=200, deadline=None)
@given(grids(), st.data())
def test_a_rule_warns_exactly_if_it_matches_nothing(data, more):
    data = {**data, "exclude": [], "include": []}
    rows = oracle(data)
    assume(rows is not None)
    row = more.draw(st.sampled_from(rows))
    names = more.draw(st.lists(st.sampled_from(sorted(row)), min_size=1, max_size=3, unique=True))
    data["exclude"] = [{name: [row[name]] for name in names}, {names[0]: "nothing has this"}]
    data["include"] = [{"a": "left over"}]
    warnings = [warning.split(":")[0] for warning in Grid.from_dict(data).warnings()]
    idle = [number for number, section in enumerate(data["when"]) if not any(holds(section["if"], row) for row in rows)]
    assert warnings == ["grid, at exclude.1", *(f"grid, at when.{number}.if" for number in idle)]


@settings(max_examples=200, deadline=None)
@given(grids(), st.data())
def test_an_included_experiment_is_held_exactly_if_the_product_has_it(data, more):
    data = {**data, "include": []}
    rows = oracle(data)
    assume(rows)
    row = more.draw(st.sampled_from(rows))
    # Given an experiment of the product, and one that lacks a name or has another value
    name = more.draw(st.sampled_from(sorted(row)))
    other = more.draw(st.sampled_from([{**row, name: "other"}, {key: row[key] for key in row if key != name}]))
    data["include"] = [row] + [other] * (bool(other) and canonical(other) not in map(canonical, rows))
    # When the grid is expanded, then the first occurs once
    grid = Grid.from_dict(data)
    assert json.dumps(list(grid)) == json.dumps(rows + data["include"][1:])
    assert len(grid) == len(rows) + len(data["include"]) - 1


def test_a_long_axis_is_expanded_like_a_short_one():
    data = {"study": "g", "function": "m:f", "parameters": {"a": [1, 2]}, "seeds": 20_000}
    grid = Grid.from_dict({**data, "exclude": [{"a": 1, "seed": 7}]})
    rows = list(grid)
    assert len(rows) == len(grid) == 39_999
    assert (rows[7], rows[-1]) == ({"a": 1, "seed": 8}, {"a": 2, "seed": 19_999})
    assert [json.loads(text) for _, text, _ in Grid.from_dict(data).encoded()] == list(Grid.from_dict(data))


DRAWN = {
    "study": "g",
    "function": "m:f",
    "parameters": {
        "lr": {"loguniform": [1e-5, 1e-1]},
        "drop": {"uniform": [0, 0.5]},
        "layers": {"integers": [1, 3]},
        "act": {"choice": ["relu", "tanh"]},
        "data": ["x", "y"],
    },
    "sampling": {"samples": 200, "seed": 7},
}


@pytest.mark.parametrize("method", ["random", "latin_hypercube", "sobol"])
def test_draws_lie_in_their_bounds_form_one_axis_and_repeat(method):
    data = {**DRAWN, "sampling": {**DRAWN["sampling"], "method": method}, "seeds": 2}
    rows = list(Grid.from_dict(data))
    assert len(rows) == 2 * 200 * 2
    assert list(rows[0]) == ["data", "lr", "drop", "layers", "act", "seed"]
    assert all(1e-5 <= row["lr"] <= 1e-1 and 0 <= row["drop"] <= 0.5 for row in rows)
    assert {row["layers"] for row in rows} == {1, 2, 3}
    assert {row["act"] for row in rows} == {"relu", "tanh"}
    assert rows == list(Grid.from_dict(data))
    drawn = [[row[name] for name in ("lr", "drop", "layers", "act")] for row in rows]
    assert drawn[:400:2] == drawn[1:400:2] == drawn[400::2]
    assert rows != list(Grid.from_dict({**data, "sampling": {**data["sampling"], "seed": 8}}))


def test_draws_are_these_on_every_machine():
    rows = list(Grid.from_dict({**DRAWN, "sampling": {"samples": 2, "seed": 7}}))
    assert rows[:2] == [
        {"data": "x", "lr": 0.0133714647585, "drop": 0.22815717167, "layers": 1, "act": "tanh"},
        {"data": "x", "lr": 0.00176649966335, "drop": 0.214855631763, "layers": 1, "act": "relu"},
    ]


def test_more_samples_extend_fewer_and_another_parameter_changes_none():
    few = list(Grid.from_dict({**DRAWN, "sampling": {"samples": 5}}))
    assert few[:5] == list(Grid.from_dict({**DRAWN, "sampling": {"samples": 9}}))[:5]
    wider = {**DRAWN["parameters"], "extra": {"uniform": [0, 1]}}
    rows = list(Grid.from_dict({**DRAWN, "parameters": wider, "sampling": {"samples": 5}}))
    assert [{key: value for key, value in row.items() if key != "extra"} for row in rows] == few


def test_latin_hypercubes_fill_every_stratum():
    sampling = {"samples": 10, "method": "latin_hypercube"}
    data = {"study": "g", "function": "m:f", "parameters": {"x": {"uniform": [0, 10]}}, "sampling": sampling}
    assert sorted(int(row["x"]) for row in Grid.from_dict(data)) == list(range(10))


@pytest.mark.parametrize(
    ("form", "values"),
    [
        ({"linspace": [0, 1, 11]}, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        ({"geomspace": [1e-3, 1e3, 7]}, [0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0]),
        ({"geomspace": [-1, -100, 3]}, [-1.0, -10.0, -100.0]),
        ({"range": [1, 0, -0.25]}, [1.0, 0.75, 0.5, 0.25]),
    ],
    ids=str,
)
def test_steps_and_spaces_hold_the_numbers_a_person_expects(form, values):
    grid = Grid.from_dict({"study": "g", "function": "m:f", "parameters": {"a": form}})
    assert [row["a"] for row in grid] == values


def try_to_load(path, raw):
    path.write_bytes(raw)
    try:
        grid = Grid.load(path)
        for _ in zip(range(100), grid, strict=False):
            pass
    except QexpError as error:
        assert "\n" not in str(error), raw
        assert len(str(error)) < 2000, raw


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=200))
def test_arbitrary_text_raises_only_errors_of_qexp(tmp_path_factory, text):
    try_to_load(tmp_path_factory.getbasetemp() / "any.yaml", text.encode("utf-8", "surrogatepass"))


def mutated(rng, texts):
    text = bytearray(rng.choice(texts))
    pieces = [bytes([byte]) for byte in b" \n:-[]{},&*!|>'\"%@`#?.0123456789eE~"]
    pieces += [b"1e999", b"<<: ", b"\xff", "é".encode(), b"when:", b"zip:", b"sampling: {samples: 3}\n", b"base: x\n"]
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(text) + 1)
        other = rng.choice(texts)
        start = rng.randrange(len(other))
        kind = rng.random()
        if kind < 0.7:
            text[at:at] = rng.choice(pieces) if kind < 0.4 else other[start : start + rng.randint(1, 40)]
        else:
            del text[at : at + rng.randint(1, 8)]
    return bytes(text)


def test_mutated_grids_raise_only_errors_of_qexp(tmp_path):
    rng, texts = random.Random(1), [case["grid"].encode() for case in CASES]
    for _ in range(300):
        try_to_load(tmp_path / "any.yaml", mutated(rng, texts))


@pytest.mark.slow
def test_mutated_grids_raise_only_errors_of_qexp_for_a_minute(tmp_path):
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - to repeat a failure
    rng, texts = random.Random(seed), [case["grid"].encode() for case in CASES]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try_to_load(tmp_path / "any.yaml", mutated(rng, texts))


FAULTS = {
    "parameters": [
        "{range: [0, 5, 0]}",
        "[]",
        "{rnage: [1]}",
        "[1, 1]",
        ".inf",
        "{linspace: [0, 1]}",
        "!!set {}",
        "*none",
    ],
    "exclude": ["- {nothing: 1}", "- {}", "- 3", "- {a-b: 1}"],
    "include": ["- {}", "- [1]", "- {a..b: 1}"],
    "zip": ["- {u: [1, 2], v: [1]}", "- {}", "- {u: []}"],
    "when": ["- {if: {nothing: 1}, parameters: {w: [1]}}", "- {if: {p0: 1}}", "- {if: {p0: 1}, parameters: {}}"],
    "": [
        "queue: 'no good'",
        "seeds: 0",
        "retries: {eror: 1}",
        "timeout: never",
        "unknown: 1",
        "sampling: {samples: 0}",
    ],
}


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_reported_line_is_that_of_the_offending_node(tmp_path_factory, data):
    # Given a good grid of random size with one fault in it
    section = data.draw(st.sampled_from(sorted(FAULTS)))
    fault = data.draw(st.sampled_from(FAULTS[section]))
    good = [f"  p{number}: [{number}, {number + 1}]" for number in range(data.draw(st.integers(1, 6)))]
    blanks = data.draw(st.lists(st.sampled_from(["", "# a comment"]), max_size=3))
    lines = ["study: a", "function: m:f", *blanks, "parameters:"]
    if section == "parameters":
        at = data.draw(st.integers(0, len(good)))
        good.insert(at, f"  wrong: {fault}")
        lines += good
        expected = lines.index(f"  wrong: {fault}") + 1
    else:
        rules = (
            [f"  - {{p0: {number}}}" for number in range(data.draw(st.integers(0, 3)))] if section == "exclude" else []
        )
        lines += [*good, *blanks, *([f"{section}:", *rules, f"  {fault}"] if section else [fault])]
        expected = len(lines)
    path = tmp_path_factory.getbasetemp() / "line.yaml"
    path.write_text("\n".join(lines) + "\n")
    # When it is read, then the error names the line of the fault
    with pytest.raises(GridError) as caught:
        Grid.load(path)
    assert f"line.yaml, line {expected}: " in str(caught.value), "\n".join(lines)


@pytest.mark.parametrize("conditions", [{}, {"x": 1}])
def test_any_number_of_conditions_is_expanded(conditions):
    # Given more conditions than Python nests calls, and one or all of them hold
    number = 1_200
    when = [{"if": conditions or {"x": index}, "parameters": {f"k{index}": ["a"]}} for index in range(number)]
    values = [1] if conditions else list(range(number))
    grid = Grid.from_dict({"study": "g", "function": "m:f", "parameters": {"x": values}, "when": when})
    # Then each experiment has the parameters whose conditions hold
    rows = list(grid)
    assert len(grid) == len(rows) == len(values)
    assert {len(row) for row in rows} == {1 + number if conditions else 2}


def test_a_grid_of_absurd_size_is_refused_before_its_expansion():
    data = {"study": "g", "function": "m:f"}
    for number, shown in ((5, "1,000,000,000,000,000"), (10, "1," + ",".join(["000"] * 10)), (1_500, "over 10^4500")):
        parameters = {f"x{index}": list(range(1000)) for index in range(number)}
        with pytest.raises(GridError, match=f"has {re.escape(shown)} experiments, expected at most 100,000,000$"):
            Grid.from_dict({**data, "parameters": parameters})


WORD = 2**63


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"parameters": {"x": {"linspace": [0, 10**400, 3]}}}, "at most 1.8e308"),
        ({"parameters": {"x": {"geomspace": [1, 10**400, 3]}}}, "at most 1.8e308"),
        ({"parameters": {"x": {"range": [0.5, 10**400, 10**399]}}}, "at most 1.8e308"),
        ({"parameters": {"x": {"uniform": [-1.7e308, 1.7e308]}}, "sampling": {"samples": 1}}, "at most 1.8e308"),
        ({"parameters": {"x": {"loguniform": [1, 10**400]}}, "sampling": {"samples": 1}}, "at most 1.8e308"),
        ({"parameters": {"x": {"integers": [0, 10**400]}}, "sampling": {"samples": 1}}, "at most 1.8e308"),
        ({"sampling": {"samples": WORD}}, "a number of at most 10000000"),
        ({"seeds": WORD}, "a number of at most 10000000"),
        ({"priority": WORD}, "a number of at most 1000"),
        ({"timeout": 10**400}, "at most 36500 days"),
        ({"timeout": "9" * 400 + "d"}, "at most 36500 days"),
        ({"retries": {"delay": 1e300}}, "at most 36500 days"),
        ({"memory": f"{WORD}B"}, f"a number of at most {WORD - 1}"),
        ({"memory": "9223373TB"}, f"a number of at most {WORD - 1}"),
        ({"output": f"{WORD}B"}, "a number of at most 2147483647"),
        ({"retries": WORD}, "a number of at most 2147483647"),
        ({"retries": {"lost": WORD}}, "a number of at most 2147483647"),
        ({"stop_after": {"failures": WORD}}, "a number of at most 2147483647"),
    ],
)
def test_a_number_that_is_too_large_is_refused_with_the_expected_range(keys, expected):
    with pytest.raises(GridError, match=re.escape(expected)) as caught:
        Grid.from_dict({"study": "g", "function": "m:f", "parameters": {"x": 1}, **keys})
    assert "\n" not in str(caught.value)


def test_whole_numbers_of_any_size_are_parameters():
    grid = Grid.from_dict({"study": "g", "function": "m:f", "parameters": {"x": {"range": [WORD, WORD + 2]}}})
    assert [row["x"] for row in grid] == [WORD, WORD + 1]


def _work(monkeypatch, data):
    """Return how many values become canonical JSON while qexp reads, counts, checks and encodes a grid."""
    calls = 0

    def counted(value):
        nonlocal calls
        calls += 1
        return canonical(value)

    for module in ("axis_groups", "validation", "expansion", "parameter_sets", "rule_masks", "rules"):
        monkeypatch.setattr(f"qexp.grid.{module}.canonical", counted, raising=False)
    grid = Grid.from_dict({"study": "g", "function": "m:f", **data})
    assert sum(1 for _ in grid.encoded()) == len(grid)
    grid.warnings()
    return calls


@pytest.mark.parametrize(
    "data",
    [
        lambda n: {"parameters": {"x": list(range(n))}, "include": [{"x": n // 2 + i} for i in range(n)]},
        lambda n: {
            "zip": [{"x": list(range(n)), "y": list(range(n))}],
            "include": [{"x": i, "y": 0} for i in range(n)],
        },
        lambda n: {"parameters": {"x": [1, 2]}, "exclude": [{"x": i} for i in range(2, n)], "include": [{"x": n}]},
        lambda n: {"parameters": {"x": [0]}, "exclude": [{"x": i} for i in range(1, n)], "include": _rows(n)},
        lambda n: {"parameters": {"x": list(range(n))}, "exclude": [{"x": i} for i in range(n // 2)]},
    ],
    ids=["beside a list", "beside a zip", "rules", "rules and rows", "rules of a long axis"],
)
def test_twice_as_long_a_grid_takes_twice_the_work(monkeypatch, data):
    assert _work(monkeypatch, data(400)) < 2.5 * _work(monkeypatch, data(200))


def _rows(number):
    return [{"x": -1 - index} for index in range(number)]
