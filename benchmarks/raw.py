"""Celery alone with an empty task, the reference for qexp's rates and idle worker."""

import os

from celery import Celery

QUEUE = "raw"
app = Celery("raw", broker=os.environ.get("BENCHMARK_BROKER"), set_as_current=False)
app.conf.update(task_ignore_result=True, task_default_queue=QUEUE, broker_connection_retry_on_startup=True)


@app.task(name="noop")  # type: ignore[untyped-decorator]
def noop(number: int) -> None:
    """Do nothing."""
