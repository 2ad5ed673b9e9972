"""Flower: what it shows of experiments, and where it may listen."""

from __future__ import annotations

import ipaddress
import sys
from typing import Any

from celery import Celery, signals

from qexp import broker
from qexp.errors import MonitorError

ADDRESS = "127.0.0.1"


def install(app: Celery) -> None:
    """Have Flower, however it is started with this application, listen and show as qexp wants it."""

    def prepare(**_: Any) -> None:
        if "flower.app" in sys.modules:  # a worker imports its modules through the same signal
            from tornado.options import options

            try:
                configure(options)
            except MonitorError as error:
                print(f"qexp: {error}", file=sys.stderr)  # noqa: T201 - the edge to Celery's command line
                raise SystemExit(error.exit_status) from error

    signals.import_modules.connect(prepare, sender=app, weak=False)


def configure(options: Any) -> None:
    """
    Set what Flower's options leave open: its address, and how a task is shown.

    MonitorError if it would listen beyond this machine without a password: everyone could read and control it.
    """
    options.address = options.address or ADDRESS
    if not (is_loopback(options.address) or options.unix_socket or options.basic_auth or options.auth):
        raise MonitorError(options.address)
    if options.format_task is None:
        options.format_task = as_experiment


def is_loopback(address: str) -> bool:
    """Say whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def as_experiment(task: Any) -> Any:
    """Show the task of an experiment by study, id and parameters: `digits #17  dataset=wine classifier=SVC`."""
    if task.name == broker.TASK and task.args:
        task.name = task.args
    return task
