"""The state of a loop: the objects that its body changes, captured as data and restored in place."""

from __future__ import annotations

from typing import Any, NamedTuple

from qexp.worker.context.state_capture import StateCapture
from qexp.worker.context.state_restore import StateRestore


class FinishedSteps(NamedTuple):
    """The finished steps of a loop at a checkpoint, for people who look; *total* is None if it is not known."""

    done: int
    total: int | None


class LoopState:
    """
    The objects that the body of a loop changes.

    They are restored in place: an object with attributes, or with a state of its own, must keep its place during the
    loop. If *whole*, estimators of scikit-learn are captured as they are, for the user's `dump`.
    """

    def __init__(self, target: Any, whole: bool = False) -> None:
        first = StateCapture(whole, None)
        first.target(target)
        self._target, self._whole, self._places = target, whole, first.places
        self._owned = first.owned

    def taken(self) -> Any:
        """Return the present state. Raises CheckpointError with the place of an object that could not be restored."""
        return StateCapture(self._whole, self._places).target(self._target)

    def restore(self, value: Any) -> None:
        """Restore a state that `taken` returned. Raises CheckpointError if it does not fit."""
        StateRestore(self._owned).all(self._target, value)


def state_of(target: Any) -> Any:
    """
    Return the state of an object that a function changes; `restore_into` restores it.

    A dict, list, array or tensor is its own state, and is not copied. The state of a model or optimizer is its
    `state_dict()`; a random generator returns its own. The state of another object of a Python class is its attributes.
    Dicts, lists, tuples and attributes may contain such objects: `{"model": model, "epoch": 3}`. None has no state.
    """
    return StateCapture(False, None).target(target)


def restore_into(target: Any, value: Any) -> None:
    """
    Give *target*, in place, the state that `state_of` returned for a similar object.

    Afterwards a dict or list has exactly the saved items; an object keeps attributes that the value lacks. Dicts,
    lists, sets, arrays and tensors inside are restored in place too, so other references see the change. Arrays and
    tensors of another shape or type are replaced. Raises CheckpointError if the value does not fit.
    """
    if target is not None:
        LoopState(target).restore(value)
