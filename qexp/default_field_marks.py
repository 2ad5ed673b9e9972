"""Mark fields with default values in the instances of dataclasses and models that Python code gives a grid."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from qexp.model import SCALARS, Json


class DefaultKey(str):
    """The key of a field that has its default value, or is computed from other fields."""

    __slots__ = ()


def marked(plain: Json, value: Any) -> Json:
    """
    Return *plain*, the data of a value, with a `DefaultKey` for each field that has its default.

    An experiment is the same without such a key if the function then makes an equal instance.
    """
    if type(value) in SCALARS:
        return plain
    if getattr(type(value), "__pydantic_root_model__", False):
        return marked(plain, value.root)
    if isinstance(plain, list) and isinstance(value, list | tuple) and len(plain) == len(value):
        return [marked(item, part) for item, part in zip(plain, value, strict=True)]
    if not isinstance(plain, dict):
        return plain
    if isinstance(value, Mapping) and len(value) == len(plain):
        return {key: marked(item, part) for (key, item), part in zip(plain.items(), value.values(), strict=True)}
    given = _given(value)
    if given is None:
        return plain
    return {
        key if key in given else DefaultKey(key): marked(item, given[key]) if key in given else item
        for key, item in plain.items()
    }


def _given(value: Any) -> dict[str, Any] | None:
    """Return the fields of an instance that differ from their defaults. Returns None for any other value."""
    kind = type(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        defaults = getattr(kind, "_field_defaults", {})
        pairs = zip(value._fields, value, strict=True)
        return {name: part for name, part in pairs if name not in defaults or not _same(part, defaults[name])}
    known = getattr(kind, "__pydantic_fields__", {})
    keys = {name: about.serialization_alias or about.alias or name for name, about in known.items()}
    if dataclasses.is_dataclass(value):
        return {
            keys.get(field.name, field.name): getattr(value, field.name)
            for field in dataclasses.fields(value)
            if field.init and not _is_default(field, getattr(value, field.name))
        }
    if hasattr(kind, "model_fields_set"):
        extra = getattr(value, "__pydantic_extra__", None) or {}
        return {keys[name]: getattr(value, name) for name in known if name in value.model_fields_set} | extra
    return None


def _is_default(field: Any, value: Any) -> bool:
    default = field.default
    if field.default_factory is not dataclasses.MISSING:
        try:
            default = field.default_factory()
        except Exception:  # noqa: BLE001 - the code of a default may raise anything
            return False
    elif type(default).__module__ == "pydantic.fields":
        default = default.get_default(call_default_factory=True, validated_data={})
    return _same(value, default)


def _same(value: Any, default: Any) -> bool:
    try:
        return type(value) is type(default) and bool(value == default)
    except Exception:  # noqa: BLE001 - a comparison may raise anything; arrays compare element by element
        return False
