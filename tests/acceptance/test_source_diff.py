"""`qexp source --diff` says why there is no difference, instead of nothing."""

import shutil
import subprocess

import pytest

SOURCE = "def f(x):\n    return x\n"


@pytest.fixture
def diff(qexp, study):
    """Return a function that enqueues a study and shows the differences of its code."""
    made = study(SOURCE, {"x": [1]})

    def diff():
        made.enqueue()
        number = made.listed()[0]["id"]
        done = qexp("source", number, "--diff")
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr.replace(f"source {number}'", "source 17'")

    return diff


def test_code_outside_of_git_has_no_difference(diff):
    assert diff() == ("", "its code was in no git repository; 'qexp source 17' prints the code\n")


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_committed_code_names_its_commit_and_changed_code_the_difference(diff, tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=me", "-c", "user.email=me@localhost"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    assert diff() == ("", f"its code was the same as in commit {git('rev-parse', 'HEAD')[:10]}\n")
    (tmp_path / "experiment.py").write_text(SOURCE.replace("return x", "return -x"))
    shown, said = diff()
    assert "-    return x\n+    return -x\n" in shown
    assert said == ""
