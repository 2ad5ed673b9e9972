"""Benchmarks compute lines, records and pages from measurements; no test depends on the measured figures."""

import contextlib
import json

import pytest
from rich.console import Console

from benchmarks import __main__ as command
from benchmarks.report import Record, cells, fallen, page, table
from benchmarks.suite import (
    TIMES,
    How,
    Line,
    Measure,
    NotAvailableError,
    Options,
    Result,
    Samples,
    choose,
    results,
    run,
)

FAST = Line("fast", "no-ops", "ours", "/s", "theirs", "raw Celery", least=5.0)
SLOW = Line("slow", "enqueue", "seconds", "s", "copy", "COPY", most=2.0)
MORE = Line("slow-start", "help", "help", "s", "empty", "python", How.MORE, most=0.2)
PLAIN = Line("memory", "memory", "bytes", "MB", how=How.PLAIN, most=150.0)
BARE = Line("sleeps", "part slept", "slept", "", "pool", "a pool", How.PLAIN, least=0.97)
LINES = (FAST, SLOW, MORE, PLAIN)
THEMES = (("Rates", (FAST,)), ("Bulk", (SLOW, MORE, PLAIN)))
SAMPLES = {
    "ours": [100.0, 600.0, 500.0],
    "theirs": [100.0, 100.0, 90.0],
    "seconds": [30.0],
    "copy": [10.0],
    "help": [0.25],
    "empty": [0.05],
    "bytes": [77.0],
}
MACHINE = {"CPU": "a fast one", "memory": "16 GiB"}


def found(**values):
    return results(LINES, Samples(values=SAMPLES | values))[0]


def recorded(*lines):
    record = Record()
    record.add(lines or found(), MACHINE, "abc1234", "2026-01-31", 1_000_000)
    return record


def result(line, value):
    return Result(line.name, value, value, 1.0, 1, (value, value))


class Nowhere:
    """A site that starts nothing."""

    def __init__(self):
        self.stopped = 0

    def stop(self):
        self.stopped += 1


def test_a_line_compares_the_medians_of_rounds_and_keeps_their_range():
    fast, slow, more, plain = found()
    assert (fast.ours, fast.beside, fast.value, fast.rounds) == (500.0, 100.0, 5.0, 3)
    assert fast.spread == (1.0, 6.0)
    assert (slow.value, plain.value, plain.beside) == (3.0, 77.0, None)
    assert more.value == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("line", "value", "reached"), [(FAST, 5.0, True), (FAST, 4.99, False), (SLOW, 2.0, True), (SLOW, 2.01, False)]
)
def test_a_line_is_reached_at_its_target_and_on_the_better_side_of_it(line, value, reached):
    assert line.reached(value) is reached


@pytest.mark.parametrize(
    ("line", "before", "now", "is_told"),
    [
        (FAST, 5.0, 3.6, False),
        (FAST, 5.0, 3.4, True),
        (FAST, 5.0, 50.0, False),
        (SLOW, 2.0, 2.8, False),
        (SLOW, 2.0, 2.9, True),
        (SLOW, 2.0, 0.1, False),
        (MORE, 0.1, -0.01, False),
    ],
)
def test_results_under_70_percent_of_the_record_are_reported_in_either_direction(line, before, now, is_told):
    told = fallen(LINES, [result(line, now)], recorded(result(line, before)), 1_000_000)
    assert bool(told) is is_told
    assert all(line.name in sentence and "abc1234" in sentence for sentence in told)


@pytest.mark.parametrize(("line", "goal"), [(FAST, 500.0), (SLOW, 200.0), (MORE, 100.2), (BARE, 0.97)])
def test_a_line_s_goal_is_a_figure_of_qexp_s_own(line, goal):
    assert line.goal(100.0) == pytest.approx(goal)
    assert line.value(line.goal(100.0), 100.0) == pytest.approx(line.target)


def test_the_reference_of_a_plain_figure_is_shown_but_not_compared():
    (slept,) = results([BARE], Samples(values={"slept": [0.98], "pool": [0.9]}))[0]
    assert (slept.value, slept.beside) == (0.98, 0.9)
    assert cells(BARE, recorded(slept), {}) == ("0.98", "0.9", "", "≥ 0.97", "yes")


def test_results_without_a_record_are_not_reported_as_slower():
    assert fallen(LINES, found(), Record(), 1_000_000) == []


def test_a_trial_of_fewer_rows_is_not_compared_with_all_of_them():
    assert fallen(LINES, [result(SLOW, 20.0)], recorded(), 50_000) == []


def test_a_record_of_some_lines_leaves_the_others_and_their_machine_as_they_were(tmp_path):
    # Given a record of all lines
    recorded().save(tmp_path / "record.json")
    # When one line is measured again on another machine
    record = Record.load(tmp_path / "record.json")
    record.add([result(FAST, 9.0)], {"CPU": "another"}, "def5678", "2026-02-28", 1_000_000)
    record.save(tmp_path / "record.json")
    # Then only this line changes
    again = Record.load(tmp_path / "record.json")
    assert again.lines["fast"]["value"] == 9.0
    assert again.lines["slow"] == recorded().lines["slow"]
    assert sorted(facts["CPU"] for facts in again.machines.values()) == ["a fast one", "another"]
    # And a machine without lines is removed
    again.add(found(), MACHINE, "def5678", "2026-02-28", 1_000_000)
    assert list(again.machines.values()) == [MACHINE]


def test_the_same_record_is_the_same_file(tmp_path):
    for name in ("one", "two"):
        recorded().save(tmp_path / name)
    assert (tmp_path / "one").read_text() == (tmp_path / "two").read_text()
    assert json.loads((tmp_path / "one").read_text())["lines"]["slow"]["spread"] == [3.0, 3.0]


