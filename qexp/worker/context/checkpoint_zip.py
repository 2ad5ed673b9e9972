"""Write nested data with arrays as a zip, and read it: a JSON skeleton and a file per array, without pickle."""

from __future__ import annotations

import json
import sys
import zipfile
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from io import BytesIO
from types import NoneType
from typing import Any

from qexp.errors import CheckpointError, article
from qexp.model import Json
from qexp.worker.context import class_codec, torch_codec
from qexp.worker.context.scalar_codec import SCALAR_TYPES, is_reversible
from qexp.worker.context.state_path import PathVisitor
from qexp.worker.context.state_protocols import is_estimator, own_state

_PLAIN = (NoneType, bool, float, str)
_HUGE = 1 << 4096  # Python refuses to read numbers of more than 4,300 digits
_LONGEST_HEADER = 1 << 20
_SKELETON = "tree.json"
OWN_PICKLE = "leave it out, or give dump= and load=, such as dump=pickle.dump, load=pickle.load"
"""The advice in errors about a value that is not data."""


_CONTAINERS: dict[str, Callable[[list[Any]], Any]] = {"tuple": tuple, "set": set, "frozenset": frozenset}
_BYTES: dict[str, Callable[[bytes], Any]] = {"bytes": bytes, "bytearray": bytearray}
_TAGS: dict[type, str] = {
    **{leaf.type: tag for tag, leaf in SCALAR_TYPES.items()},
    **{kind: kind.__name__ for kind in (tuple, set, frozenset, bytes, bytearray)},
    **{kind: kind.__name__ for kind in (OrderedDict, Counter, defaultdict, deque)},
}
_FACTORIES: dict[str | None, Any] = {
    None: None,
    **{
        kind.__name__: kind
        for kind in (int, float, complex, str, bool, list, dict, set, tuple, OrderedDict, Counter, deque)
    },
}


def has_known_factory(value: defaultdict[Any, Any]) -> bool:
    """Say whether the skeleton has a name for the factory of a defaultdict."""
    return any(factory is value.default_factory for factory in _FACTORIES.values())


class CheckpointWriter(PathVisitor):
    """
    Writes a value as JSON in which `{"$tuple": […]}` stands for a tuple and `{"$array": 0}` for the array in 0.npy.

    *tagged* says whether such tags are used; otherwise the value itself is JSON.
    """

    def __init__(self, outer: int = 0) -> None:
        super().__init__(outer)
        self.tagged = False
        self._files: list[tuple[str, bytes | memoryview]] = []

    def skeleton(self, value: Any) -> Json:
        """Return the JSON of a value, and collect the files. Raises CheckpointError with the refused place."""
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
        """Return the skeleton and its files as an uncompressed zip, whose checksums reveal damage."""
        out = BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, data in [(_SKELETON, to_text(skeleton)), *self._files]:
                archive.writestr(zipfile.ZipInfo(name), data)
        return out.getvalue()

    def npy(self, array: Any) -> bytes:
        """Return an array in numpy's format. Raises CheckpointError if that format changes its type."""
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
        self._enter(key)
        content = self.skeleton(value)
        self._leave()
        return content

    def _items(self, values: Iterable[Any]) -> list[Json]:
        return [item if type(item) in _PLAIN else self._at(index, item) for index, item in enumerate(values)]

    def _dict(self, value: dict[Any, Any]) -> Json:
        named = all(type(key) is str for key in value)
        if named and not _is_tag(value):
            return {key: self._at(key, item) for key, item in value.items()}
        self.tagged |= not named
        return {"$dict": self._pairs(value)}

    def _pairs(self, value: dict[Any, Any]) -> list[Json]:
        return [[self._at(key, key), self._at(key, item)] for key, item in value.items()]

    def _tag(self, value: Any) -> tuple[str, Json]:
        tag = _TAGS.get(type(value), "")
        if not tag and type(value).__module__ == "numpy":
            return self._tag_numpy(value)
        if tag in _CONTAINERS:
            return tag, self._items(value)
        if tag in _BYTES:
            return tag, self._file("bin", bytes(value))
        if tag in SCALAR_TYPES and is_reversible(value):
            return tag, SCALAR_TYPES[tag].to_json(value)
        if tag == "deque":
            return tag, [value.maxlen, self._items(value)]
        if tag == "OrderedDict":
            # torch keeps versions of modules in attributes of the dict
            return tag, [self._pairs(value), self._dict(vars(value))]
        if tag == "Counter":
            return tag, self._pairs(value)
        if tag == "defaultdict" and has_known_factory(value):
            factory = value.default_factory
            return tag, [None if factory is None else factory.__name__, self._pairs(value)]
        if torch_codec.is_tensor(value):
            return self._tag_tensor(value)
        if fact := torch_codec.fact_written(value):
            return "torch", list(fact)
        if kind := class_codec.kind_of(value):
            cls, content = type(value), class_codec.content_of(kind, value)
            return kind, [cls.__module__, cls.__qualname__, self.skeleton(content)]
        return self._tag_numpy(value)

    def _tag_tensor(self, value: Any) -> tuple[str, Json]:
        if reason := torch_codec.refusal(value):
            raise self._refusal(*reason)
        return torch_codec.written(value, self._file)

    def _tag_numpy(self, value: Any) -> tuple[str, Json]:
        numpy, kind = sys.modules.get("numpy"), type(value)
        if numpy is not None and kind is numpy.ndarray:
            return "array", self._file("npy", self.npy(value))
        if numpy is None or not isinstance(value, numpy.generic) or kind is not value.dtype.type:
            raise self._refusal(article(f"{kind.__module__}.{kind.__qualname__}"), _repair(value))
        if kind is numpy.str_:
            return "str_", value[:]  # str() would drop NULs at the end
        if kind is numpy.bytes_:
            return "bytes_", self._file("bin", bytes(value))
        if value.dtype.isbuiltin != 1 or kind is numpy.void:
            return "void", self._file("npy", self.npy(numpy.asarray(value)))
        return "scalar", [value.dtype.str, value.tobytes().hex()]

    def _file(self, ending: str, data: bytes | memoryview) -> int:
        self._files.append((f"{len(self._files)}.{ending}", data))
        return len(self._files) - 1

    def _refusal(self, what: str, repair: str = OWN_PICKLE) -> CheckpointError:
        return self._error(f"{what} is not data; {repair}")


