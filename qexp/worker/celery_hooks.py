"""Connect qexp to Celery: the task, the death of a child, and the start and stop of a worker."""

from __future__ import annotations

import functools
import gc
import logging
import sys
import traceback
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from celery import Celery, signals

from qexp.errors import ExperimentFailedError, QexpError, SettingsError
from qexp.model import counted
from qexp.queueing import messages
from qexp.settings import Settings
from qexp.store.reconnecting import ReconnectingConnection
from qexp.worker import celery_internals as internals
from qexp.worker import password_masking
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.child.message_runner import MessageRunner
from qexp.worker.child.startup import detach
from qexp.worker.lifetime import WorkerLifetime
from qexp.worker.main import introduction
from qexp.worker.main.process import MainProcess
from qexp.worker.main.study_feeder import StudyFeeder
from qexp.worker.slots import SLOTS

log = logging.getLogger(__name__)


def install(app: Celery, settings: Settings, feeder: StudyFeeder | None = None) -> None:
    """Make the workers of a Celery application run experiments; a *feeder* makes one that takes only its study."""
    password_masking.set_passwords(settings)
    worker = uuid.uuid4()
    scratch = Scratch(worker)
    lifetime = WorkerLifetime(settings)
    main_process = MainProcess(settings, worker, scratch, lifetime, feeder)

    @functools.cache
    def message_runner() -> MessageRunner:
        slot, retire = internals.child_index(), internals.retire_child
        return MessageRunner(settings, ReconnectingConnection(settings), worker, scratch, slot, lifetime, retire)

    def served() -> list[str]:
        return internals.queues_of(app) if feeder is None else feeder.serves

    class ExperimentRequest(internals.MessageRequest):
        """Tells the main process that a child has taken a message, or died."""

        def child_accepted(self, headers: Mapping[str, Any], pid: int) -> None:
            main_process.progress.note(messages.study_of(headers), pid)
            if study := headers.get(messages.PROBE):
                main_process.wake(study)

        def child_died(self, arguments: Sequence[Any], pid: int, reason: str) -> None:
            main_process.record_crash(messages.ids_of(arguments), pid, reason)

    @app.task(name=messages.TASK, Request=ExperimentRequest, throws=(QexpError,))  # type: ignore[untyped-decorator]
    def run(*arguments: Any) -> None:
        """Run announced experiments."""
        ids = messages.ids_of(arguments)
        try:
            message_runner().run(ids)
        except ExperimentFailedError:
            raise  # each failure is logged already
        except QexpError as error:
            log.error("%s: a message with %s is lost, and will be sent again", error, counted(len(ids), "experiment"))
            raise

    class ExperimentWorker(internals.MainWorker):
        """Gives back running experiments before a cold shutdown: a killed child would look like a failure."""

        def before_kill(self, running: Iterable[Sequence[Any]]) -> None:
            main_process.give_back(number for arguments in running for number in messages.ids_of(arguments))

        def introduce(self) -> None:
            introduction.log_start(settings, self.hostname, self.concurrency, served())

    internals.use(app, ExperimentWorker)
    internals.default_to_info()
    deaths = internals.ChildDeathFilter(main_process.explains_death)

    def register(sender: Any, **_: Any) -> None:
        main_process.log.open()
        try:
            internals.check_pool(sender)
            if sender.concurrency > SLOTS:
                found = f"found {sender.concurrency}, expected at most {SLOTS}"
                raise SettingsError(f"--concurrency: {found}; start several workers")
            main_process.register(sender.hostname, served(), sender.concurrency)
        except QexpError as error:  # Celery would only log the exception, but the worker must stop
            print(f"qexp: {error}", file=sys.stderr)  # noqa: T201 - Celery offers no way to fail here
            raise SystemExit(error.exit_status) from error
        except Exception as error:
            traceback.print_exc()
            raise SystemExit(1) from error
        gc.collect()
        gc.freeze()  # children share this memory until their garbage collection writes to it

    def start(sender: Any, **_: Any) -> None:
        queues = internals.queues_of(app)

        def stop_taking() -> None:
            main_process.progress.stop_taking()
            internals.stop_taking(sender, queues)

        lifetime.start(served(), stop_taking)
        main_process.start(served(), stop_taking)
        if not main_process.log.is_celerys:
            log.info("%s ready.", sender.hostname)

    def configure_log(logger: Any, loglevel: int, logfile: str | None, colorize: bool, **_: Any) -> None:
        main_process.log.configure(logger, loglevel, logfile, colorize, [deaths])
        if not main_process.log.is_celerys:
            internals.mute(loglevel)

    def start_child(**_: Any) -> None:
        if internals.child_index() is None:  # the pool "solo" sends the signal in the main process
            main_process.log.keep_stream()
        else:
            main_process.log.forward()
            detach()

    def announce_stop(sig: str, how: str, **_: Any) -> None:
        main_process.slots.announce_stop()
        main_process.log.call_soon(lambda: introduction.log_stop(sig, how, len(main_process.slots.occupied())))

    def shut_down(**_: Any) -> None:
        main_process.shut_down()
        gc.freeze()  # otherwise the interpreter collects garbage in all imported modules as it exits

    signals.after_setup_logger.connect(configure_log, weak=False)
    signals.worker_init.connect(register, weak=False)
    signals.worker_process_init.connect(start_child, weak=False)
    signals.worker_shutting_down.connect(announce_stop, weak=False)
    signals.worker_ready.connect(start, weak=False)
    signals.worker_shutdown.connect(shut_down, weak=False)
