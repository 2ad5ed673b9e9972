"""The differences of done experiments from the newest revision of their study, as data and as text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from qexp.model import Json, plain, to_text
from qexp.truncation import listed, shortened

ABSENT = "(absent)"
"""Stands for a value that one of two revisions does not have."""
_WIDTH = 80
_LONGEST = 24
"""Characters of a setting's value that are shown."""
_MOST_GROUPS, _MOST_FILES, _MOST_SETTINGS = 20, 12, 12
"""The most groups, and files and settings of a group, that are shown to a person."""


def differences(before: Mapping[str, Json], after: Mapping[str, Json]) -> dict[str, tuple[Json, Json]]:
    """
    Return the values that differ between two revisions, by name: before and after, or ABSENT.

    >>> differences({"epochs": 1, "rate": 0.1}, {"epochs": True, "rate": 0.1, "decay": 0})
    {'epochs': (1, True), 'decay': ('(absent)', 0)}
    """
    names = dict.fromkeys([*before, *after])
    pairs = {name: (before.get(name, ABSENT), after.get(name, ABSENT)) for name in names}
    one_sided = before.keys() ^ after.keys()
    # as text: to Python, true equals 1, and the order of a mapping's keys does not matter
    return {name: (a, b) for name, (a, b) in pairs.items() if name in one_sided or to_text(a) != to_text(b)}


@dataclass(frozen=True)
class Outdated:
    """Done experiments of one revision that are stale for the same reasons."""

    revision: int
    count: int
    settings: Mapping[str, tuple[Json, Json]] = field(default_factory=dict)
    """Settings that differ: by name, the value of their revision and of the newest one."""
    function: tuple[str, str] | None = None
    """The function of their revision and of the newest one, if these differ."""
    files: tuple[str, ...] = ()
    """Imported files that have another content in the newest revision, or that only one of the two has."""
    guessed: bool = False
    """It is not known which files were imported: all files ending in .py of their snapshot count."""

    def lines(self) -> Iterator[str]:
        """Yield the reasons, each on a line of its own or on several."""
        for name, (before, after) in list(self.settings.items())[:_MOST_SETTINGS]:
            yield f"{name}: {_short(before)} → {_short(after)}"
        if len(self.settings) > _MOST_SETTINGS:
            yield f"and {len(self.settings) - _MOST_SETTINGS} more settings"
        if self.function is not None:
            yield f"function: {self.function[0]} → {self.function[1]}"
        if self.files:
            yield f"files: {listed(self.files, _MOST_FILES)}"
        if self.guessed:
            yield "their imports are unknown, so all files ending in .py count"


@dataclass(frozen=True)
class Staleness:
    """How the done experiments of a study differ from its newest revision in the database."""

    study: str
    revision: int
    """The newest revision."""
    done: int
    outdated: tuple[Outdated, ...] = ()
    """The stale experiments, by revision."""
    folder: str | None = None
    edited: tuple[str, ...] = ()
    """Files of *folder* that differ now from the newest revision's snapshot: the next enqueue takes them."""

    @property
    def count(self) -> int:
        """How many experiments are stale."""
        return sum(group.count for group in self.outdated)

    def lines(self) -> Iterator[str]:
        """Yield the number of stale experiments and the reasons; lines have at most 80 characters if names allow it."""
        if not self.count:
            yield f"{self.study}: nothing is stale, the newest revision is {self.revision}"
            return
        verb = "is" if self.count == 1 else "are"
        yield f"{self.study}: {self.count} of {self.done} done {verb} stale, the newest revision is {self.revision}"
        for group in self.outdated[:_MOST_GROUPS]:
            yield f"  {group.count} of revision {group.revision}"
            for line in group.lines():
                yield from _wrapped(line, 4)
        if len(self.outdated) > _MOST_GROUPS:
            yield f"  and {len(self.outdated) - _MOST_GROUPS} more groups"

    def hint(self) -> str | None:
        """Return the line about a folder that was edited since the newest revision. Returns None if it was not."""
        if not self.edited:
            return None
        files = listed(self.edited, 3)
        return f"{self.folder} differs from revision {self.revision}: {files}; the next enqueue or requeue takes it"

    def __repr__(self) -> str:
        return "\n".join([*self.lines(), *filter(None, [self.hint()])])


def _short(value: Json) -> str:
    return shortened(plain(value), _LONGEST)


def _wrapped(line: str, indent: int) -> list[str]:
    return textwrap.wrap(
        line,
        _WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )
