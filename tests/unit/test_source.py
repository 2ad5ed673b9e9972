"""Snapshots are complete and free of secrets, unpack unchanged, and have a description."""

import io
import os
import platform
import random
import re
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qexp.errors import SourceError
from qexp.source import cached, contents, current, extract, git, snapshot, snapshot_files, state, take, unpack
from qexp.source.environment import gpu_names

ROOT = os.geteuid() == 0
KEY = "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIE\n"
NAMES = ("a", "b", "keep", "x y", "c.py", "d.csv", "e.txt")
# git reads each pattern in a way that surprises
PATTERNS = (
    *(
        "*",
        "!*/",
        "!*.py",
        "a",
        "a/",
        "!a",
        "!a/",
        "/a",
        "/a/*",
        "!/a/b",
        "a/b",
        "a/*/c.py",
        "**/b",
        "b/**",
        "a/**/c.py",
    ),
    *("*.csv", "!*.csv", "!keep", "keep/", "!keep/", "#c", "\\#c", "!", "/", "x y", "x\\ y ", "[ab]", "[!a]*", "?.py"),
    *("**", "**/", "*/", "!**/", "!a/**", "e.t[x", "\\", "a//b", "keep/*", "!keep/c.py", "a/**/", "**/a/**", "*\\"),
)


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def run_git(folder, *arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@localhost", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture
def repository(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("no program 'git' here")
    folder = tmp_path / "repository"
    folder.mkdir()
    run_git(folder, "init", "-q")
    return folder


def commit(folder, **files):
    write(folder, {name.replace("_py", ".py"): text for name, text in files.items()})
    run_git(folder, "add", "-A")
    run_git(folder, "commit", "-qm", "x")


# --- snapshots


def test_equal_folders_give_equal_snapshots_wherever_and_whenever_they_were_written(tmp_path):
    files = {"experiment.py": "X = 1", "lib/helper.py": "Y = 2", "data.csv": "1,2"}
    one = write(tmp_path / "one", files)
    two = write(tmp_path / "two" / "below", dict(reversed(files.items())))
    os.utime(two / "data.csv", (0, 0))
    (two / "data.csv").chmod(0o600)
    assert take(one) == take(two)
    assert take(one).files == ("data.csv", "experiment.py", "lib/helper.py")


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "a").write_text("2"),
        lambda folder: (folder / "a").rename(folder / "b"),
        lambda folder: (folder / "a").chmod(0o755),
        lambda folder: (folder / "empty").touch(),
    ],
)
def test_a_changed_content_name_or_executable_bit_gives_another_digest(tmp_path, change):
    before = take(write(tmp_path, {"a": "1"}))
    change(tmp_path)
    assert take(tmp_path).digest != before.digest


@pytest.mark.parametrize("seed", range(25))
def test_a_snapshot_ignores_the_files_that_git_ignores(repository, seed):
    # Given a repository whose folders have ignore files at random
    rng = random.Random(seed)

    def fill(folder, depth):
        for name in NAMES:
            if "." not in name and depth < 3 and rng.random() < 0.6:
                (folder / name).mkdir()
                fill(folder / name, depth + 1)
            elif rng.random() < 0.6:
                (folder / name).touch()
        if depth == 0 or rng.random() < 0.25:
            (folder / ".gitignore").write_text("\n".join(rng.choices(PATTERNS, k=rng.randint(1, 5))))

    fill(repository, 0)
    (repository / ".git" / "info" / "exclude").write_text(rng.choice(PATTERNS))
    # Then the snapshot has the files that git would add
    expected = run_git(repository, "ls-files", "-z", "--others", "--exclude-standard").split("\0")
    assert sorted(take(repository).files) == sorted(filter(None, expected))


def test_the_ignore_files_of_the_parents_count_up_to_the_repositorys_root(repository):
    write(repository.parent, {".gitignore": "*.py"})
    write(repository, {".gitignore": "*.csv\n/other/", "digits/.gitignore": "*.log"})
    folder = write(repository / "digits", {"a.py": "", "b.csv": "", "c.log": "", "other/d.py": ""})
    assert take(folder).files == (".gitignore", "a.py", "other/d.py")


def test_a_worktree_heeds_the_exclude_file_of_its_repository(repository, tmp_path):
    commit(repository, a_py="")
    run_git(repository, "worktree", "add", "-q", str(tmp_path / "tree"))
    (repository / ".git" / "info" / "exclude").write_text("*.csv")
    assert take(write(tmp_path / "tree", {"b.csv": ""})).files == ("a.py",)


