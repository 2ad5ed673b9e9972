"""Selectors name experiments by study, id and filter."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from qexp.errors import SelectorError
from qexp.model import Status
from qexp.store.selection.selectors import Selection, parse, require_narrow, within


def test_a_study_ids_and_filters_go_together():
    selection = parse(["digits", "17,19-23", "40"], ["done"], failed=True, error="a1b2c3")
    assert selection == Selection("digits", ((17, 17), (19, 23), (40, 40)), (Status.DONE, Status.FAILED), "a1b2c3")


@pytest.mark.parametrize(
    ("targets", "study", "studies"),
    [
        (["a"], "a", ()),
        (["a", "a", "7"], "a", ()),
        (["a", "b"], None, ("a", "b")),
        (["b,a", "7"], None, ("b", "a")),
        (["a*"], None, ("a*",)),
        (["*_1,b?", "a"], None, ("*_1", "b?", "a")),
    ],
)
def test_studies_are_a_name_or_several_names_and_patterns(targets, study, studies):
    selection = parse(targets)
    assert (selection.study, selection.studies) == (study, studies)
    with pytest.raises(SelectorError, match="name the experiments"):
        require_narrow(dataclasses.replace(selection, ids=()))


def test_python_names_studies_by_text_or_in_a_list():
    assert within(parse(["7"]), "a") == Selection("a", ((7, 7),))
    assert within(Selection(), "a*") == Selection(studies=("a*",))
    assert within(Selection(), "a,b") == Selection(studies=("a", "b"))
    assert within(Selection(), ["a"]) == Selection(studies=("a",))
    with pytest.raises(SelectorError, match="found no study"):
        within(Selection(), [])


@pytest.mark.parametrize(
    ("targets", "options", "word"),
    [
        (["Digits!"], {}, "expected a study's name or ids"),
        (["a,,b"], {}, "found ''"),
        (["*.yaml"], {}, "a pattern such as 'lenet\\*'"),
        (["23-19"], {}, "first id before its last"),
        (["9" * 30], {}, "at most"),
        (["a"], {"statuses": ["gone"]}, "expected one of pending"),
        (["a"], {"error": "no-group"}, "qexp errors"),
        (["a"], {"where": "lr >"}, "where, column 5: found the end, expected a value"),
        (["a"], {"since": "soon"}, "since: found 'soon', expected a time span such as"),
        (["a"], {"since": ""}, "since: found ''"),
        (["a"], {"since": "90"}, "expected a time span"),
        (["a"], {"since": "0s"}, "expected a time span"),
        (["a"], {"since": "-2h"}, "expected a time span"),
        (["a"], {"since": "2026-02-30"}, "date and time such as 2026-01-31T17:05"),
        (["a"], {"since": "17:05:00"}, "expected a time span such as 17h5m, or a date and time"),
        (["a"], {"since": "2026-01"}, "expected a time span"),
        (["a"], {"since": "9" * 400 + "d"}, "expected at most 36500 days"),
        (["a"], {"host": ""}, "host: found ''"),
        (["a"], {"host": "\0"}, "expected a host's name"),
    ],
)
def test_a_selector_without_experiments_is_refused(targets, options, word):
    with pytest.raises(SelectorError, match=word):
        parse(targets, **options)


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("6 hours", timedelta(hours=6)),
        ("90s", timedelta(seconds=90)),
        ("2d", timedelta(days=2)),
        ("30 min", timedelta(minutes=30)),
        ("1 day 12 h", timedelta(hours=36)),
        ("2026-01-31", datetime(2026, 1, 31)),
        ("2026-01-31 17:05", datetime(2026, 1, 31, 17, 5)),
        ("2026-01-31T17:05Z", datetime(2026, 1, 31, 17, 5, tzinfo=UTC)),
    ],
)
def test_since_is_a_time_span_or_a_moment(since, expected):
    assert parse(["a"], since=since).since == expected


@pytest.mark.parametrize("options", [{"where": "a = 1"}, {"since": "1h"}, {"host": "here"}, {"failed": True}])
def test_each_option_narrows(options):
    selection = parse(["a"], **options)
    assert selection.is_narrow
    require_narrow(selection)


def test_a_whole_study_is_not_narrow():
    with pytest.raises(SelectorError, match="name the experiments"):
        require_narrow(parse(["digits"]))
