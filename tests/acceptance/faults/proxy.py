"""A TCP proxy that simulates a slow, silent or cut network between a host and a service."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

_NO_LINGER = struct.pack("ii", 1, 0)
"""Closing sends a reset."""


class Proxy:
    """
    Forwards connections to *target*: (host, port), or the path of a socket.

    `delay`: seconds of delay for each piece of data. `silence`: data wait until `heal`, like dropped packets.
    `cut`: connections are reset, and new ones refused, until `heal`.
    """

    def __init__(self, target: tuple[str, int] | str) -> None:
        self._target = target
        self.delay = 0.0
        self._open = threading.Event()
        self._open.set()
        self._refusing = False
        self._closed = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def silence(self) -> None:
        self._open.clear()

    def cut(self) -> None:
        self._refusing = True
        self.reset()

    def reset(self) -> None:
        """Cut the open connections; new ones are accepted immediately."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                _reset(end)

    def heal(self) -> None:
        self._refusing = False
        self._open.set()

    def close(self) -> None:
        self._closed = True
        self._listener.close()
        self.heal()
        self.reset()

    def _accept(self) -> None:
        while not self._closed:
            try:
                inner, _ = self._listener.accept()
            except OSError:  # the proxy is closed
                return
            if self._refusing:
                _reset(inner)
                continue
            threading.Thread(target=self._join, args=(inner,), daemon=True).start()

    def _join(self, inner: socket.socket) -> None:
        self._open.wait()
        try:
            outer = _connect(self._target)
        except OSError:  # the service is down
            _reset(inner)
            return
        with self._lock:
            self._pairs.append((inner, outer))
        for source, sink in ((inner, outer), (outer, inner)):
            threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        pause = threading.Event()
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.delay:
                    pause.wait(self.delay)
                self._open.wait()
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _connect(target: tuple[str, int] | str) -> socket.socket:
    if isinstance(target, tuple):
        return socket.create_connection(target, timeout=None)
    made = socket.socket(socket.AF_UNIX)
    made.connect(target)
    return made


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it
    end.close()
