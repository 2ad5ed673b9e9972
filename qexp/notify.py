"""Send notifications with apprise, in a separate process that has a time limit and its own logs."""

from __future__ import annotations

import json
import logging
import re
import signal
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from qexp.errors import NotifyError
from qexp.module_process import ask_module
from qexp.notification_addresses import EXPECTED, hidden
from qexp.truncation import single_line

LIMIT = 10.0
"""Seconds that a service may take."""
_REPAIR = "pip install 'qexp[notify]'"


def check(addresses: Sequence[str]) -> None:
    """Raise NotifyError if an address is not one that apprise knows, or if apprise is not installed."""
    if not addresses:
        return
    apprise = _library()
    _silence()
    for address in addresses:
        if apprise.Apprise.instantiate(address) is None:
            raise NotifyError(
                f"notify: apprise does not know addresses like {hidden(address)}; {EXPECTED}, "
                "'python -m apprise --details' lists them"
            )


def send(address: str, text: str) -> None:
    """Send a message whose first line is its title. Raises NotifyError with the reason, without the address."""
    reason, status = ask_module("qexp.notify", [address, text], LIMIT)
    if status is None:
        raise NotifyError(f"no answer within {LIMIT:g} s")
    if status:
        raise NotifyError(reason.strip() or f"its process ended with status {status}")


def _library() -> Any:
    try:
        import apprise
    except ModuleNotFoundError as error:
        raise NotifyError(f"notify: messages are sent by apprise, which is not installed; {_REPAIR}") from error
    return apprise


class _WarningCollector(logging.Handler):
    """Collects the warnings that a library logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _silence() -> _WarningCollector:
    """Collect the log of apprise instead of showing it: it may contain an address."""
    logger, collector = logging.getLogger("apprise"), _WarningCollector()
    logger.propagate, logger.handlers = False, [collector]
    return collector


def scrubbed(text: str, address: str) -> str:
    """
    Return text in which *** replaces the parts of an address, except those that `hidden` shows.

    >>> scrubbed("no route to json://lab/T0ken: T0ken", "json://lab/T0ken")
    'no route to json://lab/***: ***'
    """
    shown = hidden(address)
    parts = {part for part in re.split(r"[:/@?&=,;+]+", address.partition("://")[2]) if part and part not in shown}
    for part in sorted(parts | {unquote(part) for part in parts}, key=len, reverse=True):
        text = text.replace(part, "***") if len(part) > 2 else text
    return single_line(text)


def _send() -> int:
    """Send the message on standard input. Write the reason of a failure to standard output."""
    signal.alarm(round(LIMIT) + 2)  # the limit holds even if the parent process is killed
    address, text = json.load(sys.stdin)
    collector = _silence()
    try:
        sender = _library().Apprise()
        if sender.add(address) and sender.notify(title=text.partition("\n")[0], body=text.partition("\n")[2]):
            return 0
        reason = "; ".join(collector.lines) or "it was refused, without a reason"
    except Exception as error:  # noqa: BLE001 - report any error to the parent process
        reason = f"{type(error).__name__}: {error}"
    sys.stdout.write(scrubbed(reason, address)[:500])
    return 1


if __name__ == "__main__":
    raise SystemExit(_send())
