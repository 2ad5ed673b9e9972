"""Shells complete commands, options, studies, columns, statuses, error groups and files."""

import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from finished_studies import FAILED, FinishedStudy
from terminal import terminal

from qexp.cli.completion import _OF_COMMANDS, _OPTIONS
from qexp.cli.main import VERBS
from qexp.cli.main import qexp as command

ENTRY = Path(sys.executable).parent / "qexp"


def completions(line, shell="bash", environ=(), cwd=None):
    """Return what a shell gets for the last word of a line."""
    words = line.split(" ")
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_QEXP_COMPLETE": f"{shell}_complete"}
    if shell == "fish":
        asked["COMP_CWORD"] = words[-1]
    done = subprocess.run(
        [sys.executable, "-m", "qexp"],
        env={**os.environ, **asked, **dict(environ)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [text.removeprefix("plain,") for text in done.stdout.splitlines() if text]


@pytest.fixture
def study(client, raw, tmp_path):
    made = FinishedStudy(client, raw, tmp_path / "made")
    made.name = f"comp_{uuid.uuid4().hex[:6]}"
    made.enqueue(parameters={"lr": [0.1, 0.2], "seed": [0, 1]})
    made.end(lambda given: FAILED if given["seed"] else {"acc": 0.5, "val": {"loss": 1.0}})
    return made.name


def test_commands_and_options_need_no_database(tmp_path):
    nowhere = {"QEXP_HOME": str(tmp_path / "nowhere")}
    assert completions("qexp stat", environ=nowhere) == ["status"]
    assert set(completions("qexp ", environ=nowhere)) == set(VERBS)
    assert completions("qexp list --fai", environ=nowhere) == ["--failed"]
    assert completions("qexp list --status f", environ=nowhere) == ["failed"]
    assert completions("qexp list x --format ", environ=nowhere) == ["table", "json"]
    assert completions("qexp run ", environ=nowhere) == ["file,"]
    assert completions("qexp --show-completion z", environ=nowhere) == ["zsh"]


def test_studies_are_completed_also_in_a_list(study):
    start = study[:-2]
    assert completions(f"qexp list {start}") == [study]
    assert completions(f"qexp status x,{start}") == [f"x,{study}"]
    assert completions(f"qexp wait {start}") == [study]
    assert completions(f"qexp report {start}") == [study]
    assert study in completions("qexp list ")
    assert completions(f"qexp table {start}zzz") == [f"file,{start}zzz"]


def test_columns_are_those_of_the_study_on_the_line(study):
    found = completions(f"qexp list {study} --sort ")
    assert found[:4] == ["lr", "seed", "acc", "val.loss"]
    assert {"id", "status", "duration"} <= set(found)
    assert completions(f"qexp list {study} --sort -a") == ["-acc", "-attempt"]
    assert completions(f"qexp list {study} --sort lr,s") == ["lr,seed", "lr,status", "lr,started_at", "lr,study"]
    assert completions(f"qexp list {study} --sort lr,-acc") == ["lr,-acc"]
    assert completions(f"qexp list {study} --sort -lr,-acc") == ["-lr,-acc"]
    assert completions(f"qexp list {study} --columns created") == ["created_at"]
    assert completions(f"qexp table {study} --metric ") == ["acc", "val.loss"]
    assert completions(f"qexp table {study} --metric acc --rows ") == ["lr", "seed"]
    assert completions(f"qexp table {study} --metric acc --rows seed,") == ["seed,lr"]
    assert completions(f"qexp compare {study} --metric acc --by s") == ["seed"]
    assert completions(f"qexp list {study[:-1]}? --where ac") == ["acc"]


def test_an_option_with_an_equals_sign_is_completed(study):
    assert completions(f"qexp list {study} --sort = va") == ["val.loss"]  # as bash splits the line
    assert completions(f"qexp list {study} --sort=va", "zsh") == ["plain", "--sort=val.loss", "_"]
    assert completions(f"qexp list {study} --sort=-va", "fish") == ["--sort=-val.loss"]


def test_an_id_tells_the_study_too(qexp, study):
    number = json.loads(qexp("list", study, "--format", "json").stdout)[0]["id"]
    assert completions(f"qexp list {number} --sort v") == ["val.loss"]


def test_error_groups_and_hosts_are_completed(study):
    assert completions(f"qexp requeue {study} --error ") == ["ab12"]
    assert "here" in completions("qexp list --host ")


@pytest.mark.parametrize(
    "environ",
    [{"QEXP_DATABASE_URL": "postgresql://127.0.0.1:1/nothing"}, {"QEXP_DATABASE_URL": "no url"}, {"QEXP_TYPO": "1"}],
)
def test_without_a_database_there_are_no_suggestions_and_no_message(site, environ):
    assert completions("qexp list ", environ=environ) == []


def test_a_completion_starts_no_service_and_writes_nothing(tmp_path):
    home = tmp_path / "home"
    assert completions("qexp list ", environ={"QEXP_HOME": str(home)}, cwd=tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_completion_imports_nothing_slow(study):
    code = (
        "import os, sys\n"
        "from qexp.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    print(*sys.modules, file=sys.__stdout__)\n"
    )
    asked = {"COMP_WORDS": f"qexp list {study[:-1]}", "COMP_CWORD": "2", "_QEXP_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, check=True
    )
    found, modules = done.stdout.split("\n", 1)
    assert found == f"plain,{study}"
    assert not {"sqlalchemy", "pandas", "celery", "rich", "qexp.client"} & set(modules.split())


def test_every_completed_option_exists():
    options = {
        (name, option)
        for name in VERBS
        for parameter in command.get_command(None, name).params
        for option in parameter.opts
    }
    assert set(_OPTIONS) <= {option for _, option in options}
    assert set(_OF_COMMANDS) <= options


def shell_environ(home, **more):
    return {"HOME": str(home), "PATH": f"{ENTRY.parent}:{os.environ['PATH']}", "PS1": "> ", "HISTFILE": "", **more}


def test_bash_completes_a_study_and_a_column_at_its_prompt(study, tmp_path):
    screen = terminal(
        "bash",
        "--norc",
        "-i",
        columns=200,
        cwd=tmp_path,
        environ=shell_environ(tmp_path),
        keys=[
            ("> ", 'eval "$(qexp --show-completion bash)"; echo rea""dy\n'),
            ("ready", f"qexp list {study[:-2]}\t"),
            (f"{study} ", "--sort va\t"),
            ("val.loss ", '--format json | grep -c "study.: "; echo en""ded\n'),
            ("ended", "exit\n"),
        ],
    )
    assert "\n4\nended" in screen.text


def test_an_installation_says_what_it_wrote_and_is_done_once(tmp_path, study):
    run = {"environ": shell_environ(tmp_path), "cwd": tmp_path, "columns": 400}  # lines with paths do not wrap
    (tmp_path / ".bashrc").write_text("PS1='> '")
    script = tmp_path / ".local/share/qexp/completion.bash"
    first = terminal("qexp", "--install-completion", "bash", **run)
    assert first.status == 0
    added = f"{tmp_path}/.bashrc: a line was added that loads it"
    assert first.text.split("\n")[:2] == [f"{script}: written", added]
    assert first.text.rstrip().endswith("now open a new terminal, or run: exec bash")
    before = (tmp_path / ".bashrc").read_text()
    assert before.splitlines()[0] == "PS1='> '"
    second = terminal("qexp", "--install-completion", "bash", **run)
    assert "is up to date" in second.text
    assert "loads it already" in second.text
    assert (tmp_path / ".bashrc").read_text() == before
    # a new terminal completes
    keys = [("> ", f"qexp status {study[:-2]}\t"), (f"{study} ", '; echo en""ded\n'), ("ended", "exit\n")]
    screen = terminal("bash", "-i", keys=keys, **run)
    assert f"> qexp status {study} ;" in screen.text


def test_the_shell_is_found_by_its_process(tmp_path):
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{ENTRY} --show-completion; true"],
        env={**os.environ, "SHELL": "/bin/fish"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "complete -o nosort -F _qexp_completion qexp" in done.stdout


def test_zsh_and_fish_get_their_own_files(qexp, tmp_path):
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": "", "XDG_DATA_HOME": "", "ZDOTDIR": str(tmp_path / "z")}
    done = qexp("--install-completion", "fish", environ=environ)
    path = tmp_path / ".config/fish/completions/qexp.fish"
    assert done.stdout == f"{path}: written\nnow open a new terminal, or run: source {path}\n"
    assert "--max 1" in path.read_text()
    done = qexp("--install-completion", "zsh", environ=environ)
    assert f"{tmp_path}/z/.zshrc: a line was added" in done.stdout
    assert (tmp_path / ".local/share/qexp/completion.zsh").read_text().startswith("#compdef qexp")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_descriptions(study, shell):
    line = f"qexp requeue {study} --error "
    assert "2 failed" in "\n".join(completions(line, shell))


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_accepts_the_script():
    script = subprocess.check_output([ENTRY, "--show-completion", "zsh"], text=True)
    subprocess.run(["zsh", "-n", "-c", script], check=True)


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_accepts_the_script(tmp_path):
    script = tmp_path / "qexp.fish"
    script.write_bytes(subprocess.check_output([ENTRY, "--show-completion", "fish"]))
    subprocess.run(["fish", "--no-execute", script], check=True)


@pytest.mark.parametrize("asked", ["bash_source", "tcsh_complete", "complete", ""])
def test_a_request_for_anything_but_completions_of_a_known_shell_fails_silently(qexp, asked):
    done = qexp(environ={"_QEXP_COMPLETE": asked, "COMP_WORDS": "qexp ", "COMP_CWORD": "1"})
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_an_unknown_shell_is_one_line(qexp):
    done = qexp("--install-completion", "tcsh")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "'bash', 'zsh', 'fish'" in done.stderr
