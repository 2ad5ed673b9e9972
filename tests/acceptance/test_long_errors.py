"""Long errors on a terminal end their lines between words."""

import pytest
from terminal import terminal


@pytest.mark.parametrize("columns", [80, 120])
def test_a_long_error_fits_into_the_terminal_and_keeps_options_whole(columns):
    shown = terminal("qexp", "requeue", "lenet", columns=columns)
    assert shown.status == 2
    lines = shown.text.splitlines()
    assert len(lines) > 1 and max(map(len, lines)) <= columns
    assert any("--where CONDITION" in line for line in lines) and any("--host NAME" in line for line in lines)


def test_an_error_in_a_pipe_is_one_line(qexp):
    assert qexp("requeue", "lenet").stderr.count("\n") == 1
