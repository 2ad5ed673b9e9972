"""The Celery application, where `celery -A qexp worker` and `celery -A qexp flower` look for it."""

from __future__ import annotations

import sys

from qexp import broker, monitor, settings
from qexp.errors import BrokerUnreachableError, QexpError
from qexp.worker import celery_hooks

try:
    _settings = settings.load()
    if _settings.broker_url is None:
        raise BrokerUnreachableError
except QexpError as error:  # Celery would print a traceback of whatever else it is given
    print(f"qexp: {error}", file=sys.stderr)  # noqa: T201 - the edge to Celery's command line
    raise SystemExit(error.exit_status) from error

app = broker.application(_settings)
celery_hooks.install(app, _settings)
monitor.install(app, _settings.monitor_hosts)

if __name__ == "__main__":
    # python -m qexp.celery CONCURRENCY QUEUE HOSTNAME: the worker of `qexp run`, without Celery's command line, which
    # loads whatever is installed beside Celery, Flower for one: 0.4 s that a short study would wait for
    concurrency, queue, hostname = sys.argv[1:]
    worker = app.Worker(hostname=hostname, concurrency=int(concurrency), queues=[queue], loglevel="INFO")
    worker.start()
    raise SystemExit(worker.exitcode)
