"""The grid of a study as YAML that qexp reads back, with the middle of long lists left out."""

from __future__ import annotations

from typing import Any

import yaml

from qexp.grid.yaml_source import resolve
from qexp.model import Json

_LONGEST = 60
"""Items of a list that are shown."""
_DEEPEST = 30
"""Levels of lists and mappings that are shown."""
_MOST_CHARACTERS = 20_000
_WIDTH = 100


class _Dumper(yaml.SafeDumper):
    """Writes text in quotes if qexp would read another value without them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if _is_plain(text) else "'")


def _is_plain(text: str) -> bool:
    try:
        return isinstance(resolve(text), str)
    except ValueError:  # such as .nan
        return False


_Dumper.add_representer(str, _text)


def written(grid: Json) -> tuple[str, bool]:
    """Return a grid as YAML, and whether a part of it is left out."""
    short = _short(grid)
    text = yaml.dump(short, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=_WIDTH)
    if len(text) > _MOST_CHARACTERS:
        return f"{text[:_MOST_CHARACTERS]}…\n", True
    return text, short != grid


def _short(value: Any, depth: int = 0) -> Any:
    """Return data without the middle of long lists; a mark says how many items are left out."""
    if not isinstance(value, dict | list) or not value:
        return value
    if depth == _DEEPEST:
        return "…"
    if isinstance(value, dict):
        kept = {key: _short(item, depth + 1) for key, item in list(value.items())[:_LONGEST]}
        return kept | ({"…": f"{len(value) - _LONGEST:,} more"} if len(value) > _LONGEST else {})
    half = len(value) if len(value) <= _LONGEST else _LONGEST // 2
    first = [_short(item, depth + 1) for item in value[:half]]
    if half == len(value):
        return first
    return [*first, f"… {len(value) - 2 * half:,} more …", *(_short(item, depth + 1) for item in value[-half:])]
