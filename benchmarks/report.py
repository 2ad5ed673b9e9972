"""The record of measurements, and its table and page."""

from __future__ import annotations

import hashlib
import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.suite import FALLEN, TIMES, How, Line, Result, short

Theme = tuple[str, Sequence[Line]]
"""A title and the lines under it."""


@dataclass
class Record:
    """The last figures of each line, each with its time, commit and machine."""

    lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    machines: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Record:
        if not path.exists():
            return cls()
        data = json.loads(path.read_text(encoding="utf-8"))
        return cls(data["lines"], data["machines"])

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        data = {"machines": self.machines, "lines": self.lines}
        path.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def add(self, results: Iterable[Result], machine: Mapping[str, str], commit: str, date: str, rows: int) -> None:
        """Replace the results of the same lines; the other lines stay unchanged."""
        mark = hashlib.blake2b(json.dumps(machine, sort_keys=True).encode(), digest_size=4).hexdigest()
        self.machines[mark] = dict(machine)
        for result in results:
            self.lines[result.name] = {
                "value": _rounded(result.value),
                "ours": _rounded(result.ours),
                "beside": None if result.beside is None else _rounded(result.beside),
                "spread": [_rounded(value) for value in result.spread],
                "rounds": result.rounds,
                "rows": rows,
                "date": date,
                "commit": commit,
                "machine": mark,
            }
        used = {line["machine"] for line in self.lines.values()}
        self.machines = {mark: facts for mark, facts in self.machines.items() if mark in used}

    def forget(self, names: Iterable[str]) -> None:
        """Remove lines that the suite no longer has."""
        for name in names:
            self.lines.pop(name, None)


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def fallen(lines: Iterable[Line], results: Iterable[Result], record: Record, rows: int) -> list[str]:
    """Return a sentence for each result under 70 % of the record for the same number of rows."""
    by_name = {line.name: line for line in lines}
    found = []
    for result in results:
        before = record.lines.get(result.name)
        if before is None or before["rows"] != rows:
            continue
        line = by_name[result.name]
        share = line.share(result.value, before["value"])
        if share < FALLEN:
            unit = spaced(line.value_unit)
            found.append(
                f"{result.name} has fallen to {share:.0%} of what is recorded: {short(result.value)}{unit} now, "
                f"{short(before['value'])}{unit} on {before['date']} by {before['commit']}"
            )
    return found


def spaced(unit: str) -> str:
    """Return a unit as text after a number."""
    return f" {unit}" if unit[:1].isalnum() or unit == TIMES else unit


def cells(line: Line, record: Record, without: Mapping[str, str]) -> tuple[str, str, str, str, str]:
    """Return a line's figures as text: qexp's, the reference, the value, the target, and whether it is reached."""
    target = f"{'≥' if line.least is not None else '≤'} {short(line.target)}{spaced(line.value_unit)}"
    if line.how is How.MORE:
        target += " more"
    found = record.lines.get(line.name)
    if found is None or line.name in without:
        return "", "", without.get(line.name, "not measured").partition(":")[0], target, ""
    unit = spaced(line.unit)
    beside = "" if found["beside"] is None else f"{short(found['beside'])}{unit}"
    value = "" if line.how is How.PLAIN else f"{short(found['value'])}{spaced(line.value_unit)}"
    return f"{short(found['ours'])}{unit}", beside, value, target, "yes" if line.reached(found["value"]) else "no"


def table(themes: Iterable[Theme], record: Record, without: Mapping[str, str]) -> Table:
    """Return the lines as a table for a terminal of 80 columns."""
    made = Table(box=None, pad_edge=False, padding=(0, 1), show_edge=False)
    for title, justify in (("", "left"), ("qexp", "right"), ("beside", "right"), ("", "right"), ("goal", "left")):
        made.add_column(title, justify=justify, no_wrap=bool(title) or justify == "right")  # type: ignore[arg-type]
    made.add_column("")
    for title, lines in themes:
        made.add_row(f"[bold]{title}[/]")
        for line in lines:
            *figures, reached = cells(line, record, without)
            colour = {"yes": "green", "no": "red"}.get(reached, "dim")
            made.add_row(line.what, *figures, f"[{colour}]{reached}[/]")
    return made


def show(themes: Sequence[Theme], record: Record, without: Mapping[str, str]) -> None:
    Console(highlight=False).print(table(themes, record, without))


TUNING = "## Tuning history\n"
"""The heading of the handwritten part of the page, which a new page keeps."""

_INTRODUCTION = """\
# How fast qexp is

The suite measures qexp and its limit in turns: Celery without qexp, `COPY` without qexp, one bare `UPDATE`. So other
load on the machine slows both. Figures are medians. Compare the ratios; seconds depend on the machine. To measure on
yours:

```sh
pip install -e '.[bench]' && python -m benchmarks             # everything, about 45 minutes
python -m benchmarks noop status --rounds 3                   # some cases; --list names them
```

The suite starts its own Postgres and Valkey in a temporary folder. It writes this page (down to the tuning history),
the pictures and [benchmarks/record.json](../benchmarks/record.json). It reports a value below 70 % of the recorded one.

## Goals and figures
"""


def page(
    themes: Sequence[Theme], record: Record, notes: Mapping[str, str], pictures: Mapping[str, str], tuning: str = ""
) -> str:
    """Return docs/performance.md; *notes* are by theme, *pictures* file names by title, *tuning* is its last part."""
    lines = [line for _, of in themes for line in of]
    reached = [line.reached(record.lines[line.name]["value"]) for line in lines if line.name in record.lines]
    parts = [_INTRODUCTION, f"qexp reaches {sum(reached)} of {len(reached)} goals.\n"]
    parts.append("| case | measured | qexp | compared with | ratio | goal | reached |\n|---|---|--:|--:|--:|---|---|")
    for title, of in themes:
        parts.append(f"| | **{title}** | | | | | |")
        for line in of:
            ours, beside, value, target, answer = cells(line, record, {})
            beside = f"{line.limit}: {beside}" if beside else ""
            parts.append(f"| `{line.name}` | {line.what} | {ours} | {beside} | {value} | {target} | {answer} |")
    parts.append("")
    if "targets" in pictures:
        parts.append(f"Right of the line is better:\n\n![each figure and its goal]({pictures['targets']})\n")
    for title, _ in themes:
        parts.append(f"## How it is measured: {title.lower()}\n")
        if title in notes:
            parts.append(
                textwrap.fill(notes[title].strip(), 125, break_long_words=False, break_on_hyphens=False) + "\n"
            )
        if title in pictures:
            parts.append(f"![{title}]({pictures[title]})\n")
    parts += [_where(record), tuning]
    return "\n".join(parts)


def _where(record: Record) -> str:
    """Return the machines, and the lines and times measured on each."""
    parts = ["## Where and when it was measured\n"]
    for mark, facts in record.machines.items():
        parts.append("; ".join(f"{name} {value}" for name, value in facts.items()) + ".\n")
        groups: dict[tuple[str, str, int, int], list[str]] = {}
        for name, line in record.lines.items():
            if line["machine"] == mark:
                groups.setdefault((line["date"], line["commit"], line["rounds"], line["rows"]), []).append(name)
        for (date, commit, rounds, rows), names in groups.items():
            times = "1 round" if rounds == 1 else f"{rounds} rounds"
            many = f"{rows:,} rows where 1,000,000 are named" if rows != 1_000_000 else "1,000,000 rows"
            parts.append(f"- {date}, qexp {commit}, {times}, {many}: {', '.join(sorted(names))}")
        parts.append("")
    return "\n".join(parts)
