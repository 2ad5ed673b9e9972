"""A cached step is computed once per source and argument, also across processes, kills and damaged files."""

import inspect
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import qexp
from qexp.errors import CacheError
from qexp.function_cache import cached

COMPUTED: list = []
ROOT = Path(__file__).parents[2]
STEP = """
import os, signal, sys
import qexp

def say(word):
    os.write(1, word.encode() + b"\\n")

@qexp.cached
def load(name):
    say("computing")
    return name * 2
"""
CALL = "\nif __name__ == '__main__':\n    say(load('ab'))\n"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of its own for this process and its children."""
    monkeypatch.setenv("QEXP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
    return tmp_path / "home"


@pytest.fixture
def computed():
    """The arguments that the steps of this module were computed for."""
    COMPUTED.clear()
    return COMPUTED


def script(folder, text, name="experiment.py"):
    folder.mkdir(exist_ok=True, parents=True)
    (folder / name).write_text(text)
    return folder / name


def start(*arguments, **options):
    return subprocess.Popen([sys.executable, *map(str, arguments)], stdout=subprocess.PIPE, text=True, **options)


def said(*arguments, **options):
    with start(*arguments, **options) as process:
        words = process.communicate(timeout=60)[0].split()
    assert process.returncode == 0
    return words


def entries(home):
    return list(home.rglob("*.pickle"))


def test_a_second_call_is_not_computed(computed):
    @cached
    def double(x):
        COMPUTED.append(x)
        return x * 2

    assert [double(2), double(2), double(x=2), double(3)] == [4, 4, 4, 6]
    assert computed == [2, 3]


def test_a_computed_result_is_found_by_another_process(tmp_path):
    path = script(tmp_path, STEP + CALL)
    assert said(path) == ["computing", "abab"]
    assert said(path) == ["abab"]


def test_each_source_has_its_own_results_and_both_stay(tmp_path):
    old, new = STEP + CALL, STEP.replace("* 2", "* 3") + CALL
    assert said(script(tmp_path, old)) == ["computing", "abab"]
    assert said(script(tmp_path, new)) == ["computing", "ababab"]
    assert said(script(tmp_path, old)) == ["abab"]
    assert said(script(tmp_path, new)) == ["ababab"]


def test_a_copy_of_the_source_elsewhere_finds_the_same_results(tmp_path):
    assert said(script(tmp_path / "a", STEP + CALL)) == ["computing", "abab"]
    assert said(script(tmp_path / "b", "# moved down\n\n" + STEP + CALL)) == ["abab"]


def test_a_script_and_its_importers_share_results(tmp_path):
    assert said(script(tmp_path, STEP + CALL)) == ["computing", "abab"]
    assert said("-c", "import experiment; experiment.say(experiment.load('ab'))", cwd=tmp_path) == ["abab"]


def test_a_module_reimported_within_a_second_of_its_edit_is_computed_again(tmp_path):
    code = f"""
