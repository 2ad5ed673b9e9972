"""Expansion, conversion and identity of values of random annotations, compared with a naive model."""

import collections.abc
import dataclasses
import datetime
import enum
import json
import pathlib
import typing
import uuid

from hypothesis import given, settings
from hypothesis import strategies as st
from tests_support import signature_of

from qexp.functions import Signature
from qexp.grid import Grid, bind
from qexp.model import canonical, fingerprint


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"
    ONE = 1


class Written(typing.NamedTuple):
    """A value in two spellings of a grid, and as its experiment stores it."""

    one: object
    other: object
    spelled: object


WORDS = st.text("abcdefgh xyz0189.-", min_size=1, max_size=6)
NUMBERS = st.floats(-1e9, 1e9).filter(lambda number: number != 0)
DATES = st.dates(datetime.date(1971, 1, 1), datetime.date(2100, 1, 1))


@st.composite
def written(draw, value, *spellings):
    """Draw two spellings of a value; the experiment stores the first."""
    return Written(draw(st.sampled_from(spellings)), draw(st.sampled_from(spellings)), value)


def whole(number):
    return [float(number), str(int(number)), int(number)] if number.is_integer() else [number, repr(number)]


SCALARS = [
    (int, st.integers(-(10**6), 10**6).flatmap(lambda n: written(n, n, str(n), float(n)))),
    (float, NUMBERS.flatmap(lambda x: written(x, *whole(x)))),
    (
        bool,
        st.booleans().flatmap(lambda b: written(b, b, *(["yes", "on", 1, "True"] if b else ["no", "off", 0, "f"]))),
    ),
    (str, WORDS.flatmap(lambda text: written(text, text))),
    (Colour, st.sampled_from(Colour).flatmap(lambda one: written(one.value, one.value))),
    (typing.Literal["a", 2], st.sampled_from(["a", 2]).flatmap(lambda one: written(one, one))),
    (datetime.date, DATES.flatmap(lambda d: written(d.isoformat(), d.isoformat(), f"{d.isoformat()}T00:00:00"))),
    (
        pathlib.PurePosixPath,
        st.sampled_from("ab").flatmap(lambda p: written(f"x/{p}", f"x/{p}", f"x//{p}", f"x/./{p}")),
    ),
]


def each(parts):
    """Return two spellings of a list, and the stored one."""
    return Written(*(list(column) for column in zip(*parts, strict=True))) if parts else Written([], [], [])


def sorted_set(parts, order):
    spelled = {canonical(part.spelled): part.spelled for part in parts}
    shuffled = [parts[index].other for index in order]
    return Written([part.one for part in parts], shuffled, [spelled[key] for key in sorted(spelled)])


def mapped(entries):
    """Return two spellings of a mapping whose keys have two spellings, too."""
    keys = [key for key, _ in entries]
    columns = [dict(zip(keys, [part[number] for _, part in entries], strict=True)) for number in range(3)]
    return Written(*columns)


@st.composite
def annotated(draw, depth=2):
    """Draw an annotation, and a strategy for its values."""
    kind = draw(
        st.sampled_from(["scalar"] if not depth else ["scalar", "list", "set", "dict", "ints", "class", "none"])
    )
    if kind == "scalar":
        return draw(st.sampled_from(SCALARS))
    if kind == "set":
        inner, values = draw(st.sampled_from(SCALARS))
        made = st.lists(values, max_size=4).flatmap(
            lambda parts: st.permutations(range(len(parts))).map(lambda order: sorted_set(parts, order))
        )
        return draw(st.sampled_from([set, frozenset]))[inner], made
    inner, values = draw(annotated(depth - 1))
    if kind == "none":
        return inner | None, values | st.just(Written(None, None, None))
    if kind == "list":
        several = draw(st.sampled_from([list[inner], tuple[inner, ...], collections.abc.Iterable[inner]]))
        return several, st.lists(values, max_size=3).map(each)
    if kind == "dict":
        return dict[str, inner], st.dictionaries(WORDS, values, max_size=3).map(lambda d: mapped(list(d.items())))
    if kind == "ints":
        keys = st.integers(-9, 9).map(str)
        return dict[int, inner], st.dictionaries(keys, values, max_size=3).map(lambda d: mapped(list(d.items())))
    more, others = draw(annotated(depth - 1))
    fields = [
        ("a", inner),
        ("b", more | None, dataclasses.field(default=None)),
        ("id", uuid.UUID, dataclasses.field(default_factory=uuid.uuid4)),
    ]
    whole = st.builds(lambda a, b: mapped([("a", a), ("b", b)]), values, others)
    return dataclasses.make_dataclass("Made", fields), whole | values.map(lambda a: mapped([("a", a)]))


