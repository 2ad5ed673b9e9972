"""Bitwise comparisons of tensors, for tests that need torch."""

import torch


def carried(tensor):
    """Return a view of the tensor with a type that torch can copy and fill."""
    types = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64, 16: torch.complex128}
    return tensor.detach().view(types[tensor.itemsize])


def bits(value):
    """Return a value with the bytes of its tensors in their place, for comparisons bit for bit."""
    if isinstance(value, torch.Tensor):
        flat = carried(value).contiguous().reshape(-1)
        return type(value), value.dtype, value.shape, value.requires_grad, flat.numpy().tobytes()
    if isinstance(value, dict):
        attributes = getattr(value, "__dict__", {})  # torch stores the versions of modules there
        return type(value), [(key, bits(item)) for key, item in value.items()], bits(list(attributes.items()))
    if isinstance(value, list | tuple):
        return type(value), [bits(item) for item in value]
    return type(value), value
