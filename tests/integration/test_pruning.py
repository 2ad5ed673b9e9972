"""Pruning removes what nothing needs, says how much, and touches nothing that is used."""

import fcntl
import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import pytest

from qexp.client import Client, deletion
from qexp.file_storage import Files, PlacedFile, replacing
from qexp.source import take, unpack, unpacked_snapshots
from qexp.store.selection.selectors import Selection
from qexp.store.writes import deleting, journal, sources
from qexp.worker.attempt.scratch import Scratch

OLD = time.time() - 30 * 24 * 3600


@pytest.fixture
def here(client, tmp_path, monkeypatch):
    """A client with a home and a temporary folder of its own, on the database of all tests."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return Client(client.settings.model_copy(update={"home": tmp_path / "home"}))


def age(path):
    """Let a file, or a folder with all its files, look old."""
    for one in [path, *path.rglob("*")]:
        os.utime(one, (OLD, OLD))


def unpack_one(here, folder, text):
    """Unpack a snapshot on this machine; return its folder."""
    folder.mkdir()
    (folder / "experiment.py").write_text(text)
    snapshot = take(folder)
    return unpack(snapshot.digest, snapshot.archive, here.settings.home / "sources"), snapshot


def found(here, dry_run=False):
    """Prune, and return the numbers of things by kind."""
    return {kind.kind: kind.number for kind in here.prune(dry_run).kinds if kind.number}


def test_a_dry_run_finds_what_a_pruning_removes_and_removes_nothing(here, raw, client, make_study, tmp_path):
    found(here)  # what other tests have left
    # Given things of each kind that nothing needs
    folder, _ = unpack_one(here, tmp_path / "code", "a = 1\n")
    worker = Scratch(uuid.uuid4())
    worker.make()
    scratch = worker.make_attempt(17, 1)
    (scratch / "big").write_bytes(b"x" * 1000)
    os.close(worker.lock)
    part = here.settings.home / "cache" / ".qexp-0123456789abcdef.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"half")
    age(part)
    for version in ("a" * 16, "b" * 16):
        entry = here.settings.home / "cache" / f"m.f-{version}" / "k.pickle"
        entry.parent.mkdir()
        entry.write_bytes(b"value")
    old = here.settings.home / "cache" / f"m.f-{'a' * 16}"
    age(old)
    made = make_study().enqueue(parameters={"seed": [0]})
    (number,) = made.ids()
    lost = Files(here.settings.artifacts_root).put(f"{made.name}/{number}/1/lost.bin", b"lost")
    lost_path = Path(lost.url.removeprefix("file://"))
    age(lost_path)
    raw.execute("INSERT INTO source VALUES (%s, 'zip', '{}', '{}')", [uuid.uuid4().hex])
    raw.execute(
        "INSERT INTO worker (id, host, pid, name, queues, concurrency, last_seen) "
        "VALUES (gen_random_uuid(), 'h', 1, 'gone', '{}', 1, now() - interval '8 days')"
    )
    interrupted = make_study().enqueue(parameters={"seed": [0, 1]})
    with client.begin() as connection:
        deleting.mark(connection, interrupted.name)
    # When a dry run looks, twice
    expected = {
        "experiments of interrupted deletions": 2,
        "unrecorded files in the artifacts": 1,
        "snapshots of code in the database": 1,
        "rows of workers in the database": 1,
        "unpacked snapshots of code": 1,
        "scratch folders of attempts": 1,
        "incomplete files": 1,
        "cached results of earlier sources": 1,
    }
    assert (found(here, dry_run=True), found(here, dry_run=True)) == (expected, expected)
    assert all(path.exists() for path in (folder, scratch, part, old, lost_path))
    # Then the pruning removes the same
    assert found(here) == expected
    assert not any(path.exists() for path in (folder, scratch, part, old, lost_path))
    assert not folder.with_name(f"{folder.name}.lock").exists()
    assert (here.settings.home / "cache" / f"m.f-{'b' * 16}" / "k.pickle").exists()
    # And nothing is left
    assert found(here) == {}


def test_an_unpacked_snapshot_stays_while_a_process_holds_it(here, tmp_path):
    # Given a process that has used a snapshot
    folder, snapshot = unpack_one(here, tmp_path / "code", f"a = '{uuid.uuid4()}'\n")
    code = (
        "import sys; from pathlib import Path; from qexp.source import unpacked\n"
        f"unpacked({snapshot.digest!r}, Path({str(folder.parent)!r}), lambda: b'')\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    # When somebody prunes, then the folder stays
    assert found(here) == {}
    assert not unpacked_snapshots.remove(folder)
    assert folder.exists()
    # When the process has ended, then it goes, and another use unpacks it again
    process.communicate()
    assert found(here) == {"unpacked snapshots of code": 1}
    assert not folder.exists()
    assert unpacked_snapshots.unpacked(snapshot.digest, folder.parent, lambda: snapshot.archive) == folder
    assert (folder / "experiment.py").exists()
    assert found(here) == {}  # this process holds it


def test_the_unpacked_snapshot_of_an_unfinished_study_stays(here, raw, make_study, client):
    made = make_study()
    made.write("experiment.py", f"def f(**params): ...\n# {uuid.uuid4()}\n")
    made.enqueue(parameters={"seed": [0]})
    snapshot = take(made.folder)
    folder = unpack(snapshot.digest, snapshot.archive, here.settings.home / "sources")
    assert found(here) == {}
    made.end(lambda params: {"y": 1})
    assert found(here) == {"unpacked snapshots of code": 1}
    assert not folder.exists()


def test_scratch_of_a_living_worker_and_results_of_a_dead_one_stay(here):
    living, dead = Scratch(uuid.uuid4()), Scratch(uuid.uuid4())
    living.make()
    dead.make()
    kept = living.make_attempt(1, 1)
    gone = dead.make_attempt(2, 1)
    results = dead.folder / "results-1-99"
    results.write_text("{}\n")
    os.close(dead.lock)
    assert found(here) == {"scratch folders of attempts": 1}
    assert kept.exists()
    assert results.exists()
    assert not gone.exists()
    os.close(living.lock)


def test_a_file_that_is_being_written_stays(here):
    target = here.settings.home / "artifacts" / "file"
    with replacing(target) as file:
        file.write(b"long ago")
        file.flush()
        (part,) = target.parent.glob(".qexp-*.part")
        os.utime(part, (OLD, OLD))
        assert found(here) == {}
        assert part.exists()
    assert target.read_bytes() == b"long ago"


def test_cached_results_that_a_process_computes_stay(here):
    root = here.settings.home / "cache"
    for version in ("a" * 16, "b" * 16):
        (root / f"m.f-{version}").mkdir(parents=True)
    old = root / f"m.f-{'a' * 16}"
    lock = old / "k.lock"
    lock.touch()
    age(old)
    with lock.open("wb") as file:
        os.utime(lock, (OLD, OLD))
        fcntl.flock(file, fcntl.LOCK_EX)
        assert found(here) == {}
    assert found(here) == {"cached results of earlier sources": 1}


def test_artifacts_that_rows_name_or_attempts_write_stay_and_foreign_ones_are_named(here, raw, make_study):
    # Given files of a running attempt, of an ended one, of a study that is not in this database, and a recent one
    made = make_study().enqueue(parameters={"seed": [0, 1]})
    first, second = made.ids()
    files = Files(here.settings.artifacts_root)
    claim = made.claim(first)
    writer = journal.AttemptFence(claim.id, claim.attempt, claim.worker)
    recorded = files.put(f"{made.name}/{first}/1/kept.bin", b"kept")
    assert journal.note_artifact(raw, writer, "kept.bin", recorded.url, recorded.size, recorded.sha256)
    stored = [
        recorded,
        files.put(f"{made.name}/{first}/1/writing.bin", b"writing"),
        files.put("other/1/1/foreign.bin", b"foreign"),
        files.put("notes.txt", b"of a person"),
    ]
    for one in stored:
        age(Path(one.url.removeprefix("file://")))
    stored.append(files.put(f"{made.name}/{second}/1/recent.bin", b"recent"))
    # When somebody prunes, then all stay, and the foreign one is named
    done = here.prune()
    assert sum(kind.number for kind in done.kinds) == 0
    assert [note for note in done.notes if note.startswith("1 file (7 bytes) of other in ")]
    assert all(Path(one.url.removeprefix("file://")).exists() for one in stored)


def test_a_snapshot_that_an_enqueue_has_locked_stays_and_others_go(here, raw, client, tmp_path):
    found(here)
    _, snapshot = unpack_one(here, tmp_path / "code", f"a = '{uuid.uuid4()}'\n")
    for digest in (snapshot.digest, uuid.uuid4().hex):
        raw.execute("INSERT INTO source VALUES (%s, 'zip', '{}', '{}')", [digest])
    with client.begin() as connection:
        sources.keep(connection, snapshot)  # as an enqueue does before it writes the revision
        assert found(here)["snapshots of code in the database"] == 1  # the other one
    assert found(here) == {"snapshots of code in the database": 1}


def test_files_of_a_killed_deletion_are_removed(here, raw, make_study, monkeypatch):
    made = make_study().enqueue(parameters={"seed": [0]})
    (number,) = made.ids()
    claim = made.claim(number)
    stored = Files(here.settings.artifacts_root).put(f"{made.name}/{number}/1/a", b"abc")
    writer = journal.AttemptFence(claim.id, claim.attempt, claim.worker)
    assert journal.note_artifact(raw, writer, "a", stored.url, stored.size, stored.sha256)
    made.client.cancel(Selection(made.name))
    monkeypatch.setattr(deletion, "remove_files", lambda *_: pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception):
        here.delete_study(made.name)
    monkeypatch.undo()
    assert found(here, dry_run=True)["files of deleted studies"] == 1
    assert found(here)["files of deleted studies"] == 1
    assert not Path(stored.url.removeprefix("file://")).exists()


def test_files_of_an_object_store_are_listed_with_their_keys():
    files = Files(f"memory://bucket-{uuid.uuid4().hex[:8]}/qexp")
    assert list(files.files()) == []
    stored = files.put("lenet/17/1/plots/a.png", b"abc")
    (placed,) = files.files()
    assert (placed.key, placed.url, placed.size) == ("lenet/17/1/plots/a.png", stored.url, 3)
    assert isinstance(placed, PlacedFile)
    assert abs(time.time() - placed.changed) < 3600
    assert files.has(stored.url)
    assert files.delete(stored.url)
    assert not files.has(stored.url)
