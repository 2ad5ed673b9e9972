"""Where Celery and qexp meet: the task, what its death means, and the worker's row. No behaviour lives here."""

from __future__ import annotations

import gc
import sys
import traceback
import uuid
from typing import Any

from billiard.exceptions import WorkerLostError
from billiard.process import current_process
from celery import Celery, signals
from celery.apps.worker import Worker
from celery.concurrency import get_implementation, prefork, solo
from celery.worker import state
from celery.worker.request import Request

from qexp import broker
from qexp.errors import ExperimentFailedError, PoolError, QexpError, SettingsError
from qexp.settings import Settings
from qexp.worker import inbox, masking
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.board import SLOTS
from qexp.worker.child.task import MessageRunner
from qexp.worker.office import Office
from qexp.worker.pool import Pool, begin_child, retire, wake_on_signals
from qexp.worker.tenure import Tenure


def install(app: Celery, settings: Settings) -> None:
    """Make a Celery application one whose workers run experiments."""
    masking.know(settings)
    worker = uuid.uuid4()
    scratch = Scratch(worker)
    tenure = Tenure(settings)
    child = MessageRunner(settings, worker, scratch, lambda: getattr(current_process(), "index", None), tenure, retire)
    office = Office(settings, worker, scratch, tenure)

    class ExperimentRequest(Request):  # type: ignore[misc]
        """Learns in the main process that a message was taken, and that a child has died, and which."""

        def on_accepted(self, pid: int, time_accepted: float) -> None:
            office.stir(self.request_dict.get(broker.SCOUT))
            super().on_accepted(pid, time_accepted)

        def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
            error = getattr(exc_info.exception, "exc", exc_info.exception)
            if isinstance(error, WorkerLostError | SystemExit | KeyboardInterrupt) and self.worker_pid:
                office.record_crash(broker.ids_of(self.args), self.worker_pid, str(error))
            return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    @app.task(name=broker.TASK, Request=ExperimentRequest, throws=(ExperimentFailedError,))  # type: ignore[untyped-decorator]
    def run(*arguments: Any) -> None:
        """Run announced experiments."""
        child.work(broker.ids_of(arguments))

    class QuietWorker(Worker):  # type: ignore[misc]
        """A worker without gossip and mingle, whose traffic grows with the square of the workers."""

        def __init__(self, **options: Any) -> None:
            inbox.install()
            super().__init__(**{**options, "without_gossip": True, "without_mingle": True})

        def wait_for_soft_shutdown(self) -> None:
            """Give back what still runs: a cold shutdown kills it next, and its end would look like a failure."""
            super().wait_for_soft_shutdown()
            office.give_back(number for request in state.active_requests for number in broker.ids_of(request.args))

    app.conf.worker_pool = f"{Pool.__module__}:{Pool.__name__}"  # unless -P says another
    app.Worker = app.subclass_with_self(QuietWorker)

    def arrive(sender: Any, **_: Any) -> None:
        try:
            _check_pool(sender.pool_cls, sender.concurrency)
            office.arrive(sender.hostname, sorted(app.amqp.queues.consume_from), sender.concurrency)
        except QexpError as error:  # Celery logs what a signal's receiver raises and goes on; a worker cannot
            print(f"qexp: {error}", file=sys.stderr)  # noqa: T201 - this is the edge where Celery has no way to fail
            raise SystemExit(error.exit_status) from error
        except Exception as error:
            traceback.print_exc()
            raise SystemExit(1) from error
        gc.collect()
        gc.freeze()  # children share this memory as long as their own search for garbage does not write to it

    def ready(sender: Any, **_: Any) -> None:
        queues = sorted(app.amqp.queues.consume_from)

        def stop_taking() -> None:
            for queue in queues:
                sender.call_soon(sender.cancel_task_queue, queue)  # in Celery's own thread

        if sender.hub is not None:  # solo has none
            wake_on_signals(sender.hub)
        tenure.begin(queues, stop_taking)
        office.open(stop_taking)

    def stopping(**_: Any) -> None:
        office.board.stop()

    def leave(**_: Any) -> None:
        office.leave()
        gc.freeze()  # or the interpreter searches all that was imported for garbage on its way out

    signals.worker_init.connect(arrive, weak=False)
    signals.worker_process_init.connect(begin_child, weak=False)
    signals.worker_shutting_down.connect(stopping, weak=False)
    signals.worker_ready.connect(ready, weak=False)
    signals.worker_shutdown.connect(leave, weak=False)


def _check_pool(pool: Any, concurrency: int) -> None:
    """Refuse pools whose children share a process (limits, output and clean-up are per process), and huge ones."""
    if concurrency > SLOTS:
        raise SettingsError(f"--concurrency: found {concurrency}, expected at most {SLOTS}; start several workers")
    if not issubclass(get_implementation(pool), prefork.TaskPool | solo.TaskPool):
        raise PoolError(get_implementation(pool).__module__.rpartition(".")[2])
