"""Running experiments show their time, the finished steps of their loops, and the newest point of each series."""

import pytest
from study_support import made_study

from qexp.client.attempt_records import Records
from qexp.store.reads import running_experiments
from qexp.store.writes import claiming, journal
from qexp.store.writes.journal import AttemptFence, Point, SavedCheckpoint


@pytest.fixture
def made(client, raw, tmp_path):
    return made_study(client, raw, tmp_path / "running").enqueue({"x": [1, 2, 3]})


def save(raw, writer, name, **progress):
    saved = SavedCheckpoint("zip", b"bytes", None, "digest", writer.attempt, {"steps": {}, "last_key": 1, **progress})
    assert journal.save(raw, writer, name, saved, 5, False) is not None


def test_each_series_has_its_last_step_and_the_newest_are_first(client, raw, made):
    # Given two running experiments with many series of many points
    made.start("x < 3")
    one, two = (AttemptFence(id_, 1, made.worker) for id_ in made.ids("x < 3"))
    journal.add_points(raw, one, "loss", [Point(step, 1 / (step + 1), 1e9 + step) for step in range(2000)])
    journal.add_points(raw, one, "acc", [Point(step, step / 2000, 1e9 + step) for step in range(2000)])
    journal.add_points(raw, one, "epoch time", [Point(3, 1.5, 1e9)])
    for number in range(70):
        journal.add_points(raw, two, f"m{number:02}", [Point(-1, float("nan"), 1e9)])
    found = Records(client).running(made.ids("id > 0"))
    # Then the experiment that waits is left out
    assert sorted(found) == [one.id, two.id]
    assert [(point.name, point.step, point.value) for point in found[one.id].metrics] == [
        ("acc", 1999, 0.9995),
        ("loss", 1999, 1 / 2000),
        ("epoch time", 3, 1.5),
    ]
    assert found[one.id].progress == "step 1999, acc 0.9995, loss 0.0005"
    assert len(found[two.id].metrics) == running_experiments.MOST_SERIES
    assert found[two.id].progress == "step -1, m00 nan, m01 nan, m02 nan"
    assert 0 <= found[one.id].elapsed < 3600


def test_a_loop_without_a_name_says_that_its_steps_are_saved(client, raw, made):
    made.start("x = 1")
    (id_,) = made.ids("x = 1")
    fence = AttemptFence(id_, 1, made.worker)
    save(raw, fence, "loop", done=60, total=400)
    journal.add_points(raw, fence, "loss", [Point(59, 0.5, 1e9)])
    assert Records(client).running([id_])[id_].progress == "saved 60/400, loss 0.5"
    journal.add_points(raw, fence, "loss", [Point(96, 0.3, 2e9)])
    assert Records(client).running([id_])[id_].progress == "saved 60/400, step 96, loss 0.3"


def test_steps_are_those_of_the_last_checkpoint_and_an_earlier_attempt_counts(client, raw, made):
    # Given an attempt with two loops and a checkpoint by hand, which was given back after 100 s
    made.start("x = 1")
    (id_,) = made.ids("x = 1")
    first = AttemptFence(id_, 1, made.worker)
    save(raw, first, "warm-up", done=5, total=5)
    save(raw, first, "epoch", done=1, total=20)
    save(raw, first, "epoch", done=12, total=20)
    save(raw, first, "checkpoint")
    save(raw, first, "stream", done=300, total=None)
    journal.add_points(raw, first, "loss", [Point(1, 0.5, 1e9)])
    shown = Records(client).running([id_])[id_]
    assert shown.progress == "stream 300, epoch 12/20, warm-up 5/5, step 1, loss 0.5"
    # When the next attempt continues
    raw.execute("update experiment set status = 'queued', worker = null where id = %s", [id_])
    claiming.claim(raw, id_, made.worker, 1)
    raw.execute("update experiment set seconds_before = 100 where id = %s", [id_])
    # Then the steps stay, the time adds up, and the series are those of the new attempt
    shown = Records(client).running([id_])[id_]
    assert shown.progress == "stream 300, epoch 12/20, warm-up 5/5"
    assert shown.elapsed >= 100


def test_without_running_experiments_nothing_is_read(client, made):
    assert Records(client).running(made.ids("id > 0")) == {}
    assert Records(client).running([]) == {}
