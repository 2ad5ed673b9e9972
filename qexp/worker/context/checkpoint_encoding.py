"""Encode the value of a checkpoint as bytes and decode it, without a database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

from qexp.errors import CheckpointError
from qexp.worker.context.checkpoint_zip import CheckpointReader, CheckpointWriter, from_text, read_npy, to_text
from qexp.worker.context.state_protocols import is_array

Dump = Callable[[Any, BinaryIO], None]
Load = Callable[[BinaryIO], Any]


@dataclass(frozen=True)
class EncodedCheckpoint:
    """A value as bytes; *kind* is json, bytes, numpy (one array), tree, or own (the user's `dump` wrote the bytes)."""

    kind: str
    data: bytes


def encode(value: Any, dump: Dump | None = None, outer: int = 0) -> EncodedCheckpoint:
    """
    Return a value as bytes.

    Without *dump* the value must be data, as listed in docs/context.md. Decoding returns the same types, so subclasses
    are refused. An object at two places becomes two objects. Raises CheckpointError with the place of a value that is
    not data; the place lacks the first *outer* keys. Exceptions of *dump* pass through.
    """
    if dump is not None:
        file = BytesIO()
        dump(value, file)
        return EncodedCheckpoint("own", file.getvalue())
    if type(value) is bytes:
        return EncodedCheckpoint("bytes", value)
    writer = CheckpointWriter(outer)
    if is_array(value):
        return EncodedCheckpoint("numpy", writer.npy(value))
    skeleton = writer.skeleton(value)
    return (
        EncodedCheckpoint("tree", writer.pack(skeleton)) if writer.tagged else EncodedCheckpoint("json", to_text(value))
    )


def decode(kind: str, data: bytes, load: Load | None = None) -> Any:
    """
    Return the value that `encode` encoded; *load* reads data that the user's `dump` wrote.

    Executes nothing in the data. Raises CheckpointError for damaged data. Exceptions of *load* pass through.
    """
    if kind == "own":
        if load is None:
            raise CheckpointError("the checkpoint was written by a dump=; give its load=, such as load=torch.load")
        return load(BytesIO(data))
    if kind not in _DECODERS:
        raise CheckpointError(f"the checkpoint is a {kind!r}, which this qexp does not know; a newer one wrote it")
    try:
        return _DECODERS[kind](data)
    except CheckpointError:
        raise
    except Exception as error:  # zipfile, json and numpy raise many types of errors
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CheckpointError(f"the checkpoint is damaged ({reason})") from error


_DECODERS: dict[str, Callable[[bytes], Any]] = {
    "json": from_text,
    "bytes": bytes,
    "numpy": read_npy,
    "tree": lambda data: CheckpointReader(data).value(),
}
