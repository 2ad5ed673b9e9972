"""Configure Flower: how it shows experiments, and who has access."""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import Any

from celery import Celery, signals

from qexp.errors import MonitorError
from qexp.queueing import messages


def install(app: Celery, hosts: Collection[str] = ()) -> None:
    """
    Configure Flower whenever it starts with this application: address, access, and the display of experiments.

    *hosts* are names that a browser may use for it, besides the names of this machine.
    """

    def prepare(**_: Any) -> None:
        if "flower.app" in sys.modules:  # a worker imports its modules through the same signal
            from tornado.options import options

            from qexp.monitor import access_control, flower_internals

            try:
                access_control.choose_address(options)
            except MonitorError as error:
                print(f"qexp: {error}", file=sys.stderr)  # noqa: T201 - the user of Celery's command line reads it
                raise SystemExit(error.exit_status) from error
            flower_internals.leave_out_unanswered()
            access_control.guard(flower_internals.flower_class(), options, hosts)
            if options.format_task is None:
                options.format_task = as_experiment

    signals.import_modules.connect(prepare, sender=app, weak=False)


def as_experiment(task: Any) -> Any:
    """Name the task of an experiment by study, id and parameters: `digits #17  dataset=wine classifier=SVC`."""
    if task.name == messages.TASK and task.args:
        task.name = task.args
    return task
