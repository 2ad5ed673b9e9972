"""Stop requests and limits reach only the process that runs the attempt."""

import math
import signal

import pytest

from qexp.worker.attempt.process_control import death_error
from qexp.worker.main import limits
from qexp.worker.main.limits import LimitEnforcer
from qexp.worker.slots import ChildRequest, SlotEntry, SlotTable

CHILD = 4_000_000  # a process id that no process has
BORN = 17.0


@pytest.fixture
def slots(tmp_path):
    made = SlotTable(tmp_path / "slots")
    made.create()
    return made


@pytest.fixture
def signals(monkeypatch):
    sent = []
    monkeypatch.setattr(limits.os, "kill", lambda process, number: sent.append((process, number)))
    monkeypatch.setattr(limits, "born", {CHILD: BORN}.get)
    return sent


def entry(experiment, attempt=1, born=BORN, deadline=math.inf):
    return SlotEntry(
        CHILD, BORN, experiment, attempt, CHILD, born, 0.0, deadline, 0, asks_to_stop=True, request=ChildRequest.NONE
    )


def test_a_process_gets_the_signal_of_its_request(slots, signals):
    slots.write(3, entry(17))
    limits.send_request(slots, 3, entry(17), ChildRequest.STOP)
    assert slots.read(3).request == ChildRequest.STOP
    assert signals == [(CHILD, signal.SIGUSR1)]


@pytest.mark.parametrize("now", [None, entry(18), entry(17, attempt=2)])
def test_a_process_that_runs_another_attempt_gets_no_signal(slots, signals, now):
    if now is not None:
        slots.write(3, now)
    limits.send_request(slots, 3, entry(17), ChildRequest.STOP)
    assert slots.read(3) == now
    assert signals == []


def test_a_dead_process_is_no_error(slots, monkeypatch):
    def kill(process, number):
        raise ProcessLookupError

    monkeypatch.setattr(limits.os, "kill", kill)
    monkeypatch.setattr(limits, "born", {CHILD: BORN}.get)
    slots.write(3, entry(17))
    limits.send_request(slots, 3, entry(17), ChildRequest.TIMEOUT)
    assert slots.read(3).request == ChildRequest.TIMEOUT


def test_a_process_that_reuses_the_id_of_a_dead_one_gets_no_signal(slots, signals, monkeypatch):
    # Given a child that died in an overdue attempt, and another process that reuses its id
    killed = []
    monkeypatch.setattr(limits, "kill_tree", lambda *process: killed.append(process))
    monkeypatch.setattr(limits.time, "monotonic", lambda: 1000.0)
    slots.write(0, entry(17, born=BORN - 1, deadline=1.0))
    # When limits are enforced
    LimitEnforcer(slots, killed.append).enforce()
    limits.send_request(slots, 0, entry(17, born=BORN - 1, deadline=1.0), ChildRequest.STOP)
    # Then this process gets no signal
    assert (signals, killed) == ([], [])


def test_a_child_that_hangs_after_its_function_is_killed(slots, monkeypatch):
    # Given a child whose function has returned
    killed = []
    monkeypatch.setattr(limits, "born", {CHILD: BORN}.get)
    monkeypatch.setattr(limits, "kill_tree", lambda *process: killed.append(process))
    slots.write(0, entry(17))
    slots.mark_function_over(0)
    over = slots.read(0).deadline
    assert over < math.inf
    for passed, expected in ((limits._STUCK - 1, []), (limits._STUCK + 1, [(CHILD, BORN)])):
        # When it hangs for a while, and then for too long
        monkeypatch.setattr(limits.time, "monotonic", lambda passed=passed: over + passed)
        LimitEnforcer(slots, killed.append).enforce()
        # Then it is killed, and its error gives the reason
        assert killed == expected
    assert "it hung after" in death_error(slots.read(0), -9).message
