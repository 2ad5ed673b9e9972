"""The Celery application that `celery -A qexp worker` and `celery -A qexp flower` load."""

from __future__ import annotations

import sys

from qexp import monitor, settings
from qexp.errors import BrokerUnreachableError, QexpError
from qexp.queueing import broker
from qexp.worker import celery_hooks
from qexp.worker.main.study_feeder import StudyFeeder

try:
    _settings = settings.load()
    if _settings.broker_url is None:
        raise BrokerUnreachableError
except QexpError as error:  # Celery would print a traceback of any exception but SystemExit
    print(f"qexp: {error}", file=sys.stderr)  # noqa: T201 - the edge to Celery's command line
    raise SystemExit(error.exit_status) from error

app = broker.application(_settings)
monitor.install(app, _settings.monitor_hosts)

if __name__ == "__main__":
    # python -m qexp.celery CONCURRENCY STUDY HOSTNAME PARENT starts the worker of `qexp run`, which takes only this
    # study. Celery's command line would also load Flower, which takes 0.4 s.
    concurrency, study, hostname, parent = sys.argv[1:]
    feeder = StudyFeeder(_settings, study, int(concurrency), int(parent))
    celery_hooks.install(app, _settings, feeder)
    worker = app.Worker(hostname=hostname, concurrency=int(concurrency), queues=[feeder.queue], loglevel="INFO")
    worker.start()
    raise SystemExit(worker.exitcode)

celery_hooks.install(app, _settings)
