"""The capture of output of a process. Each script runs in its own process because pytest captures, too."""

import signal
import subprocess
import sys

import pytest

from qexp.worker.attempt.output_capture import path_of
from qexp.worker.context.output_reader import Output, render

PRELUDE = """
import ctypes, os, pathlib, subprocess, sys
from qexp.worker.attempt.output_capture import Capture
capture = Capture(pathlib.Path(sys.argv[1]))
shown = pathlib.Path(sys.argv[1]) / "shown"
C = ctypes.CDLL(None)

def attempt(function):
    capture.start()
    output = capture.output()
    try:
        function()
    finally:
        capture.stop()
    with shown.open("a") as file:
        file.write("".join(chunk.text for chunk in output.take(final=True)) + "|")
"""


@pytest.fixture
def script(tmp_path):
    """Run a script; return the output of its attempts, each ended by a bar, and its own output."""

    def script(source):
        command = [sys.executable, "-c", PRELUDE + source, str(tmp_path)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return (tmp_path / "shown").read_text(), ended.stdout

    return script


@pytest.mark.parametrize(
    "statement",
    [
        "print('hello')",
        "print('hello', file=sys.stderr)",
        "print('hello', file=sys.__stdout__)",
        "os.write(1, b'hello\\n')",
        "os.write(2, b'hello\\n')",
        "C.puts(b'hello')",
        "subprocess.run(['echo', 'hello'])",
        "os.system('echo hello >&2')",
    ],
)
def test_every_print_of_an_attempt_is_captured_and_nothing_else(script, statement):
    source = f"print('before'); C.puts(b'before')\nattempt(lambda: {statement})\nprint('after'); C.puts(b'after')"
    shown, rest = script(source)
    assert shown == "hello\n|"
    assert sorted(rest.split()) == ["after", "after", "before", "before"]


def test_unfinished_lines_stay_with_their_attempt(script):
    source = """
    def talk(word):
        print(word, end="")
        sys.stderr.write(word)
        C.printf(word.encode())
    for word in "ab":
        attempt(lambda: talk(word))
    """
    shown, rest = script("if 1:" + source)
    assert shown == "aaa|bbb|"
    assert rest == ""


def test_the_file_is_kept_until_something_was_printed(script):
    source = """
    def inode():
        print(os.stat(capture.path).st_ino, file=told)
    told = os.fdopen(os.dup(1), "w")
    for function in (int, int, lambda: print("x"), int, lambda: subprocess.run("true"), int):
        capture.start(); keep = capture.output(); function(); inode(); capture.stop()
        held = (held, keep) if "held" in globals() else keep  # an inode that is in use is not given to another file
    told.flush()
    (pathlib.Path(sys.argv[1]) / "shown").touch()
    """
    first, second, third, fourth, fifth, sixth = script("if 1:" + source)[1].split()
    assert first == second == third
    assert len({third, fourth, sixth}) == 3
    assert fourth == fifth


def test_late_writers_do_not_reach_the_next_attempt(script):
    source = """
    def leave():
        global go, late
        wait, go = os.pipe()
        late = subprocess.Popen("read line; echo late", shell=True, stdin=wait)
    def end():
        os.write(go, b"\\n"); late.wait(); print("mine")
    attempt(leave)
    attempt(end)
    """
    assert script("if 1:" + source)[0] == "|mine\n|"


def test_late_writers_whose_parent_is_gone_do_not_reach_the_next_attempt(script):
    source = """
    def leave():
        os.mkfifo(fifo); os.mkfifo(ended)
        subprocess.run(f"(read line < {fifo}; echo late; echo > {ended}) &", shell=True)
    def end():
        pathlib.Path(fifo).write_text("\\n"); pathlib.Path(ended).read_text(); print("mine")
    fifo, ended = sys.argv[1] + "/fifo", sys.argv[1] + "/ended"
    attempt(leave)
    attempt(end)
    """
    assert script("if 1:" + source)[0] == "|mine\n|"


@pytest.mark.parametrize(
    "statement",
    [
        "sys.stdout.close()",
        "sys.stdout.detach()",
        "del sys.stdout",
        "setattr(sys, 'stdout', None)",
        "setattr(sys, 'stdout', open(os.devnull, 'w'))",
        "sys.stdout.reconfigure(encoding='latin-1', errors='strict', line_buffering=False)",
        "os.close(1)",
        "(os.close(1), os.close(2))",
        "(os.close(1), C.puts(b'in a buffer'))",
        "os.dup2(os.open(os.devnull, os.O_WRONLY), 1)",
        "subprocess.run('echo > /dev/stderr', shell=True)",
    ],
)
def test_changes_to_the_output_streams_end_with_the_experiment(script, statement):
    source = f"""
    def spoil():
        print("first")
        exec({statement!r})
    attempt(spoil)
    attempt(lambda: (print("second ė"), C.puts(b"third")))
    print("after")
    """
    shown, rest = script("if 1:" + source)
    assert shown.endswith("|second ė\nthird\n|")
    assert rest == "after\n"


def test_output_beyond_a_file_size_limit_does_not_reach_the_next_attempt(script):
    source = """
    import resource
    def fill():
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (4, hard))
        try: print("too much")
        except OSError: pass
        capture.stop()
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    attempt(fill)
    attempt(lambda: print("mine"))
    print("after")
    """
    assert script("if 1:" + source) == ("too |mine\n|", "after\n")


def test_closing_every_descriptor_harms_no_later_attempt(script):
    shown, _ = script(
        "attempt(lambda: print('x'))\ntry: attempt(lambda: os.closerange(0, 100))\nexcept OSError: pass\n"
    )
    assert shown == "x\n|"


def test_descriptors_that_were_closed_before_are_closed_after(script):
    source = """
    os.close(1); os.close(2)
    attempt(lambda: print("x"))
    for number in (1, 2):
        try: os.fstat(number)
        except OSError: continue
        os._exit(1)
    """
    assert script("if 1:" + source) == ("x\n|", "")


def test_the_streams_are_the_same_in_every_attempt(script):
    source = """
    def first():
        global stream
        stream = sys.stderr
    attempt(first)
    attempt(lambda: stream.write("a logger holds this\\n"))
    """
    assert script("if 1:" + source)[0] == "|a logger holds this\n|"


def test_each_process_has_a_file_of_its_own(script):
    source = """
    attempt(int)
    if (pid := os.fork()) == 0:
        attempt(lambda: print("forked"))
        os._exit(not capture.path.exists())
    os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) or not capture.path.exists())
    """
    assert script("if 1:" + source)[0] == "|forked\n|"


def test_a_capture_that_is_closed_leaves_no_file(script, tmp_path):
    script("attempt(int); capture.start(); capture.close(); print('out')")
    assert [path.name for path in tmp_path.iterdir()] == ["shown"]


def test_a_printer_of_a_million_lines_is_captured_whole(script):
    source = """
    capture.start(); output = capture.output()
    for number in range(10**6): print(number)
    capture.stop()
    chunks = output.take(final=True)
    shown.write_text(f"{output.total} {chunks[-1].text[-7:]}")
    """
    assert script("if 1:" + source)[0] == "6888890 999999\n"


def test_the_output_of_a_killed_process_is_kept(tmp_path):
    # Given a process that prints through Python and C, and whose first line is stored
    source = """
told = os.dup(1)
capture.start()
print("stored")
os.write(told, b".")
input()
print("late")
C.puts(b"of C")
os.kill(os.getpid(), 9)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + source, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.read(1) == b"."
    stored = Output(path_of(tmp_path, process.pid)).take()
    # When it prints more and dies
    process.communicate(b"\n")
    assert process.returncode == -signal.SIGKILL
    # Then a reader that knows the stored part finds the rest
    rest = Output(path_of(tmp_path, process.pid), position=stored[-1].end).take(final=True)
    assert render(stored) == "stored\n"
    assert render(stored + rest) == "stored\nlate\nof C\n"
