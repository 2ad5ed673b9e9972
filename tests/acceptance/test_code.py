"""The code of a study is what its function can use: what a person sees when files come and go beside it."""

import json

import pytest
from terminal import terminal

READS = """
from pathlib import Path
import qexp

def f(x, context: qexp.Context):
    context.artifact("points.json", b"[1, 2, 3]")
    return {"size": (Path(__file__).parent / "points.npy").stat().st_size}
"""
DATA = 25_000_000


@pytest.fixture(scope="module", autouse=True)
def worker(start_worker, queue):
    return start_worker("-Q", queue, "-c", "1").await_ready()


def include(folder, *patterns):
    """Name files in the grid that its snapshot takes."""
    grid = json.loads((folder / "grid.yaml").read_text())
    (folder / "grid.yaml").write_text(json.dumps({**grid, "source": {"include": patterns}}))


def snapshot_of(qexp):
    return json.loads(qexp("enqueue", "grid.yaml", "--dry-run", "--format", "json").stdout)["snapshot"]


def test_data_beside_the_function_is_left_out_and_said_until_the_grid_names_it(qexp, study, tmp_path):
    # Given 25 MB of data beside a function that reads it
    made = study(READS, {"x": [1]})
    (tmp_path / "points.npy").write_bytes(bytes(DATA))
    said = "left out of the snapshot: 1 data file (25 MB): points.npy; 'source: {include: [points.npy]}' takes it"
    # When the grid is enqueued, then a dry run and the enqueue say that the data is no code
    assert said in qexp("enqueue", "grid.yaml", "--dry-run").stderr
    assert snapshot_of(qexp)["left_out"] == {"points.npy": DATA}
    done = qexp("enqueue", "grid.yaml")
    assert (done.returncode, said in done.stderr) == (0, True)
    # And the failure names the entry that helps
    assert made.wait() == 1
    (row,) = made.shown()
    entry = "'source: {include: [points.npy]}' in the grid takes it at the next enqueue"
    hint = f"the snapshot of the code has no points.npy; {entry}"
    assert row["error_message"] == f"[Errno 2] No such file or directory: 'points.npy'; {hint}"
    assert hint in qexp("debug", row["id"]).stderr
    # When the grid has this entry, which wins over an ignore file
    (tmp_path / ".gitignore").write_text("*.npy\n")
    include(tmp_path, "points.npy")
    done = qexp("enqueue", "grid.yaml")
    assert "left out" not in done.stderr
    assert "code that differs from the previous revision: added: points.npy" in done.stderr
    assert qexp("requeue", made.name, "--failed", "-y").returncode == 0
    # Then a worker finds the file
    assert made.wait() == 0
    assert made.listed()[0]["result"] == {"size": DATA}
    # And a requeue takes its new content
    (tmp_path / "points.npy").write_bytes(bytes(10))
    assert "points.npy" in qexp("stale", made.name).stderr
    requeued = qexp("requeue", made.name, "--status", "done", "-y").stderr
    assert requeued == f"{made.name}: code that differs from the previous revision: changed: points.npy\n"
    assert made.wait() == 0
    assert made.listed()[0]["result"] == {"size": 10}


