"""The form of a message: a Celery task whose only argument is a list of ids of experiments."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4, uuid5

TASK = "qexp.run"
"""The name of the only Celery task; Celery discards messages of other names."""
PROBE = "qexp_probe"
"""The header that has the id of the study if the message is a probe (see `sizing`)."""
LARGEST = 1000
"""The most experiments in a message."""
_LONGEST_ID, _LONGEST_LINE = 100, 1000
"""The most characters that workers accept in a message's id and line."""
_NAMESPACE = UUID("6b8f2f0e-5a0c-5bb6-9a0d-1f6f0c3f7e11")


@dataclass(frozen=True)
class Message:
    """Ids of experiments for a queue, and the line that monitors show for them."""

    queue: str
    ids: tuple[int, ...]
    attempt: int
    line: str
    level: int = 5
    """The number of one of the queue's ten lists; workers empty list 0 first."""
    probe: int | None = None
    """The id of the study if this message is a probe."""

    def encoded(self) -> str:
        """Return the message in the form in which Celery puts messages on the broker."""
        number = task_id(self.ids, self.attempt)
        headers = _headers(number, self.line, self.probe)
        return json.dumps(_envelope(self.ids, headers, self.queue, self.level, str(uuid4())))


def level(priority: int) -> int:
    """
    Return the number of a queue's list for a study's priority: 5 for 0, and lower numbers for higher priorities.

    >>> [level(priority) for priority in (1000, 2, 0, -2, -1000)]
    [0, 3, 5, 7, 9]
    """
    return min(9, max(0, 5 - priority))


def task_id(ids: tuple[int, ...], attempt: int) -> str:
    """Return a Celery task id that is equal for equal ids, so that you can match monitors, logs and rows."""
    return str(uuid5(_NAMESPACE, f"{','.join(map(str, ids))}:{attempt}"))


def study_of(headers: Mapping[str, Any]) -> str:
    """
    Return the name of the study in the line of a message. Anybody may put another text there.

    >>> study_of({"argsrepr": "lenet #17  lr=0.1"})
    'lenet'
    """
    return str(headers.get("argsrepr")).partition(" #")[0]


def ids_of(arguments: Sequence[Any]) -> list[int]:
    """
    Return the ids in the arguments of a task. Other values are left out, since anybody may put anything on a queue.

    >>> ids_of(([3, "4", True, None, 2**80],)), ids_of(("5",)), ids_of(())
    ([3], [], [])
    """
    ids = arguments[0] if arguments else None
    return [item for item in ids if type(item) is int and abs(item) < 2**63] if isinstance(ids, list) else []


def ids_in(encoded: bytes | None) -> tuple[int, ...]:
    """Return the ids in an encoded message. Returns none if qexp did not write it."""
    try:
        return _ids_in(json.loads(encoded or b"{}"))
    except (ValueError, RecursionError):
        return ()


def _ids_in(envelope: Any) -> tuple[int, ...]:
    try:
        return tuple(ids_of(json.loads(base64.b64decode(envelope["body"]))[0]))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):  # anybody may put anything on a queue
        return ()


def is_of(encoded: bytes, study: str) -> bool:
    """Say whether an encoded message has experiments of a study, by the beginning of its line."""
    return json.dumps({"argsrepr": f"{study} #"})[1:-2].encode() in encoded


def sanitised(envelope: Any) -> Any:
    """
    Return a message from the broker with only the fields that qexp writes. Messages of other tasks stay unchanged.

    Celery reserves a child before it reads headers such as `timelimit` and `shadow`. A forged header would then raise,
    and the child would stay reserved.
    """
    headers = envelope.get("headers") if isinstance(envelope, dict) else None
    if not isinstance(headers, dict) or headers.get("task") != TASK:
        return envelope
    number, line, probe = headers.get("id"), headers.get("argsrepr"), headers.get(PROBE)
    properties = envelope.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    info, tag = properties.get("delivery_info"), properties.get("delivery_tag")
    queue = info.get("routing_key") if isinstance(info, dict) else None
    return _envelope(
        _ids_in(envelope),
        _headers(
            number if isinstance(number, str) and len(number) <= _LONGEST_ID else str(uuid4()),
            line[:_LONGEST_LINE] if isinstance(line, str) else "",
            probe if type(probe) is int and 0 < probe < 2**31 else None,
        ),
        queue if isinstance(queue, str) else "",
        0,
        tag if isinstance(tag, str) and tag else str(uuid4()),
    )


def _envelope(ids: Sequence[int], headers: dict[str, Any], queue: str, level: int, tag: str) -> dict[str, Any]:
    """
    Return a message of version 2 of Celery's protocol, in the form of kombu's Redis transport.

    Celery and kombu do not build it, since their import takes longer than the rest of publishing.

    https://docs.celeryq.dev/en/stable/internals/protocol.html
    """
    body: Any = [list(ids)], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers,
        "properties": {
            "correlation_id": headers["id"],
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": level,
            "body_encoding": "base64",
            "delivery_tag": tag,
        },
    }


def _headers(number: str, line: str, probe: int | None) -> dict[str, Any]:
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
    return headers if probe is None else {**headers, PROBE: probe}
