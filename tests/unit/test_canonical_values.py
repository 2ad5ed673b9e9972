"""The parameters of an experiment are the values of its grid; conversion adds nothing, in any process."""

import collections.abc
import dataclasses
import datetime
import enum
import os
import pathlib
import subprocess
import sys
import textwrap
import typing
import uuid

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, SecretStr
from tests_support import signature_of
from typing_extensions import TypedDict

from qexp.client.function_check import checked
from qexp.errors import GridError
from qexp.functions import Signature
from qexp.grid import Grid, bind


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Options:
    lr: float
    tags: set[str] = dataclasses.field(default_factory=set)
    id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: int = 0


class Model(BaseModel):
    model_config = ConfigDict(populate_by_name=True, extra="allow")

    rate: float = Field(alias="learningRate")
    folds: collections.abc.Iterable[int] = ()


class Entry(TypedDict, total=False):
    b: int
    a: float


class Pair(typing.NamedTuple):
    x: int
    y: int = 5


def rows(annotation, **keys):
    """Return the experiments of a grid with one parameter x that has this annotation."""
    return list(bind(Grid.from_dict({"study": "g", "function": "m:f", **keys}), signature_of(annotation)))


@pytest.mark.parametrize(
    ("annotation", "written", "expected"),
    [
        (bool, "yes", True),
        (float, 3, 3.0),
        (set[str], ["b", "a", "b"], ["a", "b"]),
        (frozenset[Colour], ["red", "blue"], ["blue", "red"]),
        (dict[str, set[int]], {"k": ["2", 1]}, {"k": [1, 2]}),
        (set[frozenset[int]], [["2", 1], [3]], [[1, 2], [3]]),
        (set[tuple[int, str]], [["2", "a"], [1, "b"]], [[1, "b"], [2, "a"]]),
        (set[Point], [{"x": 2}, {"x": 1}], [{"x": 1}, {"x": 2}]),
        (Options, {"lr": "1", "tags": ["b", "a"]}, {"lr": 1.0, "tags": ["a", "b"]}),
        (list[Options], [{"lr": 1}], [{"lr": 1.0}]),
        (Options | None, None, None),
        (Options | None, {"lr": 1}, {"lr": 1.0}),
        (Model, {"learningRate": "0.5"}, {"learningRate": 0.5}),
        (Model, {"rate": "0.5", "more": [1]}, {"rate": 0.5, "more": [1]}),
        (Model, {"rate": 1, "folds": ["1"]}, {"rate": 1.0, "folds": [1]}),
        (RootModel[dict[str, int]], {"a": "1"}, {"a": 1}),
        (Entry, {"a": "1", "b": "2"}, {"a": 1.0, "b": 2}),
        (Pair, ["1"], [1]),
        (Pair, {"x": "1"}, {"x": 1}),
        (dict[Colour, int], {"red": "1"}, {"red": 1}),
        (dict[int, float], {"01": "1"}, {"1": 1.0}),
        (list[datetime.date], ["2024-01-01"], ["2024-01-01"]),
        (datetime.datetime, "2024-01-01T00:00:00+00:00", "2024-01-01T00:00:00Z"),
        (pathlib.Path, "a//b", "a/b"),
        (typing.Annotated[int, AfterValidator(lambda x: x * 2)], 3, 3),
        (SecretStr, "abc", "abc"),
        (list[int | str], ["3", 3], ["3", 3]),
    ],
    ids=lambda value: str(value).partition(" at 0x")[0],  # the same in each process
)
def test_a_value_keeps_its_form_and_its_scalars_get_the_type_of_the_annotation(annotation, written, expected):
    spelled = signature_of(annotation).canonical("x", written)
    assert (spelled, repr(spelled)) == (expected, repr(expected))
    # and a second conversion changes nothing, so stored values stay stable
    assert repr(signature_of(annotation).canonical("x", spelled)) == repr(expected)


def test_a_new_field_with_a_default_does_not_change_the_experiment():
    before = dataclasses.make_dataclass("Opt", [("lr", float)])
    after = dataclasses.make_dataclass("Opt", [("lr", float), ("decay", float, 0.0)])
    first, second = (
        bind(Grid.from_dict({"study": "g", "function": "m:f", "parameters": {"x": [{"lr": 1}]}}), signature_of(kind))
        for kind in (before, after)
    )
    assert list(first.encoded()) == list(second.encoded())


ENQUEUED = """
import dataclasses, enum, uuid
from qexp.functions import Signature
from qexp.grid import Grid, bind

Colour = enum.Enum("Colour", {"RED": "red", "BLUE": "blue", "GREEN": "green"})

@dataclasses.dataclass
class Options:
    tags: set[str]
    seen: dict[str, set[str]] = dataclasses.field(default_factory=dict)
    id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)

@dataclasses.dataclass
class Given:
    tags: set

def f(a: set[str], b: dict[str, set[int]], c: set[Colour], d: list[Options], e, g: Options, h): ...

words = ["alpha", "beta", "gamma", "delta"]
grid = Grid.from_dict({"study": "g", "function": "m:f", "parameters": {
    "a": [words, words[:2]],
    "b": [{"k": ["3", 2, 1], "j": [7, 8]}],
    "c": [["red", "blue", "green"]],
    "d": [[{"tags": words, "seen": {"a": words}}]],
    "e": set(words),
    "g": [{"tags": set(words)}],
    "h": [[frozenset(words)], Given(set(words)), {"k": {1, 2, 3}}],
}})
for digest, text, _ in bind(grid, Signature.of(f, "m:f")).encoded():
    print(digest.hex(), text)
"""


