"""The state of a loop: taken as data from what its body changes, and put back in place."""

from __future__ import annotations

from typing import Any

from qexp.worker.context.restoring import Restoring
from qexp.worker.context.taking import Taking


class State:
    """
    What the body of a loop changes.

    Objects with a state of their own and objects with attributes are restored in place, so they have to stand where
    they stood when the loop began. If *whole*, estimators of scikit-learn are taken as they are, for the user's `dump`.
    """

    def __init__(self, target: Any, whole: bool = False) -> None:
        first = Taking(whole, None)
        first.target(target)
        self._target, self._whole, self._places = target, whole, first.places
        self._owned = first.owned

    def taken(self) -> Any:
        """Return the state as it is now; CheckpointError for an object that could not be restored."""
        return Taking(self._whole, self._places).target(self._target)

    def restore(self, value: Any) -> None:
        """Put back what `taken` returned; CheckpointError if it does not fit."""
        Restoring(self._owned).all(self._target, value)


def state_of(target: Any) -> Any:
    """
    Return the state of what a function changes as it goes on: what `restore_into` puts back.

    That is a dict, list, array or tensor itself; `state_dict()` of models and optimizers; the state of a random
    generator; the attributes of any other object of a Python class. These may stand in dicts, lists, tuples and
    attributes: `{"model": model, "epoch": 3}`. Arrays and tensors are not copied. None has no state.
    """
    return Taking(False, None).target(target)


def restore_into(target: Any, value: Any) -> None:
    """
    Give *target*, in place, the state that `state_of` returned for one like it.

    A dict or list holds exactly what was saved; an object keeps attributes that the value does not have. Dicts, lists,
    sets, arrays and tensors inside are restored in place too, so that other names of theirs see it; arrays and tensors
    that have another shape or type by now are replaced. CheckpointError if the two do not fit.
    """
    if target is not None:
        State(target).restore(value)
