"""A checkpoint comes back as it was, types included; what cannot is refused by its place, and nothing is executed."""

import collections
import datetime
import io
import json
import math
import pickle
import random
import subprocess
import sys
import types
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qexp.errors import CheckpointError
from qexp.worker.context.values import decode, encode, restore_into, state_of

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
    | hnp.from_dtype(np.dtype("float32"))
    | hnp.from_dtype(np.dtype("U3"))
    | hnp.from_dtype(np.dtype("M8[us]"))
)
HASHABLE = st.recursive(KEYS, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3))
VALUES = st.recursive(
    HASHABLE | ARRAYS | st.binary().map(bytearray) | st.sets(HASHABLE, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(TEXT | st.sampled_from(["$dict", "$array"]), inner, max_size=3)
        | st.dictionaries(HASHABLE, inner, max_size=3)
    ),
    max_leaves=10,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=10,
)


def shape_of(value):
    """Return what tells two values apart: their types all the way down and bytes of numbers, so that NaN is itself."""
    kind = type(value)
    if kind in (list, tuple):
        return kind, [shape_of(item) for item in value]
    if kind in (set, frozenset):
        return kind, sorted((shape_of(item) for item in value), key=repr)
    if kind is dict:
        return kind, [(shape_of(key), shape_of(item)) for key, item in value.items()]
    if kind is float:
        return kind, "nan" if math.isnan(value) else repr(value)
    if kind is int:
        return kind, value
    if isinstance(value, np.ndarray | np.generic):
        return kind, value.dtype, value.shape, value.tobytes()
    if kind is datetime.datetime:
        return kind, repr(value.tzinfo), value.fold, value.replace(tzinfo=None)
    return kind, repr(value)


def again(value):
    encoded = encode(value)
    return decode(encoded.kind, encoded.data)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the first array takes a second to draw
@given(VALUES)
@example({"$tuple": [1, 2]})
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


@given(JSON)
def test_what_json_carries_back_is_json(value):
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


def test_random_generators_go_on_where_they_were():
    python, numpy, old = random.Random(1), np.random.default_rng(1), np.random.RandomState(1)
    state = again({"python": python.getstate(), "numpy": numpy.bit_generator.state, "old": old.get_state()})
    expected = python.random(), numpy.random(), old.rand()
    python, numpy, old = random.Random(), np.random.default_rng(), np.random.RandomState()
    python.setstate(state["python"])
    numpy.bit_generator.state = state["numpy"]
    old.set_state(state["old"])
    assert (python.random(), numpy.random(), old.rand()) == expected


def test_later_changes_do_not_reach_what_was_encoded():
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


Point = collections.namedtuple("Point", "x")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            {"model": Net()},
            "state['model']: a tests_unit.Net is not data; give dump= and load=, such as dump=torch.save",
        ),
        ([1, (2, {3: {Net}})], "state[1][1][3][0]: a builtins.type is not data"),
        (Net(), "state: a "),
        ({"x": np.array([None])}, "state['x']: an array of Python objects is not data"),
        (np.array([{}]), "state: an array of Python objects"),
        (np.array(["a"], dtype=np.dtypes.StringDType()), "state: an array of StringDType"),
        (np.ma.masked_array([1]), "state: a numpy.ma.MaskedArray is not data"),
        ([Point(1)], "state[0]: a "),
        ({"a": collections.OrderedDict()}, "state['a']: a collections.OrderedDict is not data"),
        ({Path("a"): 1}, "state["),
        (datetime.datetime(2026, 1, 1, tzinfo=type("Zone", (datetime.tzinfo,), {})()), "a datetime.datetime"),
    ],
)
def test_what_is_not_data_is_refused_by_its_place(value, text):
    with pytest.raises(CheckpointError) as caught:
        encode(value)
    assert text.replace("tests_unit", Net.__module__) in str(caught.value)


def test_a_value_that_contains_itself_or_is_too_deep_is_refused():
    loop: list = []
    loop.append(loop)
    with pytest.raises(CheckpointError, match="contains itself"):
        encode(loop)


def test_what_is_as_deep_as_allowed_is_read_by_a_deep_stack():
    value: object = 1
    for _ in range(100):
        value = {1: value}
    encoded = encode(value)

    def below(frames):
        return decode(encoded.kind, encoded.data) if frames == 0 else below(frames - 1)

    assert below(300) == value


