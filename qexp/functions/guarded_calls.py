"""Call the user's code, and describe its exceptions, so that neither can end this process."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from types import CodeType, TracebackType
from typing import Any, NoReturn, TypeVar

from qexp.current_process import is_this_process
from qexp.errors import FunctionError
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
"""Bytes of an exception's message that an error quotes."""


class Interruption(BaseException):
    """An order to end a running attempt; an `except Exception` of the function does not catch it."""


class ExitCall(BaseException):
    """The user's code called a function that would have ended this process."""


def gives_order(handler: _Handler) -> _Handler:
    """Mark a signal handler: a SystemExit that leaves it is an order to end this process."""
    _ORDERING.add(handler.__code__)
    return handler


def is_order(error: BaseException) -> bool:
    """
    Return whether an exception is an order to end the attempt, rather than an error of the user's code.

    Orders are an Interruption, and a SystemExit out of a signal handler that `gives_order` marked.
    """
    kind = type(error)  # isinstance would run the exception's own __class__
    if not issubclass(kind, SystemExit):
        return issubclass(kind, Interruption)
    return any(frame.f_code in _ORDERING for frame, _ in traceback.walk_tb(_TRACEBACK(error)))


def must_propagate(error: BaseException) -> bool:
    """
    Return whether an exception must reach the caller: an order to end the attempt, or a person's Ctrl-C.

    Children of a worker ignore SIGINT, so there the user's code raised a KeyboardInterrupt itself.
    """
    if issubclass(type(error), KeyboardInterrupt):
        return signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return is_order(error)


@contextlib.contextmanager
def calling(what: str) -> Iterator[None]:
    """Raise FunctionError, with a message that begins with *what*, for any exception of the user's code inside."""
    try:
        yield
    except FunctionError:
        raise
    except BaseException as error:
        if must_propagate(error):
            raise
        raise FunctionError(f"{what} {action_of(error)}") from error


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """
    Keep the user's code inside from ending this process and from printing to stdout, which is for data.

    `os._exit` and its like raise ExitCall, but work as usual in processes that the code forks. A forked process ends
    at the end of the block, so that the code after it runs once.
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


def action_of(error: BaseException) -> str:
    """Return the action of the user's code in words: `raised ValueError: …`, or `called os._exit(0)`."""
    if type(error) is ExitCall:
        return f"called {error}"
    return f"raised {one_line(error)}"


def traceback_of(error: BaseException) -> TracebackType | None:
    """Return an exception's traceback, without running code of its class."""
    return _TRACEBACK(error)


def type_of(error: BaseException) -> str:
    """Return the name of an exception's type, with its module unless it is a built-in; run no code of the user."""
    kind = type(error)
    name = _QUALNAME(kind)
    try:
        module = str.__str__(_MODULE(kind))
    except (AttributeError, TypeError):  # it was deleted, or is no text
        return name
    return name if module in ("builtins", "__main__") else f"{module}.{name}"


def message_of(error: BaseException) -> str:
    """Return an exception's message as a plain string, or a sentence that says why it cannot be shown."""
    try:
        return "".join([str(error)])  # a plain str, even if __str__ returns a subclass
    except BaseException as odd:
        if is_order(odd):
            raise
        return f"<the message of this {type_of(error).rpartition('.')[2]} cannot be shown: its __str__ raises>"


def one_line(error: BaseException) -> str:
    """Return an exception as `Type: message` on one line; a long message keeps its beginning and its end."""
    return f"{type_of(error).rpartition('.')[2]}: {single_line(message_of(error), _MESSAGE) or 'no message'}"
