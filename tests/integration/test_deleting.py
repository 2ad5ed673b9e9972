"""A deletion removes everything of a study and nothing of others, whatever runs or dies meanwhile."""

import threading
import uuid
from pathlib import Path

import pytest
from finished_studies import FAILED
from tests_support import eventually

import qexp
from qexp.client import Client, deletion
from qexp.client.doctor import runtime_checks
from qexp.client.doctor.finding import DoctorState
from qexp.client.study import Study
from qexp.errors import BusyStudyError, UnknownStudyError
from qexp.file_storage import Files
from qexp.model import Outcome
from qexp.settings import SettingsWithOrigins
from qexp.store.connection import connect
from qexp.store.reads.deletion_plan import SizedFiles
from qexp.store.selection.selectors import Selection, parse
from qexp.store.writes import claiming, deleting, journal, publishing

OF_EXPERIMENTS = ("attempt", "earlier_result", "metric", "entry", "output", "checkpoint", "artifact")


def rows_of(raw, ids):
    """Return the tables that have rows of experiments, with the numbers of rows."""
    counts = {
        table: raw.execute(f"SELECT count(*) FROM {table} WHERE experiment = ANY(%s)", [ids]).fetchone()[0]
        for table in OF_EXPERIMENTS
    }
    counts["experiment"] = raw.execute("SELECT count(*) FROM experiment WHERE id = ANY(%s)", [ids]).fetchone()[0]
    return {table: number for table, number in counts.items() if number}


def record_everything(client, raw, made, experiment, worker):
    """Give an experiment a row in each table, and two files; return their paths."""
    claim = made.claim(experiment, worker)
    writer = journal.AttemptFence(claim.id, claim.attempt, worker)
    files = Files(client.settings.artifacts_root)
    journal.add_points(raw, writer, "loss", [journal.Point(step, 0.5, 1e9) for step in range(3)])
    journal.add_entries(raw, writer, [journal.Entry("rows", uuid.uuid4(), {"a": 1}, 1e9)])
    raw.execute("INSERT INTO output VALUES (%s, %s, 0, 2, 'hi')", [claim.id, claim.attempt])
    key = f"{made.name}/{claim.id}/{claim.attempt}"
    stored = files.put(f"{key}/plots/loss.png", b"picture")
    assert journal.note_artifact(raw, writer, "plots/loss.png", stored.url, stored.size, stored.sha256)
    state = files.put(f"{key}/state-0", b"state")
    saved = journal.SavedCheckpoint("bytes", None, state.url, state.sha256, claim.attempt, {})
    assert journal.save(raw, writer, "state", saved, state.size, keep=True) is not None
    assert claiming.finish(raw, claim, Outcome(result={"y": 1}))
    return [stored.url.removeprefix("file://"), state.url.removeprefix("file://")]


@pytest.fixture
def full_study(client, raw, make_study):
    """Make a study with an experiment that has a row in each table and two files, and one that waits."""

    def full_study():
        made = make_study().enqueue(parameters={"seed": [0, 1]})
        worker = made.worker()
        paths = record_everything(client, raw, made, made.ids()[0], worker)
        claim = None
        client.requeue(parse([made.name], ["done"]))
        raw.execute("UPDATE experiment SET status = 'queued' WHERE id = %s", [made.ids()[0]])
        claim = made.claim(made.ids()[0], worker)
        assert claiming.finish(raw, claim, FAILED)
        return made, paths

    return full_study


