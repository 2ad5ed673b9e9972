"""Read YAML 1.2 (core schema) into nodes that keep their lines, from the events of libyaml."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from qexp.errors import GridError, PlaceError
from qexp.model import Json

MAX_BYTES = 10_000_000
MAX_DEPTH = 64
_TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"
MAX_ALIASED = 100_000
"""The most nodes that aliases may repeat in total, against a "billion laughs" attack."""

_TAG = "tag:yaml.org,2002:"
Part = str | int
Location = tuple[Part, ...]
"""The keys and indices that lead to a value in a grid."""
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_NULL = re.compile(r"(?:~|null|Null|NULL)?")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCT = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NON_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


@dataclass(frozen=True)
class FileKind:
    """The words and the error class for messages about a kind of file."""

    noun: str
    expected: str
    error: type[PlaceError]


GRID = FileKind("grid", "a mapping with 'function' and 'parameters'", GridError)


@dataclass(slots=True)
class Node:
    """One YAML node: a scalar, a list of nodes or a mapping from keys to nodes, and its place."""

    value: Any
    place: str
    key_places: dict[str, str] = field(default_factory=dict)
    size: int = 1
    bare: bool = False
    """Whether it is text without quotes."""

    def data(self) -> Json:
        """Return the plain data below this node."""
        if isinstance(self.value, dict):
            return {key: node.data() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.data() for node in self.value]
        return self.value


def nodes_of(data: Json, name: str, location: Location | None = ()) -> Node:
    """Return the tree of data from Python, with places as in `LocatedData`; without *location*, each is *name*."""
    place = name if location is None else _at(name, location)

    def inner(value: Json, part: Part) -> Node:
        return nodes_of(value, name, None if location is None else (*location, part))

    if isinstance(data, dict):
        nodes = {key: inner(value, key) for key, value in data.items()}
        return Node(nodes, place, {key: node.place for key, node in nodes.items()})
    if isinstance(data, list):
        return Node([inner(value, index) for index, value in enumerate(data)], place)
    return Node(data, place)


def _at(name: str, location: Sequence[Part]) -> str:
    path = ".".join(str(part) for part in location)
    return f"{name}, at {path}" if path else name


class LocatedData:
    """The data of a grid, with the place of each value for messages."""

    def __init__(self, name: str, data: Json, root: Node | None = None) -> None:
        self.name, self.data, self.root = name, data, root
        self.assumed: dict[str, str] = {}
        """Plain names of assignments that set keys of the grid, each with its place."""

    @classmethod
    def of(cls, name: str, root: Node) -> LocatedData:
        """Return the source of a tree of nodes."""
        return cls(name, root.data(), root)

    def place(self, *location: Part, key: bool = False) -> str:
        """
        Return `FILE, line N` of the node at *location*, or of its key; unknown parts are skipped.

        Data from Python have places such as `grid, at parameters.lr`.
        """
        if self.root is None:
            return _at(self.name, location)
        node, place = self.root, self.root.place
        for part in location:
            if isinstance(node.value, dict) and part in node.value:
                place = node.key_places[str(part)] if key else node.value[part].place
                node = node.value[part]
            elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                place = node.place
        return place

    def error(self, problem: str, *location: Part, key: bool = False) -> GridError:
        """Return the error about the *problem* of the node at *location*."""
        return GridError(self.place(*location, key=key), problem)


def read(path: Path, kind: FileKind = GRID) -> Node:
    """Read a YAML file. Raises the error class of its kind for any mistake."""
    return parse(_text(path, kind), str(path), kind=kind)


def _text(path: Path, kind: FileKind) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise kind.error(
            str(path), f"cannot read the {kind.noun} file: {(error.strerror or str(error)).lower()}"
        ) from error
    if len(raw) > MAX_BYTES:
        raise kind.error(
            str(path), f"the file has more than {MAX_BYTES // 1_000_000} MB, which no {kind.noun} file needs"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise kind.error(f"{path}, line {line}", f"byte 0x{raw[error.start]:02x} is not UTF-8") from error
    if match := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, match.start()) + 1
        raise kind.error(f"{path}, line {line}", f"character U+{ord(match[0]):04X} is not allowed in YAML")
    return text


def parse(text: str, name: str, numbered: bool = True, kind: FileKind = GRID) -> Node:
    """Return the tree of a YAML text that came from *name*; places have line numbers if it is *numbered*."""
    try:
        return _Composer(name, numbered, kind).compose(yaml.parse(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or "not YAML"
        context = f" {error.context}" if error.context and error.context != what else ""
        place = f"{name}, line {mark.line + 1 if mark else 1}" if numbered else name
        too_deep = "nesting depth" in what  # some versions of libyaml have their own limit
        raise kind.error(place, _TOO_DEEP if too_deep else f"not YAML: {what}{context}") from error
    except yaml.YAMLError as error:
        raise kind.error(f"{name}, line 1", f"not YAML: {str(error).splitlines()[0]}") from error


@dataclass(slots=True)
class _Open:
    """An unfinished list or mapping."""

    node: Node
    anchor: str | None
    key: tuple[str | None, str] | None = None
    """The key that waits for its value, and its place; a key of None is a merge key."""
    merged: set[str] | None = None
    """Keys from a merge key, which the mapping's own keys override. None before a merge key."""


