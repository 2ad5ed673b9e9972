"""Refuse keys of a grid that an annotation ignores: a sweep over one would repeat the same experiment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

from qexp.dotted_names import ABSENT
from qexp.errors import nearest
from qexp.functions.converted_parts import accepted_keys, fields, inner, items
from qexp.functions.key_effects import Convert, Path, has_effect, replaced
from qexp.model import Json


class IgnoredKeyError(ValueError):
    """A dataclass, a model or a TypedDict ignores a key; *keys* is the path of the key."""

    def __init__(self, problem: str, keys: Path) -> None:
        super().__init__(problem)
        self.keys = keys


def refuse_ignored_keys(written: Json, converted: Any, convert: Convert, schema: object = None) -> None:
    """
    Raise IgnoredKeyError for a key that has no effect on the converted value.

    A key that a validator reads has an effect: the value is converted differently without it or with another content.
    The core *schema* of the annotation has the fields of its TypedDicts.
    """
    for keys, part in _unread(written, converted, ()):
        if not any(has_effect(converted, convert, changed, written) for changed in _changed(written, keys)):
            raise IgnoredKeyError(
                f"found the key {keys[-1]!r}, expected {_expected(str(keys[-1]), part, schema)}", keys
            )


def _unread(written: Json, converted: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield the path of each key that became no field, and the converted mapping that lacks the field."""
    converted = inner(converted)
    if isinstance(written, list) and isinstance(converted, Set):
        yield from _unread_in_set(written, [member for member in converted if accepted_keys(member) is not None], path)
    elif isinstance(written, list):
        for index, (item, part) in enumerate(zip(written, items(written, converted), strict=True)):
            yield from _unread(item, part, (*path, index))
    if not isinstance(written, dict):
        return
    accepted = accepted_keys(converted)
    if accepted is not None:
        parts = fields(converted)
        ignored = [key for key in written if key not in parts and key not in accepted]
    elif isinstance(converted, Mapping):  # a TypedDict drops keys that it ignores
        parts = dict(converted)
        ignored = [key for key in written if key not in parts] if len(parts) < len(written) else []
    else:
        return
    for key in ignored:
        yield (*path, key), converted
    for key, item in written.items():
        yield from _unread(item, parts.get(key, ABSENT), (*path, key))


def _unread_in_set(written: list[Json], members: list[Any], path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield the path of each key that no member of a set takes; a set has no order, so any member may take it."""
    known = {key for member in members for key in {**fields(member), **(accepted_keys(member) or {})}}
    for index, item in enumerate(written if members else ()):
        for key in item if isinstance(item, dict) else ():
            if key not in known:
                yield (*path, index, key), members[0]


def _changed(written: Json, keys: Path) -> Iterator[Any]:
    """Yield a value twice: without a key, and with an object under this key that no grid contains."""
    for other in (ABSENT, object()):
        yield replaced(written, keys, other)


def _expected(key: str, part: Any, schema: object) -> str:
    """Return the keys that a mapping may have instead of an ignored one, in words."""
    accepted = accepted_keys(part)
    name = type(part).__name__
    if accepted is None:
        name, accepted = _typed_dict(schema, part)
    if not accepted:
        return f"no keys, since {name} has no fields"
    return f"one of the fields of {name}: {', '.join(accepted)}{nearest(key, accepted)}"


def _typed_dict(schema: object, part: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name and the fields of the TypedDict that made *part*. Returns the keys of *part* if none fits."""
    pending = [schema]
    while pending:
        here = pending.pop(0)
        if isinstance(here, list | tuple):
            pending += here
        elif isinstance(here, dict):
            declared = here.get("fields")
            if here.get("type") == "typed-dict" and isinstance(declared, dict) and part.keys() <= declared.keys():
                return getattr(here.get("cls"), "__name__", "its TypedDict"), declared
            pending += here.values()
    return "its TypedDict", dict(part)
