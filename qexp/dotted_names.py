"""Dotted names of parameters: `optimizer.lr` can be the key `lr` of the parameter `optimizer`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import Enum

from qexp.model import Json


class Absent(Enum):
    """The mark of a missing value, since None is a value."""

    ABSENT = None


ABSENT = Absent.ABSENT


class ClashError(ValueError):
    """A dotted name sets a key of a value that is not a mapping, or replaces a mapping as a whole."""

    def __init__(self, name: str, above: str, problem: str) -> None:
        super().__init__(problem)
        self.name, self.above = name, above


def head(name: str) -> str:
    """
    Return the argument that a name belongs to.

    >>> head("optimizer.lr"), head("lr")
    ('optimizer', 'lr')
    """
    return name.partition(".")[0]


def prefixes(name: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """
    Yield a name and the names above it, the longest first, each with the keys that lead from it to the name.

    >>> list(prefixes("a.b.c"))
    [('a.b.c', ()), ('a.b', ('c',)), ('a', ('b', 'c'))]
    """
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        yield ".".join(parts[:length]), tuple(parts[length:])


def owner(name: str, known: Collection[str]) -> tuple[str, tuple[str, ...]] | None:
    """Return the longest of the *known* names that has the value of *name*, and the keys that lead to it inside."""
    return next(((above, keys) for above, keys in prefixes(name) if above in known), None)


def inside(value: Json | Absent, keys: Sequence[str]) -> Json | Absent:
    """
    Return the value below some keys, or ABSENT.

    >>> inside({"a": {"b": 1}}, ["a", "b"]), inside({"a": 1}, ["a", "b"])
    (1, <Absent.ABSENT: None>)
    """
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            return ABSENT
        value = value[key]
    return value


def nested(values: Mapping[str, Json]) -> dict[str, Json]:
    """
    Return values by argument: dotted names set keys of the mappings that they belong to.

    Raises ClashError if a dotted name sets a key of a value that is not a mapping. Raises it also if the name replaces
    a mapping that has keys: the columns of these keys would show values that no function received.

    >>> nested({"opt.lr": 0.1, "opt": {"name": "sgd", "lr": 1}, "seed": 0})
    {'opt': {'name': 'sgd', 'lr': 0.1}, 'seed': 0}
    """
    if not any("." in name for name in values):
        return dict(values)
    arguments: dict[str, Json] = {}
    for name in sorted(values, key=lambda name: name.count(".")):  # a mapping first, then its keys
        *above, last = name.split(".")
        here = arguments
        for number, key in enumerate(above):
            below = here.get(key, {})
            if not isinstance(below, dict):
                outer = ".".join(above[: number + 1])
                problem = f"{name!r} sets a key of {outer!r}, which is {below!r:.60}, expected a mapping"
                raise ClashError(name, outer, problem)
            here[key] = here = dict(below)  # a copy: the caller's values must not change
        if above and isinstance(replaced := here.get(last), dict) and replaced:
            outer = ".".join(above)
            problem = f"{name!r} replaces a mapping of {outer!r}, expected its keys: '{name}.{next(iter(replaced))}'"
            raise ClashError(name, outer, problem)
        here[last] = values[name]
    return arguments


def own_part(name: str, value: Json, argument: Json, names: Iterable[str]) -> Json:
    """
    Return the part of an argument that *name* gives.

    *value* is the value of *name* alone. Keys that longer *names* set keep their values from it.
    """
    found = inside(argument, name.split(".")[1:])
    if found is ABSENT:
        return value
    start = f"{name}."
    return _without(value, found, [other[len(start) :].split(".") for other in names if other.startswith(start)])


def _without(value: Json, argument: Json, overridden: Sequence[Sequence[str]]) -> Json:
    if not overridden or not isinstance(value, dict) or not isinstance(argument, dict):
        return argument
    kept: dict[str, Json] = {}
    for key, item in value.items():
        below = [keys[1:] for keys in overridden if keys[0] == key]
        kept[key] = item if [] in below else _without(item, argument.get(key, item), below)
    return kept
