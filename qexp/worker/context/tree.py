"""Nested data with arrays in it, as one zip: a JSON skeleton and a file per array. No pickle, nothing is executed."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta, timezone
from io import BytesIO
from types import NoneType
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from qexp.errors import CheckpointError
from qexp.model import Json

_PLAIN = (NoneType, bool, float, str)
_HUGE = 1 << 4096  # Python refuses to read numbers of more than 4,300 digits
_DEEPEST = 100  # what is written by a shallow stack has to be read by a deep one
_LONGEST_HEADER = 1 << 20
_SKELETON = "tree.json"


class _Leaf(NamedTuple):
    type: type
    to_json: Callable[[Any], Json]
    from_json: Callable[[Any], Any]


def _from_datetime(value: datetime) -> Json:
    zone = value.tzinfo.key if isinstance(value.tzinfo, ZoneInfo) else None
    return [(value.replace(tzinfo=None) if zone else value).isoformat(), value.fold, zone]


def _to_datetime(content: Any) -> datetime:
    text, fold, zone = content
    value = datetime.fromisoformat(text).replace(fold=fold)
    return value.replace(tzinfo=ZoneInfo(zone)) if zone else value


_LEAVES = {
    "int": _Leaf(int, hex, lambda text: int(text, 16)),
    "complex": _Leaf(complex, lambda value: [value.real, value.imag], lambda parts: complex(*parts)),
    "date": _Leaf(date, date.isoformat, date.fromisoformat),
    "datetime": _Leaf(datetime, _from_datetime, _to_datetime),
    "timedelta": _Leaf(timedelta, lambda it: [it.days, it.seconds, it.microseconds], lambda parts: timedelta(*parts)),
}
_CONTAINERS: dict[str, Callable[[list[Any]], Any]] = {"tuple": tuple, "set": set, "frozenset": frozenset}
_BYTES: dict[str, Callable[[bytes], Any]] = {"bytes": bytes, "bytearray": bytearray}
_TAGS: dict[type, str] = {
    **{leaf.type: tag for tag, leaf in _LEAVES.items()},
    **{kind: kind.__name__ for kind in (tuple, set, frozenset, bytes, bytearray)},
}


class Writer:
    """
    A value becomes JSON in which `{"$tuple": […]}` stands for a tuple and `{"$array": 0}` for the array in 0.npy.

    *tagged* says whether anything was so replaced; if nothing was, the value is JSON by itself.
    """

    def __init__(self) -> None:
        self.tagged = False
        self._path: list[Any] = []
        self._files: list[tuple[str, bytes]] = []

    def skeleton(self, value: Any) -> Json:
        """Return the JSON of a value and keep what becomes files; CheckpointError names what is not data."""
        kind = type(value)
        if kind in _PLAIN or (kind is int and -_HUGE < value < _HUGE):
            return value
        if kind is list:
            return self._items(value)
        if kind is dict:
            return self._dict(value)
        self.tagged = True
        tag, content = self._tag(value)
        return {f"${tag}": content}

    def pack(self, skeleton: Json) -> bytes:
        """Return the skeleton and its files as an uncompressed zip, whose checksums tell damage."""
        out = BytesIO()
        with zipfile.ZipFile(out, "w") as box:
            for name, data in [(_SKELETON, to_text(skeleton)), *self._files]:
                box.writestr(zipfile.ZipInfo(name), data)
        return out.getvalue()

    def npy(self, array: Any) -> bytes:
        """Return an array in numpy's own format; CheckpointError if its type would not come back."""
        from numpy.lib import format as npy

        kind = array.dtype
        if kind.kind == "O" or (kind.names and kind.hasobject):
            raise self._refusal("an array of Python objects")
        if kind.kind not in "biufcmMSUV" or npy.descr_to_dtype(npy.dtype_to_descr(kind)) != kind:
            raise self._refusal(f"an array of {kind}")
        file = BytesIO()
        npy.write_array(file, array, allow_pickle=False)
        return file.getvalue()

    def _at(self, key: Any, value: Any) -> Json:
        self._path.append(key)
        if len(self._path) > _DEEPEST:
            raise CheckpointError(f"state: it is nested more than {_DEEPEST} deep, or contains itself")
        content = self.skeleton(value)
        self._path.pop()
        return content

    def _items(self, values: Iterable[Any]) -> list[Json]:
        return [item if type(item) in _PLAIN else self._at(index, item) for index, item in enumerate(values)]

    def _dict(self, value: dict[Any, Any]) -> Json:
        named = all(type(key) is str for key in value)
        if named and not _is_tag(value):
            return {key: self._at(key, item) for key, item in value.items()}
        self.tagged |= not named
        return {"$dict": [[self._at(key, key), self._at(key, item)] for key, item in value.items()]}

    def _tag(self, value: Any) -> tuple[str, Json]:
        tag = _TAGS.get(type(value), "")
        if tag in _CONTAINERS:
            return tag, self._items(value)
        if tag in _BYTES:
            return tag, self._file("bin", bytes(value))
        if tag in _LEAVES and _has_known_zone(value):
            return tag, _LEAVES[tag].to_json(value)
        return self._tag_numpy(value)

    def _tag_numpy(self, value: Any) -> tuple[str, Json]:
        numpy, kind = sys.modules.get("numpy"), type(value)
        if numpy is not None and kind is numpy.ndarray:
            return "array", self._file("npy", self.npy(value))
        if numpy is None or not isinstance(value, numpy.generic) or kind is not value.dtype.type:
            raise self._refusal(f"a {kind.__module__}.{kind.__qualname__}")
        if kind is numpy.str_:
            return "str_", value[:]  # str() would drop NULs at its end
        if kind is numpy.bytes_:
            return "bytes_", self._file("bin", bytes(value))
        if value.dtype.isbuiltin != 1 or kind is numpy.void:
            return "void", self._file("npy", self.npy(numpy.asarray(value)))
        return "scalar", [value.dtype.str, value.tobytes().hex()]

    def _file(self, ending: str, data: bytes) -> int:
        self._files.append((f"{len(self._files)}.{ending}", data))
        return len(self._files) - 1

    def _refusal(self, what: str) -> CheckpointError:
        place = "state" + "".join(f"[{key!r}]" for key in self._path)
        repair = "give dump= and load=, such as dump=torch.save, load=torch.load"
        return CheckpointError(f"{place}: {what} is not data; {repair}")


