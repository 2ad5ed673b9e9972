"""Code of users is called and its exceptions are looked at: nothing that either does ends the caller."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from types import CodeType, TracebackType
from typing import Any, NoReturn, TypeVar

from qexp.errors import FunctionError
from qexp.this_process import is_this_process
from qexp.truncation import single_line

_MODULE: Callable[[type], Any] = type.__dict__["__module__"].__get__
_QUALNAME: Callable[[type], str] = type.__dict__["__qualname__"].__get__
_TRACEBACK: Callable[[BaseException], TracebackType | None] = BaseException.__dict__["__traceback__"].__get__
_Handler = TypeVar("_Handler", bound=Callable[..., Any])
_ENDINGS = ("_exit", "abort", "execv", "execve")
"""Functions of `os` that end a program without an exception."""
_ORDERING: set[CodeType] = set()
"""The code of signal handlers that end this process."""
_MESSAGE = 2_000
"""Bytes of an exception's message in a sentence about it."""


class Interruption(BaseException):
    """An order to end a running attempt; no `except Exception` of the function's sees it."""


class ExitCall(BaseException):
    """Stands for a call that would have ended this process."""


def gives_order(handler: _Handler) -> _Handler:
    """Mark a signal handler: a SystemExit that leaves it is an order to end this process."""
    _ORDERING.add(handler.__code__)
    return handler


def is_order(error: BaseException) -> bool:
    """
    Say whether an exception is an order to end what runs, rather than an exception of the user's code.

    It is one if it is an Interruption, or a SystemExit out of a handler that `gives_order` has marked.
    """
    kind = type(error)  # isinstance would ask the exception for its __class__
    if not issubclass(kind, SystemExit):
        return issubclass(kind, Interruption)
    return any(frame.f_code in _ORDERING for frame, _ in traceback.walk_tb(_TRACEBACK(error)))


def passes(error: BaseException) -> bool:
    """
    Say whether an exception is an order to end, or may be Ctrl-C of a person.

    Children of a worker ignore SIGINT, so a KeyboardInterrupt there is the code's own.
    """
    if issubclass(type(error), KeyboardInterrupt):
        return signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return is_order(error)


@contextlib.contextmanager
def calling(what: str) -> Iterator[None]:
    """Make any exception of the user's code inside a FunctionError whose message begins with *what*."""
    try:
        yield
    except FunctionError:
        raise
    except BaseException as error:
        if passes(error):
            raise
        raise FunctionError(f"{what} {deed(error)}") from error


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """
    Keep the user's code inside from ending this process, from coming back twice, and from printing to stdout.

    `os._exit` and its like raise Ended; in a process that the code forks they do what they always do. Such a process
    ends here. What is printed goes to stderr, since stdout is for data.
    """
    process, real = os.getpid(), {name: getattr(os, name) for name in _ENDINGS}

    def stand_in(name: str) -> Callable[..., NoReturn]:
        def end(*arguments: Any) -> NoReturn:
            if not is_this_process(process):
                real[name](*arguments)
            raise ExitCall(f"os.{name}({', '.join(map(repr, arguments))})")

        return end

    try:
        with contextlib.redirect_stderr(sys.stderr), contextlib.redirect_stdout(sys.stderr):
            for name in _ENDINGS:
                setattr(os, name, stand_in(name))
            yield
    finally:
        for name in _ENDINGS:
            setattr(os, name, real[name])
        if not is_this_process(process):
            os._exit(0)


def deed(error: BaseException) -> str:
    """Return what user's code has done, in words: it `raised ValueError: …`, or it `called os._exit(0)`."""
    if type(error) is ExitCall:
        return f"called {error}"
    return f"raised {one_line(error)}"


def traceback_of(error: BaseException) -> TracebackType | None:
    """Return an exception's traceback; no property of its class is asked."""
    return _TRACEBACK(error)


def type_of(error: BaseException) -> str:
    """Return the name of an exception's type, with its module unless that is Python's own; no metaclass is asked."""
    kind = type(error)
    name = _QUALNAME(kind)
    try:
        module = str.__str__(_MODULE(kind))
    except (AttributeError, TypeError):  # it was deleted, or is no text
        return name
    return name if module in ("builtins", "__main__") else f"{module}.{name}"


def message_of(error: BaseException) -> str:
    """Return an exception's message as a plain string, or a sentence that it cannot be shown."""
    try:
        return "".join([str(error)])  # not a string of a type of the user's
    except BaseException as odd:
        if is_order(odd):
            raise
        return f"<the message of this {type_of(error).rpartition('.')[2]} cannot be shown: its __str__ raises>"


def one_line(error: BaseException) -> str:
    """Return an exception as `Type: message` without line breaks; of a long message the beginning and the end."""
    return f"{type_of(error).rpartition('.')[2]}: {single_line(message_of(error), _MESSAGE) or 'no message'}"
