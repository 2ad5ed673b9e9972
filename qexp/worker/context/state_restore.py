"""Restore the state of a loop in place, in the objects that a function uses."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

from qexp.errors import CheckpointError
from qexp.model import SCALARS
from qexp.truncation import single_line
from qexp.worker.context import class_codec, torch_codec
from qexp.worker.context.checkpoint_encoding import encode
from qexp.worker.context.checkpoint_zip import has_known_factory
from qexp.worker.context.state_capture import Memory, described, is_dataclass, memory_of, parts_of, require_state
from qexp.worker.context.state_path import PathVisitor
from qexp.worker.context.state_protocols import (
    StateProtocol,
    attributes,
    has_attributes,
    is_array,
    is_estimator,
    own_state,
)

_FRESH = "'qexp requeue ID --fresh' starts again without checkpoints"
_CHANGING = (dict, OrderedDict, defaultdict, Counter, list, deque, set, bytearray)


class StateRestore(PathVisitor):
    """
    Restores a state.

    An object may be at several places: `best = net.state_dict()` has the same tensors as the model. If the checkpoint
    has different values at these places, one place keeps the object, and the others get new objects. An object with a
    state of its own always keeps its tensors, which are in *owned* memory; other places are compared with them after
    all such objects are loaded.
    """

    def __init__(self, owned: set[Memory]) -> None:
        super().__init__()
        self._owned, self._postponed, self._loaded = owned, False, False
        self._given: dict[Any, tuple[Any, Any]] = {}
        """By identity or memory: each object that is restored already, and its value."""

    def all(self, target: Any, value: Any) -> None:
        """Restore a state; a second pass compares tensors with those of loaded objects if necessary."""
        self.target(target, value)
        if self._postponed:
            self._loaded = True
            self._given.clear()
            self.target(target, value)

    def target(self, target: Any, value: Any) -> None:
        """Restore the state in one pass. Raises CheckpointError if it does not fit the target."""
        if target is None:
            return
        require_state(target)
        if (parts := parts_of(target)) is not None:
            saved = parts_of(value) or value
            if type(saved) is not dict or parts.keys() != saved.keys():
                raise self._misfit(target, value)
            for key, item in parts.items():
                self._enter(key)
                self.target(item, saved[key])
                self._leave()
        elif isinstance(target, dict) and isinstance(value, dict):
            self._fill(target, value)
        elif is_dataclass(target) and type(value) is dict:
            self._set_all(target, value)
        elif self._of(target, value) is not target:
            raise self._misfit(target, value)

    def _of(self, held: Any, value: Any) -> Any:
        """Return *held* with the saved state if it can be restored in place, otherwise the value itself."""
        kind = type(held)
        if value is None or kind in SCALARS or held is value:
            return value
        if own := own_state(held):
            self._load(own, held, value)
        elif (is_array(held) and is_array(value)) or (torch_codec.is_tensor(held) and torch_codec.is_tensor(value)):
            return self._numbers(held, value)
        elif kind in _CHANGING and self._is_given(held, value):
            return value
        elif isinstance(held, dict) and type(value) in (kind, _kind_taken(held)):
            self._fill(held, value)
        elif is_estimator(held) and type(value) is kind:
            vars(held).clear()  # its parts may share arrays, so they are replaced as a whole
            vars(held).update(vars(value))
        elif type(value) is dict and has_attributes(held) and not is_dataclass(held):
            self._set_all(held, value)
        else:
            return self._collection(held, value) if type(value) is kind else value
        return held

    def _collection(self, held: Any, value: Any) -> Any:
        kind = type(held)
        if kind is list:
            held[:] = self._sequence(held, value)
        elif kind is deque and held.maxlen == value.maxlen:
            restored = self._sequence(held, value)
            held.clear()
            held.extend(restored)
        elif kind is set:
            held.clear()
            held.update(value)
        elif kind is bytearray:
            held[:] = value
        elif kind is tuple:
            return tuple(self._sequence(held, value))
        elif (tag := class_codec.kind_of(held)) == "namedtuple":
            return class_codec.rebuilt(kind, tag, self._sequence(held, value))
        elif tag == "dataclass" and parts_of(held) is None:
            self._set_all(held, attributes(value))
        elif tag == "dataclass":
            return class_codec.rebuilt(kind, tag, self._items(attributes(held), attributes(value)))
        else:
            return value
        return held

    def _at(self, key: Any, held: Any, value: Any) -> Any:
        self._enter(key)
        restored = self._of(held, value)
        self._leave()
        return restored

    def _items(self, held: dict[Any, Any], value: dict[Any, Any]) -> dict[Any, Any]:
        return {
            key: item
            if type(item) in SCALARS and type(held.get(key)) in SCALARS
            else self._at(key, held.get(key), item)
            for key, item in value.items()
        }

    def _sequence(self, held: Any, value: Any) -> list[Any]:
        common = [
            item if type(item) in SCALARS and type(mine) in SCALARS else self._at(index, mine, item)
            for index, (mine, item) in enumerate(zip(held, value, strict=False))
        ]
        return [*common, *list(value)[len(common) :]]

    def _fill(self, held: dict[Any, Any], value: dict[Any, Any]) -> None:
        restored = self._items(held, value)
        held.clear()
        held.update(restored)
        if type(held) is type(value) and isinstance(value, OrderedDict | Counter):
            vars(held).update(vars(value))

    def _set_all(self, held: Any, value: dict[str, Any]) -> None:
        for name, item in self._items(attributes(held), value).items():
            try:
                setattr(held, name, item)
            except AttributeError as error:
                name = type(held).__qualname__
                raise self._error(f"{name} cannot be restored in place: {error}") from error

    def _load(self, own: StateProtocol, held: Any, value: Any) -> None:
        if self._loaded:
            return
        try:
            own.load(value)
        except Exception as error:  # libraries and users' classes raise any type
            name, reason = type(held).__qualname__, single_line(f"{type(error).__name__}: {error}")
            raise self._error(f"{name} cannot take the checkpoint's state ({reason}); {_FRESH}") from error

    def _numbers(self, held: Any, value: Any) -> Any:
        memory = memory_of(held)
        if memory in self._owned and not self._loaded:
            self._postponed = True
            return held
        if memory in self._owned or memory in self._given:
            return held if _same(held, value) else value
        if memory is not None:
            self._given[memory] = held, value
        if is_array(held):
            return self._array(held, value)
        return self._tensor(held, value)

    def _is_given(self, held: Any, value: Any) -> bool:
        """Say whether a container was restored at another place already, with a different value."""
        first = self._given.setdefault(id(held), (held, value))[1]
        return first is not value and not _same(first, value)

    def _array(self, held: Any, value: Any) -> Any:
        if (held.dtype, held.shape) != (value.dtype, value.shape) or not held.flags.writeable:
            return value
        held[...] = value
        return held

    def _tensor(self, held: Any, value: Any) -> Any:
        if torch_codec.restore(held, value):
            return held
        if held.requires_grad:  # an optimizer may hold it
            raise self._misfit(held, value)
        return value

    def _misfit(self, held: Any, value: Any) -> CheckpointError:
        return self._error(f"the checkpoint holds {described(value)}, expected {described(held)}; {_FRESH}")


def _kind_taken(held: dict[Any, Any]) -> type:
    """Return the type in which a dict is captured: dict for a defaultdict whose factory has no name."""
    return dict if type(held) is defaultdict and not has_known_factory(held) else type(held)


def _same(one: Any, other: Any) -> bool:
    if torch_codec.is_tensor(one) and torch_codec.is_tensor(other):
        return torch_codec.same(one, other)
    if is_array(one) and is_array(other):
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    try:
        return encode(one) == encode(other)
    except CheckpointError:  # a state for dump= may have objects of any type
        return False
