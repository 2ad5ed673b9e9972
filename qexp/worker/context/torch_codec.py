"""Tensors of torch in a checkpoint: writes and reads their bytes without pickle; qexp never imports torch."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

from qexp.errors import CheckpointError
from qexp.model import Json

_FACTS = ("Size", "dtype", "device")


def is_tensor(value: Any) -> bool:
    """Say whether a value is a tensor or parameter of torch, but not of a derived class."""
    torch: Any = sys.modules.get("torch")
    return torch is not None and type(value) in (getattr(torch, "Tensor", None), _parameter(torch))


def refusal(value: Any) -> tuple[str, str] | None:
    """Return why a tensor cannot be written, and what to keep instead. Returns None if it can be written."""
    if value.is_quantized:
        return "a quantized tensor", "keep its int_repr(), q_scale() and q_zero_point(), or its dequantize()"
    if value.is_nested:
        return "a nested tensor", "keep the list of its unbind()"
    if str(value.layout) != "torch.strided":
        name = str(value.layout).removeprefix("torch.")
        return f"a tensor of the layout {name}", "keep its to_dense(), or its indices and values"
    if value.is_meta:
        return "a tensor of the device meta, which has no numbers,", "make it on a real device before the loop"
    return None


def memory_of(value: Any) -> tuple[int, int] | None:
    """Return the address and size in bytes of a tensor's numbers. Returns None if it has none."""
    size = value.numel() * value.itemsize
    return (value.data_ptr(), size) if size and refusal(value) is None else None


def repair(value: Any) -> str | None:
    """Return advice for keeping a lazy tensor or one of a derived class. Returns None for other values."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not isinstance(value, getattr(torch, "Tensor", ())):
        return None
    if torch.nn.parameter.is_lazy(value):
        return "run a batch through the model before the loop, so that its sizes are known"
    return "give dump=torch.save, load=torch.load, or keep a torch.Tensor with its numbers"


def written(value: Any, file: Callable[[str, Any], int]) -> tuple[str, Json]:
    """Return the tag and description of a tensor; give its bytes, in the order of its strides, to *file*."""
    dense = _resolved(value)
    order = sorted(range(dense.dim()), key=dense.stride, reverse=True)
    if not dense.permute(order).is_contiguous():
        order = list(range(dense.dim()))
    dense = _copyable(dense.permute(order)).contiguous().cpu()
    description: dict[str, Json] = {
        "dtype": str(value.dtype).removeprefix("torch."),
        "shape": list(dense.shape),
        "order": list(order),
        "device": str(value.device),
        "requires_grad": value.requires_grad,
        "file": file("bin", memoryview(_bytes(dense).numpy())),
    }
    return ("tensor" if type(value) is _torch().Tensor else "parameter"), description


def fact_written(value: Any) -> list[Json] | None:
    """Return the name and content of a size, type or device of torch. Returns None for other values."""
    torch: Any = sys.modules.get("torch")
    kind = type(value)
    if torch is None or kind not in [getattr(torch, name, None) for name in _FACTS]:
        return None
    content: Json = list(value) if kind is torch.Size else str(value).removeprefix("torch.")
    return [kind.__name__, content]


def fact_read(name: str, content: Any) -> Any:
    """Return the size, type or device that `fact_written` described."""
    if name == "dtype":
        return _dtype(content)
    return {"Size": _torch().Size, "device": _torch().device}[name](content)


def read(tag: str, description: dict[str, Any], file: Callable[[int], bytes]) -> Any:
    """Return the tensor, on its former device if this machine has that, otherwise on the CPU."""
    torch = _torch()
    dtype, shape, data = _dtype(description["dtype"]), description["shape"], file(description["file"])
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"{len(data)} bytes for a tensor of {dtype} and shape {shape}")
    order = description["order"]
    dense = torch.empty(shape, dtype=dtype)
    if data:
        _bytes(dense).copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    tensor = dense.permute([order.index(axis) for axis in range(len(order))]).to(_device(torch, description["device"]))
    if tag == "parameter":
        return _parameter(torch)(tensor, requires_grad=description["requires_grad"])
    return tensor.requires_grad_(description["requires_grad"])


def restore(held: Any, value: Any) -> bool:
    """Copy the numbers of a tensor into another one, in place. Returns False if the two differ in type or shape."""
    shared = any(step == 0 and size > 1 for step, size in zip(held.stride(), held.shape, strict=True))
    if (held.dtype, held.shape) != (value.dtype, value.shape) or shared or held.is_inference():
        return False
    with _torch().no_grad():
        _copyable(held).copy_(_copyable(value))
    if held.is_leaf:
        held.requires_grad_(value.requires_grad)
    return True


def _resolved(tensor: Any) -> Any:
    return tensor.detach().resolve_conj().resolve_neg()


def _copyable(tensor: Any) -> Any:
    """Return a view whose type torch can copy: it cannot copy integers of fewer than eight bits."""
    torch = _torch()
    return (
        tensor
        if tensor.is_complex()
        else tensor.view({1: torch.uint8, 2: torch.int16}.get(tensor.itemsize, tensor.dtype))
    )


def same(one: Any, other: Any) -> bool:
    """Say whether two tensors have the same type, shape and bits."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    bits = [_bytes(_copyable(_resolved(tensor)).contiguous().cpu()) for tensor in (one, other)]
    return bool(_torch().equal(*bits))


def _bytes(dense: Any) -> Any:
    flat = dense.reshape(-1)
    return flat.as_strided(flat.shape, (1,)).view(_torch().uint8)  # one element may have any stride


def _torch() -> Any:
    torch = sys.modules.get("torch")
    if torch is None:
        raise CheckpointError(
            "the checkpoint holds tensors, expected that torch is imported; import it before the load"
        )
    return torch


def _dtype(name: str) -> Any:
    found = getattr(_torch(), name)
    if not isinstance(found, _torch().dtype):
        raise ValueError(f"{name} is no type of a tensor")
    return found


def _parameter(torch: Any) -> Any:
    return getattr(getattr(torch, "nn", None), "Parameter", None)


def _device(torch: Any, name: str) -> Any:
    device = torch.device(name)
    backend = getattr(torch, device.type, None)
    there = backend is not None and backend.is_available() and (device.index or 0) < backend.device_count()
    return device if there else torch.device("cpu")
