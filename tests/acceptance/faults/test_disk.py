"""If the disk of a worker is full or its files may not grow, the attempt fails by name and the worker survives."""

import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest
from acceptance.faults.support import PATIENCE, SOURCE, assert_consistent
from tests_support import eventually

PRINTS = SOURCE.replace(
    "    time.sleep(seconds)\n", '    if x % 2 == 0:\n        print("x" * 3_000_000)\n        time.sleep(0.1)\n'
)
SAVES = SOURCE.replace("    time.sleep(seconds)\n", '    if x % 2 == 0:\n        context.save(b"x" * 3_000_000)\n')
KEEPS = SOURCE.replace(
    "    time.sleep(seconds)\n", '    if x % 2 == 0:\n        context.artifact("big", b"x" * 3_000_000)\n'
)


@pytest.fixture
def small(own):
    """A file system of 1 MB."""
    folder = own.folder / "small"
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a file system")
    yield folder
    own.end_workers()
    subprocess.run(["umount", "-l", str(folder)], check=True)


def outcomes_of(study):
    """Return the outcome of each attempt by whether its x is even."""
    query = (
        "SELECT (e.params ->> 'x')::int %% 2 = 0, a.outcome, a.error_type, a.error_message FROM experiment e "
        "JOIN study s ON s.id = e.study JOIN attempt a ON a.experiment = e.id WHERE s.name = %s"
    )
    return study.site.rows(query, study.name)


def test_an_attempt_that_fills_the_disk_with_output_mentions_it(own, small):
    study = own.study(6, PRINTS)
    worker = own.worker("-Q", study.queue, "-c", "2", TMPDIR=str(small)).await_ready()
    study.enqueue()
    study.await_closed()
    assert_consistent(study, 6, {"done": 3, "error": 3}, failed={"error": 3})
    assert all("No space left" in row[3] for row in outcomes_of(study) if row[0])
    assert worker.alive


def test_an_experiment_that_writes_to_a_full_disk_fails(own, small):
    study = own.study(6, KEEPS)
    worker = own.worker("-Q", study.queue, "-c", "2", QEXP_ARTIFACTS=str(small / "kept")).await_ready()
    study.enqueue()
    study.await_closed()
    assert_consistent(study, 6, {"done": 3, "error": 3}, failed={"error": 3})
    assert all("no space left" in row[3].lower() for row in outcomes_of(study) if row[0]), outcomes_of(study)
    assert worker.alive


def test_a_disk_that_is_full_before_an_attempt_fails_it_by_name(own, small):
    """The worker can neither unpack code nor capture output."""
    study = own.study(6)
    worker = own.worker("-Q", study.queue, "-c", "2", TMPDIR=str(small)).await_ready()
    other = own.worker("-Q", study.queue, "-c", "1", QEXP_HOME=str(home_like(own, small))).await_ready()
    fill(small)
    study.enqueue()
    study.await_closed()
    assert {row[1] for row in outcomes_of(study)} <= {"done", "invalid", "crashed"}, outcomes_of(study)
    assert not study.statuses().keys() - {"done", "failed"}
    assert worker.alive and other.alive


def test_outcomes_wait_in_memory_while_postgres_is_down_and_the_disk_is_full(own, small):
    # Given two running experiments in a worker with a full home
    study = own.study(2, gated=True)
    home = home_like(own, small)
    worker = own.worker("-Q", study.queue, "-c", "2", QEXP_HOME=str(home)).await_ready()
    study.enqueue()
    study.await_begun(2)
    fill(small)
    # When they end while Postgres is down
    own.kill_postgres()
    study.open_gate()
    worker.await_text("is kept in memory only")
    eventually(lambda: len(study.running()) == 0, "both to end")
    own.up()
    # Then their outcomes are recorded when it is back
    study.await_closed()
    assert_consistent(study, 2, {"done": 2})


def test_a_worker_with_too_little_disk_space_fails_at_its_start(own, small):
    """Otherwise SIGBUS would kill it later, when it writes to memory mapped from a sparse file."""
    fill(small)
    os.truncate(small / "filler", (small / "filler").stat().st_size - 100_000)
    worker = own.worker("-Q", "nothing", TMPDIR=str(small))
    eventually(lambda: not worker.alive, "the worker to end", PATIENCE)
    assert worker.process.returncode == 2, worker.text()
    assert "no space left on device" in worker.text().splitlines()[-1]


def test_an_attempt_without_a_folder_fails_by_name(own):
    """For example, another file has replaced the worker's temporary folder."""
    # Given a worker that runs the first of two experiments
    study = own.study(2, gated=True, retries={"crashed": 0})
    folder = own.folder / "tmp"
    folder.mkdir()
    worker = own.worker("-Q", study.queue, "-c", "1", TMPDIR=str(folder)).await_ready()
    study.enqueue()
    study.await_begun(1)
    # When its folder is replaced
    (scratch,) = folder.glob("qexp-*/worker-*")
    shutil.rmtree(scratch)
    scratch.touch()
    study.open_gate()
    # Then the second one fails with the reason
    study.await_closed()
    assert sorted(row[1] for row in outcomes_of(study)) == ["crashed", "done"]
    assert "FileExistsError" in [row[2] for row in outcomes_of(study)]
    assert worker.alive


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux")
@pytest.mark.parametrize("source", [PRINTS, SAVES], ids=["prints", "saves"])
def test_a_limit_on_the_size_of_files_ends_attempts_and_not_the_worker(own, source):
    study = own.study(6, source)

    environ = {"QEXP_CHECKPOINT_LIMIT": "1000"}
    worker = own.worker("-Q", study.queue, "-c", "2", **environ)
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
    worker.await_ready()
    study.enqueue()
    study.await_closed()
    assert_consistent(study, 6, {"done": 3, "error": 3}, failed={"error": 3})
    assert all("too large" in row[3].lower() for row in outcomes_of(study) if row[0]), outcomes_of(study)
    assert worker.alive


def home_like(own, folder: Path) -> Path:
    """Make a home in *folder* that refers to the site's services."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    (home / "services.json").write_text((own.home / "services.json").read_text())
    return home


def fill(folder: Path) -> None:
    """Fill a file system."""
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
