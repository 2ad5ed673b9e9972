"""Restore settings of this process that qexp itself needs; if that fails, the process must be replaced."""

from __future__ import annotations

import builtins
import datetime
import fcntl
import functools
import importlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from operator import attrgetter
from typing import Any

from qexp.worker.attempt.process_state import ProcessSetting, ProcessState


def state_for_qexp() -> ProcessState:
    """Note the present values, which this process needs to record an experiment and to run the next one."""
    settings = [*_SETTINGS, _descriptors()]
    return ProcessState(settings, [setting.read() for setting in settings])


def _functions(owner: Any, names: str) -> ProcessSetting:
    """Return a setting whose value is the functions of a module or class, as an experiment may replace them."""
    known = tuple(name for name in names.split() if hasattr(owner, name))
    read = functools.partial(attrgetter(*known), owner)
    return ProcessSetting(f"functions of {owner.__name__}", read, functools.partial(_write_functions, owner, known))


def _write_functions(owner: Any, names: tuple[str, ...], values: tuple[Any, ...], pairs: Any = zip) -> None:
    for name, value in pairs(names, values):  # an experiment may have replaced zip
        _SET(owner, name, value)


_SET = setattr  # an experiment may replace it later
_LIMITS = tuple(getattr(resource, f"RLIMIT_{name}") for name in ("AS", "CPU", "DATA", "FSIZE", "NOFILE"))


def _write_limits(values: list[tuple[int, int]]) -> None:
    for limit, value in zip(_LIMITS, values, strict=True):
        try:
            resource.setrlimit(limit, value)
        except (OSError, ValueError):  # only root may raise a hard limit; use the highest allowed value
            hard = resource.getrlimit(limit)[1]
            resource.setrlimit(limit, (hard, hard))


def _ids() -> tuple[Any, ...]:
    if sys.platform == "darwin":
        return (os.getuid(), os.geteuid()), (os.getgid(), os.getegid()), os.getgroups()
    return os.getresuid(), os.getresgid(), os.getgroups()


def _write_ids(value: tuple[Any, ...]) -> None:
    user, group, groups = value
    (os.setreuid if sys.platform == "darwin" else os.setresuid)(*user)  # first, since the former user may set the rest
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


def _descriptors() -> ProcessSetting:
    """
    Return a setting that holds while the present descriptors stay open, and less than half of the limit is used.

    It checks only the lowest free descriptor, since a list of all takes as long as all other checks.
    """
    own, most = os.open(os.devnull, os.O_RDONLY), resource.getrlimit(resource.RLIMIT_NOFILE)[0] / 2

    def lowest_free() -> int:
        descriptor: int = fcntl.fcntl(own, fcntl.F_DUPFD_CLOEXEC, 3)
        os.close(descriptor)
        return descriptor

    lowest = lowest_free()
    return ProcessSetting("open descriptors", lambda: lowest <= lowest_free() < most, lambda _: None)


_SETTINGS: tuple[ProcessSetting, ...] = (
    _functions(
        builtins,  # first, since they are needed to restore the rest
        "__import__ all any bool bytes dict float getattr int isinstance issubclass iter len list map max min next "
        "open print range set setattr sorted str sum super tuple type zip",
    ),
    ProcessSetting("resource limits", lambda: list(map(resource.getrlimit, _LIMITS)), _write_limits),
    ProcessSetting("trace functions", _traces, _write_traces),
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
    ProcessSetting("the user and groups", _ids, _write_ids),
    ProcessSetting(
        "the priority",
        lambda: os.getpriority(os.PRIO_PROCESS, 0),
        lambda value: os.setpriority(os.PRIO_PROCESS, 0, value),
    ),
)
if hasattr(os, "sched_getaffinity"):  # not on macOS
    _SETTINGS += (
        ProcessSetting("the processors", lambda: os.sched_getaffinity(0), lambda value: os.sched_setaffinity(0, value)),
    )
