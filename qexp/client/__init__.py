"""What a person can do, as Python: the command line and notebooks call only this."""

from qexp.client.client import Client, Difference, Enqueued, Shown
from qexp.client.study import Study, enqueue, load

__all__ = ["Client", "Difference", "Enqueued", "Shown", "Study", "enqueue", "load"]