class Reader:
    """What `Writer` packed becomes the value again; damaged data raises what zipfile, json and numpy raise on it."""

    def __init__(self, data: bytes) -> None:
        self._box = zipfile.ZipFile(BytesIO(data))
        if any(info.compress_type != zipfile.ZIP_STORED for info in self._box.infolist()):
            raise ValueError("found a compressed file, expected none")

    def value(self) -> Any:
        """Return the value."""
        return self._build(from_text(self._box.read(_SKELETON)))

    def _build(self, node: Json) -> Any:
        if type(node) is list:
            return [self._build(item) for item in node]
        if type(node) is not dict:
            return node
        if not _is_tag(node):
            return {key: self._build(item) for key, item in node.items()}
        ((tag, content),) = node.items()
        return self._untag(tag[1:], content)

    def _untag(self, tag: str, content: Any) -> Any:
        if tag == "dict":
            return {self._build(key): self._build(item) for key, item in content}
        if tag in _CONTAINERS:
            return _CONTAINERS[tag]([self._build(item) for item in content])
        if tag in _LEAVES:
            return _LEAVES[tag].from_json(content)
        if tag in _BYTES:
            return _BYTES[tag](self._box.read(f"{content}.bin"))
        return self._untag_numpy(tag, content)

    def _untag_numpy(self, tag: str, content: Any) -> Any:
        import numpy

        if tag in ("array", "void"):
            array = read_npy(self._box.read(f"{content}.npy"))
            return array if tag == "array" else array[()]
        if tag == "scalar":
            dtype, digits = content
            return numpy.frombuffer(bytes.fromhex(digits), numpy.dtype(dtype))[0]
        if tag == "str_":
            return numpy.str_(content)
        if tag == "bytes_":
            return numpy.bytes_(self._box.read(f"{content}.bin"))
        raise CheckpointError(f"the checkpoint holds a {tag!r}, which this qexp does not know; a newer one wrote it")


def _is_tag(value: dict[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith("$")


def _has_known_zone(value: Any) -> bool:
    zone = getattr(value, "tzinfo", None)
    return type(zone) in (NoneType, timezone) or (type(zone) is ZoneInfo and zone.key is not None)


def read_npy(data: bytes) -> Any:
    """Return the array that `Writer.npy` wrote."""
    from numpy.lib import format as npy

    file = BytesIO(data)
    array = npy.read_array(file, allow_pickle=False, max_header_size=_LONGEST_HEADER)
    if file.read(1):
        raise ValueError("there is more than the array")
    return array


def to_text(value: Json) -> bytes:
    """Return JSON with Python's NaN and Infinity; lone surrogates are kept, and never joined into one character."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def from_text(data: bytes) -> Json:
    """Return what `to_text` wrote."""
    return json.loads(data.decode("utf-8", "surrogatepass"))
