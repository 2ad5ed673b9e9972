"""Ignore files such as .gitignore, read as git reads them but without git."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

_GIT, _OWN = ".gitignore", ".qexpignore"
_Patterns = tuple[tuple[re.Pattern[str], bool], ...]


@dataclass(frozen=True)
class IgnoreFile:
    """One ignore file: the length of the path of its folder, and its patterns, the last one first."""

    above: int
    patterns: _Patterns

    def verdict(self, path: str) -> bool | None:
        """Return whether *path* is left out. Returns None if no pattern matches it."""
        local = path[self.above :]
        return next((ignored for regex, ignored in self.patterns if _matches(regex, local)), None)


@dataclass(frozen=True)
class IgnoreRules:
    """
    The ignore files that apply to one folder, the nearest first.

    A `.qexpignore` overrules every `.gitignore`: its line `!generated.py` includes a file that git ignores.
    """

    own: tuple[IgnoreFile, ...] = ()
    git: tuple[IgnoreFile, ...] = ()

    def below(self, folder: Path, above: int) -> IgnoreRules:
        """Return the rules with the ignore files in *folder*; *above* is the length of its path with a final slash."""
        own, git = _level(folder / _OWN, above), _level(folder / _GIT, above)
        return IgnoreRules(own + self.own, git + self.git) if own or git else self

    def ignores(self, path: str) -> bool:
        """Return whether *path*, relative to the repository's root, is left out. Paths of folders end with a slash."""
        verdicts = (level.verdict(path) for level in self.own + self.git)
        return next((verdict for verdict in verdicts if verdict is not None), False)


def rules_above(folder: Path) -> tuple[str, IgnoreRules]:
    """
    Return the path of *folder* in its repository, and the ignore files of its parents up to the repository's root.

    Returns no rules without a repository. Rules of parents that ignore the whole folder do not count either: you chose
    this folder.
    """
    root = next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), folder)
    path, rules = "", IgnoreRules(git=_level(_exclude_file(root / ".git"), 0))
    for part in folder.relative_to(root).parts:
        rules = rules.below(root / path, len(path))
        path += f"{part}/"
        if rules.ignores(path):
            return "", IgnoreRules()
    return path, rules


def _exclude_file(git: Path) -> Path:
    """Return the path of `info/exclude`. In a worktree or submodule, `.git` is a file with the path of a folder."""
    if git.is_file():
        git = git.parent / _text(git).removeprefix("gitdir:").strip()
        if (git / "commondir").is_file():
            git /= _text(git / "commondir").strip()
    return git / "info" / "exclude"


def _level(file: Path, above: int) -> tuple[IgnoreFile, ...]:
    patterns = _patterns(_text(file))
    return (IgnoreFile(above, patterns),) if patterns else ()


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
        line = f"{line.rstrip()}*/"  # git matches the folders below, the library matches the folder itself
    try:
        patterns = GitIgnoreSpec.from_lines([line]).patterns
    except ValueError:  # a line such as '!' alone, which git ignores too
        return ()
    return tuple((p.regex, p.include) for p in patterns if p.regex is not None and p.include is not None)


def _matches(regex: re.Pattern[str], path: str) -> bool:
    """
    Return whether a pattern matches *path* itself, not a folder above it.

    The library's patterns also match all files in a matched folder, by a slash in the group `ps_d`. In git an included
    folder does not include its files: `*`, `!*/`, `!*.py` includes Python files only.
    """
    bare = path.removesuffix("/")
    if any(_mark(match) is None for match in regex.finditer(bare)):
        return True
    return bare != path and any(_mark(match) == len(path) for match in regex.finditer(path))


def _mark(match: re.Match[str]) -> int | None:
    return match.end("ps_d") if match.groupdict().get("ps_d") else None
