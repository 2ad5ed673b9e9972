"""The source code of experiments as snapshots, with the state of git and the environment of a process."""

from qexp.source.environment import Environment, current
from qexp.source.git import GitState, state
from qexp.source.snapshot import Snapshot, contents, take
from qexp.source.unpacked_snapshots import cached, extract, unpack, unpacked

__all__ = [
    "Environment",
    "GitState",
    "Snapshot",
    "cached",
    "contents",
    "current",
    "extract",
    "state",
    "take",
    "unpack",
    "unpacked",
]
