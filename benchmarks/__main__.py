"""`python -m benchmarks [CASE…]`: measure qexp and its limits, print and record the results, and write the page."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import bulk, commands, idle, machine, rates, reading, summaries
from benchmarks.report import TUNING, Record, Theme, fallen, page, show
from benchmarks.site import ROOT
from benchmarks.suite import Line, Options, choose, results, run
from qexp.client.worker_subprocess import ending_on_signals

THEMES: Sequence[Theme] = (
    ("Rates", rates.LINES),
    ("A million experiments", bulk.LINES),
    ("Tables of a million experiments", summaries.LINES),
    ("What a person waits for", commands.LINES),
    ("Reading commands", reading.LINES),
    ("Idle workers", idle.LINES),
)
LINES: Sequence[Line] = [line for _, lines in THEMES for line in lines]
# last: rates leave unfinished studies, which cost later leaders time
MEASURES = (*idle.MEASURES, *commands.MEASURES, *rates.MEASURES, *reading.MEASURES, *summaries.MEASURES, *bulk.MEASURES)
NOTES = {
    title: module.NOTE
    for (title, _), module in zip(THEMES, (rates, bulk, summaries, commands, reading, idle), strict=True)
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the requested cases; return 0, or 1 if a measure failed."""
    asked = _parser().parse_args(arguments)
    if asked.list:
        for line in LINES:
            print(f"{line.name:16} {line.what}{f', beside {line.limit}' * bool(line.limit)}")
        return 0
    try:
        lines = choose(LINES, asked.cases)
    except ValueError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    options, into = Options(asked.size), asked.into
    began = time.monotonic()
    with ending_on_signals():
        samples = run(lines, MEASURES, asked.rounds, options, _say)
    found, without = results(lines, samples)
    trial = into is None and options.rows != 1_000_000
    path = ROOT / "benchmarks/record.json" if into is None else into / "record.json"
    record = Record.load(path)
    falls = fallen(lines, found, record, options.rows)
    if trial:
        record = Record()
    record.add(found, machine.describe(), machine.commit(), f"{datetime.now(UTC):%Y-%m-%d}", options.rows)
    show(
        [(title, [line for line in of if line in lines]) for title, of in THEMES if set(of) & set(lines)],
        record,
        without,
    )
    for name, reason in without.items():
        print(f"{name}: {reason}")
    for sentence in falls:
        print(sentence)
    _say(f"{time.monotonic() - began:.0f} s in all")
    if trial:
        _say("a trial with fewer rows: nothing is recorded; --into FOLDER writes it there")
    else:
        record.forget(set(record.lines) - {line.name for line in LINES})
        record.save(path)
        write_page(record, ROOT / "docs" if into is None else into)
    return 130 if samples.interrupted else 1 if samples.failed else 0


def write_page(record: Record, folder: Path) -> None:
    """Write performance.md and its pictures; without matplotlib, the pictures stay unchanged."""
    pictures = folder / "performance"
    if importlib.util.find_spec("matplotlib") is None:
        _say("the pictures are not drawn: matplotlib is not installed; pip install 'qexp[bench]'")
        return
    from benchmarks import plots

    names = plots.draw(THEMES, record, pictures)
    _, heading, tuning = (ROOT / "docs/performance.md").read_text(encoding="utf-8").partition(TUNING)
    shown = {title: f"performance/{name}" for title, name in names.items()}
    text = page(THEMES, record, NOTES, shown, heading + tuning)
    (folder / "performance.md").write_text(text, encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="names of cases to measure; default: all")
    parser.add_argument("--rounds", type=_rounds, default=5, help="number of rounds; default 5")
    parser.add_argument("--size", type=_size, default=1.0, help="a factor for the cases of a million rows")
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="write record, page and pictures there instead")
    parser.add_argument("--list", action="store_true", help="list the cases")
    return parser


def _rounds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number from 1")
    return int(text)


def _size(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 100:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a factor such as 0.05")
    return number


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
