"""Damaged and hostile checkpoints are refused with one line, and none of their code runs."""

import io
import pickle
import zipfile
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qexp.errors import CheckpointError
from qexp.worker.context.checkpoint_encoding import decode, encode

SAMPLES = [encode({"a": np.arange(4.0), "b": (1, b"x", np.int8(3))}), encode(np.arange(4)), encode({"a": [1, "x"]})]


@settings(deadline=None)
@given(st.sampled_from(SAMPLES), st.data())
def test_damage_is_an_error_of_qexp_or_harmless(encoded, data):
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


@pytest.mark.parametrize(
    "node", ['["os", "environ", {}]', '["subprocess", "Popen", {"args": "true"}]', '["gone", "Run", {}]']
)
@pytest.mark.parametrize("tag", ["dataclass", "namedtuple", "enum"])
def test_a_class_that_is_none_of_these_kinds_is_not_made(tag, node):
    with pytest.raises(CheckpointError, match=f"expected a {tag} of this name in an imported module"):
        decode("tree", packed({"tree.json": f'{{"${tag}": {node}}}'}))


def test_reading_a_dataclass_runs_none_of_its_code():
    encoded = encode([Guarded.__new__(Guarded)])
    made = decode(encoded.kind, encoded.data)
    assert [type(item) for item in made] == [Guarded]


@dataclass
class Guarded:
    """Making one would end the test."""

    x: int = field(default=1, init=False)

    def __post_init__(self):
        raise SystemExit("executed")


def test_a_tag_of_a_newer_qexp_is_an_error():
    with pytest.raises(CheckpointError, match="'frame', which this qexp does not know"):
        decode("tree", packed({"tree.json": '{"$frame": 0}'}))
