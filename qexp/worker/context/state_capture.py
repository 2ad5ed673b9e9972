"""Capture the state of a loop as data, and note the places of the captured objects."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from typing import Any

from qexp.errors import CheckpointError, article
from qexp.model import SCALARS
from qexp.worker.context import class_codec, torch_codec
from qexp.worker.context.checkpoint_zip import has_known_factory
from qexp.worker.context.state_path import PathVisitor
from qexp.worker.context.state_protocols import (
    StateProtocol,
    attributes,
    has_attributes,
    is_array,
    is_estimator,
    own_state,
    pickles_itself,
)

Place = tuple[Any, ...]
Memory = tuple[int, int]
"""The address of the numbers of an array or tensor, and their size in bytes."""


class StateCapture(PathVisitor):
    """Captures a state, and notes the place and type of each object; *known* has the places from the loop's start."""

    def __init__(self, whole: bool, known: dict[Place, type] | None) -> None:
        super().__init__()
        self._whole, self._known = whole, known
        self.places: dict[Place, type] = {}
        self.owned: set[Memory] = set()
        """Memory of objects that have a state of their own; noted only at the loop's start."""
        self._open: set[int] = set()
        """Ids of the objects whose attributes are being captured."""

    def target(self, target: Any) -> Any:
        """Return the state of a loop. Raises CheckpointError with the place of an object that could not be restored."""
        require_state(target)
        if isinstance(target, dict):
            return self._items(target)
        if is_dataclass(target):
            return self._items(attributes(target))
        return self._of(target)

    def _of(self, item: Any) -> Any:
        kind = type(item)
        if kind in SCALARS or kind.__module__ == "numpy":  # first, since there may be many
            return item
        if kind in (dict, OrderedDict, Counter) or (kind is defaultdict and has_known_factory(item)):
            return self._dict(item)
        if kind in (list, tuple):
            return kind(self._sequence(item))
        if kind is deque:
            return deque(self._sequence(item), item.maxlen)
        if own := own_state(item):
            self._note(item, f"put a copy of its {own.name} there")
            saved = self._saved(item, own)
            if self._known is None:
                self.owned.update(_memories(saved))
            return saved
        if is_estimator(item):
            return self._estimator(item)
        if (tag := class_codec.kind_of(item)) in ("dataclass", "namedtuple"):
            content = attributes(item) if tag == "dataclass" else item
            return class_codec.rebuilt(
                kind, tag, self._items(content) if tag == "dataclass" else self._sequence(content)
            )
        if kind is defaultdict:
            self._note(item, "put a dict there")
            return self._items(item)
        if self._path and pickles_itself(item):
            return item  # its attributes are not all of its state
        return self._attributes_of(item) if has_attributes(item) else item

    def _saved(self, item: Any, own: StateProtocol) -> Any:
        try:
            return own.save()
        except NotImplementedError as error:  # such as random.SystemRandom
            raise self._error(
                f"{described(item)} has no state that can be saved, since its {own.name} is not implemented; "
                "leave it out, or use a generator with a seed such as random.Random"
            ) from error

    def _attributes_of(self, item: Any) -> Any:
        if id(item) in self._open:
            raise self._error(f"{described(item)} that contains itself is not data; put what changes in a dict")
        self._note(item, "put its contents in a dict")
        self._open.add(id(item))
        taken = self._items(attributes(item))
        self._open.remove(id(item))
        return taken

    def _dict(self, item: Any) -> Any:
        items = self._items(item)
        if type(item) is dict:
            return items
        if type(item) is defaultdict:
            return defaultdict(item.default_factory, items)
        made = type(item)(items)
        vars(made).update(vars(item))
        return made

    def _estimator(self, item: Any) -> Any:
        if not self._whole:
            raise self._error(f"{described(item)} is not data; give resumable dump=joblib.dump, load=joblib.load")
        self._note(item, "put its contents in a dict")
        return item

    def _items(self, items: dict[Any, Any]) -> dict[Any, Any]:
        return {key: item if type(item) in SCALARS else self._at(key, item) for key, item in items.items()}

    def _sequence(self, items: Any) -> list[Any]:
        return [item if type(item) in SCALARS else self._at(index, item) for index, item in enumerate(items)]

    def _at(self, key: Any, item: Any) -> Any:
        self._enter(key)
        taken = self._of(item)
        self._leave()
        return taken

    def _note(self, item: Any, repair: str) -> None:
        place, kind = tuple(self._path), type(item)
        self.places[place] = kind
        if self._known is not None and self._known.get(place) is not kind:
            raise self._error(
                f"found {described(item)}, which was not there when the loop began, and cannot be restored; "
                f"make it before the loop, or {repair}"
            )


def is_dataclass(target: Any) -> bool:
    """Say whether a value is a dataclass that a module defines, without a state of its own."""
    return class_codec.kind_of(target) == "dataclass" and own_state(target) is None


def require_state(target: Any) -> None:
    """Raise CheckpointError unless a value, or each item of a tuple, can be restored in place."""
    if target is not None and not _is_restorable(target):
        name = type(target).__qualname__
        raise CheckpointError(f"there is no state to restore in a value of type {name}; put its contents in a dict")


def parts_of(target: Any) -> dict[Any, Any] | None:
    """Return the parts of a tuple or frozen dataclass, which are restored one by one. Returns None for others."""
    if isinstance(target, tuple):
        return dict(enumerate(target))
    return attributes(target) if is_dataclass(target) and type(target).__dataclass_params__.frozen else None


def _is_restorable(target: Any) -> bool:
    if (parts := parts_of(target)) is not None:
        return len(parts) > 0 and all(item is None or _is_restorable(item) for item in parts.values())
    return (
        isinstance(target, dict | list | set | deque | bytearray)
        or is_array(target)
        or torch_codec.is_tensor(target)
        or is_estimator(target)
        or own_state(target) is not None
        or has_attributes(target)
    )


def described(value: Any) -> str:
    """Return text for errors: the type of a value, and the shape of an array or tensor."""
    if is_array(value):
        return f"an array of {value.dtype} of shape {value.shape}"
    if torch_codec.is_tensor(value):
        return f"a tensor of {value.dtype} of shape {tuple(value.shape)}"
    return article(type(value).__qualname__)


def memory_of(value: Any) -> Memory | None:
    """Return the memory of an array or tensor. Returns None if it has no numbers, and for other values."""
    if is_array(value) and value.nbytes:
        return value.__array_interface__["data"][0], value.nbytes
    return torch_codec.memory_of(value) if torch_codec.is_tensor(value) else None


def _memories(value: Any) -> Iterator[Memory]:
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _memories(item)
    elif memory := memory_of(value):
        yield memory
