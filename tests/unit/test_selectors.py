"""One grammar names experiments."""

import pytest

from qexp.errors import SelectorError
from qexp.model import Status
from qexp.store.selectors import Selection, parse, require_narrow


def test_a_study_ids_and_filters_go_together():
    selection = parse(["digits", "17,19-23", "40"], ["done"], failed=True, error="a1b2c3")
    assert selection == Selection("digits", ((17, 17), (19, 23), (40, 40)), (Status.DONE, Status.FAILED), "a1b2c3")


@pytest.mark.parametrize(
    ("targets", "options", "word"),
    [
        (["Digits!"], {}, "expected a study's name or ids"),
        (["a", "b"], {}, "expected one study"),
        (["23-19"], {}, "first id before its last"),
        (["9" * 30], {}, "at most"),
        (["a"], {"statuses": ["gone"]}, "expected one of pending"),
        (["a"], {"error": "no-group"}, "qexp errors"),
    ],
)
def test_what_names_no_experiments_is_refused(targets, options, word):
    with pytest.raises(SelectorError, match=word):
        parse(targets, **options)


def test_a_whole_study_is_not_narrow():
    with pytest.raises(SelectorError, match="say which"):
        require_narrow(parse(["digits"]))
