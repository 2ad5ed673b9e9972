"""What `qexp show` prints about an experiment, in a pseudo-terminal and as data."""

import json
import re

import pytest
from terminal import terminal

SOURCE = """
import ctypes
import qexp

def deeper(text):
    raise ValueError(f"nothing can be done about this long message, which goes on and on: {text} " + "and on " * 30)

def crash():
    ctypes.string_at(0)

def f(kind, context: qexp.Context, epochs=1, rate=0.5, decay=None):
    print("\\x1b[32mgreen\\x1b[0m \\x1b]0;owned\\x07")
    if kind == "crash":
        crash()
    if kind == "fail":
        deeper("\\x1b[31mred\\x1b[0m \\x1b]0;owned\\x07")
    if kind == "own":
        context.save(object())
    if kind == "recorded":
        context.record(zeta=1)
        context.record(beta=2)
        return {"alpha": 3, "beta": 4, "zeta": 5}
    if kind == "turned":
        return {"alpha": {"z": 1, "a": [1, {"y": 1, "x": 2}]}, "zeta": 1}
    return {"zeta": 1, "beta": "two\\nlines", "alpha": {"z": 1, "a": [1, 2]}}
"""


@pytest.fixture(scope="module", autouse=True)
def worker(start_worker, queue):
    return start_worker("-Q", queue, "-c", "1").await_ready()


def ended(study, kinds, **keys):
    made = study(SOURCE, {"kind": kinds}, retries={"error": 0, "crashed": 0}, **keys)
    made.enqueue()
    made.wait()
    return made


def ids(made):
    return {row["params"]["kind"]: row["id"] for row in made.listed()}


def test_a_new_note_is_no_other_code_of_the_newest_revision(study, qexp):
    made = ended(study, ["good"])
    (number,) = ids(made).values()
    (made.folder / "notes.txt").write_text("try a smaller rate\n")
    made.enqueue()
    assert "the newest is 2, with the same settings and code" in qexp("show", number).stdout
    (made.folder / "helper.py").write_text("")
    made.enqueue()
    assert "the newest is 3, with other code (added: helper.py)" in qexp("show", number).stdout


@pytest.mark.parametrize("columns", [80, 120])
def test_an_experiment_shows_its_settings_and_where_the_newest_revision_differs(study, qexp, columns):
    made = ended(study, ["good"], settings={"epochs": 3, "rate": 0.1})
    sets = ["--set", "settings.epochs=4", "--set", "settings.decay=0.01"]
    assert qexp("enqueue", "grid.yaml", *sets).returncode == 0
    (shown,) = made.shown()
    assert shown["settings"] == {"epochs": 3, "rate": 0.1}
    assert shown["newest"]["settings"] == {"epochs": 4, "rate": 0.1, "decay": 0.01}
    screen = terminal("qexp", "show", ids(made)["good"], columns=columns)
    assert (
        f"revision 1, experiment:f; the newest is {shown['newest']['revision']}, with other settings\n" in screen.text
    )
    assert (
        "settings\n  epochs  3  (4 in revision 2)\n  rate    0.1\n  decay   (absent)  (0.01 in revision 2)\n"
        in screen.text
    )


def test_an_experiment_that_never_ran_shows_the_settings_that_it_will_have(study, qexp):
    made = study(SOURCE, {"kind": ["good"]}, settings={"epochs": 3}, queue="nobody")
    made.enqueue()
    text = qexp("show", ids(made)["good"]).stdout
    assert "not run yet; the newest revision is 1, experiment:f\n" in text
    assert "settings\n  epochs  3\n" in text


def test_results_are_shown_in_the_order_in_which_the_function_returned_them(study, qexp):
    made = ended(study, ["good", "turned", "recorded", "again"])
    results = {row["params"]["kind"]: row["result"] for row in made.shown()}
    assert json.dumps(results["good"]) == '{"zeta": 1, "beta": "two\\nlines", "alpha": {"z": 1, "a": [1, 2]}}'
    assert json.dumps(results["turned"]) == '{"alpha": {"z": 1, "a": [1, {"y": 1, "x": 2}]}, "zeta": 1}'
    assert json.dumps(results["recorded"]) == '{"alpha": 3, "beta": 4, "zeta": 5}'
    text = qexp("show", ids(made)["again"]).stdout
    assert 'result\n  zeta   1\n  beta   two\n         lines\n  alpha  {"z": 1, "a": [1, 2]}\n' in text
    # an earlier result keeps its order, too
    qexp("requeue", ids(made)["turned"])
    made.wait()
    attempts = next(row["attempts"] for row in made.shown() if row["params"]["kind"] == "turned")
    assert [list(attempt["result"] or ()) for attempt in attempts] == [["alpha", "zeta"], []]


@pytest.mark.parametrize("columns", [80, 120])
def test_tracebacks_are_folded_and_have_no_frames_of_qexp(study, columns):
    made = ended(study, ["fail", "own", "crash"])
    found = ids(made)
    fail = terminal("qexp", "show", found["fail"], columns=columns).text
    assert "\\x1b[31mred\\x1b[0m" in fail.replace("\n      ", "")
    assert "  ValueError: nothing can be done about this long message" in fail
    assert "\n      " in fail.partition("  ValueError:")[2]
    own = terminal("qexp", "show", found["own"], columns=columns).text
    assert "/qexp/worker/" not in own
    assert "frames of qexp left out; --format json has all)" in own
    crash = terminal("qexp", "show", found["crash"], columns=columns)
    assert "/qexp/worker/" not in crash.text
    assert (
        "ProcessDied: its process died: signal 11 (SIGSEGV)\n  Fatal Python error: Segmentation fault\n" in crash.text
    )
    flat = "".join(crash.text.split())  # long paths are folded at any place
    assert re.search(r'experiment\.py",line\d+incrash.*experiment\.py",line\d+inf', flat)
    assert "/qexp/worker/" in made.shown()[2]["attempts"][0]["traceback"]


def test_colours_of_an_experiment_reach_a_terminal_in_its_output_only(study):
    made = ended(study, ["fail"])
    number = ids(made)["fail"]
    logs, show = (terminal("qexp", verb, number) for verb in ("logs", "show"))
    assert "\x1b[32mgreen\x1b[0m" in logs.raw
    assert "\\x1b]0;owned\\x07" in logs.text
    for raw in (logs.raw, show.raw, terminal("qexp", "errors", made.name).raw):
        assert "\x1b]0;" not in raw
    assert "\x1b[31mred" not in show.raw
