"""Read the output of an attempt, while it runs and afterwards: its head and its tail, in chunks for the database."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from qexp.model import storable_text
from qexp.worker.password_masking import mask, partial_length

HEAD = TAIL = 65_536
"""Bytes of an attempt's output that are kept at its beginning and at its end."""
_PIECE = 16_384
_ROOM = 64 << 20
_UTF_8 = codecs.getincrementaldecoder("utf-8")


@dataclass(frozen=True, order=True, slots=True)
class Chunk:
    """A piece of output: its position and size in bytes, and its text."""

    position: int
    size: int
    text: str

    @property
    def end(self) -> int:
        """The position of the next byte."""
        return self.position + self.size


class Output:
    """
    Reads the head and the tail of an attempt's output, in steps while the file grows.

    *source* is a file, which need not exist, or its descriptor. *position* is the end of the last stored chunk: with
    it, a reader continues where another one stopped, for example after the process died. A file of more than 64 MB is
    emptied as it is read; positions stay the same.
    """

    def __init__(self, source: Path | int, head: int = HEAD, tail: int = TAIL, position: int = 0) -> None:
        self._fd = os.dup(source) if isinstance(source, int) else _open(source)
        self._head, self._head_end, self._tail = head, head, tail
        self._next = self.total = position
        self._base = self._dropped = 0
        self._resumed = position > 0

    @property
    def obsolete(self) -> tuple[int, int]:
        """The start and end of the part between head and tail: chunks inside it are not needed any more."""
        end = self.total - self._tail
        return self._head_end, end if end > self._head else self._head_end

    def take(self, final: bool = False) -> list[Chunk]:
        """
        Return new output in chunks of at most 16 KB that split no character; *final* returns the rest and closes.

        An incomplete character or password is returned by the next call. If the output was longer than head and tail,
        the positions show the gap.
        """
        if self._fd is None:
            return []
        self.total = self._measure(self._fd)
        chunks = self._take_head(self._fd, final) + self._take_tail(self._fd, final)
        self._drop(self._fd)
        if final:
            self.close()
        return chunks

    def close(self) -> None:
        """Close the descriptor; later calls of `take` return nothing."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _measure(self, fd: int) -> int:
        size = os.fstat(fd).st_size
        if self._base + size < self._next:  # a shell's `> /dev/stderr` empties the file
            self._base = self._next
        return self._base + size

    def _take_head(self, fd: int, final: bool) -> list[Chunk]:
        if self._next >= self._head_end:
            return []
        beyond = self.total > self._head_end
        chunks = self._decode(fd, min(self.total, self._head_end), final and not beyond)
        if beyond:
            self._head_end = self._next  # a character across the end of the head belongs to the tail
        return chunks

    def _take_tail(self, fd: int, final: bool) -> list[Chunk]:
        if self.total <= self._head_end:
            return []
        if (start := self.total - self._tail) > max(self._next, self._head):
            rest = os.pread(fd, 3, start - self._base)
            self._next = start + len(list(takewhile(_is_inside_a_character, rest)))
        return self._decode(fd, self.total, final)

    def _decode(self, fd: int, end: int, final: bool) -> list[Chunk]:
        if end <= self._next:
            return []
        data = os.pread(fd, end - self._next, self._next - self._base)
        if self._resumed:  # a part that the other reader has emptied reads as NULs
            self._next += len(data) - len(data := data.lstrip(b"\0"))
        chunks = []
        while data:
            decoder, piece = _UTF_8("replace"), data[:_PIECE]
            last = final and len(piece) == len(data)
            if not last and (length := partial_length(piece)):  # the rest of a password may come next
                piece = piece[:-length]
            text = decoder.decode(piece, last)
            size = len(piece) - len(decoder.getstate()[0])
            if not size:
                break
            chunks.append(Chunk(self._next, size, mask(storable_text(text))))
            self._next, data = self._next + size, data[size:]
        return chunks

    def _drop(self, fd: int) -> None:
        """Free the disk space of read output: the file becomes a hole of the same length, and writers append to it."""
        if self.total - self._dropped > _ROOM and self._next == self.total:
            os.ftruncate(fd, 0)
            os.ftruncate(fd, self.total - self._base)
            self._dropped = self.total


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None


def _is_inside_a_character(byte: int) -> bool:
    return byte & 0xC0 == 0x80


def render(chunks: Iterable[Chunk], total: int | None = None) -> str:
    """
    Return chunks as one text, with a line at each gap; *total* is the size of an ended attempt's output.

    >>> render([Chunk(0, 2, "ab"), Chunk(1236, 2, "yz")])
    'ab\\n[… 1,234 bytes left out …]\\nyz'
    """
    parts, end = [""], 0
    for chunk in sorted(chunks):
        parts += [_gap(parts[-1], chunk.position - end), chunk.text]
        end = chunk.end
    return "".join([*parts, _gap(parts[-1], (total or 0) - end)])


def _gap(before: str, size: int) -> str:
    if size <= 0:
        return ""
    return f"{'' if before[-1:] in ('', chr(10)) else chr(10)}[… {size:,} bytes left out …]\n"
