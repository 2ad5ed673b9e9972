"""The signature of a function: its parameters, and the conversion of values to their annotations."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from qexp.dotted_names import ClashError, head, nested, own_part
from qexp.errors import FunctionError, nearest
from qexp.functions.callables import annotated
from qexp.functions.canonical_values import canonical_value
from qexp.functions.converters import converter_of
from qexp.functions.default_removal import own_without_defaults, unmarked, without_defaults
from qexp.functions.guarded_calls import action_of, calling, message_of, must_propagate
from qexp.functions.unused_keys import refuse_ignored_keys
from qexp.model import SCALARS, Json
from qexp.pydantic_errors import expected
from qexp.serialization import KeyTypes, key_types

Function = Callable[..., Any]
_NUMBERS = (bool, int, float)
_FAR = 1e300
"""Larger numbers take the slow path: they may be infinite, or too long for JSON."""


class Injected:
    """The base class of arguments that qexp gives to a function, such as its context."""


class UnfitError(ValueError):
    """A value does not fit its annotation; *keys* is the path of the part that does not fit."""

    def __init__(self, problem: str, keys: tuple[int | str, ...]) -> None:
        super().__init__(problem)
        self.keys = keys


@dataclass(frozen=True)
class Signature:
    """The parameters of a function: their names, which are required, and their converters."""

    name: str
    names: tuple[str, ...]
    required: tuple[str, ...]
    open: bool
    """The function takes any name, through **kwargs."""
    converters: Mapping[str, Any]
    injected: tuple[str, ...] = ()
    """Parameters that receive the context."""
    result_keys: KeyTypes = frozenset()
    """The types of keys that the annotation of the result names, besides text."""
    rest: Any = None
    """The converter of **kwargs; None without an annotation."""

    @classmethod
    def of(cls, function: Function, name: str) -> Signature:
        """Read a function's signature. Raises FunctionError if an experiment cannot call the function."""
        with calling(f"function {name}: its signature cannot be read: its code"):
            try:
                declared = inspect.signature(function)
            except ValueError as error:
                raise FunctionError(
                    f"function {name}: its signature is unknown, as of functions written in C; "
                    "write one in Python that calls it"
                ) from error
            code = annotated(function)
            hints = typing.get_type_hints(code, include_extras=True) if hasattr(code, "__annotations__") else {}
        parameters = list(declared.parameters.values())
        for parameter in parameters:
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise FunctionError(
                    f"function {name}: {parameter.name!r} is positional only; parameters arrive by name"
                )
        taken = dict(_taken(parameters, hints))
        injected = tuple(name for name, (hint, _) in taken.items() if _is_injected(hint))
        named = {name: about for name, about in taken.items() if name not in injected}
        rest = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD and not _unpacked(hints.get(p.name))), None)
        converters = {
            parameter: _converter(name, parameter, hint)
            for parameter, (hint, _) in named.items()
            if hint is not inspect.Parameter.empty
        }
        return cls(
            name=name,
            names=tuple(named),
            required=tuple(parameter for parameter, (_, is_required) in named.items() if is_required),
            open=rest is not None,
            converters=converters,
            injected=injected,
            result_keys=key_types(hints.get("return")),
            rest=_converter(name, rest, hints[rest]) if rest in hints else None,
        )

    def accepts(self, name: str) -> bool:
        """Return whether the function takes *name*, or a mapping in which *name* sets a key."""
        return head(name) in self.names or (self.open and head(name) not in self.injected)

    def converts(self, name: str) -> bool:
        """Return whether the argument that a name belongs to has an annotation."""
        return self._converter(head(name)) is not None

    def _converter(self, name: str) -> Any:
        """Return the converter of an argument. Returns None if it has no annotation."""
        return self.converters.get(name) if name in self.names else self.rest

    def convert(self, name: str, value: Json) -> Any:
        """Return a value converted by the annotation of *name*. Raises ValueError with the reason in one line."""
        converter = self._converter(name)
        if converter is None:
            return value
        from pydantic import ValidationError

        try:
            return converter.validate_python(value)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            at = "".join(f"[{part!r}]" for part in first["loc"] if not isinstance(part, str) or isinstance(value, dict))
            shown = f"{value!r}{at}" if len(repr(value)) <= 60 else f"{repr(value)[:59]}…{at}"
            raise UnfitError(f"found {shown}, expected {expected(first)}", first["loc"]) from error
        except BaseException as error:
            if must_propagate(error):
                raise
            raise ValueError(f"found {value!r:.60}, for which its annotation {action_of(error)}") from error

    def canonical(self, name: str, value: Json, beside: Mapping[str, Json] | None = None) -> Json:
        """
        Return a grid's value in one spelling: all values that the annotation makes equal have the same.

        A value keeps its spelling if its converted value is not data, such as a class. *beside* has the other values of
        a dotted argument: then the value is converted as a part of the argument.
        """
        if beside is not None:
            whole = unmarked(nested({**beside, name: value})[head(name)], [*beside, name])
            argument = self.canonical(head(name), whole)
            return own_part(name, own_without_defaults(name, value, argument, beside), argument, beside)
        convert = partial(self.convert, name)
        if isinstance(value, dict | list) and self.converts(name):
            value = without_defaults(value, convert)
        converted = convert(value)
        kind = type(converted)
        if type(value) in SCALARS and (converted is value or (kind is type(value) and converted == value)):
            return value
        if kind in _NUMBERS and type(value) in SCALARS and abs(converted) < _FAR:  # most conversions
            again = self.convert(name, converted)
            return converted if type(again) is kind and again == converted else value
        try:
            refuse_ignored_keys(value, converted, convert, getattr(self._converter(name), "core_schema", None))
            return canonical_value(value, converted, convert)
        except ValueError:
            raise
        except BaseException as error:
            if must_propagate(error):
                raise
            raise ValueError(f"found {value!r:.60}, for which its annotation {action_of(error)}") from error

    def bind(self, values: Mapping[str, Json]) -> dict[str, Any]:
        """Return the arguments for a call of the function. Raises FunctionError for a value that it does not take."""
        for name in values:
            if not self.accepts(name):
                raise FunctionError(f"function {self.name} takes no {name!r}{nearest(name, self.names)}")
        try:
            arguments = nested(values)
        except ClashError as error:
            raise FunctionError(f"function {self.name}: parameter {error}") from error
        missing = [name for name in self.required if name not in arguments]
        if missing:
            raise FunctionError(f"function {self.name} requires {missing[0]!r}, which is not given")
        bound = {}
        for name, value in arguments.items():
            try:
                bound[name] = self.convert(name, value)
            except ValueError as error:
                raise FunctionError(f"function {self.name}: parameter {name!r}: {error}") from error
        return bound