def test_a_deletion_removes_every_row_and_file_of_a_study_and_says_how_much(client, raw, full_study, finished_study):
    # Given a study with rows in each table, and a neighbour
    made, _ = full_study()
    neighbour = finished_study({"seed": [0]})
    ids, kept = made.ids(), neighbour.ids()
    assert set(rows_of(raw, ids)) == {*OF_EXPERIMENTS, "experiment"}
    # When it is planned, then nothing changes
    plan = client.deletion(made.name)
    assert (plan.experiments, plan.waiting, plan.attempts) == (2, 1, 2)
    assert (plan.points, plan.rows, plan.artifacts) == (3, 1, SizedFiles(1, 7))
    assert plan.checkpoints == SizedFiles(1, 5)
    assert set(rows_of(raw, ids)) == {*OF_EXPERIMENTS, "experiment"}
    # When it is deleted
    done = Study(made.name, client).delete()
    # Then no row and no file is left, and the neighbour is whole
    assert (done.experiments, done.files, done.left) == (2, SizedFiles(2, 12), ())
    assert repr(done) == f"{made.name} is deleted: 2 experiments, 2 files (12 bytes)"
    assert rows_of(raw, ids) == {}
    assert raw.execute("SELECT count(*) FROM study WHERE name ^@ %s", [made.name]).fetchone() == (0,)
    assert raw.execute("SELECT to_regclass(%s)", [f"study_{made.name}"]).fetchone() == (None,)
    assert raw.execute("SELECT count(*) FROM deleted_file").fetchone() == (0,)
    root = client.settings.home / "artifacts"
    assert not (root / made.name).exists()
    assert rows_of(raw, kept) == {"attempt": 1, "experiment": 1}
    with pytest.raises(UnknownStudyError, match=made.name):
        client.deletion(made.name)
    # And the name is free for a new study
    again = made.enqueue(parameters={"seed": [5]})
    assert [view.params["seed"] for view in client.experiments(Selection(again.name))] == [5]


def test_a_snapshot_stays_while_another_study_has_it(client, raw, make_study):
    # Given two studies with the same code
    first, second = make_study(), make_study()
    first.enqueue(parameters={"seed": [0]})
    second.folder = first.folder
    second.enqueue(parameters={"seed": [0]})

    def snapshots():
        query = "SELECT count(*) FROM source WHERE digest = %s"
        return raw.execute(query, [digest]).fetchone()[0]

    (digest,) = raw.execute(
        "SELECT source FROM revision r JOIN study s ON s.id = r.study WHERE s.name = %s", [first.name]
    ).fetchone()
    plan = client.deletion(first.name)
    # These folders have the same content as those of other tests: the code of the pair stays
    assert plan.shared_snapshots == 1
    assert client.delete_study(first.name).snapshots.number == 0
    assert snapshots() == 1


def test_the_last_study_takes_its_snapshot_along(client, raw, make_study):
    made = make_study()
    made.write("experiment.py", f"def f(**params): ...\n# {uuid.uuid4()}\n")
    made.enqueue(parameters={"seed": [0]})
    (digest,) = raw.execute(
        "SELECT source FROM revision r JOIN study s ON s.id = r.study WHERE s.name = %s", [made.name]
    ).fetchone()
    assert client.deletion(made.name).snapshots.number == 1
    assert client.delete_study(made.name).snapshots.number == 1
    assert raw.execute("SELECT count(*) FROM source WHERE digest = %s", [digest]).fetchone() == (0,)


def test_an_enqueue_that_uses_the_snapshot_meanwhile_keeps_it(client, raw, make_study):
    # Given a study with code of its own, and an enqueue of another study with the same code that has not committed
    made, second = make_study(), make_study()
    made.write("experiment.py", f"def f(**params): ...\n# {uuid.uuid4()}\n")
    made.enqueue(parameters={"seed": [0]})
    second.folder = made.folder
    with connect(client.settings) as other, other.transaction():
        other.execute("LOCK TABLE experiment IN SHARE ROW EXCLUSIVE MODE")  # the enqueue waits before it writes these
        thread = threading.Thread(target=second.enqueue, kwargs={"parameters": {"seed": [0]}})
        thread.start()
        eventually(
            lambda: raw.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%experiment%%' "
                "AND datname = current_database()"
            ).fetchone()[0],
            "the enqueue to wait",
        )
        # When the first study's snapshot would be deleted, then it is skipped: the enqueue has locked it
        with client.begin() as connection:
            (digest,) = raw.execute(
                "SELECT source FROM revision r JOIN study s ON s.id = r.study WHERE s.name = %s", [made.name]
            ).fetchone()
            study = deleting.MarkedStudy(client.study(made.name).id, made.name)
            assert deleting.finish(connection, study).number == 0
    thread.join()
    # Then the enqueue ends well
    client.delete_study(made.name)
    assert raw.execute("SELECT count(*) FROM source WHERE digest = %s", [digest]).fetchone() == (1,)
    assert len(second.ids()) == 1


