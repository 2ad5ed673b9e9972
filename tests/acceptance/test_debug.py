"""`qexp debug` runs one experiment in this process with its own code, and writes nothing."""

import json

import pytest

SOURCE = """
import qexp
def f(x, context: qexp.Context):
    state = {"sum": 0}
    for number in context.resumable(range(x), state):
        state["sum"] += number
        context.metric(sum=state["sum"])
    context.append("seen", {"x": x})
    context.record(early=1)
    if x == 3:
        raise ValueError("three is too many")
    return {"sum": state["sum"]}
"""


@pytest.fixture
def made(study):
    made = study(SOURCE, {"x": [2, 3]})
    made.enqueue()
    return made


def test_an_experiment_runs_in_this_process_and_nothing_is_written(qexp, made):
    first, _ = (row["id"] for row in made.listed())
    done = qexp("debug", str(first))
    assert json.loads(done.stdout) == {"early": 1, "sum": 1}
    assert "series sum: 2 points, the last 1" in done.stderr and "list seen: 1 rows" in done.stderr
    assert [row["status"] for row in made.listed()] == ["queued", "queued"]
    assert [one["attempts"] for one in made.shown()] == [[], []]
    assert qexp("metrics", str(first), "--format", "csv").stdout.strip().count("\n") == 0


def test_an_error_is_shown_with_the_lines_of_the_users_file(qexp, made):
    _, second = (row["id"] for row in made.listed())
    done = qexp("debug", str(second))
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("ValueError: three is too many")
    assert f'File "{made.folder}/' in done.stderr


def test_the_enqueued_code_runs_by_default(qexp, made):
    first, _ = (row["id"] for row in made.listed())
    (source,) = made.folder.glob("*.py")
    source.write_text(SOURCE.replace('"sum": state["sum"]}', '"changed": True}'))
    assert json.loads(qexp("debug", str(first)).stdout) == {"early": 1, "sum": 1}
    assert json.loads(qexp("debug", str(first), "--live").stdout) == {"early": 1, "changed": True}
