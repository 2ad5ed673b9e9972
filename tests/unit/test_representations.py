"""Public objects show themselves in a line that a person reads."""

from __future__ import annotations

import pytest

import qexp
from qexp.client.enqueue import Difference, Enqueued
from qexp.client.enqueue_notices import IN_PYTHON, in_shell, notices, orphans, warn
from qexp.model import Counts, Status

GRID = {"study": "demo", "function": "m:f", "parameters": {"lr": [0.1, 0.01], "depth": 3}}


@pytest.fixture
def grid(tmp_path):
    return qexp.Grid.from_dict({**GRID, "include": [{"lr": 1, "depth": 2}]}, str(tmp_path))


def test_a_grid_shows_its_size_and_its_parameters(grid, tmp_path):
    assert repr(grid) == "<Grid demo: 3 experiments of m:f; lr (2), depth (1); 1 included>"
    assert grid.folder == tmp_path


def test_an_enqueue_and_a_difference_show_their_numbers():
    done = Enqueued("demo", total=1200, new=200, announced=100, revision=2, waiting=100)
    assert repr(done) == "demo: 1200 experiments, 200 new, 1000 already there; 100 queued, 100 follow"
    difference = Difference("demo", 1, 2, 3, {"settings.epochs": (1, 2)})
    assert repr(difference) == "demo: 1 new, 2 kept, 3 no longer in the grid; changes settings.epochs"


def test_a_context_names_its_experiment():
    assert repr(qexp.Context.local(id=17, study="demo")) == "<LocalContext of demo #17, attempt 1>"


def test_an_enqueue_without_trouble_warns_of_nothing(grid):
    assert list(notices(grid, Enqueued("demo", 3, 3, 3, 1), IN_PYTHON)) == []


def test_warnings_of_an_enqueue_name_the_repair_for_a_shell_or_for_python(grid):
    done = Enqueued(
        *("demo", 3, 3, 3, 2),
        orphaned=1,
        orphans=Counts({Status.QUEUED: 1}),
        failed=2,
        cancelled=1,
        moved_from=("old:f", None),
        warnings=tuple(f"file{number} looks like a secret" for number in range(12)),
        ran_otherwise=2,
        missing=("numpy is not installed there",),
        stale=5,
    )
    found = list(notices(grid, done, IN_PYTHON))
    assert found[0] == "file0 looks like a secret; list it in .qexpignore to leave it out without this warning"
    assert found[10:12] == ["2 more warnings like these", "numpy is not installed there"]
    assert found[13] == (
        "5 done experiments are stale: study.stale() says why, study.requeue(stale=True) runs them again"
    )
    assert found[14:17] == [
        '2 experiments failed before; study.requeue("failed") runs them again with this code',
        '1 experiment was cancelled before; study.requeue("cancelled") runs it again',
        "1 experiment is no longer in the grid, and has not finished; study.cancel(orphaned=True) cancels it",
    ]
    assert found[17] == (
        f"the study 'demo' is not new: it ran old:f in the installed packages, and now runs m:f in {grid.folder}; "
        "unless you moved the code, give this grid a study of its own with study=NAME"
    )
    assert len(found) == 18
    shell = list(notices(grid, done, in_shell("demo")))
    assert shell[:13] == found[:13]
    assert shell[13].endswith(": 'qexp stale demo' says why, 'qexp requeue demo --stale' runs them again")
    assert shell[14].endswith("; 'qexp requeue demo --failed' runs them again with this code")
    assert shell[15].endswith("; 'qexp requeue demo --status cancelled' runs it again")
    assert shell[16].endswith("; 'qexp cancel demo --orphaned' cancels it")
    assert shell[17].endswith("with --set study=NAME")


def test_the_command_that_runs_failures_again_leaves_out_those_that_are_no_longer_in_the_grid(grid):
    done = Enqueued("demo", 3, 0, 0, 2, orphaned=5, orphans=Counts({Status.FAILED: 4, Status.DONE: 1}), failed=1)
    assert list(notices(grid, done, in_shell("demo", then="qexp run demo.yaml --set 'x={}'"))) == [
        "1 experiment failed before; 'qexp requeue demo --failed --current && qexp run demo.yaml --set 'x={}'' "
        "runs it again with this code",
        "5 experiments are no longer in the grid; 'qexp list demo --current' leaves them out",
    ]
    first = next(notices(grid, done, IN_PYTHON))
    assert 'study.requeue("failed", current=True)' in first


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({Status.DONE: 2}, "; 'qexp list demo --current' leaves them out"),
        ({Status.DONE: 2, Status.RUNNING: 1}, ", 1 of them has not finished; 'qexp cancel demo --orphaned' cancels it"),
        ({Status.PENDING: 2}, ", and have not finished; 'qexp cancel demo --orphaned' cancels them"),
    ],
)
def test_only_unfinished_orphans_are_to_be_cancelled(found, text):
    assert orphans(Counts(found), in_shell("demo")).endswith(f"no longer in the grid{text}")


def test_an_enqueue_names_the_data_that_the_snapshot_leaves_out(grid):
    done = Enqueued("demo", 3, 3, 3, 1, left_out={"points.npy": 25_000_000})
    with pytest.warns(qexp.QexpWarning) as found:
        warn(grid, done, stacklevel=1)
    entry = "'source: {include: [points.npy]}' takes it"
    assert [str(one.message) for one in found] == [
        f"left out of the snapshot: 1 data file (25 MB): points.npy; {entry}"
    ]
