"""Restore settings of this process that an experiment may change, such as the environment and loggers."""

from __future__ import annotations

import decimal
import gc
import locale
import logging
import multiprocessing
import os
import random
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterable
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from qexp.worker.attempt import crash_stack
from qexp.worker.attempt.process_state import ProcessSetting, ProcessState

_SIGNAL = sys.modules["_signal"]  # the module signal without its enums, which cost time

_LOGGER = attrgetter("level", "propagate", "disabled", "handlers", "filters")
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_FATAL = tuple(getattr(signal, name) for name in sorted(crash_stack.SIGNALS))
_SIGNALS = (
    *(
        getattr(signal, f"SIG{name}")
        for name in ("INT", "TERM", "ALRM", "USR1", "USR2", "HUP", "QUIT", "CHLD", "PIPE", "VTALRM", "PROF")
    ),
    *_FATAL,
)
_NUMPY_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
_NUMPY_PRINTS: dict[str, Any] = {"edgeitems": 3, "threshold": 1000, "precision": 8, "suppress": False, "linewidth": 75}
_NUMPY_PRINTS |= {"nanstr": "nan", "infstr": "inf", "sign": "-", "formatter": None, "floatmode": "maxprec"}
_NUMPY_PRINTS |= {"legacy": False}
_ENVIRON = os.environ


class StateForExperiments(ProcessState):
    """The environment, signal handlers, loggers, hooks and more, as they were before an experiment."""

    @classmethod
    def take(cls) -> StateForExperiments:
        """Note the present state. Loggers that are made later are not restored."""
        loggers, states = _loggers()
        return cls((*_SETTINGS, loggers), [*(setting.read() for setting in _SETTINGS), states])

    def restore(self) -> list[str]:
        """
        Restore changed settings; return the names of those that could not be restored.

        Also stop the timers of signals, and reset numpy's error and print settings to their defaults. Let Python show
        again each warning that it shows only once.
        """
        unrestored = super().restore()
        for setting in _ALWAYS:
            setting.put_back(None)
        return unrestored


def seed(number: int) -> None:
    """
    Seed the global random states of Python, and of numpy and torch if they are imported.

    Call this after the function's modules are imported: it does not import numpy or torch, which takes seconds.
    """
    random.seed(number)
    short = number % 2**32  # numpy accepts 32 bits
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(short)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(short)


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - ten times as fast as Path.cwd
    except FileNotFoundError:
        return ""


def _change_folder(name: str) -> None:
    """Change to a folder, or to its nearest parent that still exists."""
    path = Path(name or "/")
    os.chdir(next(folder for folder in (path, *path.parents) if folder.is_dir()))


def _environment() -> tuple[bool, dict[bytes, bytes]]:
    # the private dict of bytes: reading os.environ takes a microsecond per variable
    return os.environ is _ENVIRON, dict(_ENVIRON._data)  # type: ignore[attr-defined]


def _write_environment(value: tuple[bool, dict[bytes, bytes]]) -> None:
    os.environ, wanted = _ENVIRON, value[1]
    for name in os.environb.keys() - wanted.keys():
        del os.environb[name]
    for name, text in wanted.items():
        if os.environb.get(name) != text:
            os.environb[name] = text


def _umask() -> int:
    os.umask(mask := os.umask(0o077))
    return mask


def _handlers() -> list[Any]:
    return [_SIGNAL.getsignal(number) for number in _SIGNALS]  # ten times as fast as signal.getsignal


def _write_handlers(handlers: Iterable[Any]) -> None:
    for number, handler in zip(_SIGNALS, handlers, strict=True):
        if handler is not None and signal.getsignal(number) != handler:  # None: C code installed it
            signal.signal(number, handler)
            if number in _FATAL:  # faulthandler's own handler is replaced, which it does not notice
                crash_stack.forget()


def _hooks() -> tuple[Any, ...]:
    return sys.excepthook, sys.unraisablehook, sys.displayhook, threading.excepthook


