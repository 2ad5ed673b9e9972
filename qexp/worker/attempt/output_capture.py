"""Redirect the output of an attempt to a file, also the output of C code and child processes."""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import sys
from collections.abc import Iterable
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Any, TextIO

from qexp.current_process import is_this_process
from qexp.functions.guarded_calls import is_order
from qexp.worker.attempt.descendants import has_children
from qexp.worker.context.output_reader import HEAD, TAIL, Output

_C = ctypes.CDLL(None)  # unlike PyDLL, it releases the GIL: a flush may wait for another thread
_LINE_BUFFERED = 1  # C's _IOLBF, the same in glibc, musl and macOS
_SHAPE = attrgetter("encoding", "errors", "line_buffering", "closed")
_WANTED = ("utf-8", "backslashreplace", True, False)


class Capture:
    """
    Sends descriptors 1 and 2 of this process to the file `FOLDER/PID.out` between start and stop.

    It is a regular file: with a pipe, C code that prints while it holds the GIL would wait forever for the thread that
    reads. A process uses its file again while the file is empty. After an attempt that printed or had child processes,
    a new file takes the path, so late output of these processes is lost. Threads that outlive their attempt print into
    the next one. Use it in the main thread only.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fd, self._pid, self._waited = -1, 0, -1
        self._streams: list[TextIO | None] = [None, None]
        self._saved: tuple[list[int | None], list[Any]] | None = None

    @property
    def path(self) -> Path:
        """The file of this process's output; other processes find it there when this process is dead."""
        return path_of(self._folder, os.getpid())

    @property
    def descriptor(self) -> int:
        """The descriptor of that file; -1 before the first start."""
        return self._fd

    def output(self, head: int = HEAD, tail: int = TAIL) -> Output:
        """Return a reader of the last started attempt's output; it stays valid after the next start."""
        return Output(self._fd, head, tail)

    def start(self) -> None:
        """Send the output to the file, unless it was started already. Raises OSError if the file cannot be made."""
        if self._saved is not None:
            return
        if not self._is_unused():
            self._renew()
        objects = _installed()
        _flush(objects)
        self._saved = [_copy(1), _copy(2)], objects
        os.dup2(self._fd, 1)
        os.dup2(self._fd, 2)
        self._streams = [_stream(number, old) for number, old in zip((1, 2), self._streams, strict=True)]
        _install(self._streams * 2)

    def stop(self) -> None:
        """Restore the descriptors and stream objects from before the start."""
        if self._saved is None:
            return
        (copies, objects), self._saved = self._saved, None
        self._reopen_closed()
        _flush([*_installed(), *objects])
        for stream in self._streams:
            _flush_or_drop(stream)
        for number, copy in zip((1, 2), copies, strict=True):
            _put_back(copy, number)
        _install(objects)

    def close(self) -> None:
        """Stop, and delete the file."""
        self.stop()
        if is_this_process(self._pid):
            self.path.unlink(missing_ok=True)
            os.close(self._fd)
        self._fd, self._pid = -1, 0

    def _is_unused(self) -> bool:
        """Say whether the file is empty, and no other process can write to it."""
        if not is_this_process(self._pid):
            return False
        try:
            status = os.fstat(self._fd)
        except OSError:  # closed by the experiment
            return False
        deleted = status.st_nlink == 0  # by a cleaner of temporary files
        return status.st_size == 0 and not deleted and self._waited == _faults_of_children() and not has_children()

    def _renew(self) -> None:
        """Open a new file, above the descriptors of the standard streams."""
        if not is_this_process(self._pid):
            _C.setvbuf(_c_stdout(), None, _LINE_BUFFERED, 0)  # lines of C code then appear soon, and survive a kill
        if self._fd >= 0:
            with suppress(OSError):
                os.close(self._fd)
        self._fd, self._pid, self._waited = -1, os.getpid(), _faults_of_children()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
        os.close(fd)

    def _reopen_closed(self) -> None:
        """Open descriptors 1 and 2 again if the experiment closed them, so that buffers can be flushed."""
        for number in (1, 2):
            if not _is_open(number):
                with suppress(OSError):  # the experiment closed all descriptors
                    os.dup2(self._fd, number)


def path_of(folder: Path, pid: int) -> Path:
    """Return the file of a process's output."""
    return folder / f"{pid}.out"


def _faults_of_children() -> int:
    """Return a number that grows with each child that is waited for; a child may have left children of its own."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt


def _c_stdout() -> ctypes.c_void_p:
    return ctypes.c_void_p.in_dll(_C, "__stdoutp" if sys.platform == "darwin" else "stdout")


def _flush(streams: Iterable[Any]) -> None:
    for stream in {id(stream): stream for stream in streams}.values():  # most streams are the same object
        try:
            stream.flush()
        except BaseException as error:  # it may be closed, None, or any object of the experiment
            if is_order(error):
                raise
    _C.fflush(None)


def _flush_or_drop(stream: TextIO | None) -> None:
    """Flush a stream; drop its buffer if the disk is full, so that the next attempt does not print it."""
    try:
        if stream is not None:
            stream.flush()
    except (OSError, ValueError):
        with suppress(AttributeError, OSError, ValueError):
            stream.buffer.raw.close()  # type: ignore[union-attr]


def _stream(number: int, old: TextIO | None) -> TextIO:
    """Return the text stream of a descriptor: the old one, which loggers may hold, if it still works."""
    try:
        if _SHAPE(old) != _WANTED:
            old.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    except (AttributeError, OSError, ValueError):  # there is no old one, or the experiment closed or detached it
        return os.fdopen(number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    assert old is not None  # noqa: S101
    return old


def _installed() -> list[Any]:
    return [getattr(sys, name, None) for name in ("stdout", "stderr", "__stdout__", "__stderr__")]


def _install(streams: list[Any]) -> None:
    sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__ = streams  # type: ignore[misc]


def _is_open(number: int) -> bool:
    try:
        fcntl.fcntl(number, fcntl.F_GETFD)
    except OSError:
        return False
    return True


def _copy(number: int) -> int | None:
    """Duplicate a descriptor to above the standard streams; None if it is closed."""
    try:
        return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError:
        return None


def _put_back(copy: int | None, number: int) -> None:
    try:
        if copy is None:
            os.close(number)
        else:
            os.dup2(copy, number)
            os.close(copy)
    except OSError:  # the experiment closed the copy too
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)
