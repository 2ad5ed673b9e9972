"""Lists of files for people: those that differ between two snapshots, and data that a snapshot left out."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from qexp.source.file_kinds import is_code
from qexp.truncation import listed
from qexp.units import size_text

_PLAIN = re.compile(r"\w[\w./*-]*")
"""Paths that YAML reads as text without quotes."""
_MOST_NAMES = 4
_MOST_PATTERNS = 3


def changed_files(before: Mapping[str, str] | None, after: Mapping[str, str] | None) -> dict[str, str]:
    """
    Return the files that are `added`, `changed` or `removed` between two snapshots, by name; none if one is unknown.

    >>> changed_files({"a.py": "1", "b.py": "1"}, {"b.py": "2", "c.py": "1"})
    {'a.py': 'removed', 'b.py': 'changed', 'c.py': 'added'}
    """
    if before is None or after is None:
        return {}
    words = {name: "added" if name not in before else "removed" for name in before.keys() ^ after.keys()}
    words |= {name: "changed" for name in before.keys() & after.keys() if before[name] != after[name]}
    return dict(sorted(words.items()))


@dataclass(frozen=True)
class ChangedFiles:
    """The files that are `added`, `changed` or `removed` between two snapshots, by name: code, and other text."""

    code: Mapping[str, str] = field(default_factory=dict)
    text: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def between(
        cls, before: Mapping[str, str], after: Mapping[str, str], own: Container[str] = frozenset()
    ) -> ChangedFiles:
        """
        Compare the marks of two snapshots. *own* are the files that qexp reads: the function uses none of them.

        >>> ChangedFiles.between({"a.py": "1"}, {"a.py": "2", "notes.txt": "1"})
        ChangedFiles(code={'a.py': 'changed'}, text={'notes.txt': 'added'})
        """
        names, code, text = {*before, *after}, dict[str, str](), dict[str, str]()
        for name, word in changed_files(before, after).items():
            (code if is_code(name, names) and name not in own else text)[name] = word
        return cls(code, text)


def change_text(files: Mapping[str, str]) -> str:
    """
    Return the names of changed, of added and of removed files as text.

    >>> change_text({"a.py": "added", "b.py": "changed", "c.py": "added"})
    'changed: b.py; added: a.py, c.py'
    """
    by_word = {word: [name for name in files if files[name] == word] for word in ("changed", "added", "removed")}
    return "; ".join(f"{word}: {listed(names, _MOST_NAMES)}" for word, names in by_word.items() if names)


def left_out_line(data: Mapping[str, int]) -> str | None:
    """
    Return a line about the data files that a snapshot left out, given with their bytes. Returns None if there are none.

    >>> left_out_line({"points.npy": 25_000_000})
    "left out of the snapshot: 1 data file (25 MB): points.npy; 'source: {include: [points.npy]}' takes it"
    >>> left_out_line({"data/a.npy": 600, "data/b.npy": 400}).partition("; ")[2]
    "'source: {include: [data/*.npy]}' takes them"
    """
    if not data:
        return None
    many = len(data)
    files = f"{many:,} data files" if many > 1 else "1 data file"
    names, patterns = listed([*data], _MOST_NAMES), _patterns(data)
    chosen, taken = (patterns, "them") if len(patterns) <= _MOST_PATTERNS else ([next(iter(data))], "the first")
    return (
        f"left out of the snapshot: {files} ({size_text(sum(data.values()))}): {names}; "
        f"'{including(*chosen)}' takes {'it' if many == 1 else taken}"
    )


def _patterns(files: Iterable[str]) -> Sequence[str]:
    """Return the files, but one pattern for files with the same suffix in the same folder."""
    found: dict[str, list[str]] = {}
    for file in files:
        path = PurePosixPath(file)
        is_plain = path.suffix and not any(letter in str(path.parent) for letter in "*?[")
        found.setdefault(str(path.parent / f"*{path.suffix}") if is_plain else file, []).append(file)
    return [pattern if len(names) > 1 else names[0] for pattern, names in found.items()]


def including(*patterns: str) -> str:
    """Return the entry of a grid with which the snapshot takes files."""
    texts = [text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False) for text in patterns]
    return f"source: {{include: [{', '.join(texts)}]}}"