import importlib, os, pathlib, sys
sys.dont_write_bytecode = True
path = pathlib.Path("experiment.py")
path.write_text({STEP!r})
os.utime(path, (1, 1))
import experiment
experiment.say(experiment.load("ab"))
path.write_text({STEP.replace("* 2", "* 3")!r})
os.utime(path, (1, 1))
importlib.reload(experiment)
experiment.say(experiment.load("ab"))
"""
    assert said("-c", code, cwd=tmp_path) == ["computing", "abab", "computing", "ababab"]


def test_two_steps_of_the_same_text_and_different_names_are_apart(tmp_path):
    script(tmp_path, STEP, "one.py")
    script(tmp_path, STEP, "two.py")
    code = "import one, two; one.load('x'), two.load('x'), one.load('x')"
    assert said("-c", code, cwd=tmp_path) == ["computing", "computing"]


WAITING = STEP.replace('say("computing")', 'say("computing"); sys.stdin.readline()')


CALLING = "\nimport joblib  # so that nothing but the call is left\nsay('calling'); say(load('ab'))\n"


def test_of_two_processes_one_computes_and_the_other_waits(tmp_path):
    path = script(tmp_path, WAITING + CALLING)
    with start(path, stdin=subprocess.PIPE) as first:
        assert [first.stdout.readline(), first.stdout.readline()] == ["calling\n", "computing\n"]
        with start(path, stdin=subprocess.DEVNULL) as second:
            assert second.stdout.readline() == "calling\n"
            assert first.communicate("\n", timeout=60)[0] == "abab\n"
            assert second.communicate(timeout=60)[0] == "abab\n"


def test_different_arguments_are_computed_side_by_side(tmp_path):
    path = script(tmp_path, WAITING + "\nsay(load(sys.argv[1]))\n")
    with start(path, "a", stdin=subprocess.PIPE) as first:
        assert first.stdout.readline() == "computing\n"
        assert said(path, "b", stdin=subprocess.DEVNULL) == ["computing", "bb"]
        first.communicate("\n", timeout=60)


def test_a_process_that_is_killed_while_it_computes_is_replaced_by_the_one_that_waits(tmp_path, home):
    path = script(tmp_path, WAITING + CALLING)
    with start(path, stdin=subprocess.PIPE) as first:
        assert [first.stdout.readline(), first.stdout.readline()] == ["calling\n", "computing\n"]
        with start(path, stdin=subprocess.DEVNULL) as second:
            assert second.stdout.readline() == "calling\n"
            first.kill()
            assert second.communicate(timeout=60)[0] == "computing\nabab\n"
    assert len(entries(home)) == 1


def test_a_process_that_is_killed_while_it_writes_leaves_no_entry(tmp_path, home):
    text = """
import numpy, os, signal, qexp

class Deadly:
    def __reduce__(self):
        os.kill(os.getpid(), signal.SIGKILL)

@qexp.cached
def load():
    return [numpy.zeros(1_000_000), Deadly() if os.environ.get("DEADLY") else 1]

