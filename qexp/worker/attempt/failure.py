"""Describe an exception for people; exceptions with the same cause have the same fingerprint."""

from __future__ import annotations

import dataclasses
import hashlib
import linecache
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from traceback import FrameSummary
from types import TracebackType
from typing import Any

from qexp.errors import QexpError, ResultError
from qexp.functions.guarded_calls import is_order, message_of, traceback_of, type_of
from qexp.model import Error, Failure, Outcome, storable_text
from qexp.truncation import single_line
from qexp.worker.attempt import missing_files
from qexp.worker.password_masking import mask

_OWN = f"{Path(__file__).resolve().parents[2]}/"
_CODE: Callable[[BaseException], Any] = SystemExit.__dict__["code"].__get__
_INSTALLED = ("/site-packages/", "/dist-packages/")
_PYTHON = tuple({f"{sysconfig.get_paths()['stdlib']}/", f"{sys.base_prefix}/"})


def describe(error: BaseException, failure: Failure, folder: Path | None) -> Error:
    """
    Return the error that an attempt stores for an exception: type, message, traceback, last frame and fingerprint.

    Frames below the grid's *folder* are the user's code, on any host. The fingerprint includes the message of
    qexp's own errors, and the status of a SystemExit. A failed import has the traceback of its cause. The message of a
    missing file has advice. An exception that cannot be formatted is described by its type and message.
    """
    kind, message = storable_text(type_of(error)), stored(message_of(error))
    own = issubclass(type(error), QexpError)
    shown = error.__cause__ if own and error.__cause__ is not None else error
    try:
        trace = below_own(traceback_of(shown))
        summary = traceback.TracebackException(type(shown), shown, trace, compact=True)
        text, stack = stored("".join(summary.format())), summary.stack
        hint = missing_files.advice(shown, folder)
    except BaseException as odd:
        if is_order(odd):
            raise
        return Error(failure, kind, message, None, fingerprint(kind, []), f"{kind}: {message}")
    if hint is not None:
        # the path of an unpacked snapshot is long, and tells nothing
        message, text = f"{message.replace(f'{folder}/', '')}; {hint}", f"{text.rstrip()}\n{hint}\n"
    frames = list(user_frames(stack, folder))
    shown_frames = frames or ([] if own else list(stack))
    last = shown_frames[-1] if shown_frames else None
    # a timeout and the limit of recursion hit any line
    anywhere = failure == Failure.TIMEOUT or issubclass(type(error), RecursionError)
    found = [*marks(frames, folder, statement=not anywhere), *_exit_status(error)]
    return Error(
        failure=failure,
        type=kind,
        message=message,
        frame=frame_of(last.filename, last.lineno or 0, last.name, folder) if last else None,
        fingerprint=fingerprint(kind, [*found, message] if own else found),
        traceback=f"{text.rstrip()}\n\n{kind}: {message}" if shown is not error else text,
    )


def not_storable(what: str, error: Exception, folder: Path | None) -> Error:
    """Return the error of an attempt whose result or records Postgres refuses."""
    return describe(ResultError(f"{what} cannot be stored: {single_line(error)}"), Failure.ERROR, folder)


TIMEOUT = "Timeout"
"""The error type of an attempt that ran longer than its timeout."""


def placed(outcome: Outcome, folder: Path | None, original: Path | None) -> Outcome:
    """Return an outcome whose traceback names the user's files, instead of those in this host's snapshot."""
    error = outcome.error
    if error is None or error.traceback is None:
        return outcome
    text = relocated(error.traceback, folder, original)
    return dataclasses.replace(outcome, error=dataclasses.replace(error, traceback=text))


def relocated(text: str, folder: Path | None, original: Path | None) -> str:
    """Return a traceback in which files below *folder* have their names below *original*."""
    return text if folder is None or original is None else text.replace(f"{folder}/", f"{original}/")


def frame_of(file: str, line: int, name: str, folder: Path | None) -> str:
    """Return the text for a line of the user's code, which is the same on each host."""
    return storable_text(f"{_relative(file, folder)}:{line} in {name}")


def stored(text: str) -> str:
    """Return text without passwords and without characters that Postgres cannot store."""
    return mask(storable_text(text))


def fingerprint(kind: str, frames: list[str]) -> str:
    """
    Return 12 hexadecimal digits that are equal for errors of the same type with the same `marks`.

    Line numbers and values are ignored, so an edit above the line or another parameter does not make another error.
    Equal frames in a row (recursion) count once.

    >>> fingerprint("ValueError", ["a.py:f", "a.py:f"]) == fingerprint("ValueError", ["a.py:f"])
    True
    """
    distinct = [frame for index, frame in enumerate(frames) if index == 0 or frame != frames[index - 1]]
    text = "\n".join([kind, *distinct])
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=6).hexdigest()


def below_own(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames of qexp that called the function."""
    start = trace
    while start is not None and start.tb_frame.f_code.co_filename.startswith(_OWN):
        start = start.tb_next
    return start if start is not None else trace


def user_frames(stack: Iterable[FrameSummary], folder: Path | None) -> Iterator[FrameSummary]:
    """Yield the frames of the user's code: those below *folder*, and those that belong to no installed package."""
    for frame in stack:
        name = frame.filename
        below = folder is not None and name.startswith(f"{folder}/")
        foreign = name.startswith(("<frozen", _OWN, *_PYTHON)) or any(mark in name for mark in _INSTALLED)
        if below or not foreign:
            yield frame


def marks(frames: Sequence[FrameSummary], folder: Path | None, statement: bool = True) -> list[str]:
    """Return frames as texts for a fingerprint, equal on each host, with the *statement* that the last frame runs."""
    found = [f"{_relative(frame.filename, folder)}:{frame.name}" for frame in frames]
    return [*found, *[text for text in map(_statement, frames[-1:]) if statement and text]]


def _statement(frame: FrameSummary) -> str:
    """Return the source text of a frame's statement without line breaks and indentation; empty if it is unknown."""
    linecache.checkcache(frame.filename)
    first = max(frame.lineno or 0, 1)
    lines = linecache.getlines(frame.filename)[first - 1 : max(first, frame.end_lineno or 0)]
    return " ".join("".join(lines).split())


def _exit_status(error: BaseException) -> list[str]:
    """Return the status of a SystemExit as a text for a fingerprint."""
    status = _CODE(error) if issubclass(type(error), SystemExit) else None
    return [f"status {status:x}"] if type(status) is int else []


def _relative(file: str, folder: Path | None) -> str:
    """Return the name of a frame's file that is equal on each host: its path in the grid's folder, or its name."""
    path = Path(file)
    if folder is not None and path.is_relative_to(folder):
        return str(path.relative_to(folder))
    return path.name