def test_a_folder_that_its_parents_ignore_is_taken_when_it_is_named(repository):
    write(repository, {".gitignore": "*"})
    assert take(write(repository / "digits", {"a.py": "", "b.csv": "", ".qexpignore": "*.csv"})).files == (
        ".qexpignore",
        "a.py",
    )


def test_a_qexpignore_overrules_every_gitignore_and_needs_no_repository(tmp_path):
    ignored = {".qexpignore": "*.csv\n!generated.py", ".gitignore": "generated.py", "lib/.gitignore": "generated.py"}
    write(tmp_path, ignored | {"generated.py": "", "lib/generated.py": "", "lib/a.csv": ""})
    assert [name for name in take(tmp_path).files if "ignore" not in name] == ["generated.py", "lib/generated.py"]


@pytest.mark.parametrize(
    "name",
    [
        *(".env", ".env.local", ".ENV", "a.pem", "a.key", "a.p12", "a.pfx", "a.keystore", "id_rsa", "id_ed25519.pub"),
        *("id_ecdsa", "id_dsa", ".netrc", ".pgpass", ".pypirc", ".npmrc", ".git-credentials", "credentials"),
        *("credentials.json", "Service-Account-7.json", "qexp.toml", ".ssh/config", ".aws/x", ".gnupg/x", ".kube/x"),
        *(".docker/config.json", "key.py", "__pycache__/a.py", "a.pyc", "env/lib/a.py", "venv/a.py", ".venv/a.py"),
        *("node_modules/a.js", ".mypy_cache/a", ".pytest_cache/a", ".ruff_cache/a", ".ipynb_checkpoints/a.ipynb"),
        *(".tox/a", ".DS_Store", "a.egg-info/PKG-INFO", ".idea/a", ".vscode/a", ".git/config"),
    ],
)
def test_secrets_and_noise_are_left_out_despite_ignore_files(tmp_path, name):
    content = f"KEY = '''{KEY}'''" if name == "key.py" else ""
    write(tmp_path, {".qexpignore": "!*", "a.py": "", ".env.example": ""})
    for folder in (tmp_path, tmp_path / "lib"):
        write(folder, {name: content, "env/pyvenv.cfg": ""})
    assert take(tmp_path).files == (".env.example", ".qexpignore", "a.py")


def test_the_home_of_qexp_is_neither_a_source_nor_a_part_of_one(tmp_path):
    write(tmp_path, {"a.py": "", "home/services.lock": "", "home/services.json": "{}", "home/valkey/valkey.conf": ""})
    assert take(tmp_path).files == ("a.py",)
    with pytest.raises(SourceError, match="is the home of qexp; move the grid to another folder"):
        take(tmp_path / "home")


def test_links_within_the_folder_are_followed(tmp_path):
    folder = write(tmp_path / "grid", {"a.py": "", "lib/helper.py": "X = 1", "data/a.csv": "1"})
    (folder / "helper.py").symlink_to("lib/helper.py")
    (folder / "lib" / "data").symlink_to(folder / "data")
    plain = write(tmp_path / "plain", {"a.py": "", "helper.py": "X = 1", "data/a.csv": "1"})
    write(plain, {"lib/helper.py": "X = 1", "lib/data/a.csv": "1"})
    (tmp_path / "link").symlink_to(folder)
    assert take(tmp_path / "link") == take(plain)
    assert take(folder).warnings == ()


@pytest.mark.parametrize("target", ["elsewhere/helper.py", "elsewhere", "hop", "grid/../elsewhere/helper.py"])
def test_links_out_of_the_folder_are_not_followed_and_named(tmp_path, target):
    # Given a link that leads out of the folder, directly or over another link
    write(tmp_path / "elsewhere", {"helper.py": "SECRET = 1"})
    (tmp_path / "hop").symlink_to("elsewhere/helper.py")
    folder = write(tmp_path / "grid", {"a.py": "", "lib/b.py": ""})
    (folder / "lib" / "out").symlink_to(tmp_path / target)
    (folder / "over").symlink_to("lib/out")
    # Then the snapshot omits its target, and a warning names it
    taken = take(folder)
    assert taken.files == ("a.py", "lib/b.py")
    place = (tmp_path / target).resolve()
    told = f"left out of the snapshot, as it is a link out of the folder, to {place}"
    assert sorted(taken.warnings) == [f"lib/out: {told}", f"over: {told}"]
    # Unless git ignores it
    write(folder, {".qexpignore": "out\nover"})
    assert take(folder).warnings == ()


