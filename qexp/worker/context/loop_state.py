"""The state of a loop: the objects that its body changes, captured as data and restored in place."""

from __future__ import annotations

from typing import Any

from qexp.worker.context.state_capture import StateCapture
from qexp.worker.context.state_restore import StateRestore


class State:
    """
    The objects that the body of a loop changes.

    Objects with a state of their own and objects with attributes are restored in place. So they must stay at the places
    where they were when the loop began. If *whole*, estimators of scikit-learn are captured as they are, for the user's
    `dump`.
    """

    def __init__(self, target: Any, whole: bool = False) -> None:
        first = StateCapture(whole, None)
        first.target(target)
        self._target, self._whole, self._places = target, whole, first.places
        self._owned = first.owned

    def taken(self) -> Any:
        """Return the present state; CheckpointError names an object that could not be restored."""
        return StateCapture(self._whole, self._places).target(self._target)

    def restore(self, value: Any) -> None:
        """Restore a state that `taken` returned; CheckpointError if it does not fit."""
        StateRestore(self._owned).all(self._target, value)


def state_of(target: Any) -> Any:
    """
    Return the state of an object that a function changes; `restore_into` restores it.

    The state of a dict, list, array or tensor is itself; of a model or optimizer its `state_dict()`; of a random
    generator the state of that; of any other object of a Python class its attributes. Dicts, lists, tuples and
    attributes may hold such objects: `{"model": model, "epoch": 3}`. Arrays and tensors are not copied. None has no
    state.
    """
    return StateCapture(False, None).target(target)


def restore_into(target: Any, value: Any) -> None:
    """
    Give *target*, in place, the state that `state_of` returned for a similar one.

    A dict or list holds exactly the saved items afterwards; an object keeps attributes that the value lacks. Dicts,
    lists, sets, arrays and tensors inside are restored in place too, so other references see the change. Arrays and
    tensors of another shape or type are replaced. CheckpointError if the two do not fit.
    """
    if target is not None:
        State(target).restore(value)