load()
"""
    path = script(tmp_path, text)
    with start(path, env={**os.environ, "DEADLY": "1"}) as killed:
        assert killed.wait(timeout=60) == -signal.SIGKILL
    assert entries(home) == []
    assert said(path) == []
    assert len(entries(home)) == 1


@pytest.mark.parametrize(
    "damage", [lambda _: b"", lambda data: data[:-100], lambda _: b"garbage", lambda _: b"\0" * 500]
)
def test_a_damaged_entry_is_computed_again_and_replaced(home, computed, damage):
    @cached
    def load(x):
        COMPUTED.append(x)
        return np.arange(100)

    load(1)
    (entry,) = entries(home)
    entry.write_bytes(damage(entry.read_bytes()))
    assert load(1)[99] == load(1)[99] == 99
    assert computed == [1, 1]


def test_an_error_is_not_kept(computed):
    @cached
    def load(x):
        COMPUTED.append(x)
        raise KeyError(x)

    for _ in range(2):
        with pytest.raises(KeyError):
            load(1)
    assert computed == [1, 1]


def test_none_is_a_result(computed):
    @cached
    def load(x):
        COMPUTED.append(x)

    assert load(1) is load(1) is None
    assert computed == [1]


def test_what_a_caller_changes_does_not_reach_the_next():
    @cached
    def load():
        return [1]

    load().append(2)
    load().append(3)
    assert load() == [1]


def test_ignored_arguments_do_not_tell_results_apart(computed):
    @cached(ignore=["verbose"])
    def load(x, *, verbose=False):
        COMPUTED.append(x)
        return x

    assert [load(1, verbose=True), load(1), load(2)] == [1, 1, 2]
    assert computed == [1, 2]


def test_arguments_differ_by_value_and_type(computed):
    @cached
    def load(x, *more, **named):
        COMPUTED.append(x)
        return x

    for x in (1, 1.0, True, "1", np.ones(2), np.ones(2, dtype="f4"), {"a": 1, "b": 2}):
        load(x), load(x, 1), load(x, a=1)
    load({"b": 2, "a": 1})
    assert len(computed) == 7 * 3


def test_results_are_stored_in_the_current_home_by_default(tmp_path, monkeypatch):
    @cached
    def load():
        return 1

    @cached(folder=tmp_path / "own")
    def other():
        return 1

    monkeypatch.setenv("QEXP_HOME", str(tmp_path / "later"))
    load()
    other()
    assert len(entries(tmp_path / "later" / "cache")) == 1
    assert len(entries(tmp_path / "own")) == 1
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "later").rglob("*")} == {0}


GO, ENTERED = threading.Event(), threading.Event()


def test_threads_compute_a_result_once(computed):
    @cached
    def load(x):
        COMPUTED.append(x)
        ENTERED.set()
        GO.wait(60)
        return x

    results: list = []
    threads = [threading.Thread(target=lambda: results.append(load(1))) for _ in range(3)]
    for thread in threads:
        thread.start()
    ENTERED.wait(60)
    GO.set()
    for thread in threads:
        thread.join()
    assert results == [1, 1, 1]
    assert computed == [1]


def test_a_result_that_cannot_be_written_is_returned_all_the_same(home):
    @cached
    def load():
        return threading.Lock()

    with pytest.warns(RuntimeWarning, match="the result is not cached: cannot pickle"):
        assert load() is not None
    assert entries(home) == []
    assert not list(home.rglob("*.part"))


def test_an_argument_that_cannot_be_hashed_is_an_error():
    @cached
    def load(lock):
        """Do nothing."""

    with pytest.raises(CacheError, match=r"load has an argument that qexp cannot compare: .*; see ignore="):
        load(threading.Lock())


def test_a_folder_that_cannot_be_made_is_an_error_before_the_computation(tmp_path):
    @cached(folder=tmp_path / "file" / "below")
    def load():
        raise AssertionError("computed")

    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match="set QEXP_HOME, or folder=, to a folder that you own"):
        load()


def test_a_decorated_function_keeps_its_name_and_signature():
    @cached(folder="x")
    def load(name: str, folds: int = 3) -> list[str]:
        """Load."""
        return [name] * folds

    assert (load.__name__, load.__doc__) == ("load", "Load.")
    assert str(inspect.signature(load)) == "(name: str, folds: int = 3) -> list[str]"


class Holder:
    def method(self):
        """Depends on self."""


def closure():
    secret = 1

    def inner():
        return secret

    return inner


def generator():
    yield 1


async def coroutine():
    """Is awaited."""


def without_source():
    exec("def made():\n    return 1", names := {"__name__": "notebook"})  # noqa: S102 - as a prompt would
    return names["made"]


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (Holder.method, "Holder.method cannot be cached: it is a method"),
        (lambda: 1, "a lambda cannot be cached: it has no name"),
        (closure(), "it uses secret of an enclosing function; make it a parameter"),
        (generator, "return the finished value"),
        (coroutine, "return the finished value"),
        (without_source(), "notebook.made cannot be cached: its source cannot be read"),
        (Holder, "it is not a Python function"),
        (len, "it is not a Python function"),
    ],
)
def test_a_callable_that_cannot_be_cached_is_refused_by_the_decorator(function, text):
    with pytest.raises(CacheError, match=text):
        cached(function)


def test_an_ignored_name_that_is_no_parameter_is_refused():
    with pytest.raises(CacheError, match=r"load has no parameter verbos to ignore"):

        @cached(ignore=["verbos"])
        def load(verbose):
            """Do nothing."""


def test_a_missing_joblib_is_an_error_at_the_first_call(monkeypatch):
    monkeypatch.setitem(sys.modules, "joblib", None)

    @cached
    def load():
        """Do nothing."""

    with pytest.raises(CacheError, match=r"pip install 'qexp\[cache\]'"):
        load()


def test_cached_is_a_public_name():
    assert qexp.cached is cached