def _taken(parameters: Sequence[inspect.Parameter], hints: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, bool]]]:
    """Yield each name that a function takes, with its annotation or `Parameter.empty`, and whether it is required."""
    for parameter in parameters:
        hint = hints.get(parameter.name, parameter.empty)
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            yield parameter.name, (hint, parameter.default is parameter.empty)
        elif parameter.kind is parameter.VAR_KEYWORD and (fields := _unpacked(hint)):
            for name, inner in typing.get_type_hints(fields, include_extras=True).items():
                form = typing.get_origin(inner)
                is_required = name in fields.__required_keys__ and form is not typing.NotRequired
                yield name, (typing.get_args(inner)[0] if form in _MARKS else inner, is_required)


_MARKS = (typing.Required, typing.NotRequired)


def _unpacked(hint: Any) -> Any:
    """Return the TypedDict of `Unpack[TypedDict]`. Returns None for any other annotation."""
    is_unpacked = getattr(typing.get_origin(hint), "_name", None) == "Unpack"  # also the one of typing_extensions
    return typing.get_args(hint)[0] if is_unpacked else None


def _converter(function: str, parameter: str, hint: Any) -> Any:
    """Return the converter to an annotation. Raises FunctionError if there can be none."""
    from pydantic.errors import PydanticUserError

    place = f"function {function}: annotation of {parameter!r}"
    with calling(place):
        try:
            return converter_of(hint)
        except (PydanticUserError, TypeError, NameError) as error:
            raise FunctionError(f"{place}: {_unfit_type(message_of(error).partition(chr(10))[0])}") from error


_UNKNOWN = re.compile(r"Unable to generate pydantic-core schema for (.+?)\. Set `arbitrary_types_allowed")
_ONCE = re.compile(r"(?:typing|collections\.abc)\.(?:Iterator|Generator|Collection|Container|Reversible)\b")


def _unfit_type(message: str) -> str:
    """Return the problem of an annotation, with advice if pydantic does not know its type."""
    if not (match := _UNKNOWN.match(message)):
        return message
    repair = "list[…]" if _ONCE.match(match[1]) else "another one, or set arbitrary_types_allowed in its class"
    return f"found {match[1]} in a field, expected a type that data can become; write {repair}"


def _is_injected(hint: Any) -> bool:
    """Return whether an annotation is a class that qexp injects, or such a class or None."""
    options = [option for option in typing.get_args(hint) if option is not type(None)] or [hint]
    return len(options) == 1 and isinstance(options[0], type) and issubclass(options[0], Injected)
