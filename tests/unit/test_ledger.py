"""What a process holds is known to others when it is dead, at whatever moment that comes."""

import math
import uuid

import pytest

from qexp.store.hot import Claim, Done, Outcome, done
from qexp.worker.attempt import ledger
from qexp.worker.attempt.ledger import Ledger, held
from qexp.worker.board import Board, Post, Request


def ended(number: int, attempt: int = 1, size: int = 1, text: str = "y") -> Done:
    claim = Claim(number, attempt, uuid.UUID(int=1), {}, uuid.UUID(int=2), {}, 3, "s", "m:f", None, ())
    return done(claim, Outcome(result={"y": text * size}), 1.0, 2.0)


@pytest.fixture
def book(tmp_path):
    return Ledger(tmp_path, 7)


def test_what_was_claimed_and_not_begun_is_told_from_what_is_run_and_what_has_ended(book, tmp_path):
    book.intend([1, 2, 3], [])
    book.add(ended(1))
    found = held(tmp_path, 7)
    assert found.done == [ended(1)]
    assert found.unbegun(current=2) == [3]
    assert ledger.holders(tmp_path) == [7]


def test_what_was_to_be_had_is_known_with_its_attempts_until_it_has_ended(book, tmp_path):
    book.intend([1, 2, 3], [])
    assert held(tmp_path, 7).attempts == {}
    book.have({2: 1, 3: 4})
    assert held(tmp_path, 7).attempts == {2: 1, 3: 4}
    book.add(ended(2))
    assert held(tmp_path, 7).attempts == {3: 4}
    book.intend([5], [])
    assert held(tmp_path, 7).attempts == {}


def test_what_a_process_was_at_is_on_the_board_or_the_first_that_has_not_ended(book, tmp_path):
    board = Board(tmp_path / "board")
    board.make()
    book.intend([1, 2, 3], [])
    book.have({1: 1, 2: 5, 3: 1})
    book.add(ended(1))
    assert held(tmp_path, 7).begun(board, 7) == {2: 5}, "nobody is on the board"
    board.put(0, Post(7, 3, 1, 7, 0.0, math.inf, 0, False, Request.NONE))
    assert held(tmp_path, 7).begun(board, 7) == {3: 1}
    board.clear(0)
    assert held(tmp_path, 7).begun(board, 7) == {}, "it was at nothing"
    board.put(0, Post(8, 3, 1, 8, 0.0, math.inf, 0, False, Request.NONE))
    assert held(tmp_path, 7).begun(board, 7) == {2: 5}, "its slot is another one's"


def test_what_is_at_work_stays_known_while_more_is_claimed(book, tmp_path):
    book.intend([1, 2], [])
    book.have({1: 1, 2: 1})
    book.add(ended(1))
    book.intend([2, 3], [ended(1)])
    assert held(tmp_path, 7).attempts == {2: 1}


def test_a_claim_that_was_under_way_is_not_forgotten_with_the_rest(book, tmp_path):
    book.intend([1, 2], [])
    book.have({1: 1, 2: 1})
    book.add(ended(1))
    book.intend([2, 3, 4], [ended(1)])
    for _ in range(2):
        ledger.forget(tmp_path, 7, held(tmp_path, 7))
        assert held(tmp_path, 7) == ledger.Held(claimed=[3, 4], done=[])
    book.intend([5], [])
    book.have({5: 1})
    ledger.forget(tmp_path, 7, ledger.Held(claimed=[5], attempts={5: 1}))
    assert ledger.holders(tmp_path) == []


def test_results_stay_beside_the_next_claims_until_all_are_recorded(book, tmp_path):
    book.intend([1, 2], [])
    book.add(ended(1))
    book.intend([3], [ended(1)])
    assert held(tmp_path, 7).done == [ended(1)]
    assert held(tmp_path, 7).unbegun(None) == [3]
    book.clear()
    assert held(tmp_path, 7).ids == []


def test_an_experiment_that_is_claimed_anew_has_not_begun_by_an_attempt_of_before(book, tmp_path):
    book.intend([1], [])
    book.have({1: 1})
    book.add(ended(1))
    book.intend([1], [ended(1)])
    assert held(tmp_path, 7).unbegun(None) == [1]
    assert held(tmp_path, 7).attempts == {}


@pytest.mark.parametrize("text", ["y", "é"])
def test_a_line_that_death_has_cut_off_counts_for_nothing(book, tmp_path, text):
    book.intend([1, 2], [])
    book.add(ended(1, text=text))
    path = tmp_path / "held-7"
    whole = path.read_bytes()
    for cut in range(whole.index(b"\n") + 1, len(whole)):
        path.write_bytes(whole[:cut])
        assert held(tmp_path, 7).done == []
    path.write_bytes(whole)
    assert held(tmp_path, 7).done == [ended(1, text=text)]


def test_a_result_may_contain_what_ends_a_line_elsewhere(book, tmp_path):
    items = [ended(1, text="a\u2028b\x85c\r\n\x1c"), ended(2)]
    for item in items:
        book.add(item)
    assert held(tmp_path, 7).done == items


def test_a_ledger_does_not_grow_and_keeps_what_is_still_held(book, tmp_path):
    for number in range(300):
        book.intend([number], [ended(number - 1, size=1000)] if number else [])
        book.add(ended(number, size=1000))
    assert (tmp_path / "held-7").stat().st_size < 2 * ledger._LARGEST
    found = held(tmp_path, 7)
    assert ended(299, size=1000) in found.done
    assert found.unbegun(None) == []
    assert [path.name for path in tmp_path.iterdir()] == ["held-7"]