class CheckpointReader:
    """Reads a value that `CheckpointWriter` packed; damaged data raises errors of zipfile, json and numpy."""

    def __init__(self, data: bytes) -> None:
        self._archive = zipfile.ZipFile(BytesIO(data))
        if any(info.compress_type != zipfile.ZIP_STORED for info in self._archive.infolist()):
            raise ValueError("found a compressed file, expected none")

    def value(self) -> Any:
        """Return the value."""
        return self._build(from_text(self._archive.read(_SKELETON)))

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
        if tag in SCALAR_TYPES:
            return SCALAR_TYPES[tag].from_json(content)
        if tag in _BYTES:
            return _BYTES[tag](self._bytes(content))
        if tag in ("OrderedDict", "Counter", "defaultdict", "deque"):
            return self._untag_collection(tag, content)
        if tag in ("tensor", "parameter"):
            return torch_codec.read(tag, content, self._bytes)
        if tag == "torch":
            return torch_codec.fact_read(*content)
        if tag in ("dataclass", "namedtuple", "enum"):
            module, qualname, node = content
            return class_codec.made(tag, module, qualname, self._build(node))
        return self._untag_numpy(tag, content)

    def _untag_collection(self, tag: str, content: Any) -> Any:
        if tag == "deque":
            return deque([self._build(item) for item in content[1]], content[0])
        if tag == "Counter":
            return Counter(self._untag("dict", content))
        if tag == "defaultdict":
            return defaultdict(_FACTORIES[content[0]], self._untag("dict", content[1]))
        made = OrderedDict(self._untag("dict", content[0]))
        vars(made).update(self._build(content[1]))
        return made

    def _bytes(self, number: int) -> bytes:
        return self._archive.read(f"{number}.bin")

    def _untag_numpy(self, tag: str, content: Any) -> Any:
        import numpy

        if tag in ("array", "void"):
            array = read_npy(self._archive.read(f"{content}.npy"))
            return array if tag == "array" else array[()]
        if tag == "scalar":
            dtype, digits = content
            return numpy.frombuffer(bytes.fromhex(digits), numpy.dtype(dtype))[0]
        if tag == "str_":
            return numpy.str_(content)
        if tag == "bytes_":
            return numpy.bytes_(self._bytes(content))
        raise CheckpointError(f"the checkpoint holds a {tag!r}, which this qexp does not know; a newer one wrote it")


def _is_tag(value: dict[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith("$")


def _repair(value: Any) -> str:
    if is_estimator(value):
        return "give dump=joblib.dump, load=joblib.load"
    if own := own_state(value):
        return f"keep its {own.name}, or give the object to context.resumable as its state"
    if type(value) is defaultdict:
        return "its factory is a function, expected a type such as int or list"
    if class_codec.is_homeless(value):
        return "define its class at the top level of a module"
    return torch_codec.repair(value) or OWN_PICKLE


def read_npy(data: bytes) -> Any:
    """Return the array that `CheckpointWriter.npy` wrote."""
    from numpy.lib import format as npy

    file = BytesIO(data)
    array = npy.read_array(file, allow_pickle=False, max_header_size=_LONGEST_HEADER)
    if file.read(1):
        raise ValueError("there is more than the array")
    return array


def to_text(value: Json) -> bytes:
    """Return JSON with Python's NaN and Infinity; lone surrogates stay separate characters."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def from_text(data: bytes) -> Json:
    """Return the value that `to_text` wrote."""
    return json.loads(data.decode("utf-8", "surrogatepass"))
