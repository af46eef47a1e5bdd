"""When a successor is due."""

from balance.process.children.child_slot import ChildSlot


def test_the_first_successor_comes_at_once_and_who_keeps_dying_young_waits_longer() -> None:
    child_slot = ChildSlot("worker 0", 0)
    assert [child_slot.schedule_restart(now=1.0, lived_s=0.1) for _ in range(3)] == [0.0, 0.2, 0.4]
    assert child_slot.restart_at == 1.4


def test_one_that_has_lived_is_replaced_at_once_again() -> None:
    child_slot = ChildSlot("worker 0", 0)
    for _ in range(5):
        child_slot.schedule_restart(now=1.0, lived_s=0.1)
    assert child_slot.schedule_restart(now=50.0, lived_s=49.0) == 0.0
    assert child_slot.restart_at == 50.0
