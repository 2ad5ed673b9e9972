"""The connection to the broker, the messages on its lists, and its health."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import UUID, uuid4

from qexp.errors import BrokerUnreachableError
from qexp.queueing.messages import Message, ids_in
from qexp.settings import TLS_OPTIONS, Settings, place
from qexp.truncation import single_line

if TYPE_CHECKING:  # their import takes 130 ms, which commands that read only Postgres save
    import redis
    from celery import Celery

_LEVELS = list(range(10))
_PART = 1000
"""Messages that are read from a list together."""
_SEPARATOR = "\x06\x16"  # kombu puts it between the name of a queue and the number of a list


def application(settings: Settings) -> Celery:
    """Return a Celery application for this broker: messages are JSON, acknowledged early, and not prefetched."""
    from celery import Celery

    url, tls = address(settings.broker_url or "")
    app = Celery("qexp", broker=url or None, set_as_current=False)
    app.conf.update(
        broker_use_ssl=tls or False,
        accept_content=["json"],
        task_serializer="json",
        task_default_queue="qexp",
        task_ignore_result=True,
        task_acks_late=False,
        task_store_errors_even_if_ignored=False,
        worker_disable_prefetch=True,
        worker_prefetch_multiplier=1,
        worker_redirect_stdouts=False,
        broker_connection_timeout=settings.connect_timeout,
        broker_connection_max_retries=None,
        broker_connection_retry_on_startup=True,
        broker_transport_options=_options(settings),
    )
    return app


def _options(settings: Settings) -> dict[str, Any]:
    """Return kombu's options for Redis."""
    return {
        "socket_connect_timeout": settings.connect_timeout,
        "socket_timeout": 30.0,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "priority_steps": _LEVELS,
        # this saves two of three round trips per message; the leader publishes lost messages again anyway
        "ack_emulation": False,
    }


def address(url: str) -> tuple[str, dict[str, Any]]:
    """
    Return a broker's URL with all TLS options, and the same options as arguments of redis-py; none without TLS.

    Missing options get their strictest value, since kombu checks no certificate for a `rediss://` without options.
    Flower reads only the arguments.
    """
    if not url.startswith("rediss://"):
        return url, {}
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    options["ssl_cert_reqs"] = options.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    checked = options["ssl_cert_reqs"] != "none" and options.get("ssl_check_hostname", "true") == "true"
    options["ssl_check_hostname"] = str(checked).lower()
    arguments = {name: options[name] for name in TLS_OPTIONS if name in options}
    return urlunsplit(parts._replace(query=urlencode(options))), {**arguments, "ssl_check_hostname": checked}


class BrokerConnection:
    """A connection to the broker; the first use opens it, and a use after a loss opens it again."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._redis: redis.Redis | None = None

    @contextmanager
    def use(self) -> Iterator[redis.Redis]:
        """Yield the connection; errors of redis-py in the block become BrokerUnreachableError."""
        import redis

        if self.settings.broker_url is None:
            raise BrokerUnreachableError
        url, _ = address(self.settings.broker_url.replace("redis+socket://", "unix://", 1))
        timeout = self.settings.connect_timeout
        try:
            if self._redis is None:
                self._redis = redis.Redis.from_url(url, socket_connect_timeout=timeout, socket_timeout=timeout)
            yield self._redis
        except (redis.RedisError, ValueError, TypeError, OSError) as error:
            raise unreachable(self.settings, error) from error

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        connection, self._redis = self._redis, None
        if connection is not None:
            connection.close()


@contextmanager
def connected(settings: Settings) -> Iterator[redis.Redis]:
    """Yield a connection for this block only; errors of redis-py become BrokerUnreachableError."""
    with closing(BrokerConnection(settings)) as connection, connection.use() as opened:
        yield opened


def check(settings: Settings) -> None:
    """Raise BrokerUnreachableError unless the broker answers."""
    with connected(settings) as connection:
        connection.ping()


@dataclass(frozen=True)
class BrokerHealth:
    """A broker's version, latency, memory and persistence."""

    product: str
    version: tuple[int, ...]
    """The version of Redis; Valkey reports the version of Redis that it is compatible with."""
    latency: float
    """Seconds for a round trip, the best of three."""
    policy: str
    """Its `maxmemory-policy`; every policy but noeviction drops messages when memory is full."""
    used: int
    limit: int
    """Bytes of memory; 0 means no limit."""
    appends: bool
    """Whether it keeps an append-only file, so that its last commands survive a crash."""
    snapshots: bool
    """Whether it has written a snapshot to disk."""


