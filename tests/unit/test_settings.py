"""The sources of settings and their order; passwords are never shown."""

import json
import os
import traceback

import pytest

from qexp.errors import SettingsError
from qexp.settings import load, load_with_origins, place, redact


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def services(home):
    urls = {"database_url": "postgresql://qexp:pw@/qexp?host=/run", "broker_url": "redis://:pw@127.0.0.1:1/0"}
    (home / "services.json").write_text(json.dumps(urls))


def test_the_environment_wins_over_the_file_and_the_file_over_the_embedded_services(tmp_path, home):
    services(home)
    (tmp_path / "qexp.toml").write_text('database_url = "postgresql://file/db"\nbroker_url = "redis://file/0"\n')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    loaded = load_with_origins({"QEXP_HOME": str(home), "QEXP_BROKER_URL": "redis://env/0"}, below)
    assert loaded.values.broker_url == "redis://env/0"
    assert loaded.values.database_url == "postgresql://file/db"
    assert loaded.origins["broker_url"] == "QEXP_BROKER_URL"
    assert loaded.origins["database_url"] == str(tmp_path / "qexp.toml")


def test_the_embedded_services_of_a_home_are_found_by_its_file(tmp_path, home):
    services(home)
    loaded = load_with_origins({"QEXP_HOME": str(home)}, tmp_path)
    assert loaded.origins["database_url"] == "embedded"
    assert not loaded.configured("database_url")


@pytest.mark.parametrize(("written", "expected"), [("23h", 82_800), ("1-00:30:00", 88_200), ("90", 90), ("1.5", 1.5)])
def test_a_lifetime_is_a_time_span_or_seconds(tmp_path, written, expected):
    assert load({"QEXP_HOME": str(tmp_path), "QEXP_LIFETIME": written}, tmp_path).lifetime == expected


@pytest.mark.parametrize("written", ["1,5h", "23:00", "0", "1 5m", "soon"])
def test_a_lifetime_that_is_not_read_whole_is_refused(tmp_path, written):
    with pytest.raises(SettingsError, match="QEXP_LIFETIME"):
        load({"QEXP_HOME": str(tmp_path), "QEXP_LIFETIME": written}, tmp_path)


def test_the_defaults_have_no_addresses(tmp_path, home):
    settings = load({"QEXP_HOME": str(home)}, tmp_path)
    assert settings.database_url is None
    assert settings.broker_url is None


@pytest.mark.parametrize(
    ("environ", "word"),
    [
        ({"QEXP_DATABSE_URL": "x"}, "did you mean 'QEXP_DATABASE_URL'"),
        ({"QEXP_DATABASE_URL": "mysql://u:secret@h/d"}, "postgresql://"),
        ({"QEXP_BROKER_URL": "amqp://u:secret@h"}, "redis://"),
        ({"QEXP_CONNECT_TIMEOUT": "soon"}, "connect_timeout"),
    ],
)
def test_a_bad_setting_is_one_line_that_hides_passwords(tmp_path, environ, word):
    with pytest.raises(SettingsError) as caught:
        load(environ, tmp_path)
    assert word in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bad_file_is_named(tmp_path, home):
    (tmp_path / "qexp.toml").write_text("database_url = \n")
    with pytest.raises(SettingsError, match=r"qexp\.toml"):
        load({"QEXP_HOME": str(home)}, tmp_path)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_the_usual_spellings_of_a_postgres_url_are_one(tmp_path, scheme):
    settings = load({"QEXP_DATABASE_URL": f"{scheme}://u:p@h:5433/d"}, tmp_path)
    assert settings.database_url == "postgresql://u:p@h:5433/d"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@h:1/0", "redis://:***@h:1/0"),
        ("redis://user:se:cr@et@h", "redis://user:***@h"),
        ("redis+socket:///run/s?password=secret&virtual_host=1", "redis+socket:///run/s?password=***&virtual_host=1"),
        ("postgresql://h/db", "postgresql://h/db"),
    ],
)
def test_a_shown_url_has_no_password(url, shown):
    assert redact(url) == shown


def test_a_place_is_a_host_and_port_or_a_socket():
    assert place("postgresql://u:p@h/d") == "h:5432"
    assert place("redis+socket:///run/redis.sock") == "/run/redis.sock"


@pytest.mark.parametrize(
    "url",
    [
        "host=localhost password=hidden",
        "hidden@localhost",
        "redis//:hidden@h",
        "redis:///:hidden@h",
        "redis://u:hid/hidden@h/0",
        "redis://u:hid?hidden@h/0",
        "redis://u:hid#hidden@h/0",
        "redis://:hidden@[::1/0",
        "redis://:hidden@h:port/0",
        "redis://:hidden@h/abc",
        "postgresql://:hidden@[::1/0",
        "postgresql://u:hid#hidden@h/d",
        "postgresql://u:p@h:port/d",
    ],
)
@pytest.mark.parametrize("name", ["QEXP_DATABASE_URL", "QEXP_BROKER_URL"])
def test_text_that_is_no_url_is_not_shown(tmp_path, name, url):
    with pytest.raises(SettingsError) as caught:
        load({name: url}, tmp_path)
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "special characters as %XX" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["a\nb", "a\x1b[1mb", "a\x7f", "a\x85b", "a\u2028b", os.fsdecode(b"a\xffb")], ids=ascii
)
def test_a_home_with_control_characters_or_bytes_that_are_no_text_is_refused(tmp_path, name):
    with pytest.raises(SettingsError) as caught:
        load({"QEXP_HOME": str(tmp_path / f"a{name}b")}, tmp_path)
    assert "QEXP_HOME: home is" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("variable", ["XDG_DATA_HOME", "HOME"])
