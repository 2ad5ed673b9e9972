"""Tracebacks for people have no frames of qexp, wherever it is installed."""

import pytest

from qexp.cli.traceback_text import own_frames_left_out

USER = '  File "/home/me/model.py", line 7, in fit\n    call(x)\n    ^^^^^^^\n'
OWN = '  File "/opt/venv/site-packages/qexp/worker/context/context.py", line 9, in checkpoint\n    raise error\n'
HEAD, END = "Traceback (most recent call last):\n", "ValueError: no\n    File of the message"


@pytest.mark.parametrize(
    ("text", "shown", "number"),
    [
        (HEAD + USER + END, HEAD + USER + END, 0),
        (HEAD + USER + OWN + END, HEAD + USER + END, 1),
        (HEAD + OWN + USER + OWN + OWN + USER + END, HEAD + USER + USER + END, 3),
        (HEAD + OWN + END, END, 1),
        (
            f"{HEAD}{USER}KeyError: 1\n\nDuring handling of it:\n\n{HEAD}{OWN}{END}",
            f"{HEAD}{USER}KeyError: 1\n\nDuring handling of it:\n\n{END}",
            1,
        ),
        (f"{HEAD}{OWN}  [Previous line repeated 9 more times]\n{USER}{END}", HEAD + USER + END, 1),
        (f"{HEAD}{USER}  [Previous line repeated 9 more times]\n{END}",) * 2 + (0,),
    ],
)
def test_frames_of_qexp_are_left_out_with_their_lines(text, shown, number):
    assert own_frames_left_out(text) == (shown, number)


@pytest.mark.parametrize("file", ["/home/me/qexp/worker/mine.py", "/home/me/qexp/workers/experiment.py", "qexp/"])
def test_files_of_the_user_in_a_folder_named_qexp_stay(file):
    text = f'{HEAD}  File "{file}", line 1, in f\n    x\n{END}'
    assert own_frames_left_out(text) == (text, 0)


def test_frames_inside_of_exception_groups_are_left_out():
    text = (
        "  + Exception Group Traceback (most recent call last):\n"
        '  |   File "/home/me/model.py", line 7, in fit\n  |     call(x)\n'
        '  |   File "/opt/qexp/worker/context/context.py", line 9, in checkpoint\n  |     raise error\n'
        "  | ExceptionGroup: two (2 sub-exceptions)\n"
    )
    shown, number = own_frames_left_out(text)
    assert number == 1
    assert shown == "".join(
        line for line in text.splitlines(keepends=True) if "qexp" not in line and "raise" not in line
    )


def test_a_stack_keeps_the_threads_and_frames_of_the_user():
    text = """\
Fatal Python error: Segmentation fault

Thread 0x0001 (most recent call first):
  File "/lib/threading.py", line 331 in wait
  File "/opt/qexp/worker/periodic_thread.py", line 66 in _run

Thread 0x0002 (most recent call first):
  File "/home/me/loader.py", line 3 in load

Current thread 0x0003 (most recent call first):
  File "/home/me/model.py", line 5 in fit
  File "/opt/qexp/worker/context/context.py", line 9 in checkpoint
  File "/home/me/model.py", line 12 in f
  File "/opt/qexp/worker/attempt/function_call.py", line 80 in returned
  File "/opt/site-packages/celery/app/trace.py", line 883 in __protected_call__

Extension modules: numpy (total: 1)"""
    assert own_frames_left_out(text) == (
        """\
Fatal Python error: Segmentation fault

Thread 0x0002 (most recent call first):
  File "/home/me/loader.py", line 3 in load

Current thread 0x0003 (most recent call first):
  File "/home/me/model.py", line 5 in fit
  File "/home/me/model.py", line 12 in f""",
        5,
    )
