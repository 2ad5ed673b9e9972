"""Choose columns of a table by the names that conditions and sort keys use too."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NoReturn

from qexp.errors import SelectorError, nearest
from qexp.store.reads.study_rows import StudyRow
from qexp.store.selection.query_columns import QueryColumns
from qexp.store.selection.sorting import split_names
from qexp.store.selection.where_parser import WhereName, read_name, spelled
from qexp.truncation import listed

_SOURCES = {"param": "params", "result": "result"}


def chosen(
    texts: str | Iterable[str], labels: Mapping[str, str], studies: Sequence[StudyRow], option: str = "--columns"
) -> list[str]:
    """
    Return the labels of the chosen columns, each once.

    *labels* has the source of each column: `params`, `result` or another word. The name of a mapping chooses all its
    keys. A known name without values is returned as it was written. Raises SelectorError for an unknown name.
    """

    def refused(_: WhereName, problem: str) -> NoReturn:
        raise SelectorError(f"{option}: {problem}")

    known = QueryColumns(studies, refused)
    tops = {name for study in studies for name in (*study.parameters, *study.results)}
    found: dict[str, None] = {}
    for text in split_names(texts, option):
        name = read_name(text)
        if not (some := _matching(name, labels, tops)):
            known.find(name)
            _check_keys(name, labels, option)
        found |= dict.fromkeys(some or [text])
    return list(found)


def _matching(name: WhereName, labels: Mapping[str, str], tops: Collection[str]) -> list[str]:
    whole = ".".join(name.path)
    if name.prefix is None:
        return _under(whole, labels, tops)
    own = [label for label, source in labels.items() if source == _SOURCES[name.prefix]]
    return _under(f"{name.prefix}.{whole}", labels, tops) or _under(whole, own, tops)


def _under(text: str, labels: Iterable[str], tops: Collection[str]) -> list[str]:
    """Return a label and those of its keys; *tops* are names of their own, even if they have dots."""
    return [label for label in labels if label == text or (label.startswith(f"{text}.") and label not in tops)]


def _check_keys(name: WhereName, labels: Mapping[str, str], option: str) -> None:
    """Raise SelectorError if a mapping has other keys than the written one."""
    known = [label for label in labels if len(name.path) > 1 and label.startswith(f"{name.path[0]}.")]
    if known:
        keys = list(map(spelled, known))
        hint = nearest(name.text, keys) or f"; there are {listed(keys, 8)}"
        raise SelectorError(f"{option}: there is no column {name.text!r}{hint}")
