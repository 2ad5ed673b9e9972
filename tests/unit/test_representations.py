"""Public objects show themselves in a line that a person reads."""

from __future__ import annotations

import pytest

import qexp
from qexp.client.enqueue import Difference, Enqueued
from qexp.client.enqueue_notices import IN_PYTHON, in_shell, notices, warn

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
    assert found[14] == (
        "1 experiment is no longer in the grid; cancel those that have not run with study.cancel(orphaned=True)"
    )
    assert "until now, the study demo ran old:f in the installed packages" in found[15]
    assert len(found) == 16
    shell = list(notices(grid, done, in_shell("demo")))
    assert shell[:13] == found[:13]
    assert shell[13].endswith(": 'qexp stale demo' says why, 'qexp requeue demo --stale' runs them again")
    assert shell[14].endswith("'qexp cancel demo --orphaned'")
    assert shell[15].endswith("with --set study=NAME")


def test_an_enqueue_names_the_data_that_the_snapshot_leaves_out(grid):
    done = Enqueued("demo", 3, 3, 3, 1, left_out={"points.npy": 25_000_000})
    with pytest.warns(qexp.QexpWarning) as found:
        warn(grid, done, stacklevel=1)
    entry = "'source: {include: [points.npy]}' takes it"
    assert [str(one.message) for one in found] == [
        f"left out of the snapshot: 1 data file (25 MB): points.npy; {entry}"
    ]
