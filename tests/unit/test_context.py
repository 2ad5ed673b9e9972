"""The context without a database: the values that it accepts, and the state of loops."""

import numpy as np
import pytest

from qexp import Context, QexpError


def test_an_interrupted_loop_continues_with_its_state():
    def f(context, state):
        for number in context.resumable(range(5), state):
            state["seen"].append(number)
            state["sum"][0] += number
            if number == 2:
                context.journal.stop = True
        return "ended"

    first = Context.local()
    with pytest.raises(BaseException) as caught:
        f(first, {"seen": [], "sum": np.zeros(1)})
    assert type(caught.value).__name__ == "AttemptLeft"
    assert first.departure.outcome == "released"
    second = Context.local(journal=first.journal, attempt=2)
    second.journal.stop = False
    array = np.zeros(1)
    state = {"seen": [], "sum": array}
    f(second, state)
    assert state["seen"] == [0, 1, 2, 3, 4]
    assert (array[0], state["sum"]) == (10, array)  # in place: other names of the array see it


def test_a_loop_without_a_state_continues_at_its_count():
    context = Context.local()
    assert list(context.resumable("abc", steps=1)) == ["a", "b", "c"]
    assert list(context.resumable("abcd", steps=1, name="loop 2")) == ["a", "b", "c", "d"]
    again = Context.local(journal=context.journal, attempt=2)
    assert list(again.resumable("abcd")) == ["d"]


def test_two_loops_of_one_name_are_refused():
    context = Context.local()
    list(context.resumable(range(2)))
    with pytest.raises(QexpError, match="a loop named 'loop' has started before; give each loop its own name="):
        next(context.resumable(range(2)))


def test_a_state_that_cannot_be_saved_is_refused_before_the_first_item():
    with pytest.raises(QexpError, match="state"):
        next(Context.local().resumable(range(2), {"state": object()}))


@pytest.mark.parametrize("value", ["1", b"1", None, [1, 2], np.zeros(2)])
def test_a_value_that_is_no_number_is_no_point(value):
    with pytest.raises(QexpError, match=r"expected (a|one) number"):
        Context.local().metric(loss=value)


def test_numbers_of_libraries_are_points():
    context = Context.local()
    context.metric(np.int64(3), a=np.float32(0.5), b=np.array([2.0]).sum(), c=True)
    context.metric(a=float("nan"))
    assert [point.step for point in context.journal.series["a"]] == [3, 1]
    assert context.journal.series["c"][0].value == 1.0


def test_a_value_that_is_no_data_is_refused_by_name():
    with pytest.raises(QexpError, match="record: model: an object is not data"):
        Context.local().record(model=object())
    with pytest.raises(QexpError, match="append to 'rows': x: an object is not data"):
        Context.local().append("rows", {"x": object()})
