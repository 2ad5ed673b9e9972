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
    raise RuntimeError("short")
"""


@pytest.fixture(scope="module", autouse=True)
def worker(start_worker, queue):
    return start_worker("-Q", queue, "-c", "2").await_ready()


@pytest.fixture
def failed(study):
    made = study(SOURCE, {"x": {"range": [0, 30]}, "kind": ["long", "word", "short"]}, retries={"error": 0})
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
