"""Locks of files and folders of other processes."""

import errno
import fcntl
import os

import pytest

from qexp import file_locks


@pytest.fixture(params=["file", "folder"])
def place(request, tmp_path):
    path = tmp_path / request.param
    if request.param == "folder":
        path.mkdir()
        return path, file_locks.OF_FOLDER
    path.touch()
    return path, file_locks.OF_FILE


def test_a_lock_is_held_until_its_descriptor_is_closed(place):
    path, flags = place
    first, second = os.open(path, flags), os.open(path, flags)
    assert not file_locks.is_held(path, flags)
    assert file_locks.take(first)
    assert not file_locks.take(second)
    assert file_locks.is_held(path, flags)
    os.close(first)
    assert not file_locks.is_held(path, flags)
    os.close(second)


def test_a_shared_lock_also_counts(place):
    path, flags = place
    reader = os.open(path, flags)
    fcntl.flock(reader, fcntl.LOCK_SH)
    assert file_locks.is_held(path, flags)
    os.close(reader)


def test_a_file_that_cannot_be_opened_counts_as_held(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    assert file_locks.is_held(tmp_path / "link")
    assert file_locks.is_held(tmp_path / "missing")


def test_a_share_without_locks_is_an_error_for_its_user_and_counts_as_held(place, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    path, flags = place
    opened = os.open(path, flags)
    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="No locks available"):
        file_locks.take(opened)
    os.close(opened)
    assert file_locks.is_held(path, flags)
