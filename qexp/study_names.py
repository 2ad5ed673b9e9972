"""Names of studies: their form, and the nearest possible name for text that is none."""

from __future__ import annotations

import re
import unicodedata

STUDY_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
STUDY_NAME_RULE = "a lower-case letter, then letters, digits and underscores, at most 48 in all"
_LONGEST = 48


def possible_name(text: str) -> str | None:
    """
    Return the study's name most like a text. Returns None if the text has no letters or digits of a name.

    >>> possible_name("My stüdy!"), possible_name("2nd run"), possible_name("LeNet-5/a"), possible_name("研究")
    ('my_study', 'study_2nd_run', 'lenet_5_a', None)
    """
    plain = unicodedata.normalize("NFKD", text[:1000]).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    if not name:
        return None
    return (name if name[0].isalpha() else f"study_{name}")[:_LONGEST].rstrip("_")


def proposed(text: str) -> str:
    """
    Return `` (did you mean 'x'?)`` for text that is no study's name, or an empty text.

    >>> proposed("my study!"), proposed("!")
    (" (did you mean 'my_study'?)", '')
    """
    name = possible_name(text)
    return "" if name is None else f" (did you mean {name!r}?)"
