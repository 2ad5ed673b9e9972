"""The state of a loop: taken as data from what its body changes, and put back in place."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from types import NoneType
from typing import Any

from qexp.errors import CheckpointError
from qexp.worker.context import classes, tensors
from qexp.worker.context.holders import (
    OwnState,
    attributes,
    has_attributes,
    is_array,
    is_estimator,
    own_state,
    pickles_itself,
)
from qexp.worker.context.tree import DEEPEST, has_known_factory, place_of, too_deep

Place = tuple[Any, ...]
_PLAIN = (NoneType, bool, int, float, str)
_FRESH = "'qexp requeue ID --fresh' starts again without checkpoints"


class State:
    """
    What the body of a loop changes.

    Objects with a state of their own and objects with attributes are restored in place, so they have to stand where
    they stood when the loop began. If *whole*, estimators of scikit-learn are taken as they are, for the user's `dump`.
    """

    def __init__(self, target: Any, whole: bool = False) -> None:
        first = _Taking(whole, None)
        first.target(target)
        self._target, self._whole, self._places = target, whole, first.places

    def taken(self) -> Any:
        """Return the state as it is now; CheckpointError for an object that could not be restored."""
        return _Taking(self._whole, self._places).target(self._target)

    def restore(self, value: Any) -> None:
        """Put back what `taken` returned; CheckpointError if it does not fit."""
        restore_into(self._target, value)


def state_of(target: Any) -> Any:
    """
    Return the state of what a function changes as it goes on: what `restore_into` puts back.

    That is a dict, list, array or tensor itself; `state_dict()` of models and optimizers; the state of a random
    generator; the attributes of any other object of a Python class. These may stand in dicts, lists, tuples and
    attributes: `{"model": model, "epoch": 3}`. Arrays and tensors are not copied. None has no state.
    """
    return _Taking(False, None).target(target)


def restore_into(target: Any, value: Any) -> None:
    """
    Give *target*, in place, the state that `state_of` returned for one like it.

    A dict or list holds exactly what was saved; an object keeps attributes that the value does not have. Dicts, lists,
    sets, arrays and tensors inside are restored in place too, so that other names of theirs see it; arrays and tensors
    that have another shape or type by now are replaced. CheckpointError if the two do not fit.
    """
    if target is not None:
        _Restoring().target(target, value)


class _Walk:
    """Knows the place that it has come to."""

    def __init__(self) -> None:
        self._path: list[Any] = []

    def _enter(self, key: Any) -> None:
        self._path.append(key)
        if len(self._path) > DEEPEST:
            raise too_deep()

    def _error(self, problem: str) -> CheckpointError:
        return CheckpointError(f"{place_of(self._path)}: {problem}")


class _Taking(_Walk):
    """Takes a state, and notes at which places objects stand; *known* has those of the loop's beginning."""

    def __init__(self, whole: bool, known: dict[Place, type] | None) -> None:
        super().__init__()
        self._whole, self._known = whole, known
        self.places: dict[Place, type] = {}
        self._open: set[int] = set()
        """The objects whose attributes are being taken."""

    def target(self, target: Any) -> Any:
        _require_state(target)
        if isinstance(target, dict):
            return self._items(target)
        if _is_dataclass(target):
            return self._items(attributes(target))
        return self._of(target)

    def _of(self, item: Any) -> Any:
        kind = type(item)
        if kind in _PLAIN or kind.__module__ == "numpy":  # arrays and scalars, of which there may be many
            return item
        if kind in (dict, OrderedDict, Counter) or (kind is defaultdict and has_known_factory(item)):
            return self._dict(item)
        if kind in (list, tuple):
            return kind(self._sequence(item))
        if kind is deque:
            return deque(self._sequence(item), item.maxlen)
        if own := own_state(item):
            self._note(item, f"put its {own.name} there")
            return own.save()
        if is_estimator(item):
            return self._estimator(item)
        if (tag := classes.kind_of(item)) in ("dataclass", "namedtuple"):
            content = attributes(item) if tag == "dataclass" else item
            return classes.rebuilt(kind, tag, self._items(content) if tag == "dataclass" else self._sequence(content))
        if kind is defaultdict:
            self._note(item, "put a dict there")
            return self._items(item)
        if self._path and pickles_itself(item):
            return item  # its attributes are not its state
        return self._attributes_of(item) if has_attributes(item) else item

    def _attributes_of(self, item: Any) -> Any:
        if id(item) in self._open:
            raise self._error(f"{_described(item)} that contains itself is not data; put what changes in a dict")
        self._note(item, "put what it holds in a dict")
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
            raise self._error(f"{_described(item)} is not data; give resumable dump=joblib.dump, load=joblib.load")
        self._note(item, "put what it holds in a dict")
        return item

    def _items(self, items: dict[Any, Any]) -> dict[Any, Any]:
        return {key: item if type(item) in _PLAIN else self._at(key, item) for key, item in items.items()}

    def _sequence(self, items: Any) -> list[Any]:
        return [item if type(item) in _PLAIN else self._at(index, item) for index, item in enumerate(items)]

    def _at(self, key: Any, item: Any) -> Any:
        self._enter(key)
        taken = self._of(item)
        self._path.pop()
        return taken

    def _note(self, item: Any, repair: str) -> None:
        place, kind = tuple(self._path), type(item)
        self.places[place] = kind
        if self._known is not None and self._known.get(place) is not kind:
            raise self._error(
                f"found {_described(item)}, which was not there when the loop began, and cannot be restored; "
                f"make it before the loop, or {repair}"
            )


