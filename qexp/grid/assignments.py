"""Assignments from `--set NAME=VALUES` and from Python, which override values of a grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from qexp.default_field_marks import marked
from qexp.errors import GridError, nearest
from qexp.grid.axis_forms import FORMS
from qexp.grid.schema import GridFile
from qexp.grid.yaml_source import Node, nodes_of, parse
from qexp.serialization import KEY_TYPES, to_json

_SECTIONS = ("parameters", "settings", "sampling", "retries", "stop_after", "source")
"""Sections of a grid whose inner names can be set one by one: `settings.epochs=5`."""
_LISTS = ("zip", "when", "exclude", "include")

KeyPath = tuple[str, ...]
"""The keys that lead to a value in a grid: `("queue",)`, or a section and the name in it."""


@dataclass(frozen=True)
class Assignment:
    """A name and its values, given outside of the grid file."""

    name: str
    written: Any
    """Text if it comes from the command line, data if it comes from Python."""
    place: str
    """The text that names it in errors; without values of `notify`, which hold secrets."""
    is_text: bool = True

    @classmethod
    def from_text(cls, assignment: str) -> Assignment:
        """Parse one `NAME=VALUES` of the command line."""
        name, equals, text = assignment.partition("=")
        name = name.strip()
        place = f"--set {name}=***" if name.rpartition(".")[2] == "notify" else f"--set {assignment}"
        if not equals or not name:
            raise GridError(place, "expected NAME=VALUE[,VALUE...], such as lr=1e-3,1e-4")
        return cls(name, text, place)

    @classmethod
    def from_data(cls, name: str, value: Any, argument: str) -> Assignment:
        """Make an assignment from a value in Python; *argument* names it in errors."""
        if not isinstance(name, str):
            raise GridError(argument, f"found {name!r} as a name, expected text")
        try:
            return cls(name, marked(to_json(value, finite=True, keys=KEY_TYPES), value), argument, is_text=False)
        except ValueError as error:
            raise GridError(argument, f"{error}; expected values that JSON can hold") from error

    def value(self, key: str, *inside: str) -> Node:
        """Return the node for *key*, or for a name *inside* it."""
        if not self.is_text:
            return nodes_of(self.written, self.place, None)
        if key == "parameters" and inside:
            return self._axis()
        if not inside and key in _LISTS:
            return self._list()
        if not inside and key == "seeds" and self.written.strip():
            values = self._parse(f"[{self.written}]")
            return values if len(values.value) != 1 else self._parse(self.written)
        return self._parse(self.written) if self.written.strip() else Node(None, self.place)

    def _axis(self) -> Node:
        """Return the values of an axis: one of the forms, or a list with or without brackets."""
        values = self._parse(f"[{self.written}]")
        only: Node = values.value[0] if len(values.value) == 1 else values
        is_form = isinstance(only.value, dict) and any(key in FORMS for key in only.value)
        return only if is_form else self._list()

    def _list(self) -> Node:
        """Return the values, separated by commas; a single list is the list of values."""
        values = self._parse(f"[{self.written}]")
        only: Node = values.value[0] if len(values.value) == 1 else values
        return only if isinstance(only.value, list) else values

    def _parse(self, text: str) -> Node:
        return parse(text, self.place, numbered=False)


def target_of(root: Node, one: Assignment) -> KeyPath:
    """
    Return the keys that lead to the target of an assignment. Raises GridError if several targets are possible.

    A plain name is a key of the grid if this key exists, otherwise a parameter. `parameters.NAME`, `settings.NAME` and
    `grid.KEY` are unambiguous.
    """
    name = one.name
    named = _parameters(root)
    section, _, inner = name.partition(".")
    if section == "grid" and inner:
        path = _key(one, inner)
    elif section in _SECTIONS and inner:
        path = (section, inner)
    elif name in GridFile.model_fields:
        path = (name,)
    else:
        path = ("parameters", name)
    spelled = path != ("parameters", name)
    if spelled and name in named:
        other = f"grid.{name}" if name in GridFile.model_fields else f"grid.{'.'.join(path)}"
        raise GridError(one.place, f"{name!r} has two meanings here: write parameters.{name}=… or {other}=…")
    if len(path) == 1 and path == (name,) and name in _names(root, "settings"):
        raise GridError(one.place, f"{name!r} has two meanings here: write settings.{name}=… or grid.{name}=…")
    if path[0] == "parameters" and len(path) == 2:
        _check_parameter(root, one, path[1], named)
    return path


def _key(one: Assignment, name: str) -> KeyPath:
    key, _, inner = name.partition(".")
    if key not in GridFile.model_fields or (inner and key not in _SECTIONS):
        raise GridError(one.place, f"there is no key {name!r} in a grid{nearest(key, GridFile.model_fields)}")
    return (key, inner) if inner else (key,)


def _check_parameter(root: Node, one: Assignment, name: str, named: Mapping[str, tuple[str, str]]) -> None:
    """Refuse a parameter of another section if an axis cannot replace it."""
    section, place = named.get(name, ("", ""))
    if section not in ("zip", "when") and name in _names(root, "settings"):
        problem = f"{name!r} is a setting: write settings.{name}=…, or take it out of 'settings' to vary it"
    elif name == "seed" and not section and "seeds" in root.value:
        problem = "'seed' is the axis of 'seeds': write seeds=[…]"
    elif section in ("zip", "when"):
        what = "moves together with others" if section == "zip" else "depends on a condition"
        problem = f"{name!r} {what} in {section!r} ({place}): write grid.{section}=[…]"
    else:
        return
    raise GridError(one.place, problem)


def _names(root: Node, section: str) -> Mapping[str, Node]:
    node = root.value.get(section) if isinstance(root.value, dict) else None
    return node.value if node is not None and isinstance(node.value, dict) else {}


def _parameters(root: Node) -> dict[str, tuple[str, str]]:
    """Return the parameters of a grid by name, each with its section and its place."""
    found: dict[str, tuple[str, str]] = {}
    for section, name, node in given_values(root):
        if section != "settings":
            found.setdefault(name, (section, node.place))
    return found


def given_values(root: Node) -> Iterator[tuple[str, str, Node]]:
    """Yield section, name and node of each value of parameters and settings."""
    for section in ("parameters", "zip", "when", "include", "settings"):
        node = root.value.get(section)
        for entry in [] if node is None else node.value if isinstance(node.value, list) else [node]:
            inner = _names(entry, "parameters") if section == "when" else entry.value
            for name, value in inner.items() if isinstance(inner, dict) else ():
                yield section, name, value


def assignments_of(keys: Mapping[str, Any], values: Mapping[str, Any]) -> list[Assignment]:
    """Return the assignments from Python: *keys* of the grid, and *values* by the names that `--set` uses."""
    if not isinstance(values, Mapping):
        raise GridError("set", f"found {values!r:.60}, expected a mapping such as {{'lr': [0.1, 0.01]}}")
    found = [Assignment.from_data(f"grid.{name}", value, f"argument {name!r}") for name, value in keys.items()]
    return found + [Assignment.from_data(name, value, f"set, {name!r}") for name, value in values.items()]