def test_a_file_that_becomes_a_link_while_it_is_taken_is_left_out(tmp_path, monkeypatch):
    outside = write(tmp_path / "elsewhere", {"secret": "1"})
    folder = write(tmp_path / "grid", {"a.py": "", "b.py": ""})
    gather = snapshot.gather

    def gather_then_change(*arguments):
        files = gather(*arguments)
        (folder / "b.py").unlink()
        (folder / "b.py").symlink_to(outside / "secret")
        return files

    monkeypatch.setattr(snapshot, "gather", gather_then_change)
    assert take(folder).files == ("a.py",)


@pytest.mark.parametrize(
    "name", ["secrets.yaml", "Secret.toml", "lib/secrets.json", ".htpasswd", ".env", "credentials"]
)
def test_a_file_omitted_as_a_secret_is_named_unless_git_ignores_it(tmp_path, name):
    write(tmp_path, {"a.py": "", name: "x"})
    taken = take(tmp_path)
    assert taken.files == ("a.py",)
    assert taken.warnings == (f"{name}: left out of the snapshot, as its name is one of secrets",)
    write(tmp_path, {".gitignore": Path(name).name})
    assert take(tmp_path).warnings == ()


def test_a_file_with_a_private_key_is_named(tmp_path):
    write(tmp_path, {"a.py": "", "key.py": f"KEY = '''{KEY}'''"})
    assert take(tmp_path).warnings == ("key.py: left out of the snapshot, as it holds a private key",)


def test_qexps_own_settings_and_caches_are_left_out_without_a_word(tmp_path):
    write(tmp_path, {"a.py": "", "qexp.toml": "", ".git/config": "", "__pycache__/a.pyc": ""})
    assert take(tmp_path).warnings == ()


HUB, AWS = "hf_" + "a1B2" * 9, "AKIA" + "ABCDEFGH12345678"


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("config.ini", "[db]\nuser = me\npassword = hunter2hunter2", "line 3, 'password'"),
        ("config.ini", "DB_PASSWORD: hunter2hunter2", "line 1, 'DB_PASSWORD'"),
        ("pyproject.toml", '[x]\naws_secret_access_key = "abcdefgh"', "line 2, 'aws_secret_access_key'"),
        ("a.yaml", "service:\n  api-key: 0123456789", "line 2, 'api-key'"),
        ("a.json", '{"client_secret": "0123456789"}', "line 1, 'client_secret'"),
        ("lib/a.cfg", "access_token=0123456789", "line 1, 'access_token'"),
        ("a.py", f"login({HUB!r})", "line 1, 'hf_a…'"),
        ("notes.md", f"\n\nkey {AWS}.", "line 3, 'AKIA…'"),
        ("a.sh", "curl -H ghp_" + "a" * 36, "line 1, 'ghp_…'"),
        ("grid.yaml", "study: x\nnotify:\n  - slack://T1JJ3T3L2/A1", "line 2, 'notify'"),
    ],
)
def test_a_file_that_seems_to_hold_a_secret_is_named_without_its_value(tmp_path, name, content, place):
    taken = take(write(tmp_path, {name: content}))
    assert taken.files == (name,)
    assert taken.warnings == (f"{name}, {place}: looks like a secret, and the snapshot has it",)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.ini", "password =\nuser = me"),
        ("config.ini", "password = ${DB_PASSWORD}\npassword_file = /run/secrets/db\nsecret_name = production"),
        ("a.yaml", "password: null\napi_key: <your key>\napi_key: your-key-here\nsecret: changeme\npassword: string"),
        ("tokens.json", '{"pad_token": "[PAD]", "eos_token": "</s>", "bos_token": "<|endoftext|>", "token": "hello"}'),
        ("a.toml", 'password = "{{ password }}"\ntokens_per_second = 1000000\nsecretary = "somebody"'),
        ("a.py", "password = read_password()\ndef f(password: str = ''): ...\napi_key = os.environ['API_KEY']"),
        ("a.md", "sk-container-id-1 and task-0123456789-0123456789-0123456789 are no keys"),
        ("data.json", '{"password": "hunter2hunter2"}' + " " * 1_000_000),
    ],
)
def test_text_that_only_resembles_a_secret_is_not_named(tmp_path, name, content):
    assert take(write(tmp_path, {name: content})).warnings == ()


