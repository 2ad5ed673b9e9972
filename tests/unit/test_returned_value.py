"""The data in a returned value is stored; an error names each other part, the reason and the repair."""

import collections
import dataclasses
import itertools
import re
import threading
import uuid

import pandas as pd
import pydantic
import pytest

from qexp import serialization
from qexp.errors import ContextError
from qexp.functions import switch_folder
from qexp.model import Claim
from qexp.worker.attempt import function_call
from qexp.worker.attempt.returned_value import result_of
from qexp.worker.attempt.signals import AttemptSignals
from qexp.worker.context.context import Context
from qexp.worker.slots import SlotTable


class Estimator:
    """A model that a function returns."""


class Raises(collections.abc.Mapping):
    """A mapping whose own code fails."""

    def __getitem__(self, key):
        raise RuntimeError("closed")

    def __iter__(self):
        raise RuntimeError("closed")

    def __len__(self):
        return 1


GOOD = {"accuracy": 0.9, "seconds": 7200}
FRAME = pd.DataFrame({"x": [1, 2]})
BAD = {
    "history": (FRAME, "history: a pandas.DataFrame is not data; write frame.to_dict('list')"),
    "raw": (b"abc", "raw: a bytes object is not data"),
    "model": (Estimator(), "model: a "),
    "lock": (threading.Lock(), "lock: a "),
    "deep": ({"a": [1, {"b": b""}]}, "deep.a[1].b: a bytes object is not data"),
    "keys": ({1: 2}, "keys: found the key 1, expected text"),
    "long": (10**5000, "long: found a whole number of more than 4,300 digits"),
    "closed": (Raises(), "closed: a tests.Raises is not data: it raised RuntimeError"),
    "complex": (1j, "complex: a complex number is not data"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_value_that_is_no_data_does_not_affect_the_others(name):
    value, why = BAD[name]
    found = result_of({**GOOD, name: value, "last": 1})
    assert found.kept == {**GOOD, "last": 1}
    place = "deep.a" if name == "deep" else name
    assert [*found.refused] == [place]
    assert found.refused[place].startswith(why)


def test_several_refused_values_are_named_each_with_its_reason():
    found = result_of({**GOOD, **{name: value for name, (value, _) in BAD.items()}})
    assert found.kept == GOOD
    assert [place.partition(".")[0] for place in found.refused] == [*BAD]


def test_a_key_that_is_no_text_is_refused_and_one_with_half_a_character_is_made_visible():
    found = result_of({"a\ud800": 1, 3: 2, "raw": b""})
    assert found.kept == {"a\\ud800": 1}
    assert [*found.refused] == ["3", "raw"]


def test_the_largest_of_values_that_are_too_large_together_is_refused():
    found = result_of({**GOOD, "small": "x" * 3_000_000, "large": "x" * 7_000_000})
    assert [*found.kept] == ["accuracy", "seconds", "small"]
    assert found.refused["large"].startswith("large: has 7.0 MB, expected at most 8 MB in the whole result")


def test_only_the_value_nested_too_deeply_is_refused():
    deep = 1
    for _ in range(260):
        deep = [deep]
    found = result_of({**GOOD, "deep": deep})
    assert found.kept == GOOD
    assert "250 levels" in found.refused["deep"] or "too deeply" in found.refused["deep"]


@dataclasses.dataclass
class Data:
    accuracy: float
    model: object


class Model(pydantic.BaseModel, arbitrary_types_allowed=True):
    accuracy: float
    model: object


@pydantic.dataclasses.dataclass(config={"arbitrary_types_allowed": True})
class Preds:
    preds: object
    model: object


Named = collections.namedtuple("Named", ["accuracy", "model"])


@pytest.mark.parametrize(
    "made",
    [Data, Model, Named, lambda accuracy, model: pd.Series({"accuracy": accuracy, "model": model})],
    ids=["dataclass", "pydantic", "namedtuple", "Series"],
)
def test_a_mapping_like_value_keeps_its_names_and_its_valid_parts(made):
    assert result_of(made(accuracy=0.9, model=1)).kept == {"accuracy": 0.9, "model": 1}
    found = result_of(made(accuracy=0.9, model=Estimator()))
    assert found.kept == {"accuracy": 0.9}
    assert [*found.refused] == ["model"]


@pytest.mark.parametrize("value", [FRAME, b"abc", Estimator(), pd.Series([1, 2], index=["a", "a"]), [1, b""]])
def test_a_refused_value_without_names_is_not_stored(value):
    found = result_of(value)
    assert (found.kept, [*found.refused]) == ({}, [""])


def test_each_part_is_read_once_even_if_another_is_refused():
    found = result_of({"preds": (number**2 for number in range(3)), "acc": 0.9, "est": Estimator()})
    assert found.kept == {"preds": [0, 1, 4], "acc": 0.9}


def test_an_iterator_in_a_model_of_pydantic_is_named_rather_than_kept_empty():
    found = result_of({"score": Model(accuracy=0.9, model=Estimator()), "preds": Preds(iter([1]), Estimator())})
    assert found.kept == {"score": {"accuracy": 0.9}}
    why = "preds.preds: a list_iterator beside what is not data is not kept; make it a list"
    assert found.refused["preds.preds"] == why


def test_iterators_are_lists_but_files_are_not_data(tmp_path):
    path = tmp_path / "log"
    path.write_text("a\nb\n")
    with path.open() as file:
        found = result_of({"map": map(abs, [-1]), "zip": zip([1], [2], strict=True), "log": file})
    assert found.kept == {"map": [1], "zip": [[1, 2]]}
    why = "log: an _io.TextIOWrapper is not data; read it, or keep the file with context.artifact"
    assert found.refused == {"log": why}


def test_an_endless_iterator_is_refused(monkeypatch):
    monkeypatch.setattr(serialization, "MOST_VALUES", 10)
    assert result_of({"ten": iter(range(10))}).kept == {"ten": [*range(10)]}
    assert result_of(itertools.count()).refused[""] == "an itertools.count of more than 10 values is not data"


NESTED = {
    "a mapping": (
        {"metrics": {"acc": 0.9, "f1": 0.8, "est": b""}, "hours": 2},
        {"metrics": {"acc": 0.9, "f1": 0.8}, "hours": 2},
        {"metrics.est": "metrics.est: a bytes object is not data"},
    ),
    "a dataclass": (
        {"m": Data(0.9, b"")},
        {"m": {"accuracy": 0.9}},
        {"m.model": "m.model: a bytes object is not data"},
    ),
    "a model": (
        {"m": Model(accuracy=0.9, model=threading.Lock())},
        {"m": {"accuracy": 0.9}},
        {"m.model": "m.model: a _thread.lock is not data"},
    ),
    "a namedtuple": (
        {"m": Named(0.9, b"")},
        {"m": {"accuracy": 0.9}},
        {"m.model": "m.model: a bytes object is not data"},
    ),
    "mappings in a list": (
        [{"acc": 0.9}, {"acc": 0.8, "h": b""}],
        {"value": [{"acc": 0.9}, {"acc": 0.8}]},
        {"[1].h": "[1].h: a bytes object is not data"},
    ),
    "an item of a list": (
        {"folds": [0.9, b""], "hours": 2},
        {"hours": 2},
        {"folds": "folds[1]: a bytes object is not data"},
    ),
    "a whole mapping in a list": (
        {"folds": [{"acc": 0.9, "h": 1j}, {"h": b""}], "hours": 2},
        {"hours": 2},
        {"folds": "folds[0].h: a complex number is not data"},
    ),
    "a whole mapping": ({"m": {"est": b""}, "hours": 2}, {"hours": 2}, {"m.est": "m.est: a bytes object is not data"}),
    "some keys": (
        {"m": {"acc": 0.9, 1: 2, 3: 4}},
        {"m": {"acc": 0.9}},
        {"m": "m: found the key 1, expected text"},
    ),
}


@pytest.mark.parametrize("name", NESTED)
def test_data_is_stored_at_every_depth_and_each_refused_place_is_named(name):
    value, kept, refused = NESTED[name]
    found = result_of(value)
    assert (found.kept, found.refused) == (kept, refused)


def test_a_part_that_contains_itself_is_named():
    loop = {"acc": 0.9}
    loop["loop"] = {"here": loop}
    found = result_of(loop)
    assert found.kept == {"acc": 0.9}
    assert found.refused == {"loop": "loop: it is nested too deeply, or contains itself"}


@pytest.mark.parametrize(
    "series",
    [
        pd.Series([1, 2], index=[3, 4]),
        pd.Series([1, 2], index=pd.date_range("2026-01-01", periods=2)),
        pd.Series([1, 2], index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
    ],
    ids=["whole numbers", "dates", "MultiIndex"],
)
def test_a_series_whose_labels_are_not_text_is_refused_with_advice(series):
    found = result_of({"hours": 2, "series": series})
    assert found.kept == {"hours": 2}
    why = r"series: found a pandas.Series with the label .*, expected labels that are text; write (\{.*\}), or (.*)"
    repairs = re.fullmatch(why, found.refused["series"]).groups()
    written = [eval(repair, {"series": series}) for repair in repairs]
    assert result_of({"a": written[0], "b": written[1]}).kept == {
        "a": {str(label): value for label, value in series.items()},
        "b": [1, 2],
    }


@pytest.fixture
def outcome(tmp_path):
    """Run a function of this source as an attempt, and return its outcome."""

    def outcome(source, folder="one"):
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        (path / "experiment.py").write_text(source)
        slots = SlotTable(tmp_path / f"{folder}.slots")
        slots.create()
        claim = Claim(1, 1, uuid.UUID(int=1), {}, uuid.UUID(int=2), {}, 3, "digits", "experiment:f", path, ())
        try:
            return function_call.run(claim, path, Context.local(), AttemptSignals(slots, 0))
        finally:
            switch_folder(None)

    return outcome


SOURCE = "import math\n\ndef f():\n    return {'accuracy': 0.9, 'seconds': %s, 'raw': %s}\n"


def test_the_error_names_the_function_the_refused_values_and_the_command_that_accepts_the_rest(outcome):
    found = outcome(SOURCE % (7200, "b'abc'"))
    assert found.result == {"accuracy": 0.9, "seconds": 7200}
    error = found.error
    assert (error.failure, error.type, error.frame) == ("error", "qexp.errors.ResultError", "experiment.py:3 in f")
    assert error.message.startswith("the result is not data: raw: a bytes object is not data; return numbers, text")
    accept = f"kept: accuracy, seconds; 'qexp accept digits --error {error.fingerprint[:6]}' makes these the result"
    assert error.message.endswith(accept)
    lines = error.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith('experiment.py", line 3, in f')
    assert lines[2] == "    def f():"
    assert "qexp/worker" not in error.traceback


def test_errors_of_one_function_with_the_same_names_and_types_are_one_group(outcome):
    first = outcome(SOURCE % (7200, "b'abc'")).error.fingerprint
    assert outcome("# moved\n" + SOURCE % (1, "b'other'"), "two").error.fingerprint == first
    others = [
        SOURCE % (7200, "{1: 2}"),
        SOURCE % ("b''", "b''"),
        "def g(): pass\ndef f():\n    return b''\n",
    ]
    groups = {outcome(source, f"other{number}").error.fingerprint for number, source in enumerate(others)}
    assert len({first, *groups}) == 4


def test_positions_in_lists_do_not_divide_a_group(outcome):
    source = "def f():\n    return [{'x': 1}] * %d + [{'x': 1, 'h': b''}]\n"
    assert outcome(source % 1).error.fingerprint == outcome(source % 5, "two").error.fingerprint


@pytest.mark.parametrize("source", ["def f():\n    return b'abc'\n", "def f():\n    return {'raw': b'abc'}\n"])
def test_an_error_without_stored_values_offers_no_command(outcome, source):
    found = outcome(source)
    assert found.result is None
    assert "accept" not in found.error.message


def test_valid_values_are_recorded_before_the_function_gets_the_error():
    context = Context.local()
    with pytest.raises(ContextError, match="record: raw: a bytes object is not data; keep other values with"):
        context.record(accuracy=0.9, raw=b"", seconds=2)
    assert context.journal.recorded == {"accuracy": 0.9, "seconds": 2}


@pytest.mark.parametrize(
    "row", [{"accuracy": 1, "model": 2}, Data(1, 2), Named(1, 2), pd.Series({"accuracy": 1, "model": 2})]
)
def test_a_row_may_be_any_mapping_like_value(row):
    context = Context.local()
    context.append("rows", row)
    assert context.journal.lists == {"rows": [{"accuracy": 1, "model": 2}]}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (FRAME, r"append to 'rows': found a DataFrame, expected a row; append each of frame.to_dict\('records'\)"),
        ([1, 2], "append to 'rows': found a list, expected names with values"),
        (3, "append to 'rows': found an int, expected names with values"),
        ({"raw": b""}, "append to 'rows': raw: a bytes object is not data; keep other values with context.artifact"),
    ],
)
def test_a_value_that_is_no_row_is_refused_with_advice(row, why):
    with pytest.raises(ContextError, match=why):
        Context.local().append("rows", row)
