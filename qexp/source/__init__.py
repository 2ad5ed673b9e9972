"""The source code of experiments as snapshots, with the state of git and the environment of a process."""

from qexp.source.environment import Environment, current
from qexp.source.file_changes import ChangedFiles, change_text, changed_files, including, left_out_line
from qexp.source.git import GitState, state
from qexp.source.snapshot import Snapshot, contents, take
from qexp.source.unpacked_snapshots import cached, extract, holds, is_unpacked, unpack, unpacked

__all__ = [
    "ChangedFiles",
    "Environment",
    "GitState",
    "Snapshot",
    "cached",
    "change_text",
    "changed_files",
    "contents",
    "current",
    "extract",
    "holds",
    "including",
    "is_unpacked",
    "left_out_line",
    "state",
    "take",
    "unpack",
    "unpacked",
]
