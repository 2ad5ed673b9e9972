"""The state of a process is restored after an experiment. Each script runs in its own process."""

import json
import random
import subprocess
import sys

import pytest

from qexp.worker.attempt.process_state_for_experiments import seed

PRELUDE = """
import decimal, gc, json, locale, logging, multiprocessing, os, pathlib, signal, socket, sys, threading, warnings
from qexp.worker.attempt.process_state_for_experiments import StateForExperiments, seed

def handle(*_): pass

def show(value):
    print(json.dumps(value, default=str))
"""


@pytest.fixture
def script(tmp_path):
    """Run a script in an empty folder; return the values that it printed, and its stderr."""

    def script(source):
        command = [sys.executable, "-c", f"{PRELUDE}\n{source}"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()], ended.stderr

    return script


@pytest.mark.parametrize(
    ("look", "change"),
    [
        ("os.getcwd()", "os.chdir('/')"),
        ("os.getcwd()", "os.mkdir('x'); os.chdir('x'); os.rmdir('../x')"),
        ("dict(os.environ)", "os.environ['NEW'] = '1'"),
        ("dict(os.environ)", "os.environ['PATH'] = '/nowhere'"),
        ("dict(os.environ)", "os.environ.clear()"),
        ("dict(os.environ)", "os.environ = {}"),
        ("type(os.environ)", "os.environ = dict(os.environ)"),
        ("[os.umask(0o22), os.umask(0o22)][:1]", "os.umask(0o77)"),
        ("sys.argv", "sys.argv.append('--x')"),
        ("sys.argv", "del sys.argv"),
        ("signal.getsignal(signal.SIGTERM)", "signal.signal(signal.SIGTERM, handle)"),
        ("signal.getsignal(signal.SIGINT)", "signal.signal(signal.SIGINT, signal.SIG_IGN)"),
        ("signal.getsignal(signal.SIGCHLD)", "signal.signal(signal.SIGCHLD, signal.SIG_IGN)"),
        ("signal.getitimer(signal.ITIMER_REAL)", "signal.alarm(1000)"),
        ("signal.pthread_sigmask(signal.SIG_BLOCK, ())", "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})"),
        ("logging.root.handlers", "logging.basicConfig()"),
        ("logging.root.level", "logging.root.setLevel(0)"),
        ("logging.getLogger('old').isEnabledFor(10)", "logging.root.setLevel(10)"),
        ("logging.getLogger('old').isEnabledFor(40)", "logging.getLogger('old').setLevel(50)"),
        ("logging.getLogger('old').isEnabledFor(40)", "logging.disable()"),
        ("logging.getLogger('old').disabled", "logging.config.dictConfig({'version': 1})"),
        ("logging.getLogger('old').handlers", "logging.getLogger('old').addHandler(logging.NullHandler())"),
        ("logging.getLogger('old').handlers", "logging.getLogger('old').handlers.append(logging.NullHandler())"),
        ("logging.getLogger('old').filters", "logging.getLogger('old').addFilter(handle)"),
        ("logging.getLogger('old').propagate", "logging.getLogger('old').propagate = False"),
        ("warnings.filters", "warnings.simplefilter('error')"),
        ("warnings.filters", "warnings.resetwarnings()"),
        ("warnings.showwarning", "logging.captureWarnings(True)"),
        ("warnings.showwarning", "warnings.showwarning = handle"),
        ("sys.excepthook", "sys.excepthook = handle"),
        ("threading.excepthook", "threading.excepthook = handle"),
        ("sys.getrecursionlimit()", "sys.setrecursionlimit(5000)"),
        ("gc.isenabled()", "gc.disable()"),
        ("gc.get_threshold()", "gc.set_threshold(1)"),
        ("socket.getdefaulttimeout()", "socket.setdefaulttimeout(1)"),
        ("str(decimal.Decimal(1) / 7)", "decimal.getcontext().prec = 3"),
        ("locale.setlocale(locale.LC_ALL)", "locale.setlocale(locale.LC_ALL, 'POSIX')"),
        ("multiprocessing.get_start_method(allow_none=True)", "multiprocessing.set_start_method('spawn')"),
        ("numpy.geterr()", "numpy.seterr(all='raise')"),
        ("numpy.get_printoptions()", "numpy.set_printoptions(precision=2, formatter={'int': str})"),
    ],
)
def test_changes_by_an_experiment_are_undone(script, look, change):
    source = f"""
    import logging.config
    {"import numpy" if "numpy" in look else ""}
    logging.getLogger("old")
    state = StateForExperiments.take()
    for _ in range(2):
        show({look})
        {change}
        state.restore()
    show({look})
    """
    (first, *later), said = script("if 1:" + source)
    assert later == [first, first]
    assert said == ""


