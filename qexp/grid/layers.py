"""A grid file over its `base`, and assignments from the command line over both: one tree that knows its places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qexp.errors import GridError
from qexp.grid.forms import FORMS
from qexp.grid.reader import Node, Source, parse, read
from qexp.grid.schema import GridFile

_MERGED = ("parameters", "settings", "sampling", "retries", "stop_after")
"""Sections in which a grid overrides its base key by key; any other key replaces that of the base."""
_SECTIONS = ("settings", "sampling", "retries", "stop_after")


def layered(path: Path, assignments: Sequence[str] = ()) -> Source:
    """Read a grid file with its bases and *assignments* `name=value`; GridError names the file, line or assignment."""
    root = _with_base(path, [])
    for assignment in assignments:
        root = _assigned(root, assignment)
    return Source.of(str(path), root)


def _with_base(path: Path, seen: list[Path]) -> Node:
    root = read(path)
    if not isinstance(root.value, dict) or "base" not in root.value:
        return root
    base = root.value["base"]
    if not isinstance(base.value, str):
        raise GridError(base.place, "base: expected the path of another grid file")
    other = path.parent / base.value
    chain = [*seen, path.resolve()]
    if other.resolve() in chain:
        raise GridError(base.place, f"base: {base.value} leads back to itself")
    if not other.is_file():
        raise GridError(base.place, f"base: there is no file {other}")
    below = _with_base(other, chain)
    if not isinstance(below.value, dict):
        raise GridError(below.place, "expected a mapping with 'function' and 'parameters'")
    del root.value["base"]
    return _over(below, root)


def _over(below: Node, above: Node) -> Node:
    """Return *above* laid over *below*: keys of the base first, in their order."""
    merged = Node({**below.value}, above.place, {**below.key_places})
    for key, node in above.value.items():
        old = merged.value.get(key)
        both = old is not None and isinstance(old.value, dict) and isinstance(node.value, dict)
        merged.value[key] = _shallow(old, node) if both and key in _MERGED else node
        merged.key_places[key] = above.key_places[key]
    return merged


def _shallow(below: Node, above: Node) -> Node:
    return Node({**below.value, **above.value}, above.place, {**below.key_places, **above.key_places})


def _assigned(root: Node, assignment: str) -> Node:
    """Lay one `name=value` over a grid: a key of the grid, `settings.NAME`, else a parameter, whose values it lists."""
    place = f"--set {assignment}"
    name, equals, text = assignment.partition("=")
    name = name.strip()
    if name == "notify":
        place = "--set notify=***"
    if not equals or not name:
        raise GridError(place, "expected NAME=VALUE[,VALUE...], such as lr=1e-3,1e-4")
    if not isinstance(root.value, dict):
        return root
    section, dot, inner = name.partition(".")
    if dot and section in _SECTIONS:
        return _over(root, _mapping(place, section, _mapping(place, inner, parse(text, place, numbered=False))))
    if name in GridFile.model_fields and name not in ("parameters", "zip", "when", "exclude", "include"):
        return _over(root, _mapping(place, name, parse(text, place, numbered=False)))
    return _over(root, _mapping(place, "parameters", _mapping(place, name, _axis(text, place))))


def _axis(text: str, place: str) -> Node:
    """Return the values of an axis: those of a flow list, with or without brackets, or one of the forms."""
    if text.lstrip().startswith(("[", "{")):
        node = parse(text, place, numbered=False)
        if isinstance(node.value, list) or (isinstance(node.value, dict) and any(key in FORMS for key in node.value)):
            return node
    return parse(f"[{text}]", place, numbered=False)


def _mapping(place: str, key: str, node: Node) -> Node:
    return Node({key: node}, place, {key: place})
