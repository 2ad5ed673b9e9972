"""A returned value is either refused as a result or can be written."""

import json
import uuid

import pytest

from qexp.errors import ResultError
from qexp.model import Claim, Outcome
from qexp.store.writes.claiming import encode_result
from qexp.worker.attempt.returned_value import mapping

CLAIM = Claim(1, 1, uuid.UUID(int=1), {}, uuid.UUID(int=2), {}, 3, "s", "m:f", None, ())


def written(value):
    return json.loads(encode_result(CLAIM, Outcome(result=mapping(value))).text)["result"]


@pytest.mark.parametrize(
    "value", [2**70, -(2**70), 1e300, 5e-324, 1e22, 0.1, -0.0, True, None, 'é\u2028\x7f"\\', [None, {"a": {}}]]
)
def test_data_is_written_as_it_is(value):
    assert repr(written({"y": value})) == repr({"y": value})


def test_a_number_that_could_not_be_read_again_is_refused():
    longest = 10**4299
    assert written({"y": [longest, -longest]}) == {"y": [longest, -longest]}
    for value in (longest * 100, -longest * 100):
        with pytest.raises(ResultError, match="y: found a whole number of more than 4,300 digits"):
            mapping({"y": value})


def test_a_value_nested_too_deeply_is_refused_before_it_is_written():
    value, refused = 1, []
    for depth in range(300):
        try:
            written({"y": value})
        except ResultError as error:
            refused.append(depth)
            assert "too deeply" in str(error) or "depth exceeded" in str(error)
        value = [value]
    assert refused == list(range(refused[0], 300))
    assert refused[0] > 240
