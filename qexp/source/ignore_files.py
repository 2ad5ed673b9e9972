"""What ignore files leave out: read as git reads them, without git."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

_GIT, _OWN = ".gitignore", ".qexpignore"
_Patterns = tuple[tuple[re.Pattern[str], bool], ...]


@dataclass(frozen=True)
class Level:
    """One ignore file: how much of a path lies above its folder, and its patterns, the last one first."""

    above: int
    patterns: _Patterns

    def verdict(self, path: str) -> bool | None:
        """Say whether *path* is left out, or None where no pattern speaks of it."""
        local = path[self.above :]
        return next((ignored for regex, ignored in self.patterns if _matches(regex, local)), None)


@dataclass(frozen=True)
class Rules:
    """
    The ignore files that count in one folder, the nearest first.

    Any `.qexpignore` overrules every `.gitignore`, so that a line like `!generated.py` takes what git does not keep.
    """

    own: tuple[Level, ...] = ()
    git: tuple[Level, ...] = ()

    def below(self, folder: Path, above: int) -> Rules:
        """Add the ignore files that lie in *folder*; *above* is the length of its path, with the slash at its end."""
        own, git = _level(folder / _OWN, above), _level(folder / _GIT, above)
        return Rules(own + self.own, git + self.git) if own or git else self

    def ignores(self, path: str) -> bool:
        """Say whether *path*, relative to the repository's root, is left out; a folder's has a slash at its end."""
        verdicts = (level.verdict(path) for level in self.own + self.git)
        return next((verdict for verdict in verdicts if verdict is not None), False)


def outset(folder: Path) -> tuple[str, Rules]:
    """
    Return the path of *folder* below its repository's root, and what the parents up to that root say about it.

    Parents that ignore the whole folder are not heard: whoever names it means it. Without a repository there are none.
    """
    root = next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), folder)
    path, rules = "", Rules(git=_level(_exclude_file(root / ".git"), 0))
    for part in folder.relative_to(root).parts:
        rules = rules.below(root / path, len(path))
        path += f"{part}/"
        if rules.ignores(path):
            return "", Rules()
    return path, rules


def _exclude_file(git: Path) -> Path:
    """Find `info/exclude`, also of a worktree or submodule, where `.git` is a file that names a folder."""
    if git.is_file():
        git = git.parent / _text(git).removeprefix("gitdir:").strip()
        if (git / "commondir").is_file():
            git /= _text(git / "commondir").strip()
    return git / "info" / "exclude"


def _level(file: Path, above: int) -> tuple[Level, ...]:
    patterns = _patterns(_text(file))
    return (Level(above, patterns),) if patterns else ()


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig", errors="surrogateescape") if file.is_file() else ""
    except OSError:
        return ""


@functools.lru_cache(maxsize=256)
def _patterns(text: str) -> _Patterns:
    compiled = (pattern for line in text.split("\n") for pattern in _compile(line.removesuffix("\r")))
    return tuple(compiled)[::-1]


def _compile(line: str) -> _Patterns:
    if line.rstrip().endswith("/**/"):
        line = f"{line.rstrip()}*/"  # git means the folders below, the library the folder itself
    try:
        patterns = GitIgnoreSpec.from_lines([line]).patterns
    except ValueError:  # a line such as '!' alone, of which git makes nothing either
        return ()
    return tuple((p.regex, p.include) for p in patterns if p.regex is not None and p.include is not None)


def _matches(regex: re.Pattern[str], path: str) -> bool:
    """
    Say whether a pattern means *path* itself, not a folder above it.

    The library's patterns also match whatever lies in a folder that they match, by a slash that they call `ps_d`. For
    git a folder that is taken says nothing about its files: `*`, `!*/`, `!*.py` takes Python files only.
    """
    bare = path.removesuffix("/")
    if any(_mark(match) is None for match in regex.finditer(bare)):
        return True
    return bare != path and any(_mark(match) == len(path) for match in regex.finditer(path))


def _mark(match: re.Match[str]) -> int | None:
    return match.end("ps_d") if match.groupdict().get("ps_d") else None