def test_a_study_that_runs_is_refused_with_the_commands_that_end_it(client, raw, make_study):
    made = make_study().enqueue(parameters={"seed": [0, 1]})
    running = made.claim(made.ids()[0]).id
    for verb in (client.deletion, client.delete_study):
        with pytest.raises(BusyStudyError, match=f"{running}; end them with 'qexp cancel {made.name}'"):
            verb(made.name)
    assert len(made.ids()) == 2
    assert client.study(made.name).paused_at is None


def test_a_study_whose_view_a_user_reads_is_refused_with_the_statement_that_drops_it(client, raw, finished_study):
    made = finished_study({"seed": [0]})
    client.renew_views(client.study(made.name).id)
    raw.execute(f"CREATE VIEW mine_{made.name} AS SELECT * FROM study_{made.name}")
    with pytest.raises(BusyStudyError, match=f"DROP VIEW mine_{made.name}"):
        client.delete_study(made.name)
    raw.execute(f"DROP VIEW mine_{made.name}")
    assert client.delete_study(made.name).experiments == 1


def test_a_deletion_that_was_killed_looks_deleted_and_continues(client, raw, full_study, monkeypatch):
    # Given a deletion that dies between its batches
    made, _ = full_study()
    ids = made.ids()
    monkeypatch.setattr(deletion, "_BATCH", 1)
    monkeypatch.setattr(deleting, "finish", lambda *_: pytest.fail("not reached"))

    def dies(what, number):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.delete_study(made.name, dies)
    monkeypatch.undo()
    # Then half of the rows are there, and the study is nowhere
    assert len(rows_of(raw, ids)) > 0
    assert made.name not in [counts.study for counts in client.counts()]
    assert not [counts for counts in client.counts() if counts.study.startswith(made.name)]
    with pytest.raises(UnknownStudyError):
        client.study(made.name)
    with client.begin() as connection:
        assert made.name in [study.name for study in deleting.marked(connection)]
    (found,) = [
        finding
        for finding in runtime_checks.deletions("deletions", DoctorState(SettingsWithOrigins(client.settings, {})))
        if made.name in finding.found
    ]
    assert "1 experiment left" in found.found
    assert found.repair == f"qexp delete {made.name}, or qexp prune"
    left = [number for number in ids if raw.execute("SELECT 1 FROM experiment WHERE id = %s", [number]).fetchone()]
    assert [view.id for view in client.experiments(Selection()) if view.id in left] == []
    # When a new study takes the name, then both stay apart
    made.enqueue(parameters={"seed": [7]})
    # When the deletion is called again, then it removes the rest of the old one, and the new one
    done = client.delete_study(made.name)
    assert (done.experiments, done.left) == (len(left) + 1, ())
    assert rows_of(raw, ids) == {}
    with client.begin() as connection:
        assert made.name not in [study.name for study in deleting.marked(connection)]


def test_a_deletion_that_was_killed_before_the_files_removes_them_later(client, full_study, monkeypatch):
    made, paths = full_study()
    monkeypatch.setattr(deletion, "remove_files", lambda _: pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception):
        client.delete_study(made.name)
    monkeypatch.undo()
    assert all(Path(path).exists() for path in paths)
    assert deletion.remove_files(client).removed == SizedFiles(2, 12)
    assert not any(Path(path).exists() for path in paths)


def test_a_file_of_another_machine_stays_listed_until_it_is_removed_there(client, raw, full_study):
    # Given an artifact that only another machine has
    made, paths = full_study()
    for path in paths:
        Path(path).unlink()
    # The worker of the fixture ran on the host "here"
    done = client.delete_study(made.name)
    assert [(left.reason, left.files) for left in done.left] == [("on here: run 'qexp prune' there", SizedFiles(2, 12))]
    assert raw.execute("SELECT count(*) FROM deleted_file WHERE host = 'here'").fetchone() == (2,)
    raw.execute("DELETE FROM deleted_file")


def test_messages_and_results_of_a_deleted_study_are_dropped(client, raw, make_study):
    # Given a study with an announced experiment, and one whose attempt was cancelled while it runs on
    made = make_study().enqueue(parameters={"seed": [0, 1]})
    first, second = made.ids()
    worker = made.worker()
    claim = made.claim(first, worker)
    client.cancel(parse([str(first)]))
    # When the study is deleted
    client.delete_study(made.name)
    # Then a late message is skipped, and a late result and late records are refused
    assert claiming.claims(raw, [second], worker, pid=1) == []
    assert claiming.finish(raw, claim, Outcome(result={"y": 1})) is None
    writer = journal.AttemptFence(claim.id, claim.attempt, worker)
    assert not journal.is_current(raw, writer)
    assert not journal.note_artifact(raw, writer, "a", "file:///a", 1, "")