@pytest.mark.parametrize(
    "target",
    [
        *(
            "nowhere",
            "self",
            ".",
            "..",
            "../..",
            "/",
            "../.env",
            "../.ssh",
            "../.ssh/config",
            "../hop",
            "../keys/secret",
        ),
        *(
            "../environment/pyvenv",
            "/dev/null",
            ".env",
            ".ssh",
            ".ssh/config",
            "environment/pyvenv",
            "home/services.json",
        ),
    ],
)
def test_links_that_lead_nowhere_in_a_circle_or_to_a_secret_are_left_out(tmp_path, target):
    write(tmp_path, {".env": "", ".ssh/config": "", "harmless": "", "environment/pyvenv/pyvenv.cfg": ""})
    (tmp_path / "keys").symlink_to(".ssh")
    (tmp_path / ".ssh" / "secret").touch()
    (tmp_path / "hop").symlink_to("a.key")
    (tmp_path / "a.key").symlink_to("harmless")
    folder = write(tmp_path / "grid", {"a.py": "", "lib/b.py": "", ".env": "", ".ssh/config": ""})
    write(folder, {"environment/pyvenv/pyvenv.cfg": "", "home/services.lock": "", "home/services.json": ""})
    (folder / "self").symlink_to(target)
    assert take(folder).files == ("a.py", "lib/b.py")


def test_two_folders_that_link_to_each_other_end(tmp_path):
    write(tmp_path, {"one/a.py": "", "two/b.py": ""})
    (tmp_path / "one" / "two").symlink_to("../two")
    (tmp_path / "two" / "one").symlink_to("../one")
    assert take(tmp_path).files == ("one/a.py", "one/two/b.py", "two/b.py", "two/one/a.py")


def test_pipes_and_sockets_are_left_out(tmp_path, monkeypatch):
    write(tmp_path, {"a.py": ""})
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        assert take(tmp_path).files == ("a.py",)


@pytest.mark.skipif(ROOT, reason="root can read everything")
def test_an_unreadable_file_is_named(tmp_path):
    write(tmp_path, {"lib/a.py": ""})
    (tmp_path / "lib" / "a.py").chmod(0)
    with pytest.raises(SourceError, match=r"lib/a\.py: cannot be read: Permission denied; list"):
        take(tmp_path)


@pytest.mark.skipif(ROOT, reason="root can read everything")
@pytest.mark.parametrize("mode", [0o000, 0o300, 0o400, 0o600])
def test_an_unreadable_folder_is_named_unless_a_link_leads_to_it(tmp_path, mode):
    write(tmp_path, {"grid/a.py": "", "closed/b.py": ""})
    (tmp_path / "grid" / "link").symlink_to("../closed")
    (tmp_path / "closed").chmod(mode)
    assert take(tmp_path / "grid").files == ("a.py",)
    with pytest.raises(SourceError, match=r"closed(/b\.py)?: cannot be read: Permission denied; list"):
        take(tmp_path)
    (tmp_path / "closed").chmod(0o700)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_a_file_that_the_disk_does_not_give_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(snapshot, "walk", lambda *_: iter([snapshot_files.SourceFile("a.py", "/proc/self/mem", 1)]))
    with pytest.raises(SourceError, match=r"mem: cannot be read: Input/output error; list"):
        take(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(SourceError, match="absent: cannot be read: No such file"):
        take(tmp_path / "absent")


def test_a_file_in_place_of_a_folder_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"a\.py: is a file, expected the folder of a grid"):
        take(write(tmp_path, {"a.py": ""}) / "a.py")


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no such names")
def test_a_name_that_is_not_text_is_named(tmp_path):
    Path(os.fsdecode(bytes(tmp_path) + b"/\xff")).touch()
    with pytest.raises(SourceError, match="its name is not UTF-8"):
        take(tmp_path)


def test_a_too_big_source_is_refused_with_its_largest_file(tmp_path):
    write(
        tmp_path, {"a.py": "X = 1", "data/big.bin": random.Random(0).randbytes(53_000), "data/small.bin": bytes(9_000)}
    )
    expected = r"of about [56]\d\S* kB \(largest: data/big.bin 53 kB\), expected at most 20 kB; take data/big"
    with pytest.raises(SourceError, match=expected) as refusal:
        take(tmp_path, ["data"], limit=20_000)
    assert str(refusal.value).endswith(
        "; take data/big.bin out of 'source: {include: …}' in the grid, and pass its path as a setting"
    )
    assert "\n" not in str(refusal.value)
    write(tmp_path, {"big.py": random.Random(0).randbytes(60_000)})
    with pytest.raises(SourceError, match=r"largest: big.py 60 kB\), expected at most 20 kB; list what"):
        take(tmp_path, ["data"], limit=20_000)


