"""The drill judges executions and rows, and plans the faults of a seed."""

import dataclasses
import json

import pytest

from benchmarks.drill import function, plan
from benchmarks.drill.judge import Attempt, Execution, Experiment, Facts, Pause, Sample, judge, longest_pause, read
from benchmarks.drill.report import Report
from benchmarks.drill.storm import Storm

RETURNS = Experiment(1, 0, "done", 2, None, 0, {"y": 0, "attempt": 2}, "returns")
RAISES = Experiment(2, 1, "failed", 2, "error", 0, None, "raises")
EXITS = Experiment(3, 2, "failed", 4, "crashed", 0, None, "exits")
ROWS = [
    Attempt(1, 1, "lost", 10),
    Attempt(1, 2, "done", 11),
    *(Attempt(2, number, "error", 11) for number in (1, 2)),
    *(Attempt(3, number, "crashed", 20 + number) for number in (1, 2, 3, 4)),
]
BEGUN = [Execution(row.experiment, row.number, row.pid, 0.0) for row in ROWS]
GOOD = Facts(3, [RETURNS, RAISES, EXITS], ROWS, BEGUN, [BEGUN[1]])


def complaints(facts):
    return {verdict.what: list(verdict.against) for verdict in judge(facts) if not verdict.passed}


def but(one, **changes):
    return dataclasses.replace(one, **changes)


def test_a_correct_history_has_no_complaint():
    assert complaints(GOOD) == {}


@pytest.mark.parametrize(
    ("facts", "complaint"),
    [
        (but(GOOD, number=4), {"nothing is lost": ["x = 3: there 0 times"]}),
        (
            but(GOOD, experiments=[but(RETURNS, result={"y": 0, "attempt": 1}), RAISES, EXITS]),
            {
                "nothing is lost": [
                    "experiment 1: its result is {'y': 0, 'attempt': 1}, expected {'y': 0, 'attempt': 2}"
                ]
            },
        ),
        (
            but(GOOD, begun=[*BEGUN, but(BEGUN[0], pid=12)]),
            {
                "no attempt is executed twice": ["experiment 1, attempt 1: executed by 10 and 12"],
                "executions are rows": ["experiment 1, attempt 1: executed by 12, its row says 10"],
            },
        ),
        (
            but(GOOD, begun=[*BEGUN, Execution(1, 3, 11, 0.0)]),
            {"executions are rows": ["experiment 1, attempt 3: executed by 11, no row"]},
        ),
        (
            but(GOOD, begun=BEGUN[:2] + BEGUN[3:]),
            {"executions are rows": ["experiment 2, attempt 1: error, and was not executed"]},
        ),
        (but(GOOD, ended=[]), {"executions are rows": ["experiment 1, attempt 2: done, and was not executed"]}),
        (but(GOOD, left=[77]), {"nothing is stuck": ["process 77 outlives its worker"]}),
        (but(GOOD, quarantined=["w"]), {"each fails by its own fault only": ["worker w is quarantined"]}),
        (
            but(GOOD, experiments=[but(RETURNS, status="failed", failure="crashed"), RAISES, EXITS]),
            {"each fails by its own fault only": ["experiment 1, which returns: failed by crashed, expected None"]},
        ),
    ],
)
def test_each_violation_is_named(facts, complaint):
    assert complaints(facts) == complaint


def test_an_attempt_that_was_cut_short_before_it_began_needs_no_execution():
    assert complaints(but(GOOD, begun=BEGUN[1:])) == {}


def test_an_open_experiment_is_stuck():
    # Given a running experiment its second attempt, which has no row yet
    facts = but(
        GOOD, experiments=[but(RETURNS, status="running", result=None), RAISES, EXITS], attempts=ROWS[:1] + ROWS[2:]
    )
    # Then this is the only complaint: the row of an attempt appears when it ends
    assert complaints(facts)["nothing is stuck"] == ["experiment 1 is running"]
    assert "executions are rows" not in complaints(facts)


