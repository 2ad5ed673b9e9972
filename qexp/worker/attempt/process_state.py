"""Settings of a process, such as the umask, whose values are restored after an experiment."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qexp.functions.guarded_calls import is_order, one_line

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProcessSetting:
    """A setting that a whole process shares, such as the umask; `read` returns a copy of its value."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]

    def holds(self, value: Any) -> bool:
        """Say whether the setting has this value."""
        try:
            found: bool = self.read() == value  # without bool(), which an experiment may have replaced
            return found
        except BaseException as error:  # it cannot be read, or the user's code replaced it
            if is_order(error):
                raise
            return False

    def put_back(self, value: Any) -> None:
        """Set this value; log a failure."""
        try:
            self.write(value)
        except BaseException as error:  # others must still be restored
            if is_order(error):
                raise
            log.warning("%s could not be restored after an experiment: %s", self.name, one_line(error))


class ProcessState:
    """Settings with the values to restore. Restore them in the main thread: signal handlers require it."""

    def __init__(self, settings: Sequence[ProcessSetting], values: list[Any]) -> None:
        self._reads, self._values = [setting.read for setting in settings], values
        self._pairs = list(zip(settings, values, strict=True))

    def restore(self) -> list[str]:
        """Restore changed settings; return the names of those that could not be restored."""
        try:
            if [read() for read in self._reads] == self._values:  # most attempts change nothing
                return []
        except BaseException as error:  # as in `holds`
            if is_order(error):
                raise
        unrestored = []
        for setting, value in self._pairs:  # in this order, since the builtins must come first
            if not setting.holds(value):
                setting.put_back(value)
                if not setting.holds(value):
                    unrestored.append(setting.name)
        return unrestored
