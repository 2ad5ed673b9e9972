"""A checkpoint restores values with their types, refuses others by their place, and executes nothing."""

import collections
import datetime
import enum
import json
import math
import pickle
import random
import subprocess
import sys
from dataclasses import dataclass, fields, is_dataclass, make_dataclass
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests_support import again, restore_into, state_of

from qexp.errors import CheckpointError
from qexp.worker.context.checkpoint_encoding import decode, encode

DTYPES = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes(endianness="?")
    | hnp.floating_dtypes(endianness="?")
    | hnp.complex_number_dtypes()
    | hnp.datetime64_dtypes()
    | hnp.unicode_string_dtypes()
    | hnp.byte_string_dtypes()
)
ARRAYS = hnp.arrays(DTYPES | hnp.array_dtypes(DTYPES, max_size=3), hnp.array_shapes(min_dims=0, min_side=0, max_side=3))
TEXT = st.text(st.characters(codec=None, categories=None), max_size=5)


@dataclass
class Run:
    epoch: object
    _best: object = None


@dataclass(frozen=True, slots=True)
class Choice:
    name: object


class Mode(enum.Enum):
    FAST = "fast"
    SLOW = 2


class Level(enum.IntFlag):
    LOW = 1
    HIGH = 2


Pair = collections.namedtuple("Pair", "left right")
ZONES = st.none() | st.just(datetime.UTC) | st.just(ZoneInfo("Europe/Berlin"))
KEYS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXT
    | st.binary(max_size=5)
    | st.complex_numbers()
    | st.dates()
    | st.timedeltas()
    | st.datetimes(timezones=ZONES)
    | st.times(timezones=ZONES)
    | st.decimals(allow_nan=False)
    | st.just(Decimal("NaN"))
    | st.fractions()
    | st.uuids()
    | st.builds(range, st.integers(), st.integers(), st.integers(min_value=1))
    | TEXT.map(lambda text: Path(text.replace("\0", "")))
    | st.sampled_from([PurePosixPath("a/b"), PureWindowsPath("c:/a"), *Mode, *Level, Level.LOW | Level.HIGH])
    | hnp.from_dtype(np.dtype("float32"))
    | hnp.from_dtype(np.dtype("U3"))
    | hnp.from_dtype(np.dtype("M8[us]"))
)
HASHABLE = st.recursive(
    KEYS,
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.frozensets(inner, max_size=3)
        | st.builds(Pair, inner, inner)
        | st.builds(Choice, inner)
    ),
)
VALUES = st.recursive(
    HASHABLE | ARRAYS | st.binary().map(bytearray) | st.sets(HASHABLE, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(TEXT | st.sampled_from(["$dict", "$array"]), inner, max_size=3)
        | st.dictionaries(HASHABLE, inner, max_size=3)
        | st.dictionaries(HASHABLE, inner, max_size=3).map(collections.OrderedDict)
        | st.dictionaries(HASHABLE, st.integers(), max_size=3).map(collections.Counter)
        | st.dictionaries(HASHABLE, inner, max_size=3).map(lambda items: collections.defaultdict(list, items))
        | st.builds(collections.deque, st.lists(inner, max_size=3), st.none() | st.integers(0, 4))
        | st.builds(Run, inner, inner)
        | st.builds(Pair, inner, inner)
    ),
    max_leaves=10,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=10,
)


def shape_of(value):
    """Return a form of a value that compares nested types and the bytes of numbers, so that NaN equals NaN."""
    kind = type(value)
    if kind in (list, tuple, Pair):
        return kind, [shape_of(item) for item in value]
    if kind is collections.deque:
        return kind, value.maxlen, [shape_of(item) for item in value]
    if is_dataclass(value):
        return kind, [shape_of(getattr(value, item.name)) for item in fields(value)]
    if kind in (set, frozenset):
        return kind, sorted((shape_of(item) for item in value), key=repr)
    if isinstance(value, dict):
        return (
            kind,
            getattr(value, "default_factory", None),
            [(shape_of(key), shape_of(item)) for key, item in value.items()],
        )
    if kind is float:
        return kind, "nan" if math.isnan(value) else repr(value)
    if kind is int:
        return kind, value
    if isinstance(value, np.ndarray | np.generic):
        return kind, value.dtype, value.shape, value.tobytes()
    if kind in (datetime.datetime, datetime.time):
        return kind, repr(value.tzinfo), value.fold, value.replace(tzinfo=None)
    return kind, repr(value)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the first array takes a second to draw
@given(VALUES)
@example({"$tuple": [1, 2]})
@example(collections.OrderedDict({"$x": 1}))
@example(collections.defaultdict(None, a=1))
@example(Run(Run(np.zeros(2)), {"$x": Pair(1, (2,))}))
@example({"$x": (1,)})
@example({1: {"$x": 2}})
@example(["\ud83d\ude00", 10**5000, -(10**5000), -0.0])
@example(np.float64(1))
@example({"a": np.bytes_(b"a\0"), "b": np.str_("a\0"), "c": np.datetime64("NaT")})
@example(np.array((1, 2.0), dtype=[("x", "i4"), ("y", "f8", (2,))])[()])
@example(datetime.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")))
@example(datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=-3, microseconds=7))))
def test_a_value_comes_back_with_its_types(value):
    assert shape_of(again(value)) == shape_of(value)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES, VALUES)
def test_a_value_takes_the_place_of_any_other_one_in_a_state(old, new):
    state = {"value": old}
    restore_into(state, again(state_of({"value": new})))
    assert shape_of(state["value"]) == shape_of(new)


