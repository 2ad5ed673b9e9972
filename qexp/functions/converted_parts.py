"""Get parts of a converted value by the keys that a grid may write for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qexp.dotted_names import ABSENT
from qexp.model import Json


def inner(converted: Any) -> Any:
    """Return the content of a pydantic RootModel, and any other value as it is."""
    return converted.root if getattr(type(converted), "__pydantic_root_model__", False) else converted


def items(written: list[Json], converted: Any) -> Sequence[Any]:
    """Return the converted part for each written part of a list; a named tuple may have more."""
    if isinstance(converted, tuple) and len(converted) >= len(written):
        return converted[: len(written)]
    if isinstance(converted, Sequence) and not isinstance(converted, str) and len(converted) == len(written):
        return converted
    return [ABSENT] * len(written)


def fields(converted: Any) -> dict[str, Any]:
    """Return the fields of a dataclass, a model or a named tuple by the keys that a grid may write for them."""
    extra = getattr(converted, "__pydantic_extra__", None) or {}
    named = (accepted_keys(converted) or {}).items()
    return {key: getattr(converted, name) for key, name in named if name and hasattr(converted, name)} | extra


def accepted_keys(converted: Any) -> dict[str, str | None] | None:
    """
    Return the keys that a dataclass, a model or a named tuple takes, each with the attribute that it sets.

    The attribute is None if the key sets no attribute of its own. Returns None for any other value.
    """
    kind = type(converted)
    known = getattr(kind, "__pydantic_fields__", None)
    if isinstance(known, Mapping):
        return {key: name for field, about in known.items() for key, name in _keys(kind, field, about)}
    if dataclasses.is_dataclass(converted):
        found: dict[str, str | None] = {field.name: field.name for field in dataclasses.fields(converted) if field.init}
        initial: Any = dataclasses._FIELD_INITVAR  # type: ignore[attr-defined]
        declared: Mapping[str, Any] = converted.__dataclass_fields__
        return found | {name: None for name, field in declared.items() if field._field_type is initial}
    if isinstance(converted, tuple) and hasattr(converted, "_fields"):
        return {name: name for name in converted._fields}
    return None


def _keys(kind: Any, name: str, about: Any) -> Iterator[tuple[str, str | None]]:
    """Yield the keys that set a field of a model: its aliases, its name, or both, as its configuration says."""
    config = getattr(kind, "model_config", None) or getattr(kind, "__pydantic_config__", None) or {}
    alias = about.validation_alias or about.alias
    if alias is None or config.get("populate_by_name") or config.get("validate_by_name"):
        yield name, name
    if alias is not None and config.get("validate_by_alias", True) is not False:
        for one in getattr(alias, "choices", [alias]):
            yield (one, name) if isinstance(one, str) else (str(one.path[0]), None)