def test_two_processes_with_other_hash_seeds_have_the_same_experiments():
    printed = {
        subprocess.run(
            [sys.executable, "-c", ENQUEUED],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in range(1, 5)
    }
    assert len(printed) == 1
    assert printed.pop().count("\n") == 2 * 4 * 3


@pytest.mark.parametrize(
    ("annotation", "written", "expected"),
    [
        (typing.Iterable[int], ["1", 2], [1, 2]),
        (collections.abc.Iterable, [1], [1]),
        (typing.Iterator[int], ["1"], [1]),
        (typing.Generator[int, None, None], ["1"], [1]),
        (collections.abc.Collection[int], ["1"], [1]),
        (typing.Sequence[int], ["1"], [1]),
        (typing.Iterable[int] | None, ["1"], [1]),
        (typing.Annotated[typing.Iterable[int], "folds"], ["1"], [1]),
        (dict[str, typing.Iterable[int]], {"a": ["1"]}, {"a": [1]}),
        (typing.Iterable[typing.Iterable[int]], [["1"]], [[1]]),
    ],
    ids=str,
)
def test_an_iterator_arrives_as_a_list(annotation, written, expected):
    assert signature_of(annotation).bind({"x": written}) == {"x": expected}


def test_iterables_inside_of_a_model_arrive_as_lists():
    folds = signature_of(list[Model]).bind({"x": [{"rate": 1, "folds": ["1", 2]}]})["x"][0].folds
    assert (sum(folds), sum(folds)) == (3, 3)


def test_items_of_an_iterable_are_checked_before_anything_runs():
    with pytest.raises(ValueError, match=r"found \['one'\]\[0\], expected a whole number"):
        signature_of(typing.Iterable[int]).canonical("x", ["one"])


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ({"parameters": {"x": [{0: 1.0}]}}, "grid, at parameters.x.0: parameter 'x': found the key 0, expected text;"),
        ({"parameters": {"x": [[{True: 1}]]}}, "found the key true, expected text"),
        (
            {"parameters": {"x": {"values": [{"a": {0: 1}}]}}},
            "at parameters.x.values.0: parameter 'x': found the key 0",
        ),
        ({"include": [{"x": {0.5: 1}}]}, "annotate the parameter as dict[float, …]"),
        ({"parameters": {"y": [1]}, "settings": {"x": {None: 1}}}, "settings: 'x': found the key null"),
    ],
    ids=str,
)
@pytest.mark.parametrize("annotated", [False, True])
def test_a_key_that_is_no_text_is_refused_where_the_function_would_receive_text(data, word, annotated):
    def f(x, y=0): ...

    f.__annotations__ = {"x": typing.Any} if annotated else {}
    with pytest.raises(GridError) as caught:
        bind(Grid.from_dict({"study": "g", "function": "m:f", **data}), Signature.of(f, "m:f"))
    assert word in str(caught.value)


def test_a_key_that_is_no_text_is_kept_where_the_annotation_says_so():
    assert rows(dict[int, float], parameters={"x": [{0: 1.0}]}) == [{"x": {"0": 1.0}}]
    assert rows(dict[str, dict[int, int]], include=[{"x": {"a": {1: 2}}}]) == [{"x": {"a": {"1": 2}}}]
    assert rows(dict[datetime.date, int], parameters={"x": [{datetime.date(2024, 1, 1): 1}]}) == [
        {"x": {"2024-01-01": 1}}
    ]
    assert signature_of(dict[int, float]).bind({"x": {"0": 1.0}}) == {"x": {0: 1.0}}


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ({"parameters": {"x": [{0: 1, "0": 2}]}}, "at parameters.x.0: found the key '0' twice"),
        ({"include": [{"x": [{True: 1, "true": 2}]}]}, "at include.0.x.0: found the key 'true' twice"),
        ({"parameters": {0: [1]}}, "found the name 0, expected text"),
        ({"include": [{0: 1}]}, "found the name 0, expected text"),
        ({"parameters": {"x": [1]}, "exclude": [{1: 1}]}, "found the name 1, expected text"),
        ({"parameters": {"x": [1]}, "settings": {1: 1}}, "found the name 1, expected text"),
    ],
    ids=str,
)
def test_keys_that_collide_and_names_that_are_no_text_are_refused(data, word):
    with pytest.raises(GridError) as caught:
        Grid.from_dict({"study": "g", "function": "m:f", **data})
    assert word in str(caught.value)


def test_keys_that_an_annotation_makes_one_are_refused(tmp_path):
    (tmp_path / "experiment.py").write_text("def f(x: dict[int, str]): ...\n")
    (tmp_path / "grid.yaml").write_text(
        textwrap.dedent(
            """\
            function: experiment:f
            parameters:
              x:
                values:
                  - {"1": a, "01": b}
            """
        )
    )
    with pytest.raises(GridError, match=r"line 5: parameter 'x': found the keys 1, 01, expected keys that differ"):
        checked(Grid.load(tmp_path / "grid.yaml"))