def health(settings: Settings) -> BrokerHealth:
    """Ask the broker for its health."""
    with connected(settings) as connection:
        latency = min(_timed(connection) for _ in range(3))
        info: Any = connection.info()
    version = str(info["redis_version"])
    product = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}"
    return BrokerHealth(
        product,
        tuple(int(part) for part in version.split(".") if part.isdecimal()),
        latency,
        info.get("maxmemory_policy", "noeviction"),
        info.get("used_memory", 0),
        info.get("maxmemory", 0),
        bool(info.get("aof_enabled")),
        bool(info.get("rdb_saves")),
    )


def _timed(connection: redis.Redis) -> float:
    began = time.perf_counter()
    connection.ping()
    return time.perf_counter() - began


def leader_key(site: UUID) -> str:
    """Return the key that the broker has while a site's leader can reach Postgres."""
    return f"qexp:{site}:postgres"


@dataclass(frozen=True)
class WaitingMessages:
    """The messages that wait on one list of a queue."""

    number: int
    next_ids: tuple[int, ...]
    """The ids in the next message."""


def waiting(connection: redis.Redis, lists: Sequence[tuple[str, int]]) -> dict[tuple[str, int], WaitingMessages]:
    """Return the messages that wait on lists; a list is named by its queue and its level."""
    with connection.pipeline(transaction=False) as pipeline:
        for queue, level in lists:
            pipeline.llen(_list(queue, level))
            pipeline.lindex(_list(queue, level), -1)
        answers = pipeline.execute()
    return {key: WaitingMessages(answers[2 * at], ids_in(answers[2 * at + 1])) for at, key in enumerate(lists)}


def drop(connection: redis.Redis, queue: str, level: int, spent: Callable[[Sequence[bytes]], Sequence[bytes]]) -> int:
    """Remove those messages of a list that *spent* returns, given a part of the list; return their number."""
    name, passed, dropped = _list(queue, level), 0, 0
    while part := cast("list[bytes]", connection.lrange(name, -passed - _PART, -passed - 1)):
        chosen = spent(part)
        with connection.pipeline(transaction=False) as pipeline:
            for message in chosen:
                pipeline.lrem(name, -1, message.decode())
            dropped += sum(pipeline.execute())
        passed += len(part) - len(chosen)
    return dropped


TEMPORARY = "qexp:study:"
"""The beginning of the names of temporary queues."""


@dataclass(frozen=True)
class TemporaryQueue:
    """A queue that one worker reads; the broker deletes it if the worker does not renew it."""

    name: str = field(default_factory=lambda: f"{TEMPORARY}{uuid4()}")

    def renew(self, connection: redis.Redis, seconds: int) -> list[int]:
        """Keep the queue for some more seconds, and return the ids in its messages."""
        with connection.pipeline(transaction=False) as pipeline:
            pipeline.expire(self.name, seconds)
            pipeline.lrange(self.name, 0, -1)
            _, found = pipeline.execute()
        return [number for message in found for number in ids_in(message)]

    def delete(self, connection: redis.Redis) -> None:
        """Delete the queue with its messages."""
        connection.delete(self.name)


def publish(connection: redis.Redis, messages: Iterable[Message]) -> None:
    """Put messages on their lists. Some may arrive despite an error; publish all again, since a claim succeeds once."""
    with connection.pipeline(transaction=False) as pipeline:
        for message in messages:
            pipeline.lpush(_list(message.queue, message.level), message.encoded())
        answers = pipeline.execute(raise_on_error=False)  # the pipeline's own error would quote the message
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer


def _list(queue: str, level: int) -> str:
    """Return kombu's name for a list of a queue."""
    return f"{queue}{_SEPARATOR}{level}" if level else queue


def unreachable(settings: Settings, error: BaseException) -> BrokerUnreachableError:
    """Return an error of redis-py as BrokerUnreachableError; its text never has the password."""
    import redis

    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause.__context__, ssl.SSLCertVerificationError):
        reason = f"its certificate is refused: {cause.__context__.verify_message.rstrip('.')}"
        return BrokerUnreachableError(place(settings.broker_url or ""), reason)
    reason = single_line(cause) or type(cause).__name__
    if isinstance(error, redis.TimeoutError) or "imed out" in reason:
        reason = f"no answer within {settings.connect_timeout:g} s"
    reason = (
        reason.rstrip(".")
        .rpartition(". ")[2]
        .replace("invalid username-password pair or user is disabled", "wrong password")
    )
    return BrokerUnreachableError(place(settings.broker_url or ""), reason)
