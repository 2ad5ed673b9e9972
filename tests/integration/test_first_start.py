"""A home starts even if its first start was killed at any moment or ran twice in parallel."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import pytest

from qexp import services, settings
from qexp.client import Client
from qexp.errors import ServiceError, SettingsError
from qexp.services import lock, postgres_account

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts Postgres as another user")


@pytest.fixture
def home(tmp_path, monkeypatch, site):
    """The path of a home whose Postgres ends with the test; other tests share its broker."""
    path = tmp_path / "home"
    monkeypatch.setenv("QEXP_HOME", str(path))
    monkeypatch.setenv("QEXP_BROKER_URL", site.broker_url)
    yield path
    services.down(settings.load())


@pytest.mark.parametrize("whole_group", [True, False], ids=["with what it started", "alone"])
@pytest.mark.parametrize("sign", ["PG_VERSION", "pg_control", "postgresql.conf", "qexp.conf"])
def test_a_first_start_that_was_killed_is_made_again(home, sign, whole_group):
    # Given a first start that is killed as soon as a data file exists
    started = subprocess.Popen(
        [sys.executable, "-m", "qexp", "up"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    )
    while not any(sign in names for *_, names in os.walk(home)) and started.poll() is None:
        time.sleep(0.001)
    if whole_group:
        os.killpg(started.pid, signal.SIGKILL)
    else:
        started.kill()
    started.wait()
    # When the home is started again
    services.up(settings.load_with_origins())
    # Then it works, and a further start removes all parts of the first one
    assert Client(settings.load()).counts() == []
    services.down(settings.load())
    services.up(settings.load_with_origins())
    names = {path.name.partition("-")[0] for path in (home / "postgres").iterdir()}
    assert names <= {"data", "log", "run", "programs"}


KILLED_START = """
import os, signal, subprocess, sys

