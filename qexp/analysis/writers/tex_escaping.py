r"""
Text for LaTeX: ASCII that pdflatex sets in every font encoding.

Characters that pdflatex cannot set are replaced visibly: an emoji becomes [U+1F600].
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from qexp.analysis.writers import tex_character_table as characters
from qexp.analysis.writers.labels import shown

_LIGATURE = re.compile(r"([-',])(?=\1)")


class TexText:
    """Escapes text for LaTeX and collects the characters that it has replaced."""

    def __init__(self) -> None:
        self.replaced: set[str] = set()

    def __call__(self, text: str) -> str:
        r"""
        Return text that LaTeX prints as it is; it has no ligatures and no active characters.

        >>> TexText()("50%_é"), TexText()("--lr")
        ("50\\%\\_\\'{e}", '-{}-lr')
        """
        text = shown(unicodedata.normalize("NFC", text))
        if text.isascii() and text.isalnum():
            return text
        return "".join(map(self._character, _LIGATURE.sub("\\1\0", text)))

    def _character(self, character: str) -> str:
        if character == "\0":
            return "{}"
        found = _command(character)
        if found is None:
            self.replaced.add(character)
            return replacement(character)
        return found


def replacement(character: str) -> str:
    """Return the code of a character as LaTeX prints it."""
    return f"{{[}}U+{ord(character):04X}]"


def describe(character: str) -> str:
    """Return the comment on a character that was replaced."""
    name = unicodedata.name(character, "a character without a name")
    return f"pdflatex has no {name}: it is shown as [U+{ord(character):04X}]"


@lru_cache(maxsize=4096)
def _command(character: str) -> str | None:
    for table in (characters.SPECIALS, characters.LETTERS, characters.SIGNS):
        if character in table:
            return table[character]
    if character in characters.MATH:
        return rf"$\{characters.MATH[character]}$"
    if character in characters.RAISED:
        return f"$^{{{characters.RAISED[character]}}}$"
    if character in characters.LOWERED:
        return f"$_{{{characters.LOWERED[character]}}}$"
    if character in characters.LATIN_IN_GREEK:
        return f"$\\mathrm{{{characters.LATIN_IN_GREEK[character]}}}$"
    return character if character.isascii() else _accented(character)


def _accented(character: str) -> str | None:
    """Return an ASCII letter with its accent, or the letters of a ligature; None if the character is neither."""
    codes = unicodedata.decomposition(character).split()
    if codes[:1] == ["<compat>"]:
        letters = unicodedata.normalize("NFKD", character)
        return letters if letters.isascii() and letters.isalpha() else None
    if len(codes) != 2 or codes[0].startswith("<"):
        return None
    base, accent = chr(int(codes[0], 16)), characters.ACCENTS.get(int(codes[1], 16))
    if accent is None or not (base.isascii() and base.isalpha()):
        return None
    letter = rf"\{base}" if base in "ij" else base
    return rf"\{accent}{{{letter}}}"
