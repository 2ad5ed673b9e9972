"""
Loaded into the workers of compose.yaml: touches a file at every heartbeat, for their health check to look at.

A heartbeat comes from the worker's main loop, every 2 s, while it has its broker; a file that grows old says that the
worker hangs or is cut off. Asking the worker itself ('celery inspect ping') would start a Python process each time.
"""

from pathlib import Path

from celery.signals import heartbeat_sent

FILE = Path.home() / "heartbeat"


@heartbeat_sent.connect(weak=False)
def touch(**_: object) -> None:
    FILE.touch()