class Popen(subprocess.Popen):
    def __init__(self, line, **options):
        stops = os.path.basename(line[0]) == sys.argv[1] and line[-1] in ("start", "-")
        super().__init__(["sh", "-c", 'kill -STOP $$; exec "$@"', "sh", *line] if stops else line, **options)
        if stops:
            os.waitid(os.P_PID, self.pid, os.WSTOPPED)
            print(self.pid, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

subprocess.Popen = Popen
from qexp import services, settings
services.up(settings.load_with_origins())
"""
"""A start that is killed while the program that it has just started is stopped before its first instruction."""


@pytest.mark.parametrize("program", ["pg_ctl", "valkey-server"])
def test_a_server_that_an_interrupted_start_leaves_is_used(home, monkeypatch, program):
    # Given a start that was killed before its server began
    monkeypatch.delenv("QEXP_BROKER_URL")
    started = subprocess.run([sys.executable, "-c", KILLED_START, program], capture_output=True, check=False)
    server = int(started.stdout)
    # And a server that begins only while the next start waits for the lock
    free = lock.take

    def taken(descriptor):
        if not (result := free(descriptor)):
            os.kill(server, signal.SIGCONT)
            monkeypatch.setattr(lock, "take", free)
        return result

    monkeypatch.setattr(lock, "take", taken)
    # When the home is started again
    found, _ = services.up(settings.load_with_origins())
    # Then that server is used
    assert {service.name: service.changed for service in found} == {"Postgres": False, "Valkey": program == "pg_ctl"}
    assert Client(settings.load()).counts() == []
    assert len(services.down(settings.load())) == 2


def test_data_that_an_older_version_left_half_made_are_set_aside(home):
    data = home / "postgres" / "data"
    data.mkdir(mode=0o700, parents=True)
    (home / "postgres").chmod(0o700)
    (data / "PG_VERSION").write_text("18\n")
    _, notices = services.up(settings.load_with_origins())
    assert Client(settings.load()).counts() == []
    aside = next((home / "postgres").glob("half-made-*"))
    assert (aside / "PG_VERSION").exists()
    assert any(str(aside) in notice for notice in notices)


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_password_file_is_made_again(home, content):
    home.mkdir()
    (home / "postgres.password").write_text(content)
    services.up(settings.load_with_origins())
    assert Client(settings.load()).counts() == []
    assert len((home / "postgres.password").read_text()) >= 24


def test_a_wrong_password_is_an_error_of_one_line(home):
    services.up(settings.load_with_origins())
    services.down(settings.load())
    (home / "postgres.password").unlink()
    with pytest.raises(ServiceError, match=r"postgres\.password") as caught:
        services.up(settings.load_with_origins())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [None, b"", b'{"database_url": "postgre', b"\xff\x00", b"[1]", b'{"broker_url": 5}']
)
def test_services_whose_addresses_were_lost_are_found_and_not_started_twice(home, monkeypatch, content):
    # Given services with a missing or partial services file
    monkeypatch.delenv("QEXP_BROKER_URL")
    first, _ = services.up(settings.load_with_origins())
    file = home / "services.json"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    # When they are started again
    again, _ = services.up(settings.load_with_origins())
    # Then the same services run
    assert [(service.url, service.changed) for service in again] == [(service.url, False) for service in first]
    # And a stop finds them, too
    file.unlink()
    assert len(services.down(settings.load())) == 2


def test_a_broker_whose_configuration_is_half_written_starts(home, monkeypatch):
    monkeypatch.delenv("QEXP_BROKER_URL")
    (home / "valkey").mkdir(parents=True, mode=0o700)
    for content in (b"", b"bind 127.0.0.1\nport", b"bind 127.0.0.1\nport 1\nrequire", b"\xff\xfe"):
        (home / "valkey" / "valkey.conf").write_bytes(content)
        services.up(settings.load_with_origins())
        assert Client(settings.load()).counts() == []
        services.down(settings.load())


@as_root
def test_programs_that_were_half_copied_are_copied_again(tmp_path):
    site, copies = tmp_path / "site", tmp_path / "copies"
    (site / "part").mkdir(parents=True)
    (site / "part" / "program").touch(mode=0o700)
    site.chmod(0o700)
    copies.mkdir()
    nobody = postgres_account.Account(pwd.getpwuid(65534))
    whole = nobody.programs(site, ["part"], copies)
    shutil.rmtree(whole)
    half = whole.with_suffix(".new")
    (half / "part").mkdir(parents=True)
    assert nobody.programs(site, ["part"], copies) == whole
    assert (whole / "part" / "program").stat().st_uid == 65534
    assert not half.exists()


@pytest.fixture
def new_user(monkeypatch):
    """The name of a system user that does not exist; the test removes it at the end."""
    if os.geteuid() != 0 or shutil.which("useradd") is None:
        pytest.skip("making a system user needs root and useradd")
    name = f"qexp-{uuid.uuid4().hex[:8]}"
    yield name
    subprocess.run(["userdel", name], check=False, capture_output=True)


def test_parallel_first_starts_make_one_system_user(new_user):
    # Given several first starts that find no user for Postgres
    code = (
        "import pwd, sys; from qexp.services import lock, postgres_account; "
        "postgres_account.USER = sys.argv[1]; sys.stdin.read(); "
        "uid = postgres_account.Account.here().entry.pw_uid; pwd.getpwuid(uid); print(uid)"
    )
    line = [sys.executable, "-c", code, new_user]
    starts = [
        subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    # When they start together
    for start in starts:
        start.stdin.close()
        start.stdin = None
    ends = [start.communicate() for start in starts]
    # Then all use the same user, which exists once
    assert [(out, err) for out, err in ends] == [(f"{pwd.getpwnam(new_user).pw_uid}\n", "")] * 6
    assert [entry.pw_name for entry in pwd.getpwall()].count(new_user) == 1


def test_a_failed_creation_of_the_system_user_is_one_line_with_the_cause(monkeypatch, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root starts Postgres as another user")
    monkeypatch.setattr(postgres_account, "USER", f"qexp-{uuid.uuid4().hex[:8]}")
    (tmp_path / "useradd").write_text(
        "#!/bin/sh\necho 'useradd: cannot lock /etc/passwd; try again later.' >&2; exit 1\n"
    )
    (tmp_path / "useradd").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(
        ServiceError, match=r"cannot be created: useradd: cannot lock /etc/passwd; try again later"
    ) as caught:
        postgres_account.Account.here()
    assert "\n" not in str(caught.value)


@pytest.fixture
def shared(tmp_path, monkeypatch, home):
    """A temporary folder for a home whose path is too long for a socket."""
    monkeypatch.setenv("QEXP_HOME", str(tmp_path / ("long" * 20)))
    with tempfile.TemporaryDirectory() as path:  # a short path
        monkeypatch.setattr(tempfile, "tempdir", path)
        yield Path(path)
        services.down(settings.load())


def test_a_socket_in_the_temporary_folder_lies_in_a_private_one_of_its_account(shared):
    _, notices = services.up(settings.load_with_origins())
    assert Client(settings.load()).counts() == []
    uid = postgres_account.Account.here().uid
    above = shared / f"qexp-{uid}"
    for folder in (above, *above.iterdir()):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.stat().st_uid == uid
    # root prints a line if it has let that account enter the temporary folder
    assert os.geteuid() != 0 or any(f"made {shared} passable" in notice for notice in notices)


def test_a_link_in_the_place_of_the_sockets_is_refused_and_its_target_stays_as_it_is(shared, tmp_path):
    # Given a link that another user made
    target = tmp_path / "target"
    target.mkdir()
    target.chmod(0o755)
    (shared / f"qexp-{postgres_account.Account.here().uid}").symlink_to(target)
    # When the services are started
    with pytest.raises(SettingsError, match="found a link"):
        services.up(settings.load_with_origins())
    # Then its target is unchanged
    assert (target.stat().st_uid, stat.S_IMODE(target.stat().st_mode)) == (os.geteuid(), 0o755)
    assert list(target.iterdir()) == []
