"""The tour of the README from a function to a table works as written."""

import json
import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\w*\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
TOUR = BLOCKS[BLOCKS.index(next(block for block in BLOCKS if block.startswith("# experiment.py"))) :]


def commands(block: str) -> list[list[str]]:
    """Return the arguments of each command of *block*, without comments."""
    return [line.partition("#")[0].split() for line in block.splitlines()]


@pytest.mark.parametrize("file", [TOUR[0], TOUR[1]], ids=["experiment.py", "grid.yaml"])
def test_the_files_of_the_tour_begin_with_their_names(file):
    assert re.match(r"# (experiment.py|grid.yaml)\n", file)


def test_the_tour_ends_with_the_table_that_it_shows(qexp, tmp_path, start_worker):
    # Given the two files, the services and a worker
    function, grid, first, second, table, frame = TOUR[:6]
    (tmp_path / "experiment.py").write_text(function)
    (tmp_path / "grid.yaml").write_text(grid)
    assert [line[0] for line in commands(first)] == ["qexp", "qexp", "celery", "qexp", "qexp"]
    start_worker()
    # When the first commands run
    for line in commands(first):
        if line[0] == "qexp" and line[1] != "errors":
            done = qexp(*line[1:])
            assert done.returncode == 0, done.stderr
    # Then three experiments have failed
    (group,) = json.loads(qexp("errors", "logistic", "--format", "json").stdout)
    assert (group["count"], group["error_type"]) == (3, "OverflowError")
    # And with the fix, the other commands end with the table
    (fix,) = re.findall(r"Fix it: `(.*)`", README)
    (tmp_path / "experiment.py").write_text(function.replace("return 1 / (1 + math.exp(-z))", fix))
    for line in commands(second):
        done = qexp(*line[1:], *(["-y"] if "--stale" in line else []))
        assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(table)
    # And the frame has the values of the table
    names: dict[str, object] = {}
    exec(frame.replace("frame.groupby", "means = frame.groupby"), names)  # noqa: S102
    assert names["means"].loc[(0.01, 4)] == pytest.approx(0.852)
