"""Warnings about text in a grid file that was probably meant as another value, such as `None` or `1_000`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from qexp.grid.assignments import given_values
from qexp.grid.axis_forms import FORMS
from qexp.grid.yaml_source import Node

_CALLS = {
    **{form: form for form in FORMS},
    "arange": "range",
    "logspace": "geomspace",
    "interval": "uniform",
    "randint": "integers",
}
"""Functions of numpy and other tools, and the equivalent forms."""
_CALL = re.compile(rf"(?:np\.|numpy\.)?({'|'.join(_CALLS)})\(.*")
_UNDERSCORES = re.compile(r"[-+]?[0-9][0-9_]*_[0-9_]*(?:\.[0-9_]+)?(?:[eE][-+]?[0-9]+)?")
_COMMA = re.compile(r"[-+]?[0-9]+,[0-9]+(?:[eE][-+]?[0-9]+)?")
_DOTS = re.compile(r"[-+]?\.[0-9]+(?:\.[0-9]*)+|[-+]?[0-9]+\.\.[0-9]+")
_SCALAR = r"(?:[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?|true|false)"
_LIST = re.compile(rf"{_SCALAR}(?:,\s*{_SCALAR})+")
_ARITHMETIC = re.compile(r"[-+]?[0-9.]+(?:\s*(?:\*\*|[*/^])\s*[-+]?[0-9.]+)+")
_SWITCHES = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def warnings(root: Node, names: Collection[str]) -> Iterator[str]:
    """Yield a warning, with its place, for each suspicious text of the parameters and settings *names*."""
    for section, name, node in given_values(root):
        if name in names:
            yield from _below(f"{'setting' if section == 'settings' else 'parameter'} {name!r}", node)


def _below(name: str, node: Node) -> Iterator[str]:
    if isinstance(node.value, dict | list):
        for inner in node.value.values() if isinstance(node.value, dict) else node.value:
            yield from _below(name, inner)
    elif node.bare and (found := advice(node.value)) is not None:
        yield f"{node.place}: {name}: {node.value!r} is text here; {found}, or quote it if it is meant as text"


def advice(text: str) -> str | None:
    """
    Return advice about a text without quotes, or None if it looks like text.

    >>> advice("None"), advice("1_000"), advice("adam")
    ('write null', 'write 1000', None)
    """
    if text == "None":
        return "write null"
    if text.lower() in _SWITCHES and text in (text.lower(), text.upper(), text.capitalize()):
        return f"write {_SWITCHES[text.lower()]}"
    if _UNDERSCORES.fullmatch(text):
        return f"write {text.replace('_', '')}"
    if _COMMA.fullmatch(text):
        return f"write {text.replace(',', '.')}, or [{text.replace(',', ', ')}] for two values"
    if _DOTS.fullmatch(text):
        return "write a number with one point"
    if _LIST.fullmatch(text):
        return f"write [{text}] for several values"
    if _ARITHMETIC.fullmatch(text) or text.lower() in ("nan", "inf", "-inf"):
        return "write a finite number"
    if "${" in text:
        return "use an anchor, since nothing replaces ${…}"
    if match := _CALL.fullmatch(text):  # in a list, YAML splits a call at its commas
        return f"write {{{_CALLS[match[1]]}: […]}}"
    return "write a list, […]" if text.startswith("(") else None