def test_the_size_limit_counts_compressed_bytes(tmp_path):
    assert take(write(tmp_path, {"a.txt": "x" * 100_000}), limit=20_000).files == ("a.txt",)


def test_a_hopelessly_big_source_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "sparse.so").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(
        SourceError, match=r"holds more than 200 MB of files \(largest: sparse.so 1 TB\), expected at most 20 MB"
    ):
        take(tmp_path)


def test_folders_of_too_many_files_are_refused(tmp_path, monkeypatch):
    write(tmp_path, {f"{number}.txt": "" for number in range(30)})
    monkeypatch.setattr(snapshot, "MOST_FILES", 20)
    with pytest.raises(SourceError, match="holds more than 20 files; list"):
        take(tmp_path)
    part = r"holds more than 20 files, 10 of them named by 'source: \{include: …\}' in the grid; list"
    with pytest.raises(SourceError, match=part):
        take(tmp_path, ["1?.txt"])


def test_the_search_among_ignored_files_has_a_limit(tmp_path, monkeypatch):
    write(tmp_path, {f"{number}.txt": "" for number in range(30)} | {".gitignore": "*"})
    monkeypatch.setattr(snapshot_files, "MOST_SEEN", 20)
    with pytest.raises(SourceError, match="holds more than 20 files and folders; list"):
        take(tmp_path)


def test_a_file_that_vanishes_or_becomes_a_pipe_meanwhile_is_left_out(tmp_path, monkeypatch):
    write(tmp_path, {"a.py": "", "b.py": "", "c.py": "", "d.py": ""})
    gather = snapshot.gather

    def gather_then_change(*arguments):
        files = gather(*arguments)
        for name in ("b.py", "c.py", "d.py"):
            (tmp_path / name).unlink()
        os.mkfifo(tmp_path / "c.py")
        (tmp_path / "d.py").mkdir()
        return files

    monkeypatch.setattr(snapshot, "gather", gather_then_change)
    assert take(tmp_path).files == ("a.py",)


# --- the cache

names = st.lists(
    st.text("abcä .-", min_size=1, max_size=4).filter(lambda text: text.strip(".")), min_size=1, max_size=3
)
trees = st.dictionaries(
    names.map("/".join),
    st.tuples(st.text(max_size=50).filter(lambda text: "\0" not in text), st.booleans()),
    max_size=6,
)


def content_of(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (path.read_bytes(), bool(path.stat().st_mode & stat.S_IXUSR)) for path in files
    }


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees)
def test_an_unpacked_snapshot_equals_its_source(tmp_path, tree):
    # Given any folder
    shutil.rmtree(tmp_path)
    (tmp_path / "grid").mkdir(parents=True)
    for name, (content, executable) in tree.items():
        if not any(name.startswith(f"{other}/") or other.startswith(f"{name}/") for other in tree):
            write(tmp_path / "grid", {name: content})
            (tmp_path / "grid" / name).chmod(0o755 if executable else 0o644)
    # When a snapshot is taken, unpacked elsewhere and taken again
    taken = take(tmp_path / "grid")
    place = unpack(taken.digest, taken.archive, tmp_path / "cache")
    # Then nothing changes
    assert content_of(place) == content_of(tmp_path / "grid")
    assert take(place) == taken


@pytest.fixture
def taken(tmp_path):
    return take(write(tmp_path / "grid", {"a.py": "X = 1", "lib/b.py": "Y = 2"}))


def test_a_source_is_cached_once_it_is_unpacked(tmp_path, taken):
    root = tmp_path / "new" / "cache"
    assert cached(taken.digest, root) is None
    place = unpack(taken.digest, taken.archive, root)
    assert cached(taken.digest, root) == place == root / taken.digest
    assert unpack(taken.digest, b"not looked at", root) == place


def test_unpacked_files_can_be_read_and_removed_only(tmp_path, taken):
    place = unpack(taken.digest, taken.archive, tmp_path / "cache")
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert {stat.S_IMODE((place / name).stat().st_mode) for name in taken.files} == {0o400}
    shutil.rmtree(place)
    assert cached(taken.digest, tmp_path / "cache") is None


def test_many_processes_may_unpack_one_source_together(tmp_path, taken):
    with ThreadPoolExecutor(8) as pool:
        places = set(pool.map(lambda _: unpack(taken.digest, taken.archive, tmp_path / "cache"), range(40)))
    assert list((tmp_path / "cache").iterdir()) == list(places)
    assert content_of(places.pop()) == content_of(tmp_path / "grid")