@given(JSON)
def test_values_that_json_restores_are_stored_as_json(value):
    encoded = encode(value)
    assert encoded.kind == "json" or max(map(abs, numbers(value)), default=0) >= 2**4096
    assert shape_of(decode(encoded.kind, encoded.data)) == shape_of(value)


def numbers(value):
    if isinstance(value, dict | list):
        return [number for item in (value.values() if isinstance(value, dict) else value) for number in numbers(item)]
    return [value] if type(value) is int else []


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"a": [1, math.inf, None]}, "json"),
        ({"$dict": 1}, "json"),
        (b"\x80\x04", "bytes"),
        (np.zeros((2, 3), order="F"), "numpy"),
        (np.int8(1), "tree"),
        ((1,), "tree"),
        ({1: 2}, "tree"),
    ],
)
def test_the_plainest_kind_is_chosen(value, kind):
    assert encode(value).kind == kind


def test_random_generators_continue_at_their_position():
    python, numpy, old = random.Random(1), np.random.default_rng(1), np.random.RandomState(1)
    state = again({"python": python.getstate(), "numpy": numpy.bit_generator.state, "old": old.get_state()})
    expected = python.random(), numpy.random(), old.rand()
    python, numpy, old = random.Random(), np.random.default_rng(), np.random.RandomState()
    python.setstate(state["python"])
    numpy.bit_generator.state = state["numpy"]
    old.set_state(state["old"])
    assert (python.random(), numpy.random(), old.rand()) == expected


def test_later_changes_do_not_reach_encoded_values():
    array, buffer, items = np.zeros(3), bytearray(b"a"), [1]
    one, tree = encode(array), encode({"array": array, "buffer": buffer, "items": (items,)})
    array[0], buffer[0] = 1, 0
    items.append(2)
    assert decode(one.kind, one.data)[0] == 0
    restored = decode(tree.kind, tree.data)
    assert (restored["array"][0], restored["buffer"], restored["items"]) == (0, b"a", ([1],))


def test_a_restored_array_can_be_written():
    for restored in (again(np.zeros(2)), again([np.zeros(2)])[0]):
        restored[0] = 1


class Net:
    """Stands for a model."""


AWAY = make_dataclass("Away", "x")
LOCAL = collections.namedtuple("Nowhere", "x")  # the module has no such name


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            {"model": Net()},
            "state['model']: a tests_unit.Net is not data; leave it out, or give dump= and load=, such",
        ),
        ([1, (2, {3: {Net}})], "state[1][1][3][0]: a builtins.type is not data"),
        (Net(), "state: a "),
        ({"x": np.array([None])}, "state['x']: an array of Python objects is not data"),
        (np.array([{}]), "state: an array of Python objects"),
        (np.array(["a"], dtype=np.dtypes.StringDType()), "state: an array of StringDType"),
        (np.ma.masked_array([1]), "state: a numpy.ma.MaskedArray is not data"),
        ([LOCAL(1)], "Nowhere is not data; define its class at the top level of a module"),
        ({"a": collections.ChainMap()}, "state['a']: a collections.ChainMap is not data"),
        ({Net: 1}, "state["),
        ({"a": AWAY(1)}, "state['a']: a "),
        ({"a": Run({1: Net()})}, "state['a']['epoch'][1]: a "),
        (collections.defaultdict(lambda: 0), "its factory is a function, expected a type such as int or list"),
        (
            {"rng": random.Random(1)},
            "state['rng']: a random.Random is not data; keep its getstate(), or give the object",
        ),
        ({"rng": np.random.default_rng(1)}, "keep its bit_generator.state, or give"),
        (datetime.datetime(2026, 1, 1, tzinfo=type("Zone", (datetime.tzinfo,), {})()), "a datetime.datetime"),
    ],
)
def test_a_value_that_is_no_data_is_refused_by_its_place(value, text):
    with pytest.raises(CheckpointError) as caught:
        encode(value)
    assert text.replace("tests_unit", Net.__module__) in str(caught.value)


def test_a_value_that_contains_itself_or_is_too_deep_is_refused():
    loop: list = []
    loop.append(loop)
    with pytest.raises(CheckpointError, match="contains itself"):
        encode(loop)


def test_the_deepest_allowed_value_is_read_on_a_deep_stack():
    value: object = 1
    for _ in range(100):
        value = {1: value}
    encoded = encode(value)

    def below(frames):
        return decode(encoded.kind, encoded.data) if frames == 0 else below(frames - 1)

    assert below(300) == value


def test_a_function_of_the_user_writes_and_reads_a_value_that_is_no_data():
    encoded = encode(Net(), dump=pickle.dump)
    assert encoded.kind == "own"
    assert isinstance(decode("own", encoded.data, load=pickle.load), Net)
    with pytest.raises(CheckpointError, match=r"give its load=, such as load=torch\.load"):
        decode("own", encoded.data)


def test_an_unknown_kind_is_refused():
    with pytest.raises(CheckpointError, match="a newer one wrote it"):
        decode("zstd", b"")


def test_numpy_is_not_imported_for_values_without_it():
    code = """
import sys
from qexp.worker.context.loop_state import LoopState
from qexp.worker.context.checkpoint_encoding import decode, encode
for value in ({"a": 1}, ({1: b"x"}, {2, 3}), b"x"):
    encoded = encode(value)
    assert decode(encoded.kind, encoded.data) == value
state = LoopState(target := {})
state.restore({"a": 1})
assert state.taken() == {"a": 1} == target and not {"numpy", "torch"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_json_of_a_checkpoint_is_readable_by_others():
    assert json.loads(encode({"epoch": 3}).data) == {"epoch": 3}
