"""Write a comparison as lines of text, or as HTML for a notebook."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from qexp.analysis import html_elements, text_layout
from qexp.analysis.compare.model import Comparison, Pair, Ranks
from qexp.analysis.statistics import MISSING, NumberFormat, column_format, p_text
from qexp.analysis.text_layout import StyledLine, StyledText
from qexp.analysis.writers.labels import sentence
from qexp.model import counted

_ALPHA = 0.05
_HEADS = ("difference", "95 % interval", "p", "n", "w/t/l", "dz")
_LEGEND = "w/t/l: wins, ties and losses; dz: mean difference / standard deviation of the differences"


def lines(found: Comparison, width: int) -> Iterator[StyledLine]:
    """Yield a comparison: one pair in words, several as a table; then ranks and notes."""
    yield from text_layout.wrapped(_title(found), width, style="bold")
    yield ()
    if len(found.pairs) == 1:
        yield from _block(found, found.pairs[0], width)
    elif found.pairs:
        yield from _several(found, width)
    if found.ranks is not None:
        if found.pairs:
            yield ()
        yield from _ranks(found.ranks, found.unit, width)
    if found.notes:
        yield ()
    for note in found.notes:
        yield from text_layout.wrapped(sentence(note), width, "  ", "yellow" if note.kind == "mixed" else "dim")
        if note.command:
            yield text_layout.line(f"    {note.command}", "cyan")


def _title(found: Comparison) -> str:
    better = "higher is better" if found.maximize else "lower is better"
    by = "" if found.by == ("study",) else f" by {', '.join(found.by)}"
    return f"{' and '.join(found.studies)}: {found.metric}{by}, {better}"


def _block(found: Comparison, pair: Pair, width: int) -> Iterator[StyledLine]:
    """Yield one pair in words."""
    for place, (head, text) in enumerate(_sentences(found, pair)):
        if place == 0:
            yield from text_layout.wrapped(text, width)
            continue
        first, *more = text_layout.wrapped(text, width - 15)
        yield (StyledText(f"  {head:<11}  ", "dim"), *first)
        yield from ((StyledText(" " * 15), *line) for line in more)


def _sentences(found: Comparison, pair: Pair) -> Iterator[tuple[str, str]]:
    figures, form = pair.figures, _form([pair])
    yield "", _conclusion(found, pair)
    if not figures.n or math.isnan(figures.difference):
        yield "pairs", figures.reason
        return
    means = column_format([pair.first_mean, pair.second_mean])
    yield "means", f"{means.text(pair.first_mean)} and {means.text(pair.second_mean)}"
    yield "difference", f"{_signed(form, figures.difference)}, 95 % interval {_interval(form, pair)}"
    results = f" ({pair.results} results each)" if pair.results != figures.n else ""
    yield "pairs", f"n = {figures.n}: {found.unit}{results}"
    yield "wins", f"{pair.first} {figures.wins}, {pair.second} {figures.losses}, ties {figures.ties}"
    yield "effect size", f"dz = {_effect(figures.cohens_dz)}, rank-biserial {_effect(figures.rank_biserial)}"
    yield "test", figures.reason or f"{p_text(figures.p or 0.0)}, {found.test}"


def _conclusion(found: Comparison, pair: Pair) -> str:
    """Return the outcome of the test in words."""
    figures = pair.figures
    if not figures.n:
        return f"{pair.first} and {pair.second} cannot be paired."
    if pair.p is None:
        pairs = counted(figures.n, "pair")
        return f"The {found.test} cannot tell {pair.first} and {pair.second} apart with {pairs}."
    if pair.p > _ALPHA:
        return f"{pair.first} and {pair.second} cannot be told apart."
    word = "higher" if figures.difference > 0 else "lower"
    if figures.difference * figures.rank_biserial <= 0:  # the mean and the ranks favour different methods
        return f"{pair.first} and {pair.second} differ in {found.metric}."
    return f"{pair.first} has a {word} {found.metric} than {pair.second}."


def _several(found: Comparison, width: int) -> Iterator[StyledLine]:
    if found.is_matrix:
        yield from _matrix(found, width)
        yield ()
    stubs, labels = _labels(found)
    yield from text_layout.table(stubs, labels, _HEADS, _cells(found.pairs), width)
    yield ()
    for text in (f"pairs: {found.unit}", f"p: {found.test}, {found.correction}", _LEGEND):
        yield from text_layout.wrapped(text, width)
    for reason in dict.fromkeys(pair.figures.reason for pair in found.pairs if pair.figures.reason):
        yield from text_layout.wrapped(f"no p: {reason}", width, "  ")


def _labels(found: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return the heads and labels at the left of the pairs."""
    heads = list(found.per)
    if found.baseline is not None:
        heads.append(f"\N{MINUS SIGN} {found.baseline}")
        return heads, [[*pair.group, pair.first] for pair in found.pairs]
    if found.is_matrix:
        number = {name: str(place + 1) for place, name in enumerate(found.methods)}
        names = [f"{number[pair.first]} \N{MINUS SIGN} {number[pair.second]}" for pair in found.pairs]
        return ["pair"], [[name] for name in names]
    return [*heads, "pair"], [[*pair.group, pair.name] for pair in found.pairs]


def _cells(pairs: Sequence[Pair]) -> list[list[StyledText]]:
    form = _form(pairs)
    return [[*_row(form, pair)] for pair in pairs]


def _row(form: NumberFormat, pair: Pair) -> Iterator[StyledText]:
    figures = pair.figures
    yield StyledText(_signed(form, figures.difference), "bold" if pair.p is not None and pair.p <= _ALPHA else "")
    yield StyledText(_interval(form, pair))
    yield StyledText(_p(pair), "" if pair.p is not None else "dim")
    yield StyledText(str(figures.n))
    yield StyledText(f"{figures.wins}/{figures.ties}/{figures.losses}")
    yield StyledText(_effect(figures.cohens_dz))


