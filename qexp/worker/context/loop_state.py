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
