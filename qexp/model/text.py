"""Text for people: values, ids and time spans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from qexp.escapes import printable
from qexp.model.canonical import Json, to_text
from qexp.truncation import shortened

_MICROSECOND = 1e-6


def storable_text(text: str) -> str:
    r"""
    Return text that Postgres can keep: NUL and lone surrogates become visible escapes.

    >>> storable_text("a\0b")
    'a\\x00b'
    """
    if "\0" in text:
        text = text.replace("\0", "\\x00")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text


def plain(value: Json) -> str:
    """
    Return a value as a person would write it: strings bare, other values as JSON.

    >>> plain("SVC"), plain([1, None]), plain(0.1)
    ('SVC', '[1, null]', '0.1')
    """
    return value if isinstance(value, str) else to_text(value)


def value_text(value: Json, present: bool = True) -> str:
    r"""
    Return a parameter or result as the text of a cell: floats to six digits, absent ones empty.

    >>> value_text(1 / 3), value_text("two\nlines"), value_text(None, present=False)
    ('0.333333', 'two\\nlines', '')
    """
    if not present:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else printable(plain(value))


def counted(number: int, noun: str) -> str:
    """
    Return a number with its noun.

    >>> counted(1, "file"), counted(1200, "file")
    ('1 file', '1,200 files')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def are(number: int) -> str:
    """Return the verb for a number of things."""
    return "is" if number == 1 else "are"


def them(number: int) -> str:
    """Return the pronoun for a number of things."""
    return "it" if number == 1 else "them"


def shown(value: Any, width: int = 60) -> str:
    """
    Return a value for a message: text in quotes, data as JSON, at most *width* characters.

    >>> shown("svc"), shown([1, None]), shown("x" * 9, width=6)
    ("'svc'", '[1, null]', "'xxxx…")
    """
    try:
        text = repr(value) if isinstance(value, str) else plain(value)
    except (TypeError, ValueError):
        text = repr(value)
    return shortened(text, width)


def short_names(values: Iterable[Json]) -> dict[str, str]:
    """
    Return the last part of each import path, such as SVC for `sklearn.svm.SVC`.

    Returns an empty dict if two paths have the same last part, or if any value has fewer than two dots.

    >>> short_names(["sklearn.svm.SVC", "sklearn.tree.DecisionTreeClassifier"])["sklearn.svm.SVC"]
    'SVC'
    """
    short: dict[str, str] = {}
    for value in values:
        if not isinstance(value, str) or value.count(".") < 2 or not all(map(str.isidentifier, value.split("."))):
            return {}
        short[value] = value.rpartition(".")[2]
    return short if len(set(short.values())) == len(short) else {}


def describe(
    params: Mapping[str, Json],
    names: Iterable[str] | None = None,
    short: Mapping[str, Mapping[str, str]] | None = None,
    width: int = 200,
) -> str:
    """
    Return parameters as `name=value` pairs on one line of at most *width* characters, in the order of *names*.

    *short* maps each parameter to the short names of its values.

    >>> describe({"classifier": "SVC", "dataset": "wine"}, ["dataset", "classifier"])
    'dataset=wine classifier=SVC'
    """
    pairs = []
    for name in names or params:
        if name in params:
            text = plain(params[name])
            pairs.append(f"{name}={(short or {}).get(name, {}).get(text, text)}")
    return shortened(printable(" ".join(pairs)), width)


def compact(ids: list[int]) -> str:
    """
    Return ids in the short form that selectors accept.

    >>> compact([19, 17, 20, 21])
    '17,19-21'
    """
    runs: list[list[int]] = []
    for number in sorted(set(ids)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def duration(seconds: float | None) -> str:
    """
    Return a time span in its two largest units.

    >>> duration(0.00314), duration(0.25), duration(12.34), duration(3700), duration(200000)
    ('3.1 ms', '250 ms', '12.3 s', '1 h 1 min', '2 d 7 h')
    """
    if seconds is None:
        return ""
    if seconds < _MICROSECOND:
        return "0 ms"
    if (milliseconds := seconds * 1000) < 999.5:
        return f"{milliseconds:.2g} ms" if milliseconds < 99.5 else f"{milliseconds:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole} s"


def ago(seconds: float) -> str:
    """
    Return the time since a moment in its largest unit.

    >>> ago(0.2), ago(3.4), ago(7000), ago(200000)
    ('now', '3 s ago', '1 h ago', '2 d ago')
    """
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return "now"


def rate(per_second: float | None) -> str:
    """
    Return a rate per second, minute or hour, so that the number is readable.

    >>> rate(7080.5), rate(12.34), rate(0.05), rate(None)
    ('7,080/s', '12.3/s', '3/min', '')
    """
    if per_second is None:
        return ""
    for unit, number in (("s", per_second), ("min", per_second * 60)):
        if number >= 0.9995:  # three digits of a smaller number do not make 1
            return f"{_three_digits(number)}/{unit}"
    return f"{_three_digits(per_second * 3600)}/h"


def _three_digits(number: float) -> str:
    return f"{number:,.0f}" if number >= 99.95 else f"{number:.3g}"
