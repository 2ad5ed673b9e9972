"""Every command has a help that fits the terminal, refuses mistakes in one line, and keeps to the exit statuses."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from terminal import terminal

from qexp.cli.main import qexp as root

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def walked(group, prefix=()):
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*prefix, name), command
        if isinstance(command, click.Group):
            yield from walked(command, (*prefix, name))


COMMANDS = dict(walked(root))
PLAIN = {path: command for path, command in COMMANDS.items() if not isinstance(command, click.Group)}

WITHOUT_SERVICES = {
    **{(verb,): ["s"] for verb in ("wait", "pause", "resume", "cancel", "list", "show", "errors", "metrics")},
    **{(verb,): ["s"] for verb in ("artifacts", "coverage", "stale", "archive")},
    **{(verb,): ["17"] for verb in ("requeue", "accept", "explain", "logs", "source", "debug")},
    **{(verb,): [] for verb in ["status", "workers", "doctor", "prune"]},
    **{(verb,): ["grid.yaml"] for verb in ["enqueue", "diff"]},
    ("table",): ["s", "--metric", "y"],
    ("compare",): ["s", "--by", "x", "--metric", "y"],
    ("plot",): ["s", "--metric", "y", "--x", "x", "-o", "s.pdf"],
    ("report",): ["s", "-o", "s.html"],
    ("export",): ["s", "-o", "s.csv"],
    ("delete",): ["s", "-y"],
    ("db", "migrate"): [],
    ("db", "roles"): [],
}
"""The arguments of each command that needs Postgres or the broker."""
INDEPENDENT = {
    ("down",): ([], 0),
    ("config",): ([], 0),
    ("grid", "schema"): ([], 0),
}
"""The arguments and the exit status of commands that need no services."""
STARTING = {("run",), ("worker",), ("monitor",), ("up",)}
"""Commands that start processes; other tests run them."""
FREE = {("init",)}
"""Commands that may exist, and write files without services."""

FORKED = """
import gc, importlib, json, os, sys, tempfile
from qexp.cli.main import VERBS, main
for verb in VERBS.values():
    importlib.import_module("qexp.cli." + verb.module)
import qexp.client, qexp.grid
found = []
for arguments in json.load(sys.stdin):
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        if (child := os.fork()) == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            try:
                main(arguments)
            except SystemExit as exit:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(exit.code or 0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        found.append([status, out.read(), err.read()])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run many command lines where there are no services; return the status, output and messages of each."""
    folder = tmp_path_factory.mktemp("empty")
    (folder / "experiment.py").write_text("def f(x): return {'y': x}\n")
    (folder / "grid.yaml").write_text("study: s\nfunction: experiment:f\nparameters: {x: [1]}\n")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("QEXP_")}
    environ |= {"QEXP_HOME": str(folder / "home"), "COLUMNS": "80"}

    def run(lines):
        line = [sys.executable, "-c", FORKED]
        given = json.dumps([list(map(str, arguments)) for arguments in lines])
        done = subprocess.run(line, input=given, cwd=folder, env=environ, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    return run


def one_line(found, status):
    code, out, err = found
    assert code == status, (code, out, err)
    assert out == ""
    assert err.startswith("qexp: ")
    assert err.count("\n") == 1, err
    return err


@pytest.mark.parametrize("columns", [80, 120])
def test_the_help_of_every_command_fits_the_terminal(columns):
    code = "\n".join(
        [
            "import sys",
            "from qexp.cli.main import qexp",
            f"for path in {[list(path) for path in COMMANDS]!r}:",
            "    print('###', *path)",
            "    qexp.main([*path, '--help'], prog_name='qexp', standalone_mode=False)",
        ]
    )
    screen = terminal(sys.executable, "-c", code, columns=columns)
    assert screen.status == 0
    pages = dict(zip(*[iter(re.split(r"^### (.*)\n", screen.text, flags=re.MULTILINE)[1:])] * 2, strict=True))
    assert list(pages) == [" ".join(path) for path in COMMANDS]
    for name, page in pages.items():
        assert page.startswith(f"Usage: qexp {name} "), name
        description = page.partition("\n\n")[2].strip()
        assert re.match(r"[A-Z].*[.;:]", description, re.DOTALL), name
        assert "..." not in page.partition("Commands:")[2], f"{name}: the line of a subcommand is cut"


@pytest.mark.parametrize(
    "path", [path for path, command in PLAIN.items() if any(param.required for param in command.params)]
)
def test_a_command_with_many_options_has_an_example(path):
    command = COMMANDS[path]
    assert len(command.params) <= 6 or "  qexp " in (command.help or "") or f"'qexp {path[0]}" in (command.help or "")


def test_a_wrong_option_is_refused_in_one_line(run):
    found = run([*path, "--nonsense"] for path in COMMANDS)
    for path, one in zip(COMMANDS, found, strict=True):
        message = one_line(one, 2)
        assert "--nonsense" in message, path
        assert f"see 'qexp {' '.join(path)} --help'" in message


def test_missing_and_superfluous_arguments_are_refused_in_one_line(run):
    needy = [path for path, command in PLAIN.items() if any(param.required for param in command.params)]
    for path, one in zip(needy, run(needy), strict=True):
        assert "issing" in one_line(one, 2), path
    counted = [path for path, command in PLAIN.items() if all(param.nargs == 1 for param in command.params)]
    for one in run([*path, "!", "?", "!", "?"] for path in counted):
        one_line(one, 2)
    (unknown,) = run([["statsu"]])
    assert "did you mean 'status'" in one_line(unknown, 2)


def test_every_command_that_needs_a_service_says_so_in_one_line(run):
    assert set(PLAIN) - FREE == {*WITHOUT_SERVICES, *INDEPENDENT, *STARTING}
    found = run([*path, *arguments] for path, arguments in WITHOUT_SERVICES.items())
    for path, one in zip(WITHOUT_SERVICES, found, strict=True):
        if path == ("doctor",):  # its findings are its output
            assert one[0] == 3
            continue
        assert "start them with 'qexp up'" in one_line(one, 3), path
    found = run([*path, *arguments] for path, (arguments, _) in INDEPENDENT.items())
    assert [one[0] for one in found] == [status for _, status in INDEPENDENT.values()]


def test_the_readme_explains_the_exit_statuses_that_commands_have():
    table = README.partition("| exit status | meaning |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| (\d+) \|", table, re.MULTILINE) == ["0", "1", "2", "3", "130"]