def test_an_attempt_that_is_over_leaves_no_file_behind(client, make_study):
    # Given a process whose attempt is cancelled while it runs on, with an artifact from before
    made = make_study().enqueue(parameters={"seed": [0]})
    claim = made.claim(made.ids()[0])
    late, again, later = (qexp.attach(claim.id, client) for _ in range(3))
    late.artifact("before.bin", b"before")
    client.cancel(Selection(made.name))
    folder = client.settings.home / "artifacts" / made.name
    # When it stores files now, then the recorded one stays, and a new one does not
    for context, name in ((late, "before.bin"), (again, "after.bin")):
        with pytest.raises(qexp.QexpError, match="is over"):
            context.artifact(name, b"before")
    assert [path.name for path in folder.rglob("*.bin")] == ["before.bin"]
    # When the study is deleted, then a late file leaves no folder either
    assert client.delete_study(made.name).files.number == 1
    with pytest.raises(qexp.QexpError, match="is over"):
        later.artifact("later.bin", b"later")
    assert not folder.exists()


def test_nothing_is_claimed_or_announced_while_a_study_is_marked(client, raw, make_study):
    made = make_study().enqueue(parameters={"seed": [0, 1]})
    ids, worker = made.ids(), made.worker()
    with client.begin() as connection:
        study = deleting.mark(connection, made.name)
        # a claim and a publication that began before the mark is committed wait for it, and find nothing
        found = []
        with connect(client.settings) as other:
            claims = threading.Thread(target=lambda: found.append(claiming.claims(other, ids, worker, pid=1)))

            def publish():
                with Client(client.settings).begin() as second:
                    publishing.lock_study(second, study.id)
                    found.append(publishing.mark_queued(second, study.id, 10))

            announces = threading.Thread(target=publish)
            claims.start()
            announces.start()
            eventually(
                lambda: raw.execute(
                    "SELECT count(*) >= 2 FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                    "AND datname = current_database()"
                ).fetchone()[0],
                "both to wait",
            )
            connection.commit()
            claims.join()
            announces.join()
    assert found == [[], []]
    client.delete_study(made.name)
    assert rows_of(raw, ids) == {}


def test_an_enqueue_during_the_mark_makes_a_new_study(client, raw, make_study):
    # Given a study that is being marked
    made = make_study().enqueue(parameters={"seed": [0]})
    old = made.ids()
    with client.begin() as connection:
        deleting.mark(connection, made.name)
        thread = threading.Thread(target=made.enqueue, kwargs={"parameters": {"seed": [0, 1]}})
        thread.start()
        eventually(
            lambda: raw.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            ).fetchone()[0],
            "the enqueue to wait",
        )
        connection.commit()
        thread.join()
    # Then the enqueue has made another study of this name
    assert set(made.ids()).isdisjoint(old)
    assert len(made.ids()) == 2


def test_two_deletions_of_a_study_do_not_disturb_each_other(client, raw, make_study, monkeypatch):
    made = make_study().enqueue(parameters={"seed": {"range": [0, 50]}})
    ids, failures = made.ids(), []
    monkeypatch.setattr(deletion, "_BATCH", 3)

    def delete():
        try:
            Client(client.settings).delete_study(made.name)
        except UnknownStudyError:
            pass  # the other one had finished
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=delete) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert rows_of(raw, ids) == {}


def test_many_records_are_deleted_in_bounded_transactions(client, raw, make_study, monkeypatch):
    made = make_study().enqueue(parameters={"seed": [0]})
    (number,) = made.ids()
    raw.execute("INSERT INTO metric SELECT %s, 1, 'a', step, 0, now() FROM generate_series(1, 95) AS step", [number])
    monkeypatch.setattr(deleting, "_RECORDS", 10)
    with client.begin() as connection:
        assert deleting.delete_records(connection, [number])
        assert connection.exec_driver_sql("SELECT count(*) FROM metric WHERE experiment = %s", (number,)).scalar() == 85
    client.delete_study(made.name)
    assert rows_of(raw, [number]) == {}
