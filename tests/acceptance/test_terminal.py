"""The pseudo-terminal of the tests shows, types and refuses as a real one."""

import sys

import pytest
from terminal import terminal


@pytest.mark.parametrize("columns", [80, 120])
def test_the_help_fits_the_terminal(columns):
    shown = terminal("qexp", "--help", columns=columns)
    assert shown.status == 0
    assert "Run experiments:" in shown.text


def test_a_line_that_is_too_wide_is_found():
    with pytest.raises(AssertionError, match="wider than 80 columns"):
        terminal(sys.executable, "-c", "print('x' * 81)")


def test_keys_are_typed_after_their_question_and_ctrl_c_interrupts():
    code = "name = input('Name? ')\ntry:\n  input(name + ' waits')\nexcept KeyboardInterrupt:\n  print(' stopped')"
    shown = terminal(sys.executable, "-c", code, keys=[("Name? ", "qexp\n"), (" waits", "\x03\n")])
    assert shown.status == 0
    assert "stopped" in shown.text


def test_colours_are_not_part_of_the_text():
    shown = terminal(sys.executable, "-c", "print('\\x1b[31mred\\x1b[0m in 12 ms, \\x1b]8;;x\\x1b\\\\here')")
    assert shown.text == "red in 12 ms, here\n"
    assert "\x1b[31m" in shown.raw
