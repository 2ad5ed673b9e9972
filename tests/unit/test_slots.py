"""The slots of a worker are readable by other processes at any moment."""

import os

import pytest

from qexp.worker import slots as slots_module
from qexp.worker.slots import SlotEntry, SlotTable


@pytest.fixture
def slots(tmp_path):
    made = SlotTable(tmp_path / "slots")
    made.create()
    return made


def entry(pid, experiment, attempt=1):
    return SlotEntry(pid, 1.0, experiment, attempt, pid, 1.0, 5.0, 6.0)


def test_a_child_is_found_before_those_of_lower_slots_have_taken_a_message(slots):
    slots.write(2, entry(17, 116))
    assert slots.find(17) == entry(17, 116)
    assert slots.occupied() == {2: entry(17, 116)}
    slots.mark_claiming(2, True)
    assert slots.claiming_processes() == [17]


def test_a_child_is_found_after_the_child_of_a_lower_slot_was_replaced(slots):
    # Given two children with attempts, the first of which dies
    slots.write(0, entry(16, 115))
    slots.write(1, entry(17, 116))
    # When another process takes the slot of the dead one
    slots.occupy(0)
    # Then both attempts are still known
    assert (slots.find(16), slots.find(17)) == (entry(16, 115), entry(17, 116))
    assert slots.find(os.getpid()) is None


class Watched(bytearray):
    """Memory that calls a function after each write, as another process that reads at that moment."""

    seen = None

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        if self.seen is not None:
            self.seen()


@pytest.mark.parametrize("action", ["write", "mark_function_over", "set_process", "occupy"])
def test_no_moment_shows_zeros_or_a_mixture_of_two_attempts(slots, monkeypatch, action):
    # Given two children, and another process that reads the slots at each moment
    memory = Watched(slots.path.read_bytes())
    monkeypatch.setattr(slots, "_memory", memory)
    monkeypatch.setattr(slots_module.os, "getpid", lambda: 18)
    old, new = entry(16, 115), entry(16, 117, attempt=2)._replace(deadline=9.0)
    slots.write(0, old)
    slots.write(1, entry(17, 116))
    seen = []
    memory.seen = lambda: seen.append((slots.read(0), slots.find(17)))
    # When the first child changes its slot
    if action == "write":
        slots.write(0, new)
        allowed = {None, new}
    elif action == "mark_function_over":
        slots.mark_function_over(0)
        allowed = {old._replace(process=0), slots.read(0)}
    elif action == "set_process":
        slots.set_process(0, 19, 2.0)
        allowed = {old._replace(process=19, process_born=2.0)}
    else:
        slots.occupy(0)
        allowed = {None}
    # Then that process never sees anything in between, nor misses the second child
    assert seen
    assert {first for first, _ in seen} <= allowed
    assert {second for _, second in seen} == {entry(17, 116)}
