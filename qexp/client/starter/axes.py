"""Propose values for the parameters of a function, from its defaults and annotations."""

from __future__ import annotations

import enum
import inspect
import json
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from qexp.functions import Signature
from qexp.functions.callables import annotated
from qexp.functions.signature import Function
from qexp.truncation import shortened

EMPTY = inspect.Parameter.empty
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_WORDS = {"true", "false", "null", "none", "yes", "no", "on", "off", "y", "n"}
_SHOWN = 40
"""The most characters of an annotation in a comment."""


@dataclass(frozen=True)
class ProposedAxis:
    """The values of a parameter in a first grid; none if a person must fill them in, or may."""

    name: str
    values: tuple[Any, ...]
    comment: str = ""
    is_optional: bool = False
    """The function has a default that a grid cannot have."""

    @property
    def must_be_filled_in(self) -> bool:
        """Whether the grid is refused until a person gives values."""
        return not self.values and not self.is_optional

    @property
    def text(self) -> str:
        """The line of the axis in YAML."""
        listing = ", ".join(map(yaml_text, self.values))
        nested = any(isinstance(value, dict | list | tuple) for value in self.values)
        line = f"{yaml_text(self.name)}: " + (f"{{values: [{listing}]}}" if nested else f"[{listing}]")
        return f"# {line}" if self.is_optional else line


def proposed_axes(function: Function, signature: Signature) -> list[ProposedAxis]:
    """Return an axis for each parameter of a function, but for its context and its seed."""
    given = inspect.signature(function).parameters
    hints = typing.get_type_hints(annotated(function)) if hasattr(annotated(function), "__annotations__") else {}
    axes = []
    for name in signature.names:
        default = given[name].default if name in given else EMPTY
        if name != "seed":
            axes.append(_axis(name, hints.get(name, EMPTY), default))
    return axes


def _axis(name: str, hint: Any, default: Any) -> ProposedAxis:
    if choices := list(dict.fromkeys(_choices(hint, default))):
        return ProposedAxis(name, tuple(choices))
    if default is EMPTY:
        return ProposedAxis(name, (), "fill in the values" if hint is EMPTY else f"fill in the values: {_shown(hint)}")
    if isinstance(default, enum.Enum):
        default = default.value
    if not is_data(default):
        found = default if isinstance(default, float) else f"of type {type(default).__name__}"
        return ProposedAxis(name, (), f"the default, {found}, cannot stand in a grid", is_optional=True)
    return ProposedAxis(name, (default,), "the default")


def _choices(hint: Any, default: Any) -> Iterator[Any]:
    """Yield all values that an annotation names: of a bool, a Literal or an Enum, also beside None."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = typing.get_args(hint)
        for part in parts:
            found = list(_choices(part, EMPTY)) if part is not type(None) else [None]
            if not found:
                return
            yield from found
    elif typing.get_origin(hint) is typing.Literal:
        yield from (value.value if isinstance(value, enum.Enum) else value for value in typing.get_args(hint))
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        yield from (member.value for member in hint if is_data(member.value))
    elif hint is bool or (hint is EMPTY and isinstance(default, bool)):
        yield from (False, True)


def is_data(value: Any) -> bool:
    """Say whether a grid can have a value."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and is_data(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(is_data, value))
    return value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value))


def yaml_text(value: Any) -> str:
    """
    Return a value as YAML 1.2 in one line.

    >>> yaml_text({"name": "svc", "C": [1e-05, None]}), yaml_text("no")
    ('{name: svc, C: [1e-05, null]}', '"no"')
    """
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{yaml_text(key)}: {yaml_text(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(yaml_text, value))}]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def _shown(hint: Any) -> str:
    """Return an annotation as a person writes it."""
    text = hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint).replace("typing.", "")
    return shortened(text, _SHOWN)
