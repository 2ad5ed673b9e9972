"""
A module for the workers of compose.yaml that touches a file at every heartbeat, for their health check.

The main loop of a worker with a broker sends a Celery heartbeat every 2 s, so an old file means a hanging or
disconnected worker. `celery inspect ping` would start a Python process for each check.
"""

from pathlib import Path

from celery.signals import heartbeat_sent

FILE = Path.home() / "heartbeat"


@heartbeat_sent.connect(weak=False)
def touch(**_: object) -> None:
    FILE.touch()
