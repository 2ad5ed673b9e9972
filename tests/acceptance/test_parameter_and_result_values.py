"""Parameter values reach the function unchanged from every source, and results come back unchanged."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.usefixtures("workers")

SOURCE = """
import dataclasses, datetime, enum, math
from collections.abc import Iterable
from pathlib import Path
from typing import Literal


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Options:
    depth: int
    names: list[str] = dataclasses.field(default_factory=list)


def f(
    flag: bool, count: int, rate: float, name: str, path: Path, colour: Colour, kind: Literal["a", "b"],
    day: datetime.date, options: Options, sizes: list[int], weights: dict[str, float], tags: set[str],
    folds: Iterable[int], bare, steps,
):
    values = [flag, count, rate, name, path, colour, kind, day, options, sizes, weights, sorted(tags), bare, steps]
    return {"seen": repr([*values, sum(folds), sum(folds)])}


def g(x):
    return {
        "zeta": 1e22, "whole": 10**22, "nan": math.nan, "text": "NaN", "least": -math.inf, "minus": -0.0,
        "steps": {"scale": "std", "pca": [{"b": 1, "a": True}], "svc": None},
    }
"""
WRITTEN = {
    "flag": "yes",
    "count": 3,
    "rate": 1,
    "name": "no",
    "path": "data/x",
    "colour": "red",
    "kind": "b",
    "day": "2026-01-02",
    "options": {"depth": 2},
    "sizes": [64, 32],
    "weights": {"b": 1, "a": 0.5},
    "tags": ["b", "a"],
    "folds": [1, 2, 3],
    "bare": 1e22,
    "steps": {"scale": "std", "pca": 5, "svc": 1},
}
SEEN = (
    "[True, 3, 1.0, 'no', PosixPath('data/x'), <Colour.RED: 'red'>, 'b', datetime.date(2026, 1, 2), "
    "Options(depth=2, names=[]), [64, 32], {'b': 1.0, 'a': 0.5}, ['a', 'b'], 1e+22, "
    "{'scale': 'std', 'pca': 5, 'svc': 1}, 6, 6]"
)
CODE = """
import json, sys
import qexp
study = qexp.enqueue({**json.loads(sys.argv[1]), "function": "experiment:f"})
study.add([{**json.loads(sys.argv[2]), "count": 5}])
"""


@pytest.fixture(scope="module")
def workers(start_worker, queue):
    return [start_worker("-Q", queue, "-c", "1").await_ready()]


def one_each(written):
    return {name: {"values": [value]} for name, value in written.items()}


def test_values_of_a_file_arrive_as_they_were_written(study):
    made = study(SOURCE, one_each(WRITTEN))
    made.enqueue()
    assert made.wait() == 0
    assert [row["result"]["seen"] for row in made.listed()] == [SEEN]


def test_values_of_include_arrive_as_they_were_written(study):
    made = study(SOURCE, {}, include=[WRITTEN])
    made.enqueue()
    assert made.wait() == 0
    assert [row["result"]["seen"] for row in made.listed()] == [SEEN]


def test_values_of_the_command_line_arrive_as_they_were_written(study, qexp):
    made = study(SOURCE, one_each(dict.fromkeys(WRITTEN) | {"bare": 1e22}))
    changes = [f"--set={name}={{values: [{json.dumps(value)}]}}" for name, value in WRITTEN.items()]
    done = qexp("enqueue", "grid.yaml", *changes)
    assert done.returncode == 0, done.stderr
    assert made.wait() == 0
    assert [row["result"]["seen"] for row in made.listed()] == [SEEN]


def test_a_grid_that_is_enqueued_under_other_hash_seeds_adds_nothing(study, qexp):
    study(SOURCE, one_each({**WRITTEN, "tags": ["c", "b", "a", "d"]}) | {"flag": ["yes", "no"]})
    printed = [qexp("enqueue", "grid.yaml", environ={"PYTHONHASHSEED": str(seed)}).stdout for seed in range(3)]
    assert [line.partition(": ")[2].strip() for line in printed] == [
        "2 experiments, 2 new, 0 already there",
        "2 experiments, 0 new, 2 already there",
        "2 experiments, 0 new, 2 already there",
    ]


def test_values_of_python_and_of_added_rows_arrive_as_they_were_written(study, queue):
    made = study(SOURCE, {})
    keys = {"study": made.name, "queue": queue, "parameters": one_each(WRITTEN)}
    line = [sys.executable, "-c", CODE, json.dumps(keys), json.dumps(WRITTEN)]
    done = subprocess.run(line, cwd=made.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert made.wait() == 0
    assert [row["result"]["seen"] for row in made.listed()] == [SEEN, SEEN.replace("[True, 3,", "[True, 5,")]


@pytest.mark.parametrize("isolation", ["child", "process"])
def test_a_result_comes_back_with_its_order_and_its_types_of_numbers(study, isolation):
    made = study(SOURCE, {"x": [1, 2]}, isolation=isolation)
    text = (made.folder / "grid.yaml").read_text().replace("experiment:f", "experiment:g")
    (made.folder / "grid.yaml").write_text(text)
    made.enqueue()
    assert made.wait() == 0
    for row in made.listed():
        assert repr(row["result"]) == repr(
            {
                "zeta": 1e22,
                "whole": 10**22,
                "nan": None,  # JSON has no number for it
                "text": "NaN",
                "least": "-Infinity",
                "minus": -0.0,
                "steps": {"scale": "std", "pca": [{"b": 1, "a": True}], "svc": None},
            }
        )
