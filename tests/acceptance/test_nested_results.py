"""Nested results have the same column names in every command, file and view."""

import json
import math

import pandas as pd
import pytest
from psycopg.sql import SQL, Identifier
from tests_support import eventually, refuse_constant

import qexp as package
from qexp.store.connection import connect

SOURCE = """
import math
import qexp

def f(n: int, status: str, context: qexp.Context):
    context.metric(1, loss=math.inf)
    context.metric(2, loss=0.1 + 0.2)
    acc = [None, math.nan, 0.5, 1][n]
    kind = [1, 2.5, "n/a", True][n]
    train = {"acc": acc, "curve": [math.nan, math.inf], "deep": {"n": n}}
    return {"train": train, "acc": acc, "kind": kind, "n": n * n, "status": "s"}
"""


@pytest.fixture(scope="module")
def worker(start_worker, queue):
    return start_worker("-Q", queue, "-c", "1").await_ready()


@pytest.fixture
def made(study, worker):
    made = study(SOURCE, {"n": [0, 1, 2, 3], "status": "enrolled"})
    made.enqueue()
    assert made.wait() == 0
    return made


def test_a_view_follows_the_results_of_workers_without_another_enqueue(site, made):
    columns = ("acc", "train.acc", "kind", "train.deep.n", "result.n", "param.status", "result.status")
    query = SQL("SELECT {} FROM {} ORDER BY id").format(
        SQL(", ").join(map(Identifier, columns)), Identifier(f"study_{made.name}")
    )
    mean = SQL("SELECT avg(acc) FILTER (WHERE acc <> 'NaN') FROM {}").format(Identifier(f"study_{made.name}"))
    with connect(site) as raw:
        rows = raw.execute(query).fetchall()
        assert raw.execute(mean).fetchone() == (0.75,)
    assert rows[0] == (None, None, 1, 0, 0, "enrolled", "s")
    assert math.isnan(rows[1][0])
    assert rows[2] == (0.5, 0.5, "n/a", 2, 4, "enrolled", "s")
    assert rows[3][:3] == (1, 1, True)


def test_the_leader_updates_a_view_while_no_command_waits(site, study, worker):
    # Given a study whose first result has no type, and its view
    made = study("def f(n): return {'acc': None if n == 0 else 'n/a' if n == 2 else n / 2}", {"n": [0]})
    made.enqueue()
    assert made.wait() == 0
    # When code adds an experiment with a number and one with text, and no command waits for them
    package.Study(made.name).add([{"n": 1}, {"n": 2}])
    query = SQL("SELECT acc FROM {} ORDER BY id").format(Identifier(f"study_{made.name}"))

    # Then the view shows both
    def values():
        with connect(site) as raw:
            return [row[0] for row in raw.execute(query)]

    eventually(lambda: values() == [None, 0.5, "n/a"], "the leader to write the view")


def test_lists_files_and_conditions_have_the_names_of_frames(qexp, made, site, tmp_path):
    names = [
        "n",
        "param.status",
        "train.acc",
        "train.curve",
        "train.deep.n",
        "acc",
        "kind",
        "result.n",
        "result.status",
    ]
    assert [name for name in package.load(made.name) if name in names] == names
    with connect(site) as raw:
        view = raw.execute(SQL("SELECT * FROM {}").format(Identifier(f"study_{made.name}")))
        assert [column.name for column in view.description if column.name in names] == names
    heading = qexp("list", made.name).stdout.splitlines()[0].split()
    assert heading == ["id", *names, "status", "duration"]
    for condition, expected in (("train.acc > 0.1", [2, 3]), ("result.n >= 4", [2, 3]), ("train.deep.n = 1", [1])):
        listed = json.loads(qexp("list", made.name, "--where", condition, "--format", "json").stdout)
        assert [row["params"]["n"] for row in listed] == expected
    assert qexp("export", made.name, "-o", "x.parquet").returncode == 0
    frame = pd.read_parquet(tmp_path / "x.parquet")
    assert [name for name in frame if name in names] == names
    assert frame["kind"].tolist() == ["1", "2.5", "n/a", "true"]


def test_printed_and_written_json_is_valid(qexp, made, tmp_path):
    assert qexp("export", made.name, "-o", "x.json").returncode == 0
    rows = json.loads((tmp_path / "x.json").read_text(), parse_constant=refuse_constant)
    assert [row["train.curve"] for row in rows] == [[None, "Infinity"]] * 4
    assert [row["acc"] for row in rows] == [None, None, 0.5, 1]
    number = made.listed()[0]["id"]
    for command in (("list", made.name), ("show", number), ("metrics", made.name)):
        done = qexp(*command, "--format", "json")
        assert done.returncode == 0, done.stderr

        json.loads(done.stdout, parse_constant=refuse_constant)
    points = json.loads(qexp("metrics", made.name, "--format", "json").stdout, parse_constant=refuse_constant)
    assert {row["value"] for row in points} == {"Infinity", 0.30000000000000004}
