"""Functions get no passwords of the services, and their output and errors mask them."""

import itertools
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qexp import settings as settings_
from qexp.errors import SettingsError
from qexp.model import Failure
from qexp.settings import Settings
from qexp.worker import password_masking
from qexp.worker.attempt import failure
from qexp.worker.context import output_reader
from qexp.worker.context.output_reader import Output

PASSWORD, OTHER = "p@ss: 'wörd'%41", "hunter22"
URLS = {
    "database_url": "postgresql://me:p%40ss%3A%20%27w%C3%B6rd%27%2541@db.lab/qexp",
    "broker_url": f"redis://:{OTHER}@broker.lab:6379/0",
}


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr(password_masking, "_passwords", ())
    monkeypatch.setattr(password_masking, "_encoded", ())
    password_masking.set_passwords(Settings(home="/x", **URLS))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (URLS["database_url"], "postgresql://me:***@db.lab/qexp"),
        (URLS["broker_url"], "redis://:***@broker.lab:6379/0"),
        (f"as it is: {PASSWORD}.", "as it is: ***."),
        (f"shown: {PASSWORD!r}", 'shown: "***"'),
        ("twice hunter22hunter22", "twice ******"),
        ("hunter2 and p@ss are parts only", "hunter2 and p@ss are parts only"),
    ],
)
def test_passwords_are_masked_however_they_are_spelled(text, masked):
    assert password_masking.mask(text) == masked


def test_a_password_in_the_options_of_a_url_is_masked_and_a_short_one_is_not():
    password_masking.set_passwords(
        Settings(home="/x", database_url="postgresql:///qexp?password=long-enough&sslpassword=of-the-key")
    )
    assert password_masking.mask("long-enough of-the-key") == "*** ***"
    password_masking.set_passwords(Settings(home="/x", database_url="postgresql://me:qexp@db/qexp"))
    assert password_masking.mask("postgresql://me:qexp@db/qexp") == "postgresql://me:qexp@db/qexp"


def test_an_exception_is_stored_without_passwords():
    try:
        raise ValueError(f"cannot connect with {OTHER}")  # the line of code contains hunter22, too
    except ValueError as error:
        found = failure.describe(error, Failure.ERROR, None)
    assert found.message == "cannot connect with ***"
    assert OTHER not in found.traceback
    assert "***" in found.traceback


SECRET_OR_NOT = st.lists(st.sampled_from([PASSWORD, OTHER, "hunter2", "h", "p@", "text\n", "ö", "x" * 30]))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SECRET_OR_NOT, st.lists(st.integers(0, 200), max_size=6), st.integers(40, 60))
def test_output_is_stored_without_passwords_however_its_bytes_are_split(tmp_path_factory, parts, cuts, piece):
    # Given output with passwords, read at any moment
    file = tmp_path_factory.mktemp("output") / "1.out"
    file.touch()
    data = "".join(parts).encode()
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output_reader, "_PIECE", piece)
        reader, chunks = Output(file), []
        for begin, end in itertools.pairwise(places):
            with file.open("ab") as opened:
                opened.write(data[begin:end])
            chunks += reader.take()
        chunks += reader.take(final=True)
    # Then only the passwords are missing, and positions count the bytes
    assert "".join(chunk.text for chunk in chunks) == password_masking.mask("".join(parts))
    assert [chunk.end for chunk in chunks[:-1]] == [chunk.position for chunk in chunks[1:]]
    assert sum(chunk.size for chunk in chunks) == len(data)


def test_variables_with_passwords_leave_the_environment_and_qexp_processes_find_them(tmp_path, monkeypatch):
    monkeypatch.setenv("QEXP_DATABASE_URL", URLS["database_url"])
    monkeypatch.setenv("QEXP_BROKER_URL", URLS["broker_url"])
    monkeypatch.setenv("QEXP_NOTIFY", "json://here/T0ken")
    monkeypatch.setenv("QEXP_LEASE", "7")
    monkeypatch.delenv("QEXP_ATTACH", raising=False)
    before = settings_.load(folder=tmp_path)
    # When a process removes them
    monkeypatch.setenv("QEXP_ATTACH", "")  # so that the test removes it
    password_masking.hide_from_functions(tmp_path)
    # Then no environment has them, and settings stay the same, here and in other processes
    environ = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
    assert not [text for text in (OTHER, "p%40ss", "T0ken") if text in environ + str(os.environ)]
    assert settings_.load(folder=tmp_path) == before
    code = (
        "from qexp.settings import load; loaded = load(); print(loaded.database_url, loaded.broker_url, loaded.notify)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert told == f"{before.database_url} {before.broker_url} {before.notify}\n"
    # And only this user can read the file; a variable that is set again overrides it
    assert stat.S_IMODE(Path(os.environ["QEXP_ATTACH"]).stat().st_mode) == 0o600
    assert settings_.load({**os.environ, "QEXP_BROKER_URL": "redis://other"}, tmp_path).broker_url == "redis://other"


def test_without_passwords_in_the_environment_nothing_is_written(tmp_path, monkeypatch):
    for name in ("QEXP_DATABASE_URL", "QEXP_BROKER_URL", "QEXP_NOTIFY", "QEXP_ATTACH"):
        monkeypatch.delenv(name, raising=False)
    password_masking.hide_from_functions(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert "QEXP_ATTACH" not in os.environ


@pytest.mark.parametrize(("content", "reason"), [(None, "no such file or directory"), ("{", "damaged")])
def test_a_process_that_outlives_its_worker_gets_an_error_about_missing_addresses(tmp_path, content, reason):
    path = tmp_path / "settings.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=f"settings.json: {reason}, expected the addresses that a running worker"):
        settings_.load({"QEXP_ATTACH": str(path)}, tmp_path)