def test_captured_warnings_can_be_captured_again(script):
    source = """
    state = StateForExperiments.take()
    before = warnings.showwarning
    for _ in range(2):
        logging.captureWarnings(True)
        show(warnings.showwarning is before)
        state.restore()
        show(warnings.showwarning is before)
    """
    assert script("if 1:" + source)[0] == [False, True, False, True]


def test_warnings_that_were_captured_before_are_captured_after(script):
    source = """
    logging.captureWarnings(True)
    captured = warnings.showwarning
    state = StateForExperiments.take()
    logging.captureWarnings(False)
    state.restore()
    show(warnings.showwarning is captured)
    """
    assert script("if 1:" + source)[0] == [True]


def test_each_experiment_sees_its_own_warnings(script):
    source = (
        "state = StateForExperiments.take()\nfor _ in range(2):\n    warnings.warn('careful')\n    state.restore()\n"
    )
    assert script(source)[1].count("careful") == 2


def test_a_folder_that_is_gone_is_replaced_by_the_one_above(script, tmp_path):
    source = """
    os.makedirs("a/b"); os.chdir("a/b")
    state = StateForExperiments.take()
    os.chdir("../.."); os.removedirs("a/b")
    state.restore()
    show(os.getcwd())
    """
    assert script("if 1:" + source)[0] == [str(tmp_path)]


def test_timers_and_handlers_of_an_experiment_are_reset(script):
    source = """
    state = StateForExperiments.take()
    signal.signal(signal.SIGALRM, lambda *_: show("rang"))
    signal.setitimer(signal.ITIMER_REAL, 1000, 1000)
    state.restore()
    show(signal.getitimer(signal.ITIMER_REAL))
    show(signal.getsignal(signal.SIGALRM) == signal.SIG_DFL)
    """
    assert script("if 1:" + source)[0] == [[0, 0], True]


def test_a_change_that_cannot_be_undone_is_logged_and_the_others_are_undone(script):
    source = """
    limit = sys.getrecursionlimit()
    state = StateForExperiments.take()
    os.chdir = None
    os.environ["X"] = "1"
    sys.setrecursionlimit(limit + 1)
    path = pathlib.Path("x"); path.mkdir()
    import posix; posix.chdir("x")
    state.restore()
    show(["X" in os.environ, sys.getrecursionlimit() == limit])
    """
    shown, said = script("if 1:" + source)
    assert shown == [[False, True]]
    assert "the working directory could not be restored" in said


def test_a_baseline_without_numpy_resets_later_numpy_settings(script):
    source = """
    state = StateForExperiments.take()
    import numpy
    numpy.seterr(all="raise"); numpy.set_printoptions(precision=2)
    state.restore()
    show([numpy.geterr()["under"], numpy.get_printoptions()["precision"]])
    """
    assert script("if 1:" + source)[0] == [["ignore", 8]]


@pytest.mark.parametrize("number", [0, 7, -7, 2**32, 2**70])
def test_the_same_seed_gives_the_same_numbers(number):
    numpy = pytest.importorskip("numpy")
    draws = set()
    for _ in range(2):
        seed(number)
        draws.add((random.random(), numpy.random.random()))
    assert len(draws) == 1


def test_seeding_imports_neither_numpy_nor_torch(script):
    assert script("seed(1)\nshow([name for name in ('numpy', 'torch') if name in sys.modules])")[0] == [[]]


def test_a_torch_that_is_imported_is_seeded(monkeypatch):
    seeds = []
    fake_torch = type("FakeTorch", (), {"manual_seed": staticmethod(seeds.append)})
    monkeypatch.setitem(sys.modules, "torch", fake_torch)
    seed(2**32 + 5)
    assert seeds == [5]