def test_a_default_home_that_is_refused_names_the_setting(tmp_path, monkeypatch, variable):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "a\nb"))
    with pytest.raises(SettingsError, match="QEXP_HOME"):
        load({variable: os.environ[variable]}, tmp_path)


@pytest.mark.parametrize("line", ["home = 5", 'home = "~nosuchuser/x"', 'home = "a\\u0000b"', "home = []"])
def test_a_home_that_is_no_path_is_one_line(tmp_path, line):
    (tmp_path / "qexp.toml").write_text(line)
    with pytest.raises(SettingsError, match=r"qexp\.toml: home is"):
        load({}, tmp_path)


def test_files_are_kept_under_home_unless_told_otherwise(tmp_path, home):
    assert load({"QEXP_HOME": str(home)}, tmp_path).artifacts_root == str(home / "artifacts")


@pytest.mark.parametrize(
    "place",
    ["/data/a b", "file:///data", "s3://bucket", "s3://bucket/pre/fix", "memory://", "abfs://box@account.host/x"],
)
def test_a_place_of_files_is_an_absolute_path_or_a_url(tmp_path, home, place):
    assert load({"QEXP_HOME": str(home), "QEXP_ARTIFACTS": place}, tmp_path).artifacts_root == place


def test_a_home_folder_in_a_path_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load({"QEXP_ARTIFACTS": "~/runs"}, tmp_path).artifacts_root == str(tmp_path / "runs")


@pytest.mark.parametrize(
    "place",
    [
        "data",
        "./data",
        "file://data",
        "file:data",
        "s3:/bucket",
        "s3://",
        "s3://b?hidden=1",
        "s3://b#x",
        "sftp://[::1/x",
    ],
)
def test_an_invalid_place_of_files_is_refused(tmp_path, place):
    with pytest.raises(SettingsError, match=r"^QEXP_ARTIFACTS: artifacts is '.*: expected ") as caught:
        load({"QEXP_ARTIFACTS": place}, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["sftp://me:hidden@host/x", "s3://u:hid/hidden@bucket", "sftp://u:hid#hidden@h/x"])
def test_a_place_of_files_has_no_password(tmp_path, place):
    with pytest.raises(SettingsError, match="artifacts cannot be read: expected a URL") as caught:
        load({"QEXP_ARTIFACTS": place}, tmp_path)
    assert "hidden" not in str(caught.value)


def test_a_services_file_that_cannot_be_read_counts_as_none(tmp_path, home):
    (home / "services.json").write_text("[]")
    assert load({"QEXP_HOME": str(home)}, tmp_path).database_url is None


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("redis://:hidden@h/0?ssl_cert_reqs=none", "expected rediss://"),
        ("rediss://:hidden@h/0?ssl_cert_reqs=maybe", "expected one of required"),
        ("rediss://:hidden@h/0?ssl_check_hostname=no", "expected one of true, false"),
        ("rediss://:hidden@h/0?ssl_ca_cert=/x", "did you mean 'ssl_ca_certs'"),
        ("rediss://:hidden@h/0?ssl_ca_certs=/nowhere/ca.pem", "names no file"),
        ("rediss://:p@h/0?ssl_password=hidden", "there is no ssl_password"),
    ],
)
def test_an_invalid_tls_option_of_a_broker_url_is_refused(tmp_path, url, word):
    with pytest.raises(SettingsError) as caught:
        load({"QEXP_BROKER_URL": url}, tmp_path)
    assert word in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_settings_that_are_printed_have_no_addresses(tmp_path):
    environ = {"QEXP_DATABASE_URL": "postgresql://u:hidden@h/d", "QEXP_BROKER_URL": "rediss://:hidden@h/0"}
    assert "hidden" not in repr(load(environ, tmp_path)) + str(load(environ, tmp_path))
    with pytest.raises(SettingsError) as caught:
        load({**environ, "QEXP_LEASE": "soon"}, tmp_path)
    assert "hidden" not in "".join(traceback.format_exception(caught.value))


def test_addresses_for_messages_are_several_in_one_text_and_never_repeated_by_an_error(tmp_path):
    several = {"QEXP_NOTIFY": "json://here/T0ken, mailto://me:T0ken@there?to=a@b.c,d@e.f  slack://T0ken/b/c"}
    found = load(several, tmp_path)
    assert found.notify == ("json://here/T0ken", "mailto://me:T0ken@there?to=a@b.c,d@e.f", "slack://T0ken/b/c")
    assert "T0ken" not in repr(found)
    with pytest.raises(SettingsError, match="QEXP_NOTIFY: notify cannot be read: expected addresses") as caught:
        load({"QEXP_NOTIFY": "".join(["T0", "ken"])}, tmp_path)
    assert "T0ken" not in "".join(traceback.format_exception(caught.value))


def test_names_of_the_monitor_are_a_list_in_a_variable_and_in_a_file(tmp_path):
    names = ("monitor.lab", "other.lab")
    assert load({"QEXP_MONITOR_HOSTS": "monitor.lab, other.lab"}, tmp_path).monitor_hosts == names
    (tmp_path / "qexp.toml").write_text('monitor_hosts = ["monitor.lab", "other.lab"]')
    assert load({}, tmp_path).monitor_hosts == names
