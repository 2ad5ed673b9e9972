"""What a person can do, as Python: the command line and notebooks call only this."""

from qexp.client.client import Client, Difference, Enqueued, Shown
from qexp.client.findings import Findings
from qexp.client.study import Study, enqueue, load, metrics

__all__ = ["Client", "Difference", "Enqueued", "Findings", "Shown", "Study", "enqueue", "load", "metrics"]
