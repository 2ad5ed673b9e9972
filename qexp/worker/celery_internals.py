"""
All uses of names in Celery, billiard, kombu and redis-py that their documentation does not guarantee.

Checked with celery 5.7.0, billiard 4.3.2, kombu 5.7.0 and redis-py 8.1.0; pyproject.toml refuses later minor versions.
tests/integration/test_celery_internals.py says for each name what a user loses without it.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from queue import Empty
from typing import Any

from billiard.exceptions import WorkerLostError
from billiard.pool import TERMINATE
from billiard.process import current_process
from celery import Celery
from celery.apps import worker as apps_worker
from celery.apps.worker import Worker
from celery.concurrency import get_implementation, prefork, solo
from celery.exceptions import SecurityWarning, WorkerShutdown
from celery.worker import state
from celery.worker.request import Request
from kombu.transport import TRANSPORT_ALIASES, _transport_cache, redis

from qexp.errors import UnsupportedPoolError
from qexp.queueing import messages
from qexp.queueing.broker import TEMPORARY

log = logging.getLogger(__name__)


class Channel(redis.Channel):
    """
    Read a queue; drop messages that cannot be read, and end the wait for a message when the worker stops.

    Celery's own channel would let an unreadable message end this worker. The broker has already removed such a message
    from its list, so no worker reads it again.
    """

    _identified: Any = None
    """The socket whose id on the broker is `_client_id`."""
    _client_id: int | None = None

    def _brpop_start(self, timeout: float | None = None) -> None:
        connection = self.client.connection
        if connection._sock is None or connection._sock is not self._identified:
            self._client_id = None
            with contextlib.suppress(self.ResponseError):  # if the broker forbids it, `close` waits a second
                connection.send_command("CLIENT", "ID")
                self._client_id = connection.read_response()
            self._identified = connection._sock
        super()._brpop_start(timeout)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """End the running wait for a message; a message that the broker has already sent is still read."""
        if self._in_poll and self._client_id is not None:
            ignored = contextlib.suppress(self.ResponseError, *self.connection_errors)
            with ignored, self.conn_or_acquire() as client:
                client.client_unblock(self._client_id)
        super().close()  # type: ignore[no-untyped-call]

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        """Leave no key for a temporary queue on the broker: only qexp sends messages there, and not by the key."""
        if not queue.startswith(TEMPORARY):
            super()._queue_bind(exchange, routing_key, pattern, queue)  # type: ignore[no-untyped-call]

    def _brpop_read(self, **options: Any) -> Any:
        before = next(reversed(self.qos._delivered), None)
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (Empty, *self.connection.connection_errors, *self.connection.channel_errors):
            raise
        except Exception as error:
            log.exception("a message that is not qexp's was dropped")
            tag = next(reversed(self.qos._delivered), None)
            if tag not in (None, before):  # partly read: without a reject, the broker sends it again after an hour
                self.qos.reject(tag, requeue=False)
            raise Empty from error


class Transport(redis.Transport):
    """kombu's Redis transport with our `Channel`."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        """Give a message to Celery with only those fields that qexp writes."""
        super()._deliver(messages.sanitised(message), queue)  # type: ignore[no-untyped-call]


def use_own_transport() -> None:
    """Let all new connections to queues in this process use `Channel`, also after others were opened."""
    for alias in ("redis", "rediss"):
        TRANSPORT_ALIASES[alias] = f"{__name__}:{Transport.__name__}"
        _transport_cache.pop(alias, None)


class Pool(prefork.TaskPool):  # type: ignore[misc]
    """Celery's pool of processes. It kills idle children when it stops: billiard's own stop takes seconds."""

    def on_stop(self) -> None:
        """Wait for running experiments; the worker takes no more messages."""
        pool = self._pool
        if pool is None or pool._cache:  # a child runs a message, or its answer is not read yet
            super().on_stop()
            return
        pool._state = TERMINATE  # otherwise billiard replaces the children
        pool._terminate.cancel()  # otherwise billiard waits for the children when the interpreter exits
        for child in pool._pool:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        for child in pool._pool:
            child.join()


def default_to_info() -> None:
    """Let `celery worker` log its events without `--loglevel INFO`."""
    if module := sys.modules.get("celery.bin.worker"):  # otherwise this is no command of Celery
        for option in module.worker.params:
            if option.name == "loglevel":
                option.default = "INFO"