def test_a_table_fits_80_columns_and_marks_reached_and_unavailable_lines():
    console = Console(width=80)
    with console.capture() as captured:
        console.print(table(THEMES, recorded(), {"memory": "not available: there is no setting 'durability'"}))
    text = captured.get()
    assert max(map(len, text.splitlines())) <= 80
    assert f"≥ 5 {TIMES}" in text and "yes" in text and "no" in text
    assert "not available" in text and "77" not in text


def test_the_command_s_own_lines_fit_80_columns_with_large_figures():
    record = Record()
    record.add(
        [Result(line.name, 1234.5, 12345.6, 12345.6, 5, (1.0, 2.0)) for line in command.LINES],
        MACHINE,
        "abc",
        "2026-01-31",
        1,
    )
    console = Console(width=80)
    with console.capture() as captured:
        console.print(table(command.THEMES, record, {}))
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in captured.get()


def test_a_page_has_every_line_and_says_where_and_when():
    pictures = {"targets": "targets.svg", "Bulk": "bulk.svg"}
    text = page(THEMES, recorded(), {"Rates": "how it is measured"}, pictures, "## Tuning\n")
    assert text.endswith("## Tuning\n")
    assert all(f"| `{line.name}` |" in text for line in LINES)
    assert "2 of 4 goals" in text or "3 of 4 goals" in text
    assert "](bulk.svg)" in text and "how it is measured" in text
    assert "CPU a fast one" in text and "2026-01-31, qexp abc1234" in text


def test_a_line_that_was_not_measured_has_its_target_and_no_figure():
    assert cells(FAST, Record(), {}) == ("", "", "not measured", f"≥ 5 {TIMES}", "")


def test_a_name_stands_for_a_case_and_those_that_go_with_it():
    assert choose(LINES, ["slow"]) == [SLOW, MORE]
    assert choose(LINES, []) == list(LINES)
    with pytest.raises(ValueError, match="there is no case 'sloow'"):
        choose(LINES, ["sloow"])


def test_rounds_are_interleaved_and_only_the_needed_measures_run():
    # Given three measures, the first two on one site
    order, sites = [], []

    @contextlib.contextmanager
    def place(options):
        sites.append(Nowhere())
        yield sites[-1]

    def measure(*names):
        return Measure(names, place, lambda site: order.append(names[0]) or dict.fromkeys(names, 1.0))

    measures = [measure("ours"), measure("theirs"), measure("seconds")]
    # When the line of two measures is measured twice
    samples = run([FAST], measures, 2, Options(), lambda text: None)
    # Then both take turns; each round has a new site, emptied after each measure
    assert order == ["ours", "theirs"] * 2
    assert [site.stopped for site in sites] == [2, 2]
    assert samples.values == {"ours": [1.0, 1.0], "theirs": [1.0, 1.0]}


def test_unavailable_and_failing_measures_are_reported_and_the_others_run():
    @contextlib.contextmanager
    def place(options):
        yield Nowhere()

    def absent(site):
        raise NotAvailableError("there is no setting 'durability'")

    measures = [
        Measure(("ours",), place, absent),
        Measure(("theirs",), place, lambda site: {"theirs": 1.0}),
        Measure(("seconds",), place, lambda site: {"seconds": {}["seconds"]}),
        Measure(("copy",), place, lambda site: {"copy": 1.0}),
        Measure(("bytes",), place, lambda site: {"bytes": 1.0}),
    ]
    said = []
    samples = run([FAST, SLOW, PLAIN], measures, 1, Options(), said.append)
    measured, without = results([FAST, SLOW, PLAIN], samples)
    assert [one.name for one in measured] == ["memory"]
    assert without == {
        "fast": "not available: there is no setting 'durability'",
        "slow": "failed: KeyError: 'seconds'",
    }
    assert len(said) == 5


def test_an_interrupted_run_keeps_its_results():
    @contextlib.contextmanager
    def place(options):
        yield Nowhere()

    def interrupted(site):
        raise KeyboardInterrupt

    measures = [
        Measure(("bytes",), place, lambda site: {"bytes": 1.0}),
        Measure(("seconds", "copy"), place, interrupted),
    ]
    samples = run([PLAIN, SLOW], measures, 2, Options(), lambda text: None)
    measured, without = results([PLAIN, SLOW], samples)
    assert samples.interrupted and [one.rounds for one in measured] == [1] and list(without) == ["slow"]


def test_every_line_of_the_suite_is_measured_and_every_name_is_one_line_s():
    given = [name for measure in command.MEASURES for name in measure.gives]
    assert len(given) == len(set(given))
    assert {name for line in command.LINES for name in line.quantities} <= set(given)
    names = [line.name for line in command.LINES]
    assert len(names) == len(set(names))
    assert all(line.target > 0 for line in command.LINES)


def test_pictures_are_the_same_for_the_same_record(tmp_path):
    pytest.importorskip("matplotlib")
    from benchmarks.plots import draw

    slept, *_ = results([BARE], Samples(values={"slept": [0.98], "pool": [0.9]}))[0]
    before = Result(MORE.name, 0.2, 0.25, None, 1, (0.2, 0.2))  # an old record, without a reference
    rows = [*(row for row in found() if row.name != MORE.name), slept, before]
    themes = (*THEMES, ("Sleeps", (BARE,)))
    names = draw(themes, recorded(*rows), tmp_path / "one")
    assert draw(themes, recorded(*rows), tmp_path / "two") == names
    assert names == {"targets": "targets.svg", "Rates": "rates.svg", "Bulk": "bulk.svg", "Sleeps": "sleeps.svg"}
    for name in names.values():
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
