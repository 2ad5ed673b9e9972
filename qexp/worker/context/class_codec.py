"""
Dataclasses, named tuples and enums in a checkpoint, each named by its module and class.

Reading a checkpoint looks classes up only in modules that are imported already. It calls neither `__init__` nor
`__post_init__`.
"""

from __future__ import annotations

import dataclasses
import enum
import sys
from typing import Any

from qexp.errors import CheckpointError
from qexp.worker.context.state_protocols import attributes, is_plain


def kind_of(value: Any) -> str | None:
    """Return the tag of a value whose class can be named: dataclass, namedtuple or enum. Returns None for others."""
    cls = type(value)
    if cls.__module__ == "builtins" or _found(cls.__module__, cls.__qualname__) is not cls:
        return None
    return _kind(cls)


def is_homeless(value: Any) -> bool:
    """Say whether a value cannot be written only because its class is defined in a function."""
    return kind_of(value) is None and _kind(type(value)) is not None


def _kind(cls: type) -> str | None:
    if issubclass(cls, enum.Enum):
        return "enum"
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return "namedtuple"
    if dataclasses.is_dataclass(cls) and is_plain(cls):
        return "dataclass"
    return None


def content_of(kind: str, value: Any) -> Any:
    """Return the content of a value: a dataclass's attributes, a named tuple's items, or an enum member's value."""
    if kind == "dataclass":
        return attributes(value)
    return list(value) if kind == "namedtuple" else value.value


def rebuilt(cls: type, kind: str, content: Any) -> Any:
    """Return an instance of a class with this content, without running code of a dataclass or namedtuple."""
    if kind == "enum":
        return cls(content)
    if kind == "namedtuple":
        return tuple.__new__(cls, content)
    made: Any = object.__new__(cls)
    for name, item in content.items():
        object.__setattr__(made, name, item)  # a frozen dataclass's own __setattr__ raises
    return made


def made(kind: str, module: str, qualname: str, content: Any) -> Any:
    """Return the value that was written. Raises CheckpointError if no imported module has its class."""
    cls = _found(module, qualname)
    if not isinstance(cls, type) or _kind(cls) != kind:
        raise CheckpointError(
            f"the checkpoint holds a {qualname} of the module {module}, expected a {kind} of this name in an imported "
            "module; import it, or start again without checkpoints: 'qexp requeue ID --fresh'"
        )
    return rebuilt(cls, kind, content)


def _found(module: str, qualname: str) -> Any:
    found: Any = sys.modules.get(module)
    for name in qualname.split("."):
        found = getattr(found, "__dict__", {}).get(name)  # getattr would make lazy modules import
    return found
