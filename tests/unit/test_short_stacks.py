"""Stacks in the output of an experiment lose the frames of qexp, however the output is cut into pieces."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import qexp
from qexp.cli.short_stacks import ShortStacks

OWN = Path(qexp.__file__).parent
STACK = f"""\
Fatal Python error: Aborted

Thread 0x01 (most recent call first):
  File "/lib/threading.py", line 331 in wait
  File "{OWN}/worker/periodic_thread.py", line 66 in _run

Current thread 0x02 (most recent call first):
  File "/home/me/sources/{"0a" * 32}/model.py", line 5 in fit
  File "{OWN}/worker/attempt/function_call.py", line 80 in returned
  File "/bin/celery", line 8 in <module>

Extension modules: yaml._yaml (total: 1)
"""
SHORT = """\
Fatal Python error: Aborted

Current thread 0x02 (most recent call first):
  File "model.py", line 5 in fit
"""


def shown(*pieces):
    stacks = ShortStacks()
    return "".join([*map(stacks.write, pieces), stacks.end()]), stacks.left_out


def test_stacks_between_other_lines_become_short():
    assert shown(f"epoch 1\n{STACK}epoch 2\n{STACK}") == (f"epoch 1\n{SHORT}epoch 2\n{SHORT}", 8)


def test_text_without_a_stack_of_qexp_stays_as_it_is():
    for text in ("Fatal", "Fatal Python error: mine\nmore\n", STACK.replace(str(OWN), "/other"), "a\r\nb", ""):
        assert shown(text) == (text, 0)


def test_a_piece_without_a_stack_is_shown_at_once():
    stacks = ShortStacks()
    assert stacks.write("epoch 1") == "epoch 1"
    assert stacks.write(" F") == " "
    assert stacks.write("1 = 0.5") == "F1 = 0.5"


@given(st.sampled_from([f"a F{STACK}b\n", f"{STACK}{STACK}", STACK[:-30], "Fatal Fatal Python"]), st.data())
def test_the_pieces_do_not_change_the_text(text, data):
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    pieces = [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]
    assert shown(*pieces) == shown(text)