def test_a_function_of_the_users_writes_and_reads_what_is_not_data():
    encoded = encode(Net(), dump=pickle.dump)
    assert encoded.kind == "own"
    assert isinstance(decode("own", encoded.data, load=pickle.load), Net)
    with pytest.raises(CheckpointError, match=r"give its load=, such as load=torch\.load"):
        decode("own", encoded.data)


def test_an_unknown_kind_is_refused():
    with pytest.raises(CheckpointError, match="a newer one wrote it"):
        decode("zstd", b"")


SAMPLES = [encode({"a": np.arange(4.0), "b": (1, b"x", np.int8(3))}), encode(np.arange(4)), encode({"a": [1, "x"]})]


@settings(deadline=None)
@given(st.sampled_from(SAMPLES), st.data())
def test_damage_is_an_error_of_ours_or_harmless(encoded, data):
    damaged = bytearray(encoded.data)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = damaged[: data.draw(st.integers(0, len(damaged)))]
    for content in (damaged, cut):
        try:
            decode(encoded.kind, bytes(content))
        except CheckpointError as error:
            assert "\n" not in str(error)


def test_a_changed_byte_of_an_array_in_a_tree_is_noticed():
    encoded = encode({"a": np.zeros(100)})
    with pytest.raises(CheckpointError, match="damaged"):
        decode(encoded.kind, encoded.data.replace(b"\0" * 100, b"\0" * 99 + b"\1", 1))


class Bomb:
    """Unpickling it would end the test."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


def packed(files, compression=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as box:
        for name, data in files.items():
            box.writestr(name, data)
    return out.getvalue()


def object_array():
    file = io.BytesIO()
    np.save(file, np.array([Bomb()]), allow_pickle=True)
    return file.getvalue()


def header_of_eight_terabytes():
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("numpy", object_array()),
        ("numpy", pickle.dumps(Bomb())),
        (
            "numpy",
            b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr':'<f8','fortran_order':False,'shape':(1000000000000,)}".ljust(118),
        ),
        ("tree", packed({"tree.json": '{"$array": 0}', "0.npy": object_array()})),
        ("tree", packed({"tree.json": '{"$array": 0}'})),
        ("tree", packed({"tree.json": '{"$array": "../x"}'})),
        ("tree", packed({"tree.json": '{"$set": [[1]]}'})),
        ("tree", packed({"tree.json": '{"$scalar": ["O", "0000000000000000"]}'})),
        ("tree", packed({"tree.json": '{"$scalar": ["<f8", ""]}'})),
        ("tree", packed({"tree.json": '{"$datetime": ["2026-01-01", 0, "../../etc/passwd"]}'})),
        ("tree", packed({"tree.json": '{"$tuple": 5}'})),
        ("tree", packed({"tree.json": "[" * 100_000})),
        ("tree", packed({"tree.json": "1" * 100_000})),
        ("tree", packed({"tree.json": " " * 100_000 + "1"}, zipfile.ZIP_DEFLATED)),
        ("tree", packed({})),
        ("json", b"[" * 100_000),
        ("json", b"\xff"),
    ],
)
def test_hostile_data_is_refused_and_executes_nothing(kind, data):
    with pytest.raises(CheckpointError, match="the checkpoint is damaged"):
        decode(kind, data)


def test_a_tag_of_a_newer_qexp_is_told():
    with pytest.raises(CheckpointError, match="'frame', which this qexp does not know"):
        decode("tree", packed({"tree.json": '{"$frame": 0}'}))


def test_numpy_is_not_imported_for_values_without_it():
    code = """
import sys
from qexp.worker.context.values import decode, encode, restore_into, state_of
for value in ({"a": 1}, ({1: b"x"}, {2, 3}), b"x"):
    encoded = encode(value)
    assert decode(encoded.kind, encoded.data) == value
restore_into(target := {}, {"a": 1})
assert state_of(target) == {"a": 1} and "numpy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


class Model:
    """Has its state as torch's modules have theirs."""

    def __init__(self, weight=0.0):
        self.weight = weight

    def state_dict(self):
        return {"weight": self.weight}

    def load_state_dict(self, state):
        self.weight = state["weight"]


@dataclass
class Progress:
    epoch: int = 0
    losses: list = field(default_factory=list)
    model: Model = field(default_factory=Model)


@dataclass(slots=True)
class Slotted:
    epoch: int = 0


class Plain:
    def __init__(self, **values):
        vars(self).update(values)