def test_a_partial_unpack_of_a_killed_process_is_never_used_and_removed_later(tmp_path, taken):
    # Given an old partial unpack, and one that a process still writes
    root = tmp_path / "cache"
    dead, alive = (write(root / f".half-{name}", {"a.py": ""}) for name in ("dead", "alive"))
    os.utime(dead, (0, 0))
    assert cached(taken.digest, root) is None
    # When the source is unpacked
    unpack(taken.digest, taken.archive, root)
    # Then only the first is removed
    assert sorted(path.name for path in root.iterdir()) == sorted([alive.name, taken.digest])


def archive_of(*members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["../a.py", "/a.py", "lib/../../a.py", "./a.py", "lib//a.py", "lib/", ".."])
def test_an_archive_that_reaches_outside_its_folder_is_refused(tmp_path, taken, name):
    with pytest.raises(SourceError, match=f"is damaged: it has a file named {name!r}"):
        unpack(taken.digest, archive_of((name, "X = 2")), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    assert not (tmp_path / "a.py").exists()


def test_a_link_in_an_archive_becomes_a_plain_file(tmp_path):
    link = zipfile.ZipInfo("passwords")
    link.external_attr = (stat.S_IFLNK | 0o644) << 16
    plain = take(write(tmp_path / "grid", {"passwords": "/etc/passwd"}))
    place = unpack(plain.digest, archive_of((link, "/etc/passwd")), tmp_path / "cache")
    assert not (place / "passwords").is_symlink()


def test_an_archive_writes_nothing_through_a_link_of_its_own(tmp_path, taken):
    link = zipfile.ZipInfo("lib")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    (tmp_path / "outside").mkdir()
    with pytest.raises(SourceError, match="cannot be unpacked: "):
        unpack(taken.digest, archive_of((link, str(tmp_path / "outside")), ("lib/a.py", "")), tmp_path / "cache")
    assert list((tmp_path / "outside").iterdir()) == list((tmp_path / "cache").iterdir()) == []


def bomb(declared):
    """Return an archive of 250 MB of zeros, whose list says that they are *declared*."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.bin", "w") as member:
        for _ in range(250):
            member.write(bytes(1_000_000))
    return buffer.getvalue().replace(struct.pack("<L", 250_000_000), struct.pack("<L", declared))


@pytest.mark.parametrize("declared", [250_000_000, 10])
def test_an_archive_that_holds_more_than_a_snapshot_can_is_refused_before_it_is_unpacked(tmp_path, taken, declared):
    archive = bomb(declared)
    tracemalloc.start()
    try:
        for reader in (
            lambda: unpack(taken.digest, archive, tmp_path / "cache"),
            lambda: extract(archive, tmp_path / "folder"),
            lambda: contents(archive, "a.bin"),
        ):
            with pytest.raises(SourceError, match=r"damaged: (its files have 250 MB, more than 200 MB|Bad CRC)"):
                reader()
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_archive_of_too_many_files_is_refused(tmp_path, taken, monkeypatch):
    monkeypatch.setattr(snapshot, "MOST_FILES", 20)
    archive = archive_of(*((f"{number}.py", "") for number in range(30)))
    with pytest.raises(SourceError, match="is damaged: it has 30 files, more than 20"):
        unpack(taken.digest, archive, tmp_path / "cache")


@pytest.mark.parametrize(
    "damage",
    [
        lambda archive: archive_of(("a.py", "X = 1"), ("lib/b.py", "Y = 3")),
        lambda archive: archive_of(("a.py", "X = 1")),
        lambda archive: archive[: len(archive) // 2],
        lambda archive: archive.replace(b"a.py", b"a\xffpy"),
        lambda archive: archive[:40] + bytes(4) + archive[44:],
        lambda archive: b"",
    ],
)
def test_a_damaged_archive_is_refused_and_leaves_nothing(tmp_path, taken, damage):
    with pytest.raises(SourceError, match=f"the snapshot {taken.digest[:12]}… is damaged: "):
        unpack(taken.digest, damage(taken.archive), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("digest", ["", "..", "a" * 63, "../" + "a" * 61, "A" * 64, "a" * 64 + "\n"])
def test_an_invalid_digest_names_no_folder(tmp_path, digest):
    for call in (lambda: cached(digest, tmp_path), lambda: unpack(digest, b"", tmp_path)):
        with pytest.raises(SourceError, match="is not the digest of a snapshot"):
            call()


def test_a_cache_that_cannot_be_written_is_named(tmp_path, taken):
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="file: the snapshot cannot be unpacked: File exists"):
        unpack(taken.digest, taken.archive, tmp_path / "file")


# --- git


def test_a_folder_without_repository_has_no_state(tmp_path):
    assert state(tmp_path) is None
    assert state(tmp_path / "absent") is None


def test_without_git_there_is_no_state(repository, monkeypatch):
    monkeypatch.setenv("PATH", str(repository))
    assert state(repository) is None


def test_a_repository_without_commit_is_dirty_as_soon_as_it_has_files(repository):
    assert state(repository) == git.GitState(None, False, "")
    write(repository, {"a.py": "X = 1\n"})
    assert state(repository) == git.GitState(None, True, "# untracked: a.py\n")
    run_git(repository, "add", "a.py")
    assert "+X = 1" in state(repository).diff


def test_a_clean_repository_is_its_commit(repository):
    commit(repository, a_py="X = 1\n")
    assert state(repository) == git.GitState(run_git(repository, "rev-parse", "HEAD").strip(), False, "")


def test_the_diff_has_staged_and_unstaged_changes_of_the_whole_repository(repository):
    # Given a change that is staged, one that is not, and new files
    commit(repository, a_py="X = 1\n", b_py="Y = 1\n")
    write(repository, {"a.py": "X = 2\n"})
    run_git(repository, "add", "a.py")
    write(repository, {"b.py": "Y = 2\n", "ü c.py": "", "new/d.py": ""})
    # When qexp asks for the state of one of its folders
    found = state(repository / "new")
    # Then the diff contains all changes since the commit
    assert found.dirty
    assert found.diff.endswith("# untracked: new/\n# untracked: ü c.py\n")
    run_git(repository, "stash", "-q")
    (repository.parent / "diff").write_text(found.diff)
    run_git(repository, "apply", "../diff")
    assert [(repository / name).read_text() for name in ("a.py", "b.py")] == ["X = 2\n", "Y = 2\n"]


def test_secrets_are_neither_in_the_diff_nor_make_dirty(repository):
    secrets = {".env": "1", "lib/.ENV.local": "1", "lib/.aws/config": "1", "key.pem": "1", "qexp.toml": "1"}
    write(repository, secrets)
    commit(repository, a_py="")
    write(repository, dict.fromkeys(secrets, "hush") | {"id_rsa": "hush"})
    assert (state(repository).dirty, state(repository).diff) == (False, "")
    write(repository, {"a.py": "X = 1\n"})
    assert "X = 1" in state(repository).diff
    assert "hush" not in state(repository).diff


def test_files_with_a_private_key_are_not_in_the_diff(repository):
    commit(repository, a_py="", b_py="", c_py="")
    write(repository, {"a.py": "X = 1\n", "b.py": f"KEY = '''{KEY}'''", "c.py": "Z = 1\n"})
    assert re.findall(r"^diff --git a/(\S+)", state(repository).diff, re.MULTILINE) == ["a.py", "c.py"]
    assert "MIIE" not in state(repository).diff


def test_a_new_folder_with_secrets_only_does_not_make_dirty(repository):
    commit(repository, a_py="")
    write(repository, {"conf/.env": ""})
    assert not state(repository).dirty


def test_a_long_diff_is_cut_and_still_names_new_files(repository):
    commit(repository, a_py="")
    write(repository, {"a.py": "x = 'ü'\n" * 100_000} | {f"{number}.py": "" for number in range(120)})
    diff = state(repository).diff
    assert len(diff.encode()) < 270_000
    assert "\n# cut: the diff is longer than 256 KB\n# untracked: 0.py\n" in diff
    assert diff.endswith("# untracked: 20 more\n")


def test_programs_named_by_the_repository_do_not_run(repository):
    # Given a repository whose settings name a program for each step
    commit(repository, a_py="X = 1\n")
    ran = repository.parent / "ran"
    program = write(repository.parent, {"program": f"#!/bin/sh\ntouch {ran}\n"}) / "program"
    program.chmod(0o755)
    for name in ("core.fsmonitor", "core.pager", "diff.external", "diff.x.textconv", "diff.x.command", "pager.diff"):
        run_git(repository, "config", name, str(program))
    hook = write(repository / ".git" / "hooks", {"post-index-change": program.read_text()}) / "post-index-change"
    hook.chmod(0o755)
    write(repository, {"a.py": "X = 2\n", ".git/info/attributes": "*.py diff=x\n"})
    # Then git makes the diff itself
    assert "+X = 2" in state(repository).diff
    assert not ran.exists()


def test_programs_named_by_a_submodule_do_not_run(repository, tmp_path):
    inner = tmp_path / "inner"
    run_git(tmp_path, "init", "-q", str(inner))
    commit(inner, b_py="Y = 1\n")
    commit(repository, a_py="X = 1\n")
    run_git(repository, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "inner")
    program = write(tmp_path, {"program": f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n"}) / "program"
    program.chmod(0o755)
    run_git(repository / "inner", "config", "core.fsmonitor", str(program))
    write(repository, {"inner/b.py": "Y = 2\n"})
    assert state(repository).dirty
    assert not (tmp_path / "ran").exists()


def test_settings_that_change_how_a_diff_looks_do_not_count(repository):
    commit(repository, a_py="X = 1\n")
    write(repository, {"a.py": "X = 2\n"})
    expected = state(repository)
    for setting in (
        "diff.noprefix=true",
        "diff.mnemonicPrefix=true",
        "color.ui=always",
        "status.showUntrackedFiles=no",
    ):
        run_git(repository, "config", *setting.split("="))
    assert state(repository) == expected


def test_a_repository_named_by_the_environment_is_not_looked_at(repository, tmp_path, monkeypatch):
    commit(repository, a_py="")
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    monkeypatch.setenv("GIT_LITERAL_PATHSPECS", "1")
    (tmp_path / "elsewhere").mkdir()
    assert state(tmp_path / "elsewhere") is None
    assert state(repository).dirty is False


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
def test_a_repository_of_another_user_has_no_state(repository):
    commit(repository, a_py="")
    os.chown(repository, 12345, 12345)
    os.chown(repository / ".git", 12345, 12345)
    assert state(repository) is None


def test_a_git_that_hangs_is_ended(repository, tmp_path, monkeypatch):
    program = (
        write(tmp_path / "bin", {"git": '#!/bin/sh\ncase "$*" in *rev-parse*) pwd;; *) sleep 60;; esac\n'}) / "git"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(git, "TIMEOUT", 0.2)
    assert state(repository).dirty
    assert state(repository).diff.startswith("# git gave no diff: it failed, or took longer than")


def test_a_text_with_a_zero_in_it_can_be_stored(repository):
    write(repository, {".gitattributes": "*.py diff\n"})
    commit(repository, a_py="X = 1\n")
    write(repository, {"a.py": "X = '\0'\n"})
    assert "+X = '\ufffd'" in state(repository).diff


# --- the environment


def test_the_environment_names_its_packages_as_indexes_do():
    packages = current().packages
    assert list(packages) == sorted(packages)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in packages)
    assert packages["pytest"] == pytest.__version__


def test_the_environment_is_described_once_and_wholly():
    environment = current()
    assert current() is environment
    assert re.fullmatch("[0-9a-f]{64}", environment.digest)
    assert environment.python == ".".join(map(str, sys.version_info[:3]))
    assert environment.implementation == platform.python_implementation()
    assert environment.cpu
    assert platform.machine() in environment.platform
    assert environment.cores >= 1
    assert isinstance(environment.gpus, tuple)


@pytest.fixture
def gpus(monkeypatch, tmp_path):
    """Give a machine with a device and a stand-in for NVIDIA's package, and ask for the names of its GPUs."""

    def gpus(package, device=True):
        node = tmp_path / "nvidiactl"
        if device:
            node.touch()
        monkeypatch.setattr("qexp.source.environment.GPU_DEVICES", (str(node),))
        monkeypatch.setitem(sys.modules, "pynvml", package)
        return gpu_names()

    return gpus


def nvidia(**functions):
    names = {"nvmlInit": lambda: None, "nvmlShutdown": lambda: None, "nvmlDeviceGetCount": lambda: 2}
    names |= {
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": [b"NVIDIA H200", "L4"].__getitem__,
    }
    return SimpleNamespace(**names | functions)


def test_the_environment_names_the_gpus(gpus):
    assert gpus(nvidia()) == ("NVIDIA H200", "L4")


def test_a_machine_without_gpus_or_their_package_or_driver_has_no_names(gpus):
    def broken():
        raise OSError("the driver does not answer")

    assert gpus(nvidia(nvmlInit=broken), device=False) == ()
    assert gpus(None) == ()
    assert gpus(nvidia(nvmlInit=broken)) == ()
