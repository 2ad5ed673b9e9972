"""The Celery application that `celery -A qexp worker` and `celery -A qexp flower` load."""

from __future__ import annotations

import sys

from qexp import monitor, settings
from qexp.errors import BrokerUnreachableError, QexpError
from qexp.queueing import broker
from qexp.worker import celery_hooks

try:
    _settings = settings.load()
    if _settings.broker_url is None:
        raise BrokerUnreachableError
except QexpError as error:  # Celery would print a traceback of any exception but SystemExit
    print(f"qexp: {error}", file=sys.stderr)  # noqa: T201 - the edge to Celery's command line
    raise SystemExit(error.exit_status) from error

app = broker.application(_settings)
celery_hooks.install(app, _settings)
monitor.install(app, _settings.monitor_hosts)

if __name__ == "__main__":
    # python -m qexp.celery CONCURRENCY QUEUE HOSTNAME starts the worker of `qexp run`. Celery's command line would
    # also load Flower, which takes 0.4 s.
    concurrency, queue, hostname = sys.argv[1:]
    worker = app.Worker(hostname=hostname, concurrency=int(concurrency), queues=[queue], loglevel="INFO")
    worker.start()
    raise SystemExit(worker.exitcode)