def mute(level: int) -> None:
    """Let Celery log only problems that qexp does not log itself."""
    for name in ("celery", "kombu"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.getLogger("celery.worker.request").setLevel(logging.CRITICAL)  # deaths of children
    apps_worker.safe_say = _say_no_shutdown


_say = apps_worker.safe_say


def _say_no_shutdown(message: str, *file: Any) -> None:
    """Print what Celery's signal handlers say, such as stacks after USR1, but not that the worker stops."""
    if not message.startswith(("worker: ", "Waiting gracefully")):
        _say(message, *file)


class ChildDeathFilter(logging.Filter):
    """Drops the lines of billiard about deaths that *is_known* knows, and shortens the others."""

    def __init__(self, is_known: Callable[[int], bool]) -> None:
        super().__init__()
        self.is_known = is_known

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name != "multiprocessing" or not str(record.msg).startswith("Process %r pid:%r exited"):
            return True
        _, pid, status = record.args if isinstance(record.args, tuple) else (None, 0, "")
        record.msg, record.args, record.exc_info = "process %s ended without an experiment: %s", (pid, status), None
        return not self.is_known(int(str(pid)))


class MainWorker(Worker):  # type: ignore[misc]
    """A worker without gossip and mingle, whose traffic grows with the square of the number of workers."""

    def __init__(self, **options: Any) -> None:
        use_own_transport()
        # Celery warns root of messages with code, but qexp accepts JSON only; `introduce` can say the rest in a line
        warnings.simplefilter("ignore", SecurityWarning)
        super().__init__(**{**options, "without_gossip": True, "without_mingle": True})

    def emit_banner(self) -> None:
        """Call `introduce` instead of printing Celery's banner, unless the level is DEBUG."""
        if self.loglevel <= logging.DEBUG:
            super().emit_banner()
        else:
            self.introduce()

    def introduce(self) -> None:
        """Log what this worker is."""

    def register_with_event_loop(self, hub: Any) -> None:
        """Let signals wake the event loop, also the one that starts after a lost connection to the broker."""
        super().register_with_event_loop(hub)
        wake_on_signals(hub)

    def stop(self, in_sighandler: bool = False, exitcode: int | None = None) -> None:
        """Stop after the running experiments; after Ctrl-C exit with 0, as after TERM. Celery would exit with 1."""
        asked = state.should_stop is not None and isinstance(sys.exception(), WorkerShutdown)
        super().stop(in_sighandler, 0 if asked else exitcode)

    def wait_for_soft_shutdown(self) -> None:
        """Call `before_kill` just before a cold shutdown kills the children."""
        super().wait_for_soft_shutdown()
        self.before_kill([request.args for request in state.active_requests])

    def before_kill(self, running: Iterable[Sequence[Any]]) -> None:
        """Take back the experiments of running messages; *running* has the arguments of each."""


class MessageRequest(Request):  # type: ignore[misc]
    """A message in the main process; calls a method when a child takes it, or dies while it runs it."""

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """Call `child_accepted` when Celery's thread reads that a child has taken the message."""
        self.child_accepted(self.request_dict, pid)
        super().on_accepted(pid, time_accepted)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """Call `child_died` if the child died while it ran the message."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if isinstance(error, WorkerLostError | SystemExit | KeyboardInterrupt) and self.worker_pid:
            self.child_died(self.args, self.worker_pid, str(error))
        return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def child_accepted(self, headers: Mapping[str, Any], pid: int) -> None:
        """Note that child *pid* has taken the message with these *headers*."""

    def child_died(self, arguments: Sequence[Any], pid: int, reason: str) -> None:
        """Note that child *pid* died while it ran the message with these *arguments*."""


def use(app: Celery, worker: type[MainWorker]) -> None:
    """Make `celery worker` start this class, with `Pool` unless the option -P names another pool."""
    app.conf.worker_pool = f"{Pool.__module__}:{Pool.__name__}"
    app.Worker = app.subclass_with_self(worker)


def check_pool(worker: Any) -> None:
    """Raise UnsupportedPoolError if children would share a process: limits, output and clean-up are per process."""
    pool = get_implementation(worker.pool_cls)
    if not issubclass(pool, prefork.TaskPool | solo.TaskPool):
        raise UnsupportedPoolError(pool.__module__.rpartition(".")[2])


def queues_of(app: Celery) -> list[str]:
    """Return the names of the queues that this worker reads."""
    return sorted(app.amqp.queues.consume_from)


def stop_taking(consumer: Any, queues: Iterable[str]) -> None:
    """Stop reading *queues*, in Celery's own thread; any thread may call this."""
    for queue in queues:
        consumer.call_soon(consumer.cancel_task_queue, queue)


def wake_on_signals(hub: Any) -> None:
    """
    Make Celery's event loop handle a signal immediately, instead of after up to a second.

    Children inherit the file descriptor; `child.startup.detach` resets it there. The pool "solo" has no event loop.
    """
    reader = _signal_reader()
    hub.add_reader(reader, reader.recv, 64)


@functools.cache  # the hub drops it when the broker is lost; then Python could not write a signal to its other end
def _signal_reader() -> socket.socket:
    """Return a socket that receives a byte for each signal to this process."""
    reader, writer = socket.socketpair()
    for end in (reader, writer):
        end.setblocking(False)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    return reader


def child_index() -> int | None:
    """Return the number of this child in its pool. Returns None in the main process, as with the pool "solo"."""
    return getattr(current_process(), "index", None)


def retire_child() -> None:
    """
    End this child after its message; the pool replaces it, as with `--max-tasks-per-child`.

    If the pool has already sent it another message, another child gets that message.
    """
    with contextlib.suppress(OSError):  # the experiment may have closed the pipe
        current_process().inq._reader.close()
