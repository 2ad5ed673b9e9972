"""`qexp init` writes files that run at once, in an empty folder and beside a function that is there."""

import json

import pytest
from terminal import terminal


def lines(file):
    return file.read_text().splitlines()


@pytest.mark.parametrize("columns", [80, 120])
def test_the_example_runs_at_once(qexp, site, tmp_path, columns):
    shown = terminal("qexp", "init", columns=columns, cwd=tmp_path)
    assert shown.status == 0
    shown.matches("init")
    assert not [line for name in ("experiment.py", "grid.yaml") for line in lines(tmp_path / name) if len(line) > 80]
    for line in shown.text.splitlines():
        if line.startswith("  qexp run"):
            command = line.partition("#")[0].split()
    done = qexp(*command[1:], "--format", "json", "--set", f"study=first_{columns}")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["done"], found["total"]) == (18, 18)
    assert {*found["experiments"][0]["result"]} == {"loss", "x"}
    again = qexp("init")
    assert again.returncode == 2
    assert again.stderr == (
        "qexp: experiment.py: is there already, and is not changed; "
        "'qexp init experiment.py:NAME' writes a grid for a function NAME of it\n"
    )


@pytest.mark.parametrize("columns", [80, 120])
def test_the_grid_of_a_function_runs_after_its_places_are_filled_in(qexp, site, tmp_path, columns):
    (tmp_path / "src/pkg").mkdir(parents=True)
    (tmp_path / "src/pkg/__init__.py").touch()
    (tmp_path / "src/pkg/train.py").write_text(
        "def main(depth: int, wide: bool = False, seed: int = 0): return depth\n"
    )
    shown = terminal("qexp", "init", "src/pkg/train.py:main", columns=columns, cwd=tmp_path)
    assert shown.status == 0
    shown.matches("init_function")
    assert not [line for line in lines(tmp_path / "grid.yaml") if len(line) > 80]
    refused = qexp("run", "grid.yaml")
    assert refused.returncode == 2
    assert "grid.yaml, line 7: parameter 'depth' has no values" in refused.stderr
    (tmp_path / "grid.yaml").write_text((tmp_path / "grid.yaml").read_text().replace("depth: []", "depth: [3]"))
    done = qexp("run", "grid.yaml", "--format", "json", "--set", f"study=filled_in_{columns}")
    assert json.loads(done.stdout)["done"] == 6


def test_a_program_gets_the_files_and_the_places_as_json(qexp, tmp_path):
    (tmp_path / "own.py").write_text("print('hello')\ndef f(x, y=1): return x\n")
    done = qexp("init", "own.py:f", "-o", "f.yaml", "--format", "json")
    assert json.loads(done.stdout) == {"files": ["f.yaml"], "fill_in": {"x": 6}}
    refused = qexp("init", "own.py:g", "-o", "g.yaml")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "own has no 'g'" in refused.stderr