class _Restoring(_Walk):
    """Puts a state back."""

    def target(self, target: Any, value: Any) -> None:
        if target is None:
            return
        _require_state(target)
        if (parts := _parts(target)) is not None:
            saved = _parts(value) or value
            if type(saved) is not dict or parts.keys() != saved.keys():
                raise self._misfit(target, value)
            for key, item in parts.items():
                self._enter(key)
                self.target(item, saved[key])
                self._path.pop()
        elif isinstance(target, dict) and isinstance(value, dict):
            self._fill(target, value)
        elif _is_dataclass(target) and type(value) is dict:
            self._set_all(target, value)
        elif self._of(target, value) is not target:
            raise self._misfit(target, value)

    def _of(self, held: Any, value: Any) -> Any:
        """Return what is to stand where *held* does: itself with the saved state if it can take it, else the value."""
        kind = type(held)
        if value is None or kind in _PLAIN:
            return value
        if own := own_state(held):
            self._load(own, held, value)
        elif is_array(held) and is_array(value):
            return self._array(held, value)
        elif tensors.is_tensor(held) and tensors.is_tensor(value):
            return self._tensor(held, value)
        elif isinstance(held, dict) and type(value) in (kind, _kind_taken(held)):
            self._fill(held, value)
        elif is_estimator(held) and type(value) is kind:
            vars(held).clear()  # its parts may share arrays: each is taken as it is
            vars(held).update(vars(value))
        elif type(value) is dict and has_attributes(held) and not _is_dataclass(held):
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
        elif (tag := classes.kind_of(held)) == "namedtuple":
            return classes.rebuilt(kind, tag, self._sequence(held, value))
        elif tag == "dataclass" and _parts(held) is None:
            self._set_all(held, attributes(value))
        elif tag == "dataclass":
            return classes.rebuilt(kind, tag, self._items(attributes(held), attributes(value)))
        else:
            return value
        return held

    def _at(self, key: Any, held: Any, value: Any) -> Any:
        self._enter(key)
        restored = self._of(held, value)
        self._path.pop()
        return restored

    def _items(self, held: dict[Any, Any], value: dict[Any, Any]) -> dict[Any, Any]:
        return {
            key: item if type(item) in _PLAIN and type(held.get(key)) in _PLAIN else self._at(key, held.get(key), item)
            for key, item in value.items()
        }

    def _sequence(self, held: Any, value: Any) -> list[Any]:
        common = [
            item if type(item) in _PLAIN and type(mine) in _PLAIN else self._at(index, mine, item)
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

    def _load(self, own: OwnState, held: Any, value: Any) -> None:
        try:
            own.load(value)
        except Exception as error:  # libraries and users' classes raise all kinds
            name, reason = type(held).__qualname__, " ".join(f"{type(error).__name__}: {error}".split())
            raise self._error(f"{name} cannot take the checkpoint's state ({reason}); {_FRESH}") from error

    def _array(self, held: Any, value: Any) -> Any:
        if (held.dtype, held.shape) != (value.dtype, value.shape) or not held.flags.writeable:
            return value
        held[...] = value
        return held

    def _tensor(self, held: Any, value: Any) -> Any:
        if tensors.restore(held, value):
            return held
        if held.requires_grad:  # an optimizer may hold it
            raise self._misfit(held, value)
        return value

    def _misfit(self, held: Any, value: Any) -> CheckpointError:
        return self._error(f"the checkpoint holds {_described(value)}, expected {_described(held)}; {_FRESH}")


def _kind_taken(held: dict[Any, Any]) -> type:
    """Return the type as which a dict is taken: dict if no tree can name its factory, which then stays in place."""
    return dict if type(held) is defaultdict and not has_known_factory(held) else type(held)


def _is_dataclass(target: Any) -> bool:
    return classes.kind_of(target) == "dataclass" and own_state(target) is None


def _require_state(target: Any) -> None:
    if target is not None and not _is_restorable(target):
        name = type(target).__qualname__
        raise CheckpointError(f"there is no state to restore in a value of type {name}; put what it holds in a dict")


def _parts(target: Any) -> dict[Any, Any] | None:
    """Return the parts of what cannot change itself, and so is restored if each of its parts can be."""
    if isinstance(target, tuple):
        return dict(enumerate(target))
    return attributes(target) if _is_dataclass(target) and type(target).__dataclass_params__.frozen else None


def _is_restorable(target: Any) -> bool:
    if (parts := _parts(target)) is not None:
        return len(parts) > 0 and all(item is None or _is_restorable(item) for item in parts.values())
    return (
        isinstance(target, dict | list | set | deque | bytearray)
        or is_array(target)
        or tensors.is_tensor(target)
        or is_estimator(target)
        or own_state(target) is not None
        or has_attributes(target)
    )


def _described(value: Any) -> str:
    if is_array(value):
        return f"an array of {value.dtype} of shape {value.shape}"
    if tensors.is_tensor(value):
        return f"a tensor of {value.dtype} of shape {tuple(value.shape)}"
    name = type(value).__qualname__
    return f"an {name}" if name[0] in "aeioAEIO" else f"a {name}"
