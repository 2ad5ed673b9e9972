"""Files in a folder, in memory and in an object store: atomic writes and clear errors."""

import errno
import hashlib
import os
import stat
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from qexp.errors import FilesError
from qexp.file_storage import Files, _at

MIB = 1 << 20


@pytest.fixture(params=["folder", "memory", "s3"])
def files(request, tmp_path):
    """Files under a root of each kind, empty."""
    if request.param == "folder":
        return Files(str(tmp_path / "root"))
    if request.param == "memory":
        return Files(f"memory://{tmp_path.name}")
    return Files(f"s3://{request.getfixturevalue('bucket')}/pre fix")


@pytest.fixture(scope="session")
def s3_server():
    """The address of an S3 server in this process."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(s3_server, monkeypatch):
    """An existing bucket; environment variables name its address, as for a user."""
    import s3fs

    for name, value in {"ENDPOINT_URL": s3_server, "ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "y"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("qexp")
    yield "qexp"
    s3fs.S3FileSystem().rm("qexp", recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def large(tmp_path):
    """A file of several chunks, the last one incomplete."""
    path = tmp_path / "large"
    path.write_bytes(os.urandom(3 * MIB + 17))
    return path


def test_bytes_come_back_by_their_url(files):
    stored = files.put("plots/loss.png", b"abc")
    assert stored.size == 3
    assert stored.sha256 == hashlib.sha256(b"abc").hexdigest()
    assert stored.url == f"{files.root}/plots/loss.png"
    assert files.get(stored.url) == b"abc"


def test_a_file_comes_back_with_its_size_and_checksum(files, large, tmp_path):
    stored = files.put("large", large)
    files.fetch(stored.url, tmp_path / "new" / "copy", stored.sha256)
    assert (tmp_path / "new" / "copy").read_bytes() == large.read_bytes()
    assert stored.size == large.stat().st_size
    assert stored.sha256 == hashlib.sha256(large.read_bytes()).hexdigest()


def test_an_empty_file_is_stored(files, tmp_path):
    (tmp_path / "empty").touch()
    assert files.get(files.put("a", b"").url) == b""
    assert files.get(files.put("b", tmp_path / "empty").url) == b""


def test_a_file_is_overwritten(files, large):
    files.put("x", large)
    assert files.get(files.put("x", b"new").url) == b"new"


NAMES = ["a b", "100%25.png", "ä/ö.txt", "a::b", "what?", "x*[1]", "{a}", "a:b@c#d", "~", "a'\""]


@pytest.mark.parametrize("key", NAMES)
def test_a_name_may_have_any_readable_character(files, key):
    stored = files.put(key, b"1")
    assert files.get(stored.url) == b"1"
    files.delete(stored.url)
    with pytest.raises(FilesError):
        files.get(stored.url)


@pytest.mark.parametrize("key", ["", "/etc/x", "..", "a/../b", "a//b", "a/", "./a", "a\0b", "a\nb", "\ud800"])
def test_a_key_that_leaves_the_root_or_cannot_be_read_is_refused(tmp_path, key):
    with pytest.raises(FilesError, match="no file can be named"):
        Files(str(tmp_path)).put(key, b"")
    assert list(tmp_path.iterdir()) == []


def test_a_second_delete_changes_nothing(files):
    stored = files.put("a/b", b"1")
    files.delete(stored.url)
    files.delete(stored.url)


def test_a_missing_file_is_an_error_with_its_repair(files):
    with pytest.raises(FilesError, match="not found; if another machine wrote it, set QEXP_ARTIFACTS") as caught:
        files.get(f"{files.root}/gone")
    assert str(caught.value).startswith(f"{files.root}/gone: ")


def test_an_upload_that_breaks_off_leaves_the_old_content(files):
    def broken():
        yield b"x" * MIB
        yield b"x" * MIB
        raise OSError(errno.EIO, "the disk is broken")

    stored = files.put("x", b"old")
    with pytest.raises(OSError):
        _at(stored.url).write(broken())
    assert files.get(stored.url) == b"old"


def test_a_file_that_arrives_changed_does_not_replace_the_target(files, tmp_path):
    stored = files.put("x", b"changed")
    (tmp_path / "target").write_bytes(b"old")
    with pytest.raises(FilesError, match="the file was changed"):
        files.fetch(stored.url, tmp_path / "target", hashlib.sha256(b"original").hexdigest())
    assert (tmp_path / "target").read_bytes() == b"old"
    assert not list(tmp_path.glob(".qexp-*"))


def test_a_missing_source_file_is_named(files, tmp_path):
    with pytest.raises(FilesError, match=f"^{tmp_path / 'gone'}: there is no such file$"):
        files.put("x", tmp_path / "gone")


def test_a_folder_is_no_file(files, tmp_path):
    with pytest.raises(FilesError, match="Is a directory"):
        files.put("x", tmp_path)


def test_files_are_for_their_user_only(tmp_path):
    Files(str(tmp_path / "a" / "b")).put("c/d", b"1")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {"a": 0o700, "b": 0o700, "c": 0o700, "d": 0o600}


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FilesError, match="no space left; free some, or set QEXP_ARTIFACTS"):
        Files(str(tmp_path)).put("a", b"1")
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_folder_is_an_error(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(FilesError, match="no permission"):
        Files(str(tmp_path)).put("a", b"1")


def test_a_plain_path_and_its_url_are_the_same_place(tmp_path):
    Files(str(tmp_path)).put("a", b"1")
    assert Files(f"file://{tmp_path}/").get(f"file://{tmp_path}/a") == b"1"
    assert Files(str(tmp_path)).get(str(tmp_path / "a")) == b"1"


def test_a_file_is_read_although_the_root_has_moved(tmp_path):
    stored = Files(str(tmp_path / "old")).put("a", b"1")
    assert Files("memory://new").get(stored.url) == b"1"


def test_a_missing_s3fs_is_an_error_with_the_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(import_module("fsspec.registry")._registry, "s3", raising=False)
    with pytest.raises(FilesError, match=r"^s3://bucket/x: .*pip install 'qexp\[s3\]'$"):
        Files("s3://bucket").put("x", b"")


def test_a_missing_bucket_is_an_error(bucket):
    with pytest.raises(FilesError, match="its bucket or folder does not exist; create it"):
        Files("s3://no-such-bucket").put("x", b"")


def test_large_files_are_uploaded_in_parts(bucket, tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(60 * MIB)
    files = Files(f"s3://{bucket}")
    stored = files.put("x", path)
    files.fetch(stored.url, tmp_path / "copy", stored.sha256)
    assert (tmp_path / "copy").stat().st_size == 60 * MIB


@pytest.mark.parametrize("root", ["relative", "nosuch://host/x", "s3://", "S3://key:hidden@bucket"])
def test_an_invalid_root_is_refused_in_one_line(root):
    with pytest.raises(FilesError) as caught:
        Files(root).put("x", b"")
    assert "\n" not in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("url", ["s3://key:hidden@bucket/x", "sftp://u:hid/hidden@host/x", "x://u:hidden@[::1/x"])
def test_a_password_in_a_url_is_refused_and_not_shown(url):
    with pytest.raises(FilesError) as caught:
        Files("memory://").get(url)
    assert "hidden" not in str(caught.value)
    assert "hidden" not in str(caught.value.__cause__)


def test_fsspec_is_imported_only_for_a_store(tmp_path):
    code = "import sys, qexp.file_storage as f; f.Files(sys.argv[1]).put('a', b''); assert 'fsspec' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=Path(__file__).parents[2])