@pytest.mark.parametrize("extra", [Attempt(2, 3, "error", 11), Attempt(3, 5, "crashed", 11)])
def test_an_experiment_that_fails_by_itself_uses_its_retries_exactly(extra):
    # Given one more failure than the retries allow
    experiments = [but(one, attempt=extra.number) if one.id == extra.experiment else one for one in GOOD.experiments]
    facts = but(GOOD, experiments=experiments, attempts=[*ROWS, extra])
    # Then the judge complains
    assert "each fails by its own fault only" in complaints(facts)


def test_a_requeue_gives_the_retries_back():
    # Given an experiment that failed, was requeued and failed again
    again = [Attempt(2, 3, "error", 11), Attempt(2, 4, "error", 11)]
    facts = but(
        GOOD,
        experiments=[RETURNS, but(RAISES, attempt=4, forgiven=2), EXITS],
        attempts=[*ROWS, *again],
        begun=[*BEGUN, *(Execution(2, row.number, row.pid, 0.0) for row in again)],
    )
    # Then there is no complaint
    assert complaints(facts) == {}


def test_a_number_that_is_left_out_is_a_gap():
    facts = but(GOOD, attempts=ROWS[1:], begun=BEGUN[1:])
    assert complaints(facts) == {
        "attempt numbers follow each other": ["experiment 1: attempts [2], and its row says 2"]
    }


def samples(*states):
    return [Sample(float(at), broken, able, queued=queued) for at, (broken, able, queued) in enumerate(states)]


FREE, BROKEN, EMPTY, STOPPED = ((), 2, 5), (("broker",), 2, 5), ((), 2, 0), ((), 0, 5)


@pytest.mark.parametrize(
    ("states", "begun", "seconds"),
    [
        ([FREE, FREE, FREE, FREE], [], 3.0),
        ([FREE, FREE, FREE, FREE], [1.5], 1.5),
        ([FREE, FREE, BROKEN, FREE], [], 2.0),
        ([EMPTY, FREE, FREE, STOPPED], [], 2.0),
        ([BROKEN, EMPTY, STOPPED], [], None),
    ],
)
def test_a_pause_is_a_time_in_which_an_attempt_should_have_started(states, begun, seconds):
    found = longest_pause(samples(*states), [Execution(1, 1, 1, at) for at in begun])
    assert (found and found.seconds) == seconds


def test_a_log_is_read_up_to_the_line_that_was_cut(tmp_path):
    (tmp_path / "log").write_text("begin 1 1 10 5.5\nend 1 1 10 5.6\nbegin 2 1")
    assert read(tmp_path / "log") == ([Execution(1, 1, 10, 5.5)], [Execution(1, 1, 10, 5.6)])


def test_a_seed_stands_for_the_same_faults_each_time_and_each_can_happen():
    faults = plan.plan(7, 2000, 30.0)
    assert faults == plan.plan(7, 2000, 30.0) != plan.plan(8, 2000, 30.0)
    assert {fault.kind for fault in faults} == set(plan.KINDS)
    assert all(hasattr(Storm, f"_{kind.replace(' ', '_')}") for kind in plan.KINDS)
    assert any(fault.seconds > 30.0 for fault in faults), "no worker is stopped for longer than a lease"


def test_about_5_percent_of_experiments_raise_and_1_percent_exit():
    fates = [function.fate(7, x) for x in range(2000)]
    assert 70 < sum(what == "raises" for what, _ in fates) < 130
    assert 10 < sum(what == "exits" for what, _ in fates) < 35
    assert all(0.02 <= seconds <= 0.3 for _, seconds in fates)


def test_a_report_is_80_columns_wide_and_is_data_too():
    # Given a report with every part
    pause = Pause(3.0, 50.0, samples(*[FREE] * 3))
    events = [(float(at), "something with a long name that happened to somebody: " * 3) for at in range(20)]
    facts = but(GOOD, experiments=[but(one, status="running") for one in GOOD.experiments] * 3)
    report = Report(7, 2000, 240.0, 30.0, {"kill it": 3}, {"done": 5}, judge(facts), pause, events, 0.0)
    # Then its lines fit, its cases are few, and it is JSON
    text = report.text()
    assert max(map(len, text.splitlines())) <= 80
    assert "✗ nothing is stuck" in text and "and 4 more" in text and "longest pause: 47.0 s" in text
    assert json.loads(json.dumps(report.data()))["pause"] == {"at": 3.0, "seconds": 47.0}
    assert not report.passed