def test_files_that_qexp_wrote_notebooks_and_notes_do_not_read_as_changed_code(qexp, study, tmp_path):
    # Given a study that ran
    made = study(READS, {"x": [1]})
    include(tmp_path, "points.npy")
    (tmp_path / "points.npy").write_bytes(b"12")
    made.enqueue()
    assert made.wait() == 0
    before = snapshot_of(qexp)["files"]
    assert qexp("diff", "grid.yaml").stdout == f"{made.name}: 0 new, 1 kept, 0 no longer in the grid\n"
    # When a person exports results, makes tables and reports, copies artifacts and code, and keeps a notebook
    experiment = made.listed()[0]["id"]
    for command in (
        *(["export", made.name, "-o", f"results.{suffix}"] for suffix in ("parquet", "csv", "json")),
        ["table", made.name, "--metric", "size", "--rows", "x", "-o", "table.md"],
        ["report", made.name, "-o", "report.html"],
        ["artifacts", experiment, "--get", "points.json"],
        ["source", experiment, "-o", "old_code"],
    ):
        done = qexp(*command)
        assert done.returncode == 0, done.stderr
    (tmp_path / "try.ipynb").write_text("{}")
    # Then the code is the same, and nothing is said
    assert snapshot_of(qexp)["files"] == before
    assert qexp("diff", "grid.yaml").stdout == f"{made.name}: 0 new, 1 kept, 0 no longer in the grid\n"
    assert "left out" not in qexp("enqueue", "grid.yaml").stderr
    # When it also has notes, then these are in the snapshot, but are no code
    (tmp_path / "notes.txt").write_text("try a larger C")
    assert qexp("diff", "grid.yaml").stdout.splitlines()[1:] == ["  files that are no code: added: notes.txt"]
    assert qexp("stale", made.name).stderr == ""
    assert "code that differs" not in qexp("enqueue", "grid.yaml").stderr
    assert "nothing is stale" in qexp("stale", made.name).stdout


@pytest.mark.parametrize("columns", [80, 120])
def test_diff_and_enqueue_name_the_files_that_changed(study, tmp_path, columns):
    made = study("def f(x): return x", {"x": [1]})
    for name in ("lib/removed.py", "lib/changed.py", *(f"data/points_{number}.npy" for number in range(9))):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    names = {made.name: "lenet"}
    shown = terminal("qexp", "enqueue", "grid.yaml", "--dry-run", cwd=tmp_path, columns=columns)
    shown.matches("code-dry-run", names)
    made.enqueue()
    (tmp_path / "lib" / "removed.py").unlink()
    (tmp_path / "lib" / "changed.py").write_text("2")
    (tmp_path / "README.md").write_text("about")
    for number in range(16):
        (tmp_path / "lib" / f"added_{number:02}.py").write_text("")
    shown = terminal("qexp", "diff", "grid.yaml", cwd=tmp_path, columns=columns)
    digests = {word: f"<code {index}>" for index, word in enumerate(shown.text.split("code: ")[1].split()[:3:2])}
    shown.matches("code-diff", names | digests)
    terminal("qexp", "enqueue", "grid.yaml", cwd=tmp_path, columns=columns).matches("code-enqueue", names)


def test_a_dry_run_refuses_an_address_that_an_enqueue_refuses(qexp, study):
    study("def f(x): return x", {"x": [1]}, notify=["nosuch://person"])
    dry, done = qexp("enqueue", "grid.yaml", "--dry-run"), qexp("enqueue", "grid.yaml")
    assert (dry.returncode, dry.stdout, dry.stderr) == (done.returncode, done.stdout, done.stderr)
    assert dry.returncode == 2


def test_a_dry_run_refuses_what_an_enqueue_refuses(qexp, study, tmp_path):
    study("def f(x): return x", {"x": [1]})
    include(tmp_path, "ponts.npy")
    refusal = "source.include: 'ponts.npy' matches no file in "
    for arguments in (["--dry-run"], ["--dry-run", "--format", "json"], []):
        done = qexp("enqueue", "grid.yaml", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("qexp: grid.yaml, line 1: ")
        assert refusal in done.stderr
    # And likewise a link out of the folder, and code that is larger than a snapshot
    outside = tmp_path.parent / f"{tmp_path.name}.npy"
    outside.write_text("1")
    (tmp_path / "linked.npy").symlink_to(outside)
    include(tmp_path, "linked.npy")
    for arguments in (["--dry-run"], []):
        assert f"is a link out of the folder, to {outside}" in qexp("enqueue", "grid.yaml", *arguments).stderr
    (tmp_path / "linked.npy").unlink()
    with (tmp_path / "linked.npy").open("wb") as file:
        file.truncate(300_000_000)
    for arguments in (["--dry-run"], ["--dry-run", "--format", "json"], []):
        done = qexp("enqueue", "grid.yaml", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert "holds more than 200 MB of files (largest: linked.npy 300 MB)" in done.stderr
