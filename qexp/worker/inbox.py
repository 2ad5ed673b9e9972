"""What is on a queue and is no message is thrown away: Celery would end the worker on it, and then the next one."""

from __future__ import annotations

import logging
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis

log = logging.getLogger(__name__)


class Channel(redis.Channel):
    """A channel that outlives what it cannot read; the broker has handed it out by then, so nobody reads it again."""

    def _brpop_read(self, **options: Any) -> Any:
        before = next(reversed(self.qos._delivered), None)
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (Empty, *self.connection.connection_errors, *self.connection.channel_errors):
            raise
        except Exception as error:
            log.exception("what is no message of qexp's was thrown away")
            tag = next(reversed(self.qos._delivered), None)
            if tag not in (None, before):  # it could be read in part; unanswered, it would come back in an hour
                self.qos.reject(tag, requeue=False)
            raise Empty from error


class Transport(redis.Transport):
    """Redis, read by such channels."""

    Channel = Channel


def install() -> None:
    """Read by such channels whatever this process reads from Redis."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:{Transport.__name__}"))
