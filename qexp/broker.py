"""Ids become messages: a doorbell for workers, never the truth."""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import UUID, uuid4, uuid5

from qexp.errors import BrokerUnreachableError
from qexp.settings import TLS_OPTIONS, Settings, place
from qexp.truncation import single_line

if TYPE_CHECKING:  # 130 ms, which commands that only look at Postgres need not wait
    import redis
    from celery import Celery

TASK = "qexp.run"
"""The one task name: a worker throws away messages of a name it does not know."""

SCOUT = "qexp_scout"
"""The header of a message that is one of its study's first: the study's id."""
LARGEST = 1000
"""Experiments that one message announces, at most."""
_LEVELS = list(range(10))
_LONGEST_ID, _LONGEST_LINE = 100, 1000
"""Characters of a message's id, and of the line that monitors show, that are taken from the broker."""
_SEPARATOR = "\x06\x16"  # kombu's, between a queue and the number of its list
_NAMESPACE = UUID("6b8f2f0e-5a0c-5bb6-9a0d-1f6f0c3f7e11")


@dataclass(frozen=True)
class Message:
    """Experiment ids to announce on a queue, and the line that monitors show for them."""

    queue: str
    ids: tuple[int, ...]
    attempt: int
    line: str
    level: int = 5
    """Which of the queue's ten lists: workers empty list 0 first."""
    scout: int | None = None
    """The study, if this is one of its first experiments: how long they take tells how to announce the others."""


def level(priority: int) -> int:
    """
    Return the list of a queue for a study's priority: 5 for 0, the lower the higher the priority.

    >>> [level(priority) for priority in (1000, 2, 0, -2, -1000)]
    [0, 3, 5, 7, 9]
    """
    return min(9, max(0, 5 - priority))


def application(settings: Settings) -> Celery:
    """Return a Celery application that speaks to this broker as qexp needs it: JSON, early ack, no prefetch."""
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
    """Return what kombu is to know of Redis."""
    return {
        "socket_connect_timeout": settings.connect_timeout,
        "socket_timeout": 30.0,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "priority_steps": _LEVELS,
        # what is taken is not noted on the broker, two thirds of the round trips: what is lost on the way is announced
        # again anyway
        "ack_emulation": False,
    }


def address(url: str) -> tuple[str, dict[str, Any]]:
    """
    Return a broker's URL with all that is to be said of TLS, and the same as arguments of redis-py; none without TLS.

    What is left out is as strict as can be: kombu takes a `rediss://` that says nothing for one whose certificate
    nobody looks at. Flower reads the arguments only.
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


def task_id(ids: tuple[int, ...], attempt: int) -> str:
    """Return the same Celery task id for the same announcement, so that monitors, logs and rows can be matched."""
    return str(uuid5(_NAMESPACE, f"{','.join(map(str, ids))}:{attempt}"))


def ids_of(arguments: Sequence[Any]) -> list[int]:
    """
    Return the ids in a message's arguments, without whatever else may have been put on a queue.

    >>> ids_of(([3, "4", True, None, 2**80],)), ids_of(("5",)), ids_of(())
    ([3], [], [])
    """
    found = arguments[0] if arguments else None
    return [item for item in found if type(item) is int and abs(item) < 2**63] if isinstance(found, list) else []


def publish(settings: Settings, messages: Iterable[Message]) -> None:
    """
    Announce ids. BrokerUnreachableError: some may have been delivered, so all are announced again by whoever repeats
    it; a claim absorbs what comes twice.
    """
    from kombu.connection import Connection
    from kombu.exceptions import BatchPublishError, OperationalError
    from redis import RedisError

    url, tls = address(settings.broker_url or "")
    facts = {"connect_timeout": settings.connect_timeout, "transport_options": _options(settings)}
    try:
        with Connection(url, ssl=tls or False, **facts) as connection:  # type: ignore[no-untyped-call]
            connection.ensure_connection(max_retries=1, timeout=settings.connect_timeout)
            with connection.Producer(auto_declare=False) as producer, producer.batch():
                for message in messages:
                    _publish(producer, message)
    except (BatchPublishError, OperationalError, OSError, RedisError) as error:
        raise unreachable(settings, error) from error


def _publish(producer: Any, message: Message) -> None:
    """
    Send a task as Celery itself would, by the second version of its protocol.

    Celery is not asked for it: to import it takes longer than all the rest of this, and a worker waits.

    https://docs.celeryq.dev/en/stable/internals/protocol.html
    """
    number = task_id(message.ids, message.attempt)
    producer.publish(
        _arguments(message.ids),
        exchange="",
        routing_key=message.queue,
        serializer="json",
        headers=_headers(number, message.line, message.scout),
        priority=message.level,
        correlation_id=number,
        reply_to="",
    )


def _arguments(ids: Iterable[int]) -> tuple[list[list[int]], dict[str, Any], dict[str, None]]:
    """Return the body of a task's message: what it is called with, and what is to be done afterwards."""
    return [list(ids)], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def _headers(number: str, line: str, scout: int | None) -> dict[str, Any]:
    headers = {
        "lang": "py",
        "task": TASK,
        "id": number,
        "root_id": number,
        "parent_id": None,
        "group": None,
        "eta": None,
        "expires": None,
        "retries": 0,
        "timelimit": [None, None],
        "argsrepr": line,
        "kwargsrepr": "",
        "origin": "qexp",
        "ignore_result": True,
    }
    return headers if scout is None else {**headers, SCOUT: scout}


