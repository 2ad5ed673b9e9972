"""Make converters of annotations, with pydantic; they return lists where pydantic would return an iterator."""

from __future__ import annotations

import collections.abc
import typing
from typing import Any

_LISTED = (
    collections.abc.Iterable,
    collections.abc.Iterator,
    collections.abc.Generator,
    collections.abc.Collection,
    collections.abc.Container,
    collections.abc.Reversible,
)
"""Annotations for which the function receives a list, with items converted by the annotation."""
_NO_SCHEMAS = ("metadata", "serialization", "default", "expected")
"""Keys of a schema whose values contain no schemas."""


def converter_of(hint: Any) -> Any:
    """Return the converter to a type. For a type that pydantic does not know, the converter only checks values."""
    from pydantic import ConfigDict, TypeAdapter
    from pydantic.errors import PydanticUserError

    hint = _listed(hint)
    try:
        made: Any = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # models and dataclasses have a configuration of their own
        made = TypeAdapter(hint)
    schema = made.core_schema
    if (rewritten := _without_iterators(schema)) is not schema:
        from pydantic_core import SchemaValidator

        # the prebuilt validator of a model would replace the rewritten schema
        return SchemaValidator(rewritten, _use_prebuilt=False)
    return made


def _listed(hint: Any) -> Any:
    """Return an annotation in which `list[T]` replaces each `Iterable[T]`, `Iterator[T]` and the like."""
    if hint in _LISTED:
        return list
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) in _LISTED:
        return list[_listed(arguments[0])] if arguments else list  # type: ignore[misc]
    listed = tuple(_listed(argument) if _is_generic(argument) else argument for argument in arguments)
    if all(new is old for new, old in zip(listed, arguments, strict=True)):
        return hint
    if typing.get_origin(hint) is typing.Annotated:
        return typing.Annotated[(listed[0], *hint.__metadata__)]
    if hasattr(hint, "copy_with"):
        return hint.copy_with(listed)
    origin = typing.get_origin(hint)
    return typing.Union[listed] if origin is _UNION else origin[listed]  # noqa: UP007


_UNION = type(int | str)


def _is_generic(argument: Any) -> bool:
    return bool(typing.get_args(argument)) or isinstance(argument, type) or typing.get_origin(argument) is not None


def _without_iterators(schema: Any) -> Any:
    """Return a core schema with lists instead of iterators, also in fields of dataclasses and models."""
    if isinstance(schema, dict):
        if schema.get("type") == "generator":
            schema = {**schema, "type": "list"}
        changed = {
            key: new
            for key, old in schema.items()
            if key not in _NO_SCHEMAS and (new := _without_iterators(old)) is not old
        }
        return {**schema, **changed} if changed else schema
    if isinstance(schema, list | tuple):
        items = [_without_iterators(item) for item in schema]
        return schema if all(new is old for new, old in zip(items, schema, strict=True)) else type(schema)(items)
    return schema