class _Composer:
    """Builds nodes from parser events without recursion, so that deep nesting cannot exhaust the stack."""

    def __init__(self, name: str, numbered: bool, kind: FileKind) -> None:
        self.name, self.numbered, self.kind = name, numbered, kind
        self.anchors: dict[str, Node] = {}
        self.aliased = 0
        self.stack: list[_Open] = []
        self.root: Node | None = None
        self.line, self.text = 0, ""

    def compose(self, events: Iterator[Any]) -> Node:
        for event in events:
            line = event.start_mark.line + 1
            if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
                raise self.error(line, f"a second document begins; a {self.kind.noun} file is one document")
            if isinstance(event, yaml.ScalarEvent):
                self.scalar(event, line)
            elif isinstance(event, yaml.AliasEvent):
                self.add(self.alias(event, line), None)
            elif isinstance(event, yaml.CollectionStartEvent):
                self.open(event, line)
            elif isinstance(event, yaml.CollectionEndEvent):
                self.close()
        if self.root is None:
            raise self.error(1, f"the file is empty; expected {self.kind.expected}")
        return self.root

    def place(self, line: int) -> str:
        """Return the place of a line; nodes on the same line share the text."""
        if not self.numbered:
            return self.name
        if line != self.line:
            self.line, self.text = line, f"{self.name}, line {line}"
        return self.text

    def error(self, line: int, problem: str) -> PlaceError:
        return self.kind.error(self.place(line), problem)

    def open(self, event: Any, line: int) -> None:
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if not event.implicit and event.tag not in (None, "!", _TAG + ("map" if is_mapping else "seq")):
            raise self.error(line, f"found the tag {_shown(event.tag)}, expected plain data")
        if len(self.stack) >= MAX_DEPTH:
            raise self.error(line, _TOO_DEEP)
        if self.awaits_key:
            raise self.error(line, "found a list or mapping as a key, expected text")
        self.stack.append(_Open(Node({} if is_mapping else [], self.place(line)), event.anchor))

    def close(self) -> None:
        closed = self.stack.pop()
        self.add(closed.node, closed.anchor)

    @property
    def awaits_key(self) -> bool:
        return bool(self.stack) and self.stack[-1].key is None and isinstance(self.stack[-1].node.value, dict)

    def add(self, node: Node, anchor: str | None) -> None:
        if anchor:
            self.anchors[anchor] = node
        if not self.stack:
            self.root = node
            return
        above = self.stack[-1]
        parent = above.node
        if isinstance(parent.value, list):
            parent.value.append(node)
        elif above.key is None:
            above.key = (self.key(above, node), node.place)
            return
        else:
            key, place = above.key
            above.key = None
            if key is None:
                self.merge(above, node)
            else:
                parent.value[key] = node
                parent.key_places[key] = place
        parent.size += node.size

    def key(self, above: _Open, node: Node) -> str:
        if not isinstance(node.value, str):
            shown = "null" if node.value is None else str(node.value).lower()
            raise self.kind.error(node.place, f"found {shown} as a key, expected text; quote it")
        if above.merged is not None and node.value in above.merged:
            above.merged.remove(node.value)
        elif node.value in above.node.value:
            first = above.node.key_places[node.value].rpartition(", ")[2]
            raise self.kind.error(node.place, f"the key {node.value!r} is repeated (first on {first})")
        return node.value

    def merge(self, above: _Open, node: Node) -> None:
        """Add the keys of one or several mappings to a mapping; its own keys win, then those of earlier mappings."""
        merged = above.merged = set()
        for one in node.value if isinstance(node.value, list) else [node]:
            if not isinstance(one.value, dict):
                raise self.kind.error(
                    one.place, "found no mapping after '<<', expected one with keys to merge, or a list"
                )
            for key, value in one.value.items():
                if key not in above.node.value:
                    above.node.value[key] = value
                    above.node.key_places[key] = one.key_places[key]
                    merged.add(key)

    def alias(self, event: Any, line: int) -> Node:
        node = self.anchors.get(event.anchor)
        if node is None:
            raise self.error(line, f"no anchor is named {event.anchor!r} above")
        self.aliased += node.size
        if self.aliased > MAX_ALIASED:
            raise self.error(line, f"aliases repeat more than {MAX_ALIASED:,} values")
        return Node(node.value, self.place(line), node.key_places, node.size, node.bare)

    def scalar(self, event: Any, line: int) -> None:
        text: str = event.value
        is_plain = event.tag is None and event.implicit[0]
        if "\0" in text:
            raise self.error(line, "found the character U+0000, which Postgres cannot keep in text")
        if self.awaits_key and (event.tag == _TAG + "merge" or (is_plain and text == "<<")):
            if self.stack[-1].merged is not None:
                raise self.error(line, "the key '<<' is repeated; merge several mappings with <<: [*one, *other]")
            self.stack[-1].key = (None, self.place(line))
            return
        value = self.resolved(event, line) if is_plain or event.tag is not None else text
        self.add(Node(value, self.place(line), bare=is_plain and isinstance(value, str)), event.anchor)

    def resolved(self, event: Any, line: int) -> Json:
        """Return the value of a scalar without quotes, or with a tag."""
        text = event.value
        try:
            value = resolve(text) if event.tag is None else _tagged(event.tag, text)
        except ValueError as error:
            raise self.error(line, str(error)) from error
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error(line, f"found {text}, expected a finite number (at most 1.8e308)")
        return value


