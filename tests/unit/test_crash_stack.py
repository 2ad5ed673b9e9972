"""The stack that faulthandler prints becomes the traceback, frame and fingerprint of an error."""

from qexp.worker.attempt import crash_stack
from qexp.worker.attempt.process_control import crash_error

DIED = crash_error("signal 11 (SIGSEGV)", "SIGSEGV")
STACK = """\
Fatal Python error: Segmentation fault

Thread 0x00007fed38c296c0 (most recent call first):
  File "/lib/threading.py", line 331 in wait
  File "/opt/qexp/worker/periodic_thread.py", line 66 in _run

Current thread 0x00007fed3edbcb80 [worker] (most recent call first):
  File "/opt/site-packages/numpy/linalg.py", line 9 in inv
  File "/code/model.py", line 5 in fit
  File "/code/model.py", line 12 in f
  File "/opt/qexp/worker/attempt/function_call.py", line 80 in returned
  File "/home/me/bin/celery", line 8 in <module>

Current thread's C stack trace (most recent call first):
  Binary file "/lib/libpython.so", at _Py_DumpStack+0x2a [0x7f]
  <truncated rest of calls>

Extension modules: numpy._core._multiarray_umath (total: 1)
"""


def with_stack(tmp_path, text, error=DIED, folder=None, original=None):
    output = tmp_path / "1.out"
    output.write_bytes(text.encode())
    return crash_stack.with_stack(error, output, folder, original)


def test_the_innermost_frame_of_the_user_is_the_place_of_the_error(tmp_path):
    found = with_stack(tmp_path, STACK)
    assert found.frame == "model.py:5 in fit"
    assert found.traceback == STACK.rstrip()
    assert (found.type, found.message, found.signal) == (DIED.type, DIED.message, "SIGSEGV")


def test_the_fingerprint_depends_on_the_signal_and_the_users_frames_but_not_on_lines(tmp_path):
    found = with_stack(tmp_path, STACK).fingerprint
    assert found != DIED.fingerprint
    assert with_stack(tmp_path, STACK.replace("line 5", "line 6").replace("0x00007f", "0x00007e")).fingerprint == found
    assert with_stack(tmp_path, STACK.replace("in fit", "in score")).fingerprint != found
    assert with_stack(tmp_path, STACK, crash_error("signal 6 (SIGABRT)", "SIGABRT")).fingerprint != found


def test_statements_of_one_function_are_different_errors(tmp_path):
    (tmp_path / "model.py").write_text("a = 1\ndef fit():\n    read()\n\n    write()\n")
    found = [
        with_stack(tmp_path, STACK.replace("/code/", f"{tmp_path}/").replace("line 5", f"line {line}"), folder=tmp_path)
        for line in (3, 5)
    ]
    assert [error.frame for error in found] == ["model.py:3 in fit", "model.py:5 in fit"]
    assert found[0].fingerprint != found[1].fingerprint


def test_files_of_the_snapshot_have_their_names_in_the_grids_folder(tmp_path):
    found = with_stack(tmp_path, STACK, folder=tmp_path.parent / "code", original=tmp_path)
    assert found.frame == "model.py:5 in fit"
    text = STACK.replace("/code/", f"{tmp_path}/snapshot/lib/")
    found = with_stack(tmp_path, text, folder=tmp_path / "snapshot", original=tmp_path / "mine")
    assert found.frame == "lib/model.py:5 in fit"
    assert f'File "{tmp_path}/mine/lib/model.py", line 5 in fit' in found.traceback


def test_the_last_stack_counts_and_other_output_is_left_out(tmp_path):
    other = STACK.replace("in fit", "in other")
    found = with_stack(tmp_path, f"epoch 1\n{other}epoch 2\n{STACK}a late line\n  File of mine\n")
    assert found.traceback == STACK.rstrip()


def test_an_error_stays_as_it_is_without_a_stack_or_such_a_signal(tmp_path):
    killed = crash_error("signal 9 (SIGKILL)", "SIGKILL")
    assert with_stack(tmp_path, STACK, killed) is killed
    assert with_stack(tmp_path, "epoch 1\n") is DIED
    assert crash_stack.with_stack(DIED, tmp_path / "missing") is DIED


def test_a_stack_without_frames_of_the_user_keeps_the_group_of_its_signal(tmp_path):
    found = with_stack(tmp_path, "Fatal Python error: Aborted\n\nThread 0x01 (most recent call first):\n  <no frame>\n")
    assert found.fingerprint == DIED.fingerprint
    assert found.frame is None
    assert found.traceback is not None