def sanitised(envelope: Any) -> Any:
    """
    Return a message of ours, as it is on the broker, with nothing in it but what qexp itself puts there.

    Anybody may put anything on a queue. Celery reserves a child's place before it looks at headers such as `timelimit`
    and `shadow`; an odd one raises then, and the place stays reserved. Other messages are returned as they are.
    """
    headers = envelope.get("headers") if isinstance(envelope, dict) else None
    if not isinstance(headers, dict) or headers.get("task") != TASK:
        return envelope
    found, line, properties = headers.get("id"), headers.get("argsrepr"), envelope.get("properties")
    number = found if isinstance(found, str) and len(found) <= _LONGEST_ID else str(uuid4())
    scout = headers.get(SCOUT)
    properties = properties if isinstance(properties, dict) else {}
    info, tag = properties.get("delivery_info"), properties.get("delivery_tag")
    queue = info.get("routing_key") if isinstance(info, dict) else None
    return {
        "body": base64.b64encode(json.dumps(_arguments(_ids_in(envelope))).encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": _headers(
            number,
            line[:_LONGEST_LINE] if isinstance(line, str) else "",
            scout if type(scout) is int and 0 < scout < 2**31 else None,
        ),
        "properties": {
            "correlation_id": number,
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue if isinstance(queue, str) else ""},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": tag if isinstance(tag, str) and tag else str(uuid4()),
        },
    }


def check(settings: Settings) -> None:
    """Raise BrokerUnreachableError unless the broker answers."""
    with client(settings) as connection:
        connection.ping()


@contextmanager
def client(settings: Settings) -> Iterator[redis.Redis]:
    """Give a connection to the broker; what goes wrong with it is a BrokerUnreachableError."""
    import redis

    if settings.broker_url is None:
        raise BrokerUnreachableError
    url, _ = address(settings.broker_url.replace("redis+socket://", "unix://", 1))
    patience = {"socket_connect_timeout": settings.connect_timeout, "socket_timeout": settings.connect_timeout}
    try:
        with redis.Redis.from_url(url, **patience) as connection:
            yield connection
    except (redis.RedisError, ValueError, TypeError, OSError) as error:
        raise unreachable(settings, error) from error


@dataclass(frozen=True)
class Condition:
    """How a broker is."""

    product: str
    version: tuple[int, ...]
    """Of Redis; Valkey says which one it answers as."""
    latency: float
    """Seconds for a round trip, the best of a few."""
    policy: str
    """What it does when its memory is full; anything but noeviction throws messages away."""
    used: int
    limit: int
    """Bytes of memory; 0: no limit."""
    appends: bool
    """It keeps an append-only file, so that what it was told last survives it."""
    snapshots: bool
    """It has written everything to disk at some time."""


def condition(settings: Settings) -> Condition:
    """Ask the broker how it is."""
    with client(settings) as connection:
        latency = min(_timed(connection) for _ in range(3))
        info: Any = connection.info()
    version = str(info["redis_version"])
    product = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}"
    return Condition(
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


def mark(site: UUID) -> str:
    """Return the key that is on the broker while a site's leader reaches Postgres."""
    return f"qexp:{site}:postgres"


@dataclass(frozen=True)
class Backlog:
    """What waits on one list of a queue."""

    depth: int
    """Messages."""
    next: tuple[int, ...]
    """The ids that the next one announces."""


def backlogs(connection: redis.Redis, lists: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Backlog]:
    """Return what waits on lists of queues, each named by its queue and its level."""
    with connection.pipeline(transaction=False) as pipeline:
        for queue, number in lists:
            name = f"{queue}{_SEPARATOR}{number}" if number else queue
            pipeline.llen(name)
            pipeline.lindex(name, -1)
        answers = pipeline.execute()
    return {key: Backlog(answers[2 * place], _ids(answers[2 * place + 1])) for place, key in enumerate(lists)}


def _ids(message: bytes | None) -> tuple[int, ...]:
    """Return the ids in a message as its list has it."""
    try:
        return _ids_in(json.loads(message or b"{}"))
    except (ValueError, RecursionError):
        return ()


def _ids_in(envelope: Any) -> tuple[int, ...]:
    """Return the ids in a message that was read from its list; none if it is no message of ours."""
    try:
        return tuple(ids_of(json.loads(base64.b64decode(envelope["body"]))[0]))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):  # anybody may put anything on a queue
        return ()


def unreachable(settings: Settings, error: BaseException) -> BrokerUnreachableError:
    """Translate what redis or kombu said, which never holds the password, into our error."""
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