def resolve(text: str) -> Json:
    """Return the value of a plain scalar in YAML 1.2's core schema (section 10.3.2 of the specification)."""
    if _NON_FINITE.fullmatch(text):
        raise ValueError(f"found {text}, expected a finite number")
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text[0] in "tT"
    return _number(text)


def _number(text: str) -> Json:
    """Return a text as a number if it is one, otherwise the text."""
    try:
        if _INT.fullmatch(text):
            return int(text)
        if _OCT.fullmatch(text):
            return int(text[2:], 8)
        if _HEX.fullmatch(text):
            return int(text, 16)
    except ValueError as error:
        raise ValueError("found a number of more than 4,000 digits") from error
    return float(text) if _FLOAT.fullmatch(text) else text


def _tagged(tag: str, text: str) -> Json:
    """Return the value of a scalar whose tag names a type of YAML's core schema."""
    kind = tag.removeprefix(_TAG)
    if tag == "!" or kind == "str":
        return text
    if kind not in ("null", "bool", "int", "float"):
        raise ValueError(f"found the tag {_shown(tag)}, expected plain data")
    value = resolve(text)
    if kind == "float" and type(value) is int and _INT.fullmatch(text):
        return float(text)
    if type(value) is not {"null": type(None), "bool": bool, "int": int, "float": float}[kind]:
        raise ValueError(f"found {text!r} with the tag !!{kind}, expected {_KINDS[kind]}")
    return value


_KINDS = {"null": "null", "bool": "true or false", "int": "a whole number", "float": "a number"}


def _shown(tag: str) -> str:
    return repr(f"!!{tag.removeprefix(_TAG)}" if tag.startswith(_TAG) else tag)