PAIRS = [
    (dict, lambda: {"a": 1, "b": [2]}, lambda: {"a": 0, "old": 1}),
    (collections.defaultdict, lambda: collections.defaultdict(int, a=1), lambda: collections.defaultdict(int)),
    (list, lambda: [1, 2], lambda: [3, 4, 5]),
    (np.ndarray, lambda: np.arange(3), lambda: np.zeros(3, dtype=int)),
    (Model, lambda: Model(2.0), Model),
    (Progress, lambda: Progress(3, [1.0], Model(5.0)), Progress),
    (Slotted, lambda: Slotted(7), Slotted),
    (Plain, lambda: Plain(a=1, b=Model(2.0)), lambda: Plain(a=0, b=Model())),
    (types.SimpleNamespace, lambda: types.SimpleNamespace(a=1), types.SimpleNamespace),
    (random.Random, lambda: random.Random(5), random.Random),
    (type(random), lambda: random, lambda: random),
    (np.random.Generator, lambda: np.random.default_rng(5), np.random.default_rng),
    (np.random.RandomState, lambda: np.random.RandomState(5), np.random.RandomState),
]


@pytest.mark.parametrize(("saved", "fresh"), [pair[1:] for pair in PAIRS], ids=[pair[0].__name__ for pair in PAIRS])
def test_a_target_gets_in_place_the_state_that_was_saved(saved, fresh):
    source, target = saved(), fresh()
    restore_into(target, again(state_of(source)))
    assert shape_of(again(state_of(target))) == shape_of(again(state_of(source)))


def test_objects_in_a_dict_keep_their_identity():
    model, rng = Model(), random.Random(1)
    state = {"model": model, "rng": rng, "epoch": 0}
    restore_into(state, again(state_of({"model": Model(4.0), "rng": random.Random(9), "epoch": 3})))
    assert state == {"model": model, "rng": rng, "epoch": 3}
    assert model.weight == 4.0
    assert rng.random() == random.Random(9).random()


def test_arrays_lists_and_dicts_inside_are_restored_in_place():
    weights, bias, inner = np.zeros(2), np.zeros(1), {"a": np.zeros(1)}
    state = {
        "layers": [weights, bias],
        "inner": inner,
        "pair": (weights, 1),
        "history": np.zeros(0),
        "rngs": [random.Random(1)],
    }
    rng = state["rngs"][0]
    saved = {
        "layers": [np.ones(2), np.ones(1), np.ones(3)],
        "inner": {"a": np.ones(1), "b": 2},
        "pair": (np.full(2, 7.0), 3),
        "history": np.ones(4),
        "rngs": [random.Random(9)],
    }
    layers = state["layers"]
    restore_into(state, again(state_of(saved)))
    assert (state["layers"], state["inner"], state["rngs"][0]) == (layers, inner, rng)
    assert len(layers) == 3 and layers[0] is weights and layers[1] is bias and bias[0] == 1
    assert inner["a"][0] == 1 and inner["b"] == 2
    assert state["pair"][0] is weights and weights.tolist() == [7, 7] and state["pair"][1] == 3
    assert state["history"].tolist() == [1, 1, 1, 1]  # may have grown
    assert rng.random() == random.Random(9).random()


def test_an_object_keeps_attributes_that_an_older_checkpoint_lacks():
    target = Plain(a=0, new="default")
    restore_into(target, {"a": 1})
    assert vars(target) == {"a": 1, "new": "default"}


@pytest.mark.parametrize(
    ("target", "value", "text"),
    [
        (np.zeros(3), np.zeros(4), r"an array of float64 of shape \(4,\), expected float64 of shape \(3,\)"),
        (np.zeros(3), np.zeros(3, dtype="f4"), "an array of float32"),
        (np.zeros(3), [0, 0, 0], "holds a value of type list, expected an array"),
        ({}, [1], "holds a value of type list, expected a dict"),
        ([], {}, "holds a value of type dict, expected a list"),
        (Plain(), 3, "holds a value of type int, expected a dict"),
        (Slotted(), {"epoch": 1, "other": 2}, "Slotted cannot be restored in place"),
        (5, 5, "no state to restore in a value of type int; put what it holds in a dict"),
    ],
)
def test_what_does_not_fit_is_refused(target, value, text):
    with pytest.raises(CheckpointError, match=text):
        restore_into(target, value)


@pytest.mark.parametrize("target", [collections.deque([1]), len, json, Model, lambda: 1, (1,), 3, "x"])
def test_no_state_is_made_up_for_what_hides_its_own(target):
    with pytest.raises(CheckpointError, match="put what it holds in a dict"):
        state_of(target)


def test_json_of_a_checkpoint_is_readable_by_others():
    assert json.loads(encode({"epoch": 3}).data) == {"epoch": 3}
