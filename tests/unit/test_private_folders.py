"""qexp uses a folder in the shared temporary folder only if no other user can have made it."""

import os
import stat
import tempfile

import pytest

from qexp import private_folders
from qexp.errors import SettingsError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """A temporary folder that other users can write to."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def above(shared):
    return shared / f"qexp-{os.geteuid()}"


def refused(*words):
    return pytest.raises(SettingsError, match=".*".join([*words, "; remove it, or set TMPDIR"]))


def test_a_folder_is_made_that_only_its_user_can_enter(above):
    old = os.umask(0)
    try:
        found = private_folders.folder("w-1")
    finally:
        os.umask(old)
    assert found == above / "w-1"
    for path in (above, found):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert path.stat().st_uid == os.geteuid()


def test_a_folder_is_found_again_with_its_files(above):
    (private_folders.folder("w-1") / "kept").touch()
    assert (private_folders.folder("w-1") / "kept").exists()


@pytest.mark.parametrize("level", [0, 1])
def test_a_link_is_refused_and_its_target_stays_as_it_is(shared, above, level):
    # Given a link in place of the folder
    target = shared / "target"
    target.mkdir(mode=0o755)
    target.chmod(0o755)
    place = (above, above / "w-1")[level]
    place.parent.mkdir(mode=0o700, exist_ok=True)
    place.symlink_to(target)
    # When qexp asks for the folder
    with refused(str(place), "found a link"):
        private_folders.folder("w-1")
    # Then nothing changes
    assert stat.S_IMODE(target.stat().st_mode) == 0o755
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("level", [0, 1])
def test_a_folder_that_others_can_enter_is_refused(above, level):
    private_folders.folder("w-1")
    place = (above, above / "w-1")[level]
    place.chmod(0o711)
    with refused(str(place), "found a folder of mode 0711"):
        private_folders.folder("w-1")
    assert stat.S_IMODE(place.stat().st_mode) == 0o711


def test_a_folder_of_another_user_is_refused(shared, monkeypatch):
    here = os.geteuid()
    (shared / "qexp-54321").mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with refused(f"found a folder of user id {here}", "expected a folder of user id 54321"):
        private_folders.folder("w-1")


def test_a_file_is_refused(above):
    above.touch()
    with refused("found a file"):
        private_folders.folder("w-1")


def test_a_read_only_temporary_folder_is_one_line(shared, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(shared / "missing"))
    with refused("no such file or directory"):
        private_folders.folder("w-1")


@as_root
def test_root_makes_a_folder_for_the_account_of_a_service(shared):
    found = private_folders.folder("sockets", owner=54321)
    assert found == shared / "qexp-54321" / "sockets"
    assert {path.stat().st_uid for path in (found, found.parent)} == {54321}
    # also if it was interrupted before it changed the owner
    os.chown(found, 0, 0)
    assert private_folders.folder("sockets", owner=54321).stat().st_uid == 54321


@as_root
def test_root_does_not_change_the_owner_of_a_third_users_folder(shared):
    (shared / "qexp-54321").mkdir(mode=0o700)
    os.chown(shared / "qexp-54321", 65534, 65534)
    with refused("found a folder of user id 65534"):
        private_folders.folder("sockets", owner=54321)
    assert (shared / "qexp-54321").stat().st_uid == 65534


def test_a_file_counts_only_if_it_is_the_users_and_no_link(tmp_path, monkeypatch):
    (tmp_path / "held").touch()
    (tmp_path / "link").symlink_to(tmp_path / "held")
    assert private_folders.is_owned(tmp_path / "held")
    assert not private_folders.is_owned(tmp_path / "link")
    assert not private_folders.is_owned(tmp_path / "missing")
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    assert not private_folders.is_owned(tmp_path / "held")
