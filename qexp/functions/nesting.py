"""Dotted names become keys: `optimizer.lr` sets the key `lr` of the argument `optimizer`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qexp.model import Json


class ClashError(ValueError):
    """A dotted name sets a key of what is no mapping."""

    def __init__(self, name: str, above: str, found: Any) -> None:
        super().__init__(f"{name!r} sets a key of {above!r}, which is {found!r:.60}, expected a mapping")
        self.name, self.above = name, above


def head(name: str) -> str:
    """
    Return the argument that a name belongs to.

    >>> head("optimizer.lr"), head("lr")
    ('optimizer', 'lr')
    """
    return name.partition(".")[0]


def nested(values: Mapping[str, Json]) -> dict[str, Json]:
    """
    Return values by argument, with dotted names laid over the mappings they belong to; ClashError if one is none.

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
                raise ClashError(name, ".".join(above[: number + 1]), below)
            here[key] = here = dict(below)  # the values themselves stay as they are
        here[last] = values[name]
    return arguments


def own(name: str, value: Json, argument: Json, names: Iterable[str]) -> Json:
    """Return what an argument has of the value of *name*, without the keys that longer *names* lay over it."""
    for key in name.split(".")[1:]:
        if not isinstance(argument, dict) or key not in argument:
            return value
        argument = argument[key]
    start = f"{name}."
    return _less(value, argument, [other[len(start) :].split(".") for other in names if other.startswith(start)])


def _less(written: Json, spelled: Json, laid_over: Sequence[Sequence[str]]) -> Json:
    if not laid_over or not isinstance(written, dict) or not isinstance(spelled, dict):
        return spelled
    kept: dict[str, Json] = {}
    for key, item in written.items():
        below = [keys[1:] for keys in laid_over if keys[0] == key]
        kept[key] = item if [] in below else _less(item, spelled.get(key, item), below)
    return kept