def _p(pair: Pair) -> str:
    """Return the corrected p, or the number of pairs that the test needs."""
    if pair.p is not None:
        return p_text(pair.p).removeprefix("p ").removeprefix("= ")
    return f"n ≥ {pair.figures.needed_n}" if pair.figures.needed_n is not None else MISSING


def _matrix(found: Comparison, width: int) -> Iterator[StyledLine]:
    """Yield the differences row - column of all pairs, with a star where the corrected p is at most 0.05."""
    form = _form(found.pairs)
    numbers = [str(place + 1) for place in range(len(found.methods))]
    texts = {(pair.first, pair.second): _starred(form, pair, 1) for pair in found.pairs}
    texts |= {(pair.second, pair.first): _starred(form, pair, -1) for pair in found.pairs}
    means = ["" if math.isnan(mean) else form.text(mean) for mean in found.means]
    rows = [
        [StyledText(mean), *(texts.get((name, other), StyledText("·", "dim")) for other in found.methods)]
        for name, mean in zip(found.methods, means, strict=True)
    ]
    labels = [[f"{number} {name}"] for number, name in zip(numbers, found.methods, strict=True)]
    yield from text_layout.table(
        [", ".join(found.by)], labels, ["mean", *(f"\N{MINUS SIGN} {one}" for one in numbers)], rows, width
    )
    if any(pair.p is not None and pair.p <= _ALPHA for pair in found.pairs):
        yield from text_layout.wrapped(f"* p ≤ 0.05, {found.correction}", width, style="dim")
    if not _has_same_units(found):
        yield from text_layout.wrapped(
            "mean: all results of a method; differences: results that both have", width, "  "
        )


def _has_same_units(found: Comparison) -> bool:
    """Return whether no result is missing, so that differences equal those of the means."""
    mean = dict(zip(found.methods, found.means, strict=True))
    return all(
        math.isclose(mean[pair.first], pair.first_mean) and math.isclose(mean[pair.second], pair.second_mean)
        for pair in found.pairs
    )


def _starred(form: NumberFormat, pair: Pair, sign: int) -> StyledText:
    differs = pair.p is not None and pair.p <= _ALPHA
    return StyledText(
        _signed(form, sign * pair.figures.difference) + ("*" if differs else " "), "bold" if differs else ""
    )


def _ranks(ranks: Ranks, unit: str, width: int) -> Iterator[StyledLine]:
    rows = [[StyledText(f"{rank:.2f}")] for rank in ranks.ranks]
    yield from text_layout.table(["method"], [[name] for name in ranks.methods], ["average rank"], rows, width)
    yield ()
    for text in _of_ranks(ranks, unit):
        yield from text_layout.wrapped(text, width, "  ")


def _of_ranks(ranks: Ranks, unit: str) -> Iterator[str]:
    """Yield the sentences below the ranks: their unit, the Friedman test and the groups."""
    yield f"ranks: 1 is best, over {ranks.blocks} blocks: {unit}"
    if ranks.friedman_p is not None:
        yield f"Friedman test: {p_text(ranks.friedman_p)}"
    if ranks.reason:
        yield ranks.reason
    if ranks.critical_difference is not None:
        yield f"Nemenyi: ranks that are less than {ranks.critical_difference:.2f} apart are not told apart at 0.05"
    yield from (f"not told apart: {', '.join(group)}" for group in ranks.groups)


def _form(pairs: Sequence[Pair]) -> NumberFormat:
    """Return the format of all differences: two significant digits of the median half width of an interval."""
    halves = [(pair.figures.high - pair.figures.low) / 2 for pair in pairs]
    return column_format([pair.figures.difference for pair in pairs], [half for half in halves if np.isfinite(half)])


def _signed(form: NumberFormat, value: float) -> str:
    """Return a difference with its sign; zero has no sign."""
    if math.isnan(value):
        return MISSING
    text = form.text(value)
    if text.startswith("-"):
        return f"\N{MINUS SIGN}{text[1:]}"
    return f"+{text}" if text.strip("0.") else text


def _interval(form: NumberFormat, pair: Pair) -> str:
    low, high = pair.figures.low, pair.figures.high
    return MISSING if math.isnan(low) else f"{_signed(form, low)} to {_signed(form, high)}"


def _effect(value: float) -> str:
    if not math.isfinite(value):
        return MISSING if math.isnan(value) else "infinite"
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def page(found: Comparison) -> str:
    """Return a comparison as HTML: its title, the pairs, the ranks and the notes."""
    stubs = [*found.per, "pair"]
    rows = [
        [*pair.group, pair.name, *(piece.text for piece in cells)]
        for pair, cells in zip(found.pairs, _cells(found.pairs), strict=True)
    ]
    parts = [html_elements.tag("p", _title(found)), html_elements.table([*stubs, *_HEADS], rows)]
    texts = [f"pairs: {found.unit}", f"p: {found.test}, {found.correction}", _LEGEND]
    texts += [f"no p: {one}" for one in dict.fromkeys(p.figures.reason for p in found.pairs if p.figures.reason)]
    if found.ranks is not None:
        ranked = [[name, f"{rank:.2f}"] for name, rank in zip(found.ranks.methods, found.ranks.ranks, strict=True)]
        parts.append(html_elements.table(["method", "average rank"], ranked))
        texts += _of_ranks(found.ranks, found.unit)
    texts += [f"{sentence(note)}: {note.command}" if note.command else sentence(note) for note in found.notes]
    return html_elements.join(parts, [html_elements.tag("p", text) for text in texts])
