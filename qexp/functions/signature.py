"""What a function takes, and whether values fit."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from qexp.data import Keys, other_keys, to_json
from qexp.errors import FunctionError, nearest
from qexp.functions.foreign import calling, deed, message_of, passes
from qexp.functions.kinds import annotated
from qexp.model import Json

Function = Callable[..., Any]


class Injected:
    """The base of what a function receives from qexp rather than from its grid."""


@dataclass(frozen=True)
class Signature:
    """What a function takes: names, which of them are required, and how each value is converted."""

    name: str
    names: tuple[str, ...]
    required: tuple[str, ...]
    open: bool
    """It takes any name, through **kwargs."""
    adapters: Mapping[str, Any]
    injected: tuple[str, ...] = ()
    """Parameters that receive the context."""
    result_keys: Keys = frozenset()
    """Types of keys, beside text, that the annotation of its result names."""

    @classmethod
    def of(cls, function: Function, name: str) -> Signature:
        """Read a function's signature; FunctionError if an experiment cannot call it."""
        from pydantic.errors import PydanticUserError

        with calling(f"function {name}: its signature cannot be read: its code"):
            try:
                declared = inspect.signature(function)
            except ValueError as error:
                raise FunctionError(
                    f"function {name}: it does not say what it takes, as functions written in C; "
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
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        injected = tuple(p.name for p in named if _is_injected(hints.get(p.name)))
        named = [p for p in named if p.name not in injected]
        adapters = {}
        for parameter in named:
            if parameter.name in hints:
                place = f"function {name}: annotation of {parameter.name!r}"
                with calling(place):
                    try:
                        adapters[parameter.name] = _adapter(hints[parameter.name])
                    except (PydanticUserError, TypeError, NameError) as error:
                        raise FunctionError(f"{place}: {message_of(error).partition(chr(10))[0]}") from error
        return cls(
            name=name,
            names=tuple(parameter.name for parameter in named),
            required=tuple(parameter.name for parameter in named if parameter.default is parameter.empty),
            open=any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters),
            adapters=adapters,
            injected=injected,
            result_keys=other_keys(hints.get("return")),
        )

    def accepts(self, name: str) -> bool:
        """Say whether the function can be called with *name*."""
        return name in self.names or (self.open and name not in self.injected)

    def converts(self, name: str) -> bool:
        """Say whether *name*, or the mapping that a dotted name is a key of, has an annotation."""
        return name in self.adapters or name.partition(".")[0] in self.adapters

    def convert(self, name: str, value: Json) -> Any:
        """Return a value as the annotation of *name* has it; ValueError says in one line why it cannot be."""
        adapter = self.adapters.get(name)
        if adapter is None:
            return value
        from pydantic import ValidationError

        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            at = "".join(f"[{part!r}]" for part in first["loc"] if not isinstance(part, str) or isinstance(value, dict))
            reason = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            shown = f"{value!r}{at}" if len(repr(value)) <= 60 else f"{repr(value)[:59]}…{at}"
            expected = reason[0].lower() + reason[1:]
            raise ValueError(f"found {shown}, expected {expected}") from error
        except BaseException as error:
            if passes(error):
                raise
            raise ValueError(f"found {value!r:.60}, for which its annotation {deed(error)}") from error

    def canonical(self, name: str, value: Json) -> Json:
        """
        Return a value converted and back as data, so that two spellings of one value are one experiment.

        What the annotation turns into no data (a class found by its import path) keeps its spelling.
        """
        converted = self.convert(name, value)
        if name not in self.adapters or callable(converted) or inspect.ismodule(converted):
            return value
        from pydantic_core import PydanticSerializationError

        try:
            data = self.adapters[name].dump_python(converted, mode="json")
        except PydanticSerializationError:
            return value
        except BaseException as error:
            if passes(error):
                raise
            raise ValueError(f"found {value!r:.60}, for which its annotation {deed(error)}") from error
        return to_json(data, finite=True)

    def bind(self, values: Mapping[str, Json]) -> dict[str, Any]:
        """Return the arguments to call the function with; FunctionError says which value it does not take."""
        missing = [name for name in self.required if name not in values]
        if missing:
            raise FunctionError(f"function {self.name} requires {missing[0]!r}, which is not given")
        bound = {}
        for name, value in values.items():
            if not self.accepts(name):
                raise FunctionError(f"function {self.name} takes no {name!r}{nearest(name, self.names)}")
            try:
                bound[name] = self.convert(name, value)
            except ValueError as error:
                raise FunctionError(f"function {self.name}: parameter {name!r}: {error}") from error
        return bound


def _is_injected(hint: Any) -> bool:
    """Say whether an annotation is a class that qexp provides, or that one or None."""
    options = [option for option in typing.get_args(hint) if option is not type(None)] or [hint]
    return len(options) == 1 and isinstance(options[0], type) and issubclass(options[0], Injected)


def _adapter(hint: Any) -> Any:
    """Return what converts values to a type; a type that pydantic does not know is only checked for."""
    from pydantic import ConfigDict, TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # models and dataclasses bring a configuration of their own
        return TypeAdapter(hint)
