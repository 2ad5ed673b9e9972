"""State of a process that qexp itself needs: put back after each attempt, or the process is given up."""

from __future__ import annotations

import builtins
import datetime
import fcntl
import functools
import importlib
import json
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from qexp.functions.user_code import is_order, one_line

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Setting:
    """Something that a whole process shares: how it is read, in a form that does not change with it, and set."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]

    def holds(self, value: Any) -> bool:
        """Say whether it has this value."""
        try:
            found: bool = self.read() == value
            return found
        except BaseException as error:  # it cannot be read any more, or something odd replaced it
            if is_order(error):
                raise
            return False

    def put_back(self, value: Any) -> None:
        """Give it this value; what cannot be set is logged."""
        try:
            self.write(value)
        except BaseException as error:  # others must still be restored
            if is_order(error):
                raise
            log.warning("%s could not be restored after an experiment: %s", self.name, one_line(error))


class State:
    """Settings and their values at a moment. To be restored in the main thread, as signal handlers ask for it."""

    def __init__(self, settings: Sequence[Setting], values: list[Any]) -> None:
        self._reads, self._values = [setting.read for setting in settings], values
        self._pairs = list(zip(settings, values, strict=True))

    def restore(self) -> list[str]:
        """Put back what differs; return the names of what still does."""
        try:
            if [read() for read in self._reads] == self._values:  # most attempts leave it so
                return []
        except BaseException as error:  # as in `holds`
            if is_order(error):
                raise
        lost = []
        for setting, value in self._pairs:  # in order, and the builtins come first
            if not setting.holds(value):
                setting.put_back(value)
                if not setting.holds(value):
                    lost.append(setting.name)
        return lost


def essentials() -> State:
    """Return what this process needs to run the next experiment and to record the last one."""
    settings = [*_SETTINGS, _descriptors()]
    return State(settings, [setting.read() for setting in settings])


def _functions(owner: Any, names: str) -> Setting:
    """Return the setting of functions that a module or class of Python's has."""
    known = tuple(name for name in names.split() if hasattr(owner, name))
    read = functools.partial(attrgetter(*known), owner)
    return Setting(f"functions of {owner.__name__}", read, functools.partial(_write_functions, owner, known))


def _write_functions(owner: Any, names: tuple[str, ...], values: tuple[Any, ...], pairs: Any = zip) -> None:
    for name, value in pairs(names, values):  # zip itself may have been replaced
        _SET(owner, name, value)


_SET = setattr  # as it is: an experiment may have replaced it
_LIMITS = tuple(getattr(resource, f"RLIMIT_{name}") for name in ("AS", "CPU", "DATA", "FSIZE", "NOFILE"))


def _write_limits(values: list[tuple[int, int]]) -> None:
    for limit, value in zip(_LIMITS, values, strict=True):
        try:
            resource.setrlimit(limit, value)
        except (OSError, ValueError):  # only root may raise a hard limit; as much as there is helps to end in order
            hard = resource.getrlimit(limit)[1]
            resource.setrlimit(limit, (hard, hard))


def _ids() -> tuple[Any, ...]:
    if sys.platform == "darwin":
        return (os.getuid(), os.geteuid()), (os.getgid(), os.getegid()), os.getgroups()
    return os.getresuid(), os.getresgid(), os.getgroups()


def _write_ids(value: tuple[Any, ...]) -> None:
    user, group, groups = value
    (os.setreuid if sys.platform == "darwin" else os.setresuid)(*user)  # whose right it takes to set the others
    if os.getgroups() != groups:
        os.setgroups(groups)
    (os.setregid if sys.platform == "darwin" else os.setresgid)(*group)


def _traces() -> tuple[Any, ...]:
    return sys.gettrace(), sys.getprofile(), threading.gettrace(), threading.getprofile()


def _write_traces(value: tuple[Any, ...]) -> None:
    for write, function in zip(
        (sys.settrace, sys.setprofile, threading.settrace, threading.setprofile), value, strict=True
    ):
        write(function)


def _descriptors() -> Setting:
    """
    Return whether those that are open now are open later, and less than half of those that there may be are.

    The lowest that is free tells that, for most that a function may do: to list them takes as long as all other checks.
    """
    own, most = os.open(os.devnull, os.O_RDONLY), resource.getrlimit(resource.RLIMIT_NOFILE)[0] / 2

    def lowest_free() -> int:
        descriptor: int = fcntl.fcntl(own, fcntl.F_DUPFD_CLOEXEC, 3)
        os.close(descriptor)
        return descriptor

    lowest = lowest_free()
    return Setting("open descriptors", lambda: lowest <= lowest_free() < most, lambda _: None)


_SETTINGS: tuple[Setting, ...] = (
    _functions(
        builtins,  # first of all, since what restores the rest needs them
        "__import__ all any bool bytes dict float getattr int isinstance issubclass iter len list map max min next "
        "open print range set setattr sorted str sum super tuple type zip",
    ),
    Setting("resource limits", lambda: list(map(resource.getrlimit, _LIMITS)), _write_limits),
    Setting("trace functions", _traces, _write_traces),
    _functions(os, "close dup2 fork fstat getcwd getpid getresuid kill open pread read stat umask urandom write"),
    _functions(time, "monotonic perf_counter sleep time"),
    _functions(threading, "Event Lock RLock Thread current_thread"),
    _functions(threading.Thread, "run start"),
    _functions(json, "dumps loads"),
    _functions(socket, "create_connection socket"),
    _functions(signal, "getsignal setitimer signal"),
    _functions(resource, "getrlimit getrusage"),
    _functions(fcntl, "fcntl flock"),
    _functions(subprocess, "Popen"),
    _functions(datetime, "datetime"),
    _functions(importlib, "import_module"),
    Setting("the user and groups", _ids, _write_ids),
    Setting(
        "the priority",
        lambda: os.getpriority(os.PRIO_PROCESS, 0),
        lambda value: os.setpriority(os.PRIO_PROCESS, 0, value),
    ),
)
if hasattr(os, "sched_getaffinity"):  # not on macOS
    _SETTINGS += (
        Setting("the processors", lambda: os.sched_getaffinity(0), lambda value: os.sched_setaffinity(0, value)),
    )
