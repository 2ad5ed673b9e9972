"""
A module for the workers of compose.yaml that touches a file at every heartbeat, for their health check.

The main loop of a connected worker sends a Celery heartbeat every 2 s. An old file means that the worker hangs or has
lost its broker. `celery inspect ping` would start a Python process for each check.
"""

from pathlib import Path

from celery.signals import heartbeat_sent

FILE = Path.home() / "heartbeat"


@heartbeat_sent.connect(weak=False)
def touch(**_: object) -> None:
    FILE.touch()
