"""What `qexp errors` prints: a few lines for each group, whatever the messages are."""

import json
import shlex

import pytest
from terminal import terminal

SOURCE = """
def f(x, kind):
    if kind == "long":
        raise ValueError("first line\\nsecond \\x1b[31mred\\x1b[0m \\x1b]0;owned\\x07 " + "and so on, " * 500 + "end")
    if kind == "word":
        raise KeyError("x" * 5000)
    if kind == "each":
        raise TypeError(f"x is {x}")
    raise RuntimeError("short")
"""


@pytest.fixture(scope="module", autouse=True)
def worker(start_worker, queue):
    return start_worker("-Q", queue, "-c", "2").await_ready()


@pytest.fixture
def failed(study):
    made = study(SOURCE, {"x": {"range": [0, 30]}, "kind": ["long", "word", "short", "each"]}, retries={"error": 0})
    made.enqueue()
    made.wait()
    return made


def blocks(text):
    """Return the lines of each group, by the type of its error."""
    found, lines = {}, []
    for line in text.splitlines():
        if line and not line.startswith(" "):
            lines = found.setdefault(line.split()[-1], [])
        lines.append(line)
    return found


def message(lines):
    start = next(number for number, line in enumerate(lines) if line.startswith("        message "))
    end = next(number for number, line in enumerate(lines) if line.startswith("        at "))
    return [line[16:] for line in lines[start:end]]


@pytest.mark.parametrize("columns", [80, 120])
def test_a_message_takes_three_lines_at_most_and_is_whole_elsewhere(failed, qexp, columns):
    screen = terminal("qexp", "errors", failed.name, columns=columns)
    found = blocks(screen.text)
    assert message(found["RuntimeError"]) == ["short"]
    for kind in ("ValueError", "KeyError"):
        shown = message(found[kind])
        assert len(shown) == 3
        assert shown[-1].endswith("…")
    assert message(found["ValueError"])[0].startswith(r"first line second \x1b[31mred\x1b[0m \x1b]0;owned\x07 and so")
    assert "messages that end in … are whole in 'qexp show ID' and with --format json" in screen.text
    groups = json.loads(qexp("errors", failed.name, "--format", "json").stdout)
    whole = next(group for group in groups if group["error_type"] == "ValueError")["error_message"]
    assert whole.startswith("first line\nsecond \x1b[31mred")
    assert whole.endswith("and so on, end")
    number = failed.listed()[0]["id"]
    assert "and so on, end" in qexp("show", number).stdout
    assert "messages that end" not in qexp("errors", failed.name, "--where", "kind = 'short'").stderr


@pytest.mark.parametrize("columns", [80, 120])
def test_other_messages_of_a_statement_are_shown_and_counted(failed, qexp, columns):
    lines = blocks(terminal("qexp", "errors", failed.name, columns=columns).text)["TypeError"]
    start = next(number for number, line in enumerate(lines) if line.startswith("        also "))
    assert [line[16:22] for line in [lines[start - 1], lines[start], lines[start + 1]]] == ["x is 2"] * 3
    assert lines[start + 2] == f"{'':16}and 27 other messages"
    (group,) = [
        one for one in json.loads(qexp("errors", failed.name, "--format", "json").stdout) if one["messages"] > 1
    ]
    assert (group["messages"], len(group["other_messages"])) == (30, 2)


def test_errors_without_a_name_and_a_list_of_statuses_are_accepted(failed, qexp):
    found = qexp("errors", "--where", "kind = 'short'", "--status", "failed,done", "--format", "json").stdout
    assert failed.name in json.loads(found)[0]["studies"]
    assert "'failing' is not one of" in qexp("errors", "--status", "done,failing").stderr


def test_long_lists_of_ids_are_cut_between_two_ids(failed):
    line = next(line for line in terminal("qexp", "errors", failed.name).text.split("\n") if "        ids " in line)
    ids, _, rest = line.split()[1].partition(",…")
    known = [str(row["id"]) for row in failed.listed()]
    assert not rest
    assert set(ids.split(",")) <= set(known)
    assert line.endswith(",… (30 experiments)")


@pytest.mark.parametrize(
    ("options", "number"),
    [
        ([], 30),
        (["--where", "x < 25"], 25),
        (["--where", "kind in ('short', 'it''s', 'a \"word\"')", "--current"], 30),
        (["--where", "x < 2"], 2),
    ],
)
def test_the_command_of_a_group_repeats_its_experiments_and_no_others(failed, qexp, options, number):
    text = terminal("qexp", "errors", failed.name, *options).text
    again = "\n".join(blocks(text)["RuntimeError"]).partition("        again   ")[2].partition("\nmessages that")[0]
    command = shlex.split(again.replace(" \\\n", " "))  # as a shell reads it
    assert command[:2] == ["qexp", "requeue"]
    done = qexp(*command[1:], "-y", "--format", "json")
    assert len(json.loads(done.stdout)["requeued"]) == number
