"""Messages are broken between words, and commands stay whole."""

import pytest

from qexp.cli.message_lines import message_lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a short one", ["a short one"]),
        ("found nothing here, expected the name of a study", ["found nothing here, expected the name", "of a study"]),
        (
            "big: 2 are not finished; 'qexp wait big --timeout 9' waits",
            ["big: 2 are not finished;", "'qexp wait big --timeout 9' waits"],
        ),
        (
            "- 3 failed in svc / iris; qexp requeue lp --where 'lr > 0.1'; choose",
            ["- 3 failed in svc / iris;", "  qexp requeue lp --where 'lr > 0.1';", "  choose"],
        ),
        ("the study's file: 'qexp up' starts it", ["the study's file: 'qexp up' starts it"]),
        (
            "in one cell, choose one of --rows lr, --columns lr",
            ["in one cell, choose one of --rows lr,", "--columns lr"],
        ),
        # a command that is longer than the terminal can still be copied: the terminal breaks it
        ("try qexp table lenet --metric accuracy --rows lr", ["try", "qexp table lenet --metric accuracy --rows lr"]),
    ],
)
def test_lines_end_between_words_and_commands_stay_whole(text, lines):
    assert message_lines(text, 38).split("\n") == lines
