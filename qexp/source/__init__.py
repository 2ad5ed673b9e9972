"""The source code of experiments: taken as a snapshot, unpacked elsewhere, with what git and the environment add."""

from qexp.source.cache import cached, extract, unpack, unpacked
from qexp.source.environment import Environment, current
from qexp.source.git import GitState, state
from qexp.source.snapshot import Snapshot, contents, take

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
