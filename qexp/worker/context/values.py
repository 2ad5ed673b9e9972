"""How the value of a checkpoint becomes bytes, and how it goes back into what the function holds; knows no database."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from io import BytesIO
from types import SimpleNamespace
from typing import Any, BinaryIO, NamedTuple, TypeVar

from qexp.errors import CheckpointError
from qexp.worker.context.tree import Reader, Writer, from_text, read_npy, to_text

T = TypeVar("T")
_HOLDERS = ("__dict__", "__slots__")


@dataclass(frozen=True)
class Encoded:
    """A value as bytes; *kind* says how: json, bytes, numpy (one array), tree, or own (the user's `dump` wrote it)."""

    kind: str
    data: bytes


def encode(value: Any, dump: Callable[[Any, BinaryIO], None] | None = None) -> Encoded:
    """
    Return a value as bytes that later changes of the value do not reach.

    Without *dump* it is data: what JSON knows, bytes, arrays and scalars of numpy, tuples, sets, complex numbers,
    dates, and dicts with any of these as keys. Types come back as they were, so subclasses are refused; that one object
    stood in two places is forgotten. CheckpointError names the place of what is not data. What *dump* raises passes
    through.
    """
    if dump is not None:
        file = BytesIO()
        dump(value, file)
        return Encoded("own", file.getvalue())
    if type(value) is bytes:
        return Encoded("bytes", value)
    writer = Writer()
    if _is_array(value):
        return Encoded("numpy", writer.npy(value))
    skeleton = writer.skeleton(value)
    return Encoded("tree", writer.pack(skeleton)) if writer.tagged else Encoded("json", to_text(value))


def decode(kind: str, data: bytes, load: Callable[[BinaryIO], Any] | None = None) -> Any:
    """
    Return the value that `encode` was given; *load* reads what the user's `dump` wrote.

    CheckpointError for damaged data, of which nothing is ever executed. What *load* raises passes through.
    """
    if kind == "own":
        if load is None:
            raise CheckpointError("the checkpoint was written by a dump=; give its load=, such as load=torch.load")
        return load(BytesIO(data))
    if kind not in _DECODERS:
        raise CheckpointError(f"the checkpoint is a {kind!r}, which this qexp does not know; a newer one wrote it")
    try:
        return _DECODERS[kind](data)
    except CheckpointError:
        raise
    except Exception as error:  # zipfile, json and numpy raise a dozen kinds on damaged data
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CheckpointError(f"the checkpoint is damaged ({reason})") from error


_DECODERS: dict[str, Callable[[bytes], Any]] = {
    "json": from_text,
    "bytes": bytes,
    "numpy": read_npy,
    "tree": lambda data: Reader(data).value(),
}


def state_of(target: Any) -> Any:
    """
    Return the state of what a function changes as it goes on: what `restore_into` puts back.

    That is a dict, list or array itself; `state_dict()` of models and optimizers; the state of a random generator; the
    attributes of any other object of a Python class. Objects with a state of their own may also stand in dicts and
    lists or be attributes: `{"model": model, "epoch": 3}`. Arrays are not copied. None has no state.
    """
    if target is None or type(target) is list or _is_array(target) or _own_state(target):
        return _state(target)
    items = target if isinstance(target, dict) else _attributes(target)
    return {key: _state(item) for key, item in items.items()}


def _state(item: Any) -> Any:
    if own := _own_state(item):
        return own.save()
    if type(item) is dict:
        return {key: _state(held) for key, held in item.items()}
    if type(item) in (list, tuple):
        return type(item)(_state(held) for held in item)
    return item


def restore_into(target: Any, value: Any) -> None:
    """
    Give *target*, in place, the state that `state_of` returned for one like it.

    A dict or list holds exactly what was saved; an object keeps attributes that the value does not have. Dicts, lists
    and arrays inside are restored in place too, so that other names of theirs see it; arrays that have another shape or
    type by now are replaced. CheckpointError if the two do not fit. What `load_state_dict` raises passes through.
    """
    if target is None:
        return
    if _is_array(target):
        _restore_array(target, value)
    elif own := _own_state(target):
        own.load(value)
    elif type(target) is list:
        _restored(target, _expected(list, value))
    elif isinstance(target, dict):
        _fill(target, _expected(dict, value))
    else:
        held = _attributes(target)
        for name, item in _expected(dict, value).items():
            _set(target, name, _restored(held.get(name), item))


class _OwnState(NamedTuple):
    save: Callable[[], Any]
    load: Callable[[Any], Any]


def _own_state(target: Any) -> _OwnState | None:
    """Return how an object gives and takes its state: torch's way, those of random and numpy, or None."""
    if isinstance(target, type):
        return None
    for save, load in (("state_dict", "load_state_dict"), ("getstate", "setstate"), ("get_state", "set_state")):
        if callable(getattr(target, save, None)) and callable(getattr(target, load, None)):
            return _OwnState(getattr(target, save), getattr(target, load))
    bits: Any = getattr(target, "bit_generator", None)
    if hasattr(bits, "state"):
        return _OwnState(lambda: bits.state, lambda value: setattr(bits, "state", value))
    return None


def _restored(held: Any, value: Any) -> Any:
    """Return what is to stand where *held* does: itself with the saved state if it can take it, else the value."""
    if own := _own_state(held):
        own.load(value)
    elif type(held) is dict and type(value) is dict:
        _fill(held, value)
    elif type(held) is list and type(value) is list:
        held[:] = [*map(_restored, held, value), *value[len(held) :]]
    elif type(held) is tuple and type(value) is tuple and len(held) == len(value):
        return tuple(map(_restored, held, value))
    elif _is_array(held) and _is_array(value) and (held.dtype, held.shape) == (value.dtype, value.shape):
        held[...] = value
    else:
        return value
    return held


def _fill(held: dict[Any, Any], value: dict[Any, Any]) -> None:
    restored = {key: _restored(held.get(key), item) for key, item in value.items()}
    held.clear()
    held.update(restored)


def _restore_array(target: Any, value: Any) -> None:
    if not _is_array(value):
        raise CheckpointError(f"the checkpoint holds {_name(value)}, expected an array")
    if (value.dtype, value.shape) != (target.dtype, target.shape):
        found, expected = (f"{array.dtype} of shape {array.shape}" for array in (value, target))
        raise CheckpointError(f"the checkpoint holds an array of {found}, expected {expected}")
    target[...] = value


def _attributes(target: Any) -> dict[str, Any]:
    """Return the attributes of an object, unless a part of its state may be hidden in C."""
    if is_dataclass(target) and not isinstance(target, type):
        return {field.name: getattr(target, field.name) for field in fields(target)} | getattr(target, "__dict__", {})
    bases = [base for base in type(target).__mro__ if base.__base__ is object]
    if hasattr(target, "__dict__") and all(map(_is_python, bases)):
        return dict(vars(target))
    name = type(target).__qualname__
    raise CheckpointError(f"there is no state to restore in a value of type {name}; put what it holds in a dict")


def _is_python(base: type) -> bool:
    """Say whether a class keeps its state in attributes, as those written in Python do, or hides it in C."""
    own = vars(base)
    return base is SimpleNamespace or (isinstance(own.get("__module__"), str) and not own.keys().isdisjoint(_HOLDERS))


def _set(target: Any, name: str, value: Any) -> None:
    try:
        setattr(target, name, value)
    except AttributeError as error:
        raise CheckpointError(f"{type(target).__qualname__} cannot be restored in place: {error}") from error


def _expected(kind: type[T], value: Any) -> T:
    if not isinstance(value, kind):
        raise CheckpointError(f"the checkpoint holds {_name(value)}, expected a {kind.__name__}")
    return value


def _name(value: Any) -> str:
    return f"a value of type {type(value).__qualname__}"


def _is_array(value: Any) -> bool:
    return type(value) is getattr(sys.modules.get("numpy"), "ndarray", None)
