"""The protocols by which objects return and load their state: `state_dict`, `getstate`, or attributes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

_PAIRS = (
    ("state_dict", "load_state_dict"),
    ("getstate", "setstate"),
    ("get_state", "set_state"),
    ("get_rng_state", "set_rng_state"),  # of the modules torch and torch.cuda
)
_HOLDERS = ("__dict__", "__slots__")


class StateProtocol(NamedTuple):
    """The methods by which an object returns and loads its state; *name* is the call that returns it."""

    name: str
    save: Callable[[], Any]
    load: Callable[[Any], Any]


def own_state(target: Any) -> StateProtocol | None:
    """Return the methods for an object's state, as torch, random or numpy define them. Returns None without them."""
    if isinstance(target, type):
        return None
    for save, load in _PAIRS:
        if callable(getattr(target, save, None)) and callable(getattr(target, load, None)):
            return StateProtocol(f"{save}()", getattr(target, save), getattr(target, load))
    bits: Any = getattr(target, "bit_generator", None)
    if hasattr(bits, "state"):
        return StateProtocol("bit_generator.state", lambda: bits.state, lambda value: setattr(bits, "state", value))
    return None


def attributes(target: Any) -> dict[str, Any]:
    """Return the attributes of an object that `is_plain`."""
    found = dict(getattr(target, "__dict__", {}))
    if not is_dataclass(target):
        return found
    return {field.name: getattr(target, field.name) for field in fields(target) if hasattr(target, field.name)} | found


def has_attributes(target: Any) -> bool:
    """Say whether an object's state is its attributes; a value with its own hash does not change."""
    kind = type(target)
    return is_plain(kind) and (is_dataclass(kind) or hasattr(target, "__dict__")) and not _is_value(kind)


def is_plain(kind: type) -> bool:
    """Say whether objects of a class keep their whole state in attributes, and none of it in C."""
    return all(_is_python(base) for base in kind.__mro__ if base.__base__ is object)


def is_estimator(target: Any) -> bool:
    """Say whether an object is an estimator of scikit-learn, whose parts in C only pickle can save."""
    base = sys.modules.get("sklearn.base")
    return base is not None and isinstance(target, base.BaseEstimator)


def pickles_itself(target: Any) -> bool:
    """Say whether the class of an object decides how pickle writes it."""
    names = ("__getstate__", "__setstate__", "__reduce__", "__reduce_ex__")
    return any(getattr(type(target), name, None) is not getattr(object, name, None) for name in names)


def _is_python(base: type) -> bool:
    own = vars(base)
    return base is SimpleNamespace or (isinstance(own.get("__module__"), str) and not own.keys().isdisjoint(_HOLDERS))


def _is_value(kind: type) -> bool:
    own: Any = kind.__hash__  # None if the class defines only `__eq__`
    return own is not None and own is not object.__hash__ and not is_dataclass(kind)


def is_array(value: Any) -> bool:
    """Say whether a value is an array of numpy, but not of a derived class."""
    return type(value) is getattr(sys.modules.get("numpy"), "ndarray", None)
