"""How a worker reads its queues: what is no message does not end it, and leaving takes no wait."""

from __future__ import annotations

import contextlib
import logging
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis

from qexp import broker

log = logging.getLogger(__name__)


class Channel(redis.Channel):
    """
    A channel that outlives what it cannot read, on which Celery would end this worker, and then the next one.

    The broker has handed it out by then, so nobody reads it again.
    """

    _asked: Any = None
    """The socket whose number the broker was asked for."""
    _number: int | None = None

    def _brpop_start(self, timeout: float | None = None) -> None:
        connection = self.client.connection
        if connection._sock is None or connection._sock is not self._asked:
            self._number = None
            with contextlib.suppress(self.ResponseError):  # where that is forbidden, closing takes its second
                connection.send_command("CLIENT", "ID")
                self._number = connection.read_response()
            self._asked = connection._sock
        super()._brpop_start(timeout)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Let the broker end its wait for a message at once; one that it has found meanwhile is still read."""
        if self._in_poll and self._number is not None:
            ignored = contextlib.suppress(self.ResponseError, *self.connection_errors)
            with ignored, self.conn_or_acquire() as client:
                client.client_unblock(self._number)
        super().close()  # type: ignore[no-untyped-call]

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

    def _deliver(self, message: Any, queue: str) -> None:
        """Hand a message to Celery, without what qexp has not put there."""
        super()._deliver(broker.sanitised(message), queue)  # type: ignore[no-untyped-call]


def install() -> None:
    """Read by such channels whatever this process reads from Redis."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:{Transport.__name__}"))