def encoded(grid, annotation):
    return [(digest, text) for digest, text, _ in bind(grid, signature_of(annotation)).encoded()]


def exact(value):
    """Return a value as text that shows types but hides the ids that a factory makes."""
    if dataclasses.is_dataclass(value):
        return repr([(field.name, exact(getattr(value, field.name))) for field in dataclasses.fields(value)][:2])
    if isinstance(value, dict):
        return repr([(exact(key), exact(item)) for key, item in value.items()])
    if isinstance(value, set | frozenset):
        return f"{type(value)} {sorted(map(exact, value))}"
    return f"{type(value)} {[exact(item) for item in value]}" if isinstance(value, list | tuple) else repr(value)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_value_has_one_spelling_and_arrives_as_it_was_written(data):
    annotation, values = data.draw(annotated())
    value = data.draw(values)
    taker = signature_of(annotation)
    # Given two spellings of one value, then the experiment is the same, without additions
    spelled = taker.canonical("x", value.one)
    assert exact(spelled) == exact(value.spelled)
    assert exact(taker.canonical("x", value.other)) == exact(spelled)
    assert exact(taker.canonical("x", spelled)) == exact(spelled)
    # and the function receives the same value for both
    for written in (value.one, value.other, json.loads(json.dumps(spelled))):
        assert exact(taker.bind({"x": written})["x"]) == exact(taker.bind({"x": value.spelled})["x"])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_value_is_the_same_by_file_command_line_python_and_include(tmp_path_factory, data):
    annotation, values = data.draw(annotated())
    value = data.draw(values)
    text = json.dumps(value.other)
    path = tmp_path_factory.getbasetemp() / "one.yaml"
    path.write_text(f"study: g\nfunction: m:f\nparameters:\n  x: {{values: [{text}]}}\n")
    expected = [(fingerprint({"x": value.spelled}).bytes, json.dumps({"x": value.spelled}, ensure_ascii=False))]
    keys = {"study": "g", "function": "m:f"}
    assert encoded(Grid.load(path), annotation) == expected
    assert encoded(Grid.load(path, [f"x={{values: [{text}]}}"]), annotation) == expected
    assert encoded(Grid.from_dict({**keys, "parameters": {"x": {"values": [value.one]}}}), annotation) == expected
    assert encoded(Grid.from_dict({**keys, "include": [{"x": value.other}]}), annotation) == expected
    path.write_text(f"study: g\nfunction: m:f\ninclude:\n  - {{x: {text}}}\n")
    assert encoded(Grid.load(path), annotation) == expected


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_conditions_and_rules_hold_where_a_naive_comparison_of_spellings_says_so(data):
    annotation, values = data.draw(annotated())
    listed = data.draw(st.lists(values, min_size=1, max_size=4, unique_by=lambda value: canonical(value.spelled)))
    chosen = data.draw(st.lists(st.sampled_from(listed), min_size=1, max_size=2))
    when = [{"if": {"x": [value.other for value in chosen]}, "parameters": {"y": [1, 2]}}]
    dropped = data.draw(st.lists(st.sampled_from(listed), max_size=1))
    grid = Grid.from_dict(
        {
            "study": "g",
            "function": "m:f",
            "parameters": {"x": {"values": [value.one for value in listed]}, "z": [0]},
            "when": when,
            "exclude": [{"x": [value.other], "y": 1} for value in dropped],
        }
    )

    def f(x, y=0, z=0): ...

    f.__annotations__ = {"x": annotation}
    holds, gone = ({canonical(value.spelled) for value in group} for group in (chosen, dropped))
    expected = []
    for value in listed:
        for y in [1, 2] if canonical(value.spelled) in holds else [None]:
            if y != 1 or canonical(value.spelled) not in gone:
                expected.append({"x": value.spelled, "z": 0} | ({} if y is None else {"y": y}))
    bound = bind(grid, Signature.of(f, "m:f"))
    assert exact(list(bound)) == exact(expected)
    assert len(bound) == len(expected)
