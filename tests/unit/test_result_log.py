"""Other processes can read the unrecorded results of a process that dies at any moment."""

import os
import uuid

import pytest

from qexp.model import Claim, Outcome
from qexp.store.writes.claiming import EncodedResult, encode_result
from qexp.worker.child import result_log
from qexp.worker.child.result_log import LoggedResults, ResultLog, read


def ended(number: int, attempt: int = 1, size: int = 1, text: str = "y") -> EncodedResult:
    claim = Claim(number, attempt, uuid.UUID(int=1), {}, uuid.UUID(int=2), {}, 3, "s", "m:f", None, ())
    return encode_result(claim, Outcome(result={"y": text * size}), 1.0, 2.0)


@pytest.fixture
def book(tmp_path):
    return ResultLog(tmp_path, 7)


@pytest.fixture
def path(tmp_path):
    return result_log.path_of(tmp_path, 7)


def test_results_stay_in_the_log_until_they_are_recorded(book, tmp_path):
    book.add(ended(1))
    book.add(ended(2))
    assert read(tmp_path, 7) == LoggedResults([ended(1), ended(2)])
    assert result_log.writers(tmp_path) == [7]
    book.keep([])
    assert read(tmp_path, 7) == LoggedResults([])


@pytest.mark.parametrize("text", ["y", "é"])
def test_an_incomplete_last_line_is_ignored(book, tmp_path, path, text):
    book.add(ended(1, text=text))
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        assert read(tmp_path, 7) == LoggedResults([])
    path.write_bytes(whole)
    assert read(tmp_path, 7).results == [ended(1, text=text)]


def test_a_result_may_contain_unicode_line_separators(book, tmp_path):
    items = [ended(1, text="a\u2028b\x85c\r\n\x1c"), ended(2)]
    for item in items:
        book.add(item)
    assert read(tmp_path, 7).results == items


def test_a_result_of_the_greatest_allowed_depth_is_read(book, tmp_path):
    deep: object = 1
    for _ in range(240):
        deep = [deep]
    claim = Claim(1, 1, uuid.UUID(int=1), {}, uuid.UUID(int=2), {}, 3, "s", "m:f", None, ())
    item = encode_result(claim, Outcome(result={"y": deep}))
    book.add(item)
    assert read(tmp_path, 7) == LoggedResults([item])


GOOD = ended(5).text.encode()
BAD = {
    "NUL": b"\0\0\0",
    "half a line": GOOD[:-9],
    "no JSON": b"results",
    "no bytes of text": b"\xff\xfe",
    "a number": b"5",
    "a list": b"[[1, 1]]",
    "a missing field": GOOD.replace(b'"attempt"', b'"attempts"'),
    "another type": GOOD.replace(b'"id":5', b'"id":"five"'),
    "a number that is too large": GOOD.replace(b'"id":5', b'"id":' + b"9" * 30),
    "a result that is no mapping": b'{"id":5,"study":3,"attempt":1,"result":[1]}',
    "nested without end": b"[" * 100_000,
}


@pytest.mark.parametrize("line", BAD.values(), ids=BAD)
def test_an_unreadable_line_does_not_affect_the_others(book, tmp_path, path, line):
    book.add(ended(1))
    with path.open("ab") as file:
        file.write(line + b"\n")
    book.add(ended(2))
    assert read(tmp_path, 7) == LoggedResults([ended(1), ended(2)], damaged=True)


def test_a_log_that_is_no_file_is_damaged(tmp_path):
    result_log.path_of(tmp_path, 7).mkdir()
    assert read(tmp_path, 7) == LoggedResults(damaged=True)


def test_a_link_is_not_followed(book, tmp_path, path):
    book.add(ended(1))
    result_log.path_of(tmp_path, 8).symlink_to(path)
    assert read(tmp_path, 8) == LoggedResults(damaged=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_log_of_another_user_is_ignored(book, tmp_path, path):
    book.add(ended(1))
    os.chown(path, 65534, -1)
    assert read(tmp_path, 7) == LoggedResults(damaged=True)


@pytest.mark.parametrize("name", ["results-1-x", "results-1-", "results-1--7", "results-1-²", "results-2-7", "held-7"])
def test_a_file_of_another_name_is_no_log(tmp_path, name):
    (tmp_path / name).touch()
    assert result_log.writers(tmp_path) == []


def test_a_log_does_not_grow_and_keeps_unrecorded_results(book, tmp_path, path):
    for number in range(1, 300):
        book.add(ended(number, size=1000))
        book.keep([ended(number, size=1000)])
    assert path.stat().st_size < 2 * result_log._LARGEST
    assert ended(299, size=1000) in read(tmp_path, 7).results
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_only_this_user_can_read_a_log(book, path):
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_uid == os.geteuid()