def _write_hooks(hooks: tuple[Any, ...]) -> None:
    sys.excepthook, sys.unraisablehook, sys.displayhook, threading.excepthook = hooks


def _write_filters(filters: list[Any]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]


def _write_showwarning(function: Any) -> None:
    logging.captureWarnings(function is getattr(logging, "_showwarning", None))  # logging remembers whether it is on
    warnings.showwarning = function


def _loggers() -> tuple[ProcessSetting, list[tuple[Any, ...]]]:
    named = logging.root.manager.loggerDict.values()
    known = [logging.root, *(logger for logger in named if isinstance(logger, logging.Logger))]
    states = [(*rest, handlers[:], filters[:]) for *rest, handlers, filters in map(_LOGGER, known)]
    return ProcessSetting("loggers", lambda: list(map(_LOGGER, known)), partial(_write_loggers, known)), states


def _write_loggers(loggers: list[logging.Logger], states: list[tuple[Any, ...]]) -> None:
    for logger, (level, propagate, disabled, handlers, filters) in zip(loggers, states, strict=True):
        logger.setLevel(level)
        logger.propagate, logger.disabled = propagate, disabled
        logger.handlers, logger.filters = handlers[:], filters[:]


def _write_collection(value: tuple[bool, int, int, int]) -> None:
    enabled, *thresholds = value
    gc.set_threshold(*thresholds)
    (gc.enable if enabled else gc.disable)()


def _clear_timers(_: None) -> None:
    for timer in _TIMERS:
        signal.setitimer(timer, 0)


def _clear_numpy(_: None) -> None:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return
    if numpy.geterr() != _NUMPY_ERRORS:
        numpy.seterr(**_NUMPY_ERRORS)
    if not _NUMPY_PRINTS.items() <= numpy.get_printoptions().items():
        numpy.set_printoptions(**_NUMPY_PRINTS)


def _forget_shown_warnings(_: None) -> None:
    with warnings.catch_warnings():  # its end makes the registries of shown warnings obsolete
        pass


_SETTINGS = (
    ProcessSetting("the environment", _environment, _write_environment),
    ProcessSetting("the working directory", _folder, _change_folder),
    ProcessSetting("sys.argv", lambda: sys.argv[:], lambda value: setattr(sys, "argv", value[:])),
    ProcessSetting("signal handlers", _handlers, _write_handlers),
    ProcessSetting(
        "the signal mask",
        lambda: _SIGNAL.pthread_sigmask(_SIGNAL.SIG_BLOCK, ()),
        lambda value: signal.pthread_sigmask(signal.SIG_SETMASK, value),
    ),
    ProcessSetting("the umask", _umask, os.umask),
    ProcessSetting("hooks", _hooks, _write_hooks),
    ProcessSetting("logging.disable", lambda: logging.root.manager.disable, logging.disable),
    ProcessSetting("warning filters", lambda: list(warnings.filters), _write_filters),
    ProcessSetting("warnings.showwarning", lambda: warnings.showwarning, _write_showwarning),
    ProcessSetting("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    ProcessSetting("garbage collection", lambda: (gc.isenabled(), *gc.get_threshold()), _write_collection),
    ProcessSetting("the socket timeout", socket.getdefaulttimeout, socket.setdefaulttimeout),
    ProcessSetting("the locale", partial(locale.setlocale, locale.LC_ALL), partial(locale.setlocale, locale.LC_ALL)),
    ProcessSetting(
        "the decimal context",  # contexts never compare equal, but their arguments do
        lambda: decimal.getcontext().__reduce__()[1],
        lambda value: decimal.setcontext(decimal.Context(*value)),
    ),
    ProcessSetting(
        "the start method",  # without force, a second set_start_method raises
        lambda: multiprocessing.get_start_method(allow_none=True),
        lambda value: multiprocessing.set_start_method(value, force=True),
    ),
)
_ALWAYS = (
    ProcessSetting("timers", lambda: None, _clear_timers),
    ProcessSetting("numpy's settings", lambda: None, _clear_numpy),
    ProcessSetting("shown warnings", lambda: None, _forget_shown_warnings),
)
