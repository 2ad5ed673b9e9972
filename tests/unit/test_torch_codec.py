"""A torch tensor of any type, shape, strides and device is restored bit for bit."""

import collections
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests_support import again, restore_into, state_of

from qexp.errors import CheckpointError
from qexp.worker.context.checkpoint_encoding import decode, encode

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch import nn  # noqa: E402
from torch_support import bits, carried  # noqa: E402

torch.set_num_threads(1)
NOT_DENSE = {"qint8", "qint32", "quint8", "quint2x4", "quint4x2"}
DTYPES = sorted({name.removeprefix("torch.") for name in map(str, vars(torch).values()) if name.startswith("torch.")})
DTYPES = [name for name in DTYPES if isinstance(getattr(torch, name, None), torch.dtype) and name not in NOT_DENSE]


def found_in(value):
    """Return the tensors in a value."""
    if isinstance(value, torch.Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
    return [tensor for item in items for tensor in found_in(item)]


@st.composite
def tensors(draw):
    """Tensors of every type, with any bits in them: contiguous, transposed, empty and of no dimension."""
    dtype = getattr(torch, draw(st.sampled_from(DTYPES)))
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    size = int(np.prod(shape, dtype=int)) * dtype.itemsize
    data = draw(st.binary(min_size=size, max_size=size))
    if dtype is torch.bool:
        data = bytes(byte & 1 for byte in data)
    tensor = torch.empty(shape, dtype=dtype)
    if data:
        tensor.view(-1).view(torch.uint8).copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    tensor = tensor.permute(draw(st.permutations(range(len(shape)))))
    real = dtype.is_floating_point or dtype.is_complex
    kind = draw(st.sampled_from(["tensor", "trained", "parameter"]))
    if kind == "parameter":
        return nn.Parameter(tensor, requires_grad=real and draw(st.booleans()))
    return tensor.requires_grad_(real and kind == "trained")


STATES = st.recursive(
    tensors()
    | st.none()
    | st.integers()
    | st.sampled_from([torch.Size([1, 2]), torch.bfloat16, torch.device("cpu", 0)]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.integers() | st.text(max_size=3), inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3).map(collections.OrderedDict)
    ),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STATES)
def test_any_state_with_tensors_comes_back_bit_for_bit(state):
    restored = again(state)
    assert bits(restored) == bits(state)
    blank = {"state": again(state)}
    for tensor in found_in(blank):
        carried(tensor).zero_()
    restore_into(blank, {"state": restored})
    assert bits(blank["state"]) == bits(state)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1),
        torch.empty(2, 3, 4, 5).normal_().to(memory_format=torch.channels_last),
        torch.arange(6.0).reshape(2, 3),
    ],
)
def test_a_dense_tensor_keeps_its_strides(tensor):
    assert again([tensor])[0].stride() == tensor.stride()


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (torch.arange(10)[::3], [0, 3, 6, 9]),
        (torch.ones(1).expand(3), [1.0, 1.0, 1.0]),
        (torch.tensor([1 + 2j]).conj(), [1 - 2j]),
        (torch.tensor([1 + 2j]).conj().imag, [-2.0]),
        (torch.tensor(3), 3),
    ],
)
def test_a_view_is_saved_as_the_numbers_that_it_shows(tensor, expected):
    assert again([tensor])[0].tolist() == expected


def test_a_conjugated_view_at_two_places_is_restored():
    tensor = torch.tensor([1 + 2j]).conj()
    state = {"a": tensor, "b": tensor}
    restore_into(state, again(state_of({"a": tensor + 1, "b": tensor + 1})))
    assert state["a"] is tensor and state["b"] is tensor and tensor.tolist() == [2 - 2j]


def test_the_graph_behind_a_tensor_is_not_saved():
    loss = (torch.ones(1, requires_grad=True) * 2).sum()
    restored = again([loss])[0]
    assert (restored.item(), restored.grad_fn) == (2.0, None)


def test_a_device_that_this_machine_lacks_becomes_the_cpu():
    encoded, out = encode([torch.arange(3)]), io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(encoded.data)) as old, zipfile.ZipFile(out, "w") as box:
        for name in old.namelist():
            box.writestr(zipfile.ZipInfo(name), old.read(name).replace(b'"cpu"', b'"cuda:7"'))
    restored = decode("tree", out.getvalue())[0]
    assert (restored.device.type, restored.tolist()) == ("cpu", [0, 1, 2])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: torch.eye(2).to_sparse(), "a tensor of the layout sparse_coo is not data; keep its to_dense()"),
        (lambda: torch.eye(2).to_sparse_csr(), "a tensor of the layout sparse_csr is not data; keep its to_dense()"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "a quantized tensor is not data; keep"),
        (
            lambda: torch.nested.nested_tensor([torch.ones(1)]),
            "a nested tensor is not data; keep the list of its unbind()",
        ),
        (
            lambda: torch.empty(1, device="meta"),
            "a tensor of the device meta, which has no numbers, is not data; make it",
        ),
        (
            lambda: nn.LazyLinear(2).state_dict(),
            "['weight']: a torch.nn.parameter.UninitializedParameter is not data; run",
        ),
        (
            lambda: nn.Linear(1, 1),
            "a torch.nn.modules.linear.Linear is not data; keep its state_dict(), or give the obj",
        ),
    ],
)
def test_a_tensor_without_bytes_is_refused_with_its_place_and_advice(make, text):
    with pytest.raises(CheckpointError) as caught:
        encode({"x": make()})
    assert str(caught.value).startswith("state['x']") and text in str(caught.value)


def test_bare_tensors_and_parameters_are_restored_in_place():
    weight, bias, grown = nn.Parameter(torch.zeros(2)), torch.zeros(2, dtype=torch.bfloat16), torch.zeros(0)
    state = {"weight": weight, "pair": (bias, 1), "grown": grown}
    saved = {"weight": nn.Parameter(torch.ones(2), requires_grad=False), "pair": (bias + 1, 2), "grown": torch.ones(3)}
    restore_into(state, again(state_of(saved)))
    assert state["weight"] is weight and weight.tolist() == [1, 1] and not weight.requires_grad
    assert state["pair"][0] is bias and bias.tolist() == [1, 1] and state["pair"][1] == 2
    assert state["grown"].tolist() == [1, 1, 1]


def test_torch_is_imported_neither_to_write_nor_to_read():
    data = encode({"x": torch.ones(1)}).data
    code = f"""
import sys
from qexp.worker.context.checkpoint_encoding import decode
try:
    decode("tree", {data!r})
except Exception as error:
    print(error)
assert "torch" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert done.stdout == "the checkpoint holds tensors, expected that torch is imported; import it before the load\n"
