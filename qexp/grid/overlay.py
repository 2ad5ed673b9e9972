"""Merge a grid file with its `base` and with assignments into one tree that keeps the place of each node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from qexp.errors import GridError
from qexp.grid.assignments import Assignment, target_of
from qexp.grid.yaml_source import LocatedData, Node, nodes_of, read
from qexp.model import Json

_MERGED = ("parameters", "settings", "sampling", "retries", "stop_after")
"""Sections that a grid merges with its base key by key; any other key replaces the base's value."""
_NOTES = "x-"
"""The prefix of keys that qexp ignores; users put anchors there."""
_FROM_PYTHON = "grid"
"""The name that errors give a grid from Python, in place of its file."""


def layered(path: Path, assignments: Sequence[Assignment] = ()) -> LocatedData:
    """Read a grid file with its bases and apply *assignments*. Raises GridError."""
    return _assembled(str(path), _own(read(path), path.parent), [path.resolve()], assignments)


def layered_data(data: Mapping[str, Json], assignments: Sequence[Assignment] = ()) -> LocatedData:
    """Merge a grid from Python, as `layered` does; its paths are relative to the working folder."""
    if not (assignments or {"base", "folder"} & data.keys() or any(str(key).startswith(_NOTES) for key in data)):
        return LocatedData(_FROM_PYTHON, dict(data))
    return overlaid(LocatedData(_FROM_PYTHON, data, nodes_of(dict(data), _FROM_PYTHON)), assignments)


def overlaid(source: LocatedData, assignments: Sequence[Assignment]) -> LocatedData:
    """Apply *assignments* to a grid that was read before, and merge its `base`."""
    root = source.root if source.root is not None else nodes_of(source.data, source.name)
    return _assembled(source.name, _own(root, Path()), [], assignments)


def _assembled(name: str, own: Node, seen: list[Path], assignments: Sequence[Assignment]) -> LocatedData:
    """Return the *own* layer of a grid, merged with its bases and *assignments*."""
    root, assumed = _over_base(own, seen), {}
    if not isinstance(root.value, dict):
        return LocatedData.of(name, root)
    bases = [one for one in assignments if one.name in ("base", "grid.base") and target_of(root, one) == ("base",)]
    if bases:
        last = _mapping(bases[-1].place, "base", bases[-1].value("base"))
        root = _over_base(_over(own, _own(last, Path())), seen)
    for one in assignments:
        if one in bases:
            continue
        path = target_of(root, one)
        node = one.value(*path)
        for key in reversed(path):
            node = _mapping(one.place, key, node)
        root = _over(root, _own(node, Path()) if path == ("folder",) else node)
        if path == (one.name,):
            assumed[one.name] = one.place
    source = LocatedData.of(name, root)
    source.assumed = assumed
    return source


def _own(root: Node, folder: Path) -> Node:
    """Return a layer without the user's own keys; its paths are resolved against *folder*."""
    if not isinstance(root.value, dict):
        return root
    kept = {key: node for key, node in root.value.items() if not key.startswith(_NOTES)}
    if (base := kept.get("base")) is not None and isinstance(base.value, str):
        kept["base"] = Node(str(folder / base.value), base.place)
    if (code := kept.get("folder")) is not None and isinstance(code.value, str):
        kept["folder"] = Node(str((folder / code.value).resolve()), code.place)
    return Node(kept, root.place, root.key_places)


def _over_base(root: Node, seen: Sequence[Path]) -> Node:
    """Return a layer merged with its bases; *seen* are the files that lead to it."""
    if not isinstance(root.value, dict) or "base" not in root.value:
        return root
    base = root.value["base"]
    root = Node({key: node for key, node in root.value.items() if key != "base"}, root.place, root.key_places)
    if base.value is None:
        return root
    if not isinstance(base.value, str):
        raise GridError(base.place, "base: expected the path of another grid file")
    other = Path(base.value)
    if other.resolve() in seen:
        raise GridError(base.place, f"base: {other.name} refers back to itself")
    if not other.is_file():
        raise GridError(base.place, f"base: there is no file {other}")
    below = _over_base(_own(read(other), other.parent), [*seen, other.resolve()])
    if not isinstance(below.value, dict):
        raise GridError(below.place, "expected a mapping with 'function' and 'parameters'")
    return _over(below, root)


def _over(below: Node, above: Node) -> Node:
    """Return *below* overridden by *above*; the keys of *below* come first."""
    merged = Node({**below.value}, above.place, {**below.key_places})
    for key, node in above.value.items():
        merged.value[key] = _merged(key, merged.value[key], node) if key in merged.value else node
        merged.key_places[key] = above.key_places[key]
    return merged


def _merged(key: str, below: Node, above: Node) -> Node:
    below, above = _as_section(key, below), _as_section(key, above)
    if key not in _MERGED or not isinstance(below.value, dict) or not isinstance(above.value, dict):
        return above
    return Node({**below.value, **above.value}, above.place, {**below.key_places, **above.key_places})


def _as_section(key: str, node: Node) -> Node:
    """Expand the short form `retries: 3` to a section."""
    if key == "retries" and isinstance(node.value, int) and not isinstance(node.value, bool):
        return _mapping(node.place, "error", node)
    return node


def _mapping(place: str, key: str, node: Node) -> Node:
    return Node({key: node}, place, {key: place})
