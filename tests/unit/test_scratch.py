"""The temporary folders of killed workers: their owners, and when qexp removes them."""

import os
import tempfile
import time
import uuid

import pytest

from qexp import private_folders
from qexp.errors import SettingsError
from qexp.worker.attempt.scratch import Scratch

WEEK = 7 * 24 * 3600


@pytest.fixture(autouse=True)
def above(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def killed():
    """Make the folder of a worker without its lock."""

    def killed():
        worker = uuid.uuid4()
        scratch = Scratch(worker)
        scratch.make()
        os.close(scratch.lock)
        return worker, scratch.folder

    return killed


def found(ours):
    return [worker for worker, _ in Scratch(uuid.uuid4()).abandoned(lambda worker: worker in ours)]


def test_the_folder_of_a_killed_worker_is_returned_once_and_removed(killed):
    worker, folder = killed()
    given = Scratch(uuid.uuid4()).abandoned(lambda _: True)
    assert next(given) == (worker, folder)
    assert folder.is_dir(), "its files are read first"
    assert list(given) == []
    assert not folder.exists()
    assert found({worker}) == []


def test_the_folder_of_a_living_worker_is_kept():
    worker = uuid.uuid4()
    scratch = Scratch(worker)
    scratch.make()
    assert found({worker}) == []
    assert scratch.folder.is_dir()


def test_the_folder_of_another_sites_worker_is_kept_for_a_week(killed):
    _, fresh = killed()
    _, old = killed()
    os.utime(old, (time.time() - WEEK - 60,) * 2)
    assert found(set()) == []
    assert fresh.is_dir()
    assert not old.exists()


def test_a_folder_of_no_worker_is_kept(above, killed):
    _, folder = killed()
    other = folder.with_name("worker-notes")
    other.mkdir()
    assert found(set()) == []
    assert other.is_dir()


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")


@as_root
def test_a_folder_of_another_user_is_ignored(killed, caplog):
    """Otherwise another user could forge results, because all users can read a worker's id."""
    worker, folder = killed()
    os.chown(folder, 65534, -1)
    assert found({worker}) == []
    assert folder.is_dir()
    assert str(folder) in caplog.text


def test_a_link_to_such_a_folder_is_not_followed(killed, above):
    worker, folder = killed()
    folder.rename(above / "elsewhere")
    folder.symlink_to(above / "elsewhere")
    assert found({worker}) == []
    assert (above / "elsewhere").is_dir()


@as_root
def test_a_worker_does_not_start_if_another_user_has_made_its_folder(above):
    place = above / f"qexp-{os.geteuid()}"
    place.mkdir(mode=0o700)
    os.chown(place, 65534, -1)
    with pytest.raises(SettingsError, match=r"found a folder of user id 65534, expected .* remove it, or set TMPDIR"):
        Scratch(uuid.uuid4()).make()


def test_folders_that_others_can_enter_are_ignored(killed):
    worker, folder = killed()
    folder.parent.chmod(0o755)
    with pytest.raises(SettingsError, match="mode 0755"):
        found({worker})


def test_a_worker_that_stops_while_another_one_looks_is_no_problem(killed, monkeypatch, caplog):
    _, folder = killed()
    owned = private_folders.is_owned

    def gone(path):
        if path == folder:
            folder.rmdir()
        return owned(path)

    monkeypatch.setattr(private_folders, "is_owned", gone)
    assert found(set()) == []
    assert not folder.exists()
    assert caplog.records == []
