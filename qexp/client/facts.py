"""All that an explanation of an experiment follows from, read from Postgres and from the broker."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from qexp import broker
from qexp.errors import BrokerUnreachableError
from qexp.settings import Settings
from qexp.store import publishing, situation
from qexp.store.connect import Connection
from qexp.store.situation import Situation


@dataclass(frozen=True)
class Doorbell:
    """What the broker knows of the list that an experiment waits on, as far as it was asked."""

    depth: int | None = None
    """Messages on the list."""
    next_at: datetime | None = None
    """When what the next one announces was announced."""
    trouble: str | None = None
    """Why it could not be asked."""


@dataclass(frozen=True)
class Known:
    """All that an explanation follows from."""

    situation: Situation
    doorbell: Doorbell
    settings: Settings


def gather(settings: Settings, begin: Callable[[], AbstractContextManager[Connection]], experiment: int) -> Known:
    """Read all that bears on an experiment. A broker that is down is a fact among others."""
    with begin() as connection:
        line = situation.waits_on(connection, experiment)
    # the broker first: what is still queued afterwards was not taken before
    backlog, trouble = (None, None) if line is None else _ring(settings, line)
    with begin() as connection:
        known = situation.look(connection, experiment, settings.lease)
        if backlog is None:
            return Known(known, Doorbell(trouble=trouble), settings)
        return Known(known, Doorbell(backlog.depth, publishing.oldest_queued(connection, backlog.next)), settings)


def _ring(settings: Settings, line: tuple[str, int]) -> tuple[broker.Backlog | None, str | None]:
    try:
        with broker.client(settings) as connection:
            return broker.backlogs(connection, [line])[line], None
    except BrokerUnreachableError as error:
        return None, f"{error.place}: {error.reason}"
