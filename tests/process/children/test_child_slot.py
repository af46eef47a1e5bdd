"""When a slot restarts its child."""

from balance.process.children.child_slot import ChildSlot


def test_the_first_restart_is_immediate_and_the_next_ones_are_delayed() -> None:
    child_slot = ChildSlot("worker 0", 0)
    assert [child_slot.schedule_restart(now=1.0, uptime_s=0.1) for _ in range(3)] == [0.0, 0.2, 0.4]
    assert child_slot.restart_at == 1.4


def test_a_stable_child_is_restarted_at_once() -> None:
    child_slot = ChildSlot("worker 0", 0)
    for _ in range(5):
        child_slot.schedule_restart(now=1.0, uptime_s=0.1)
    assert child_slot.schedule_restart(now=50.0, uptime_s=49.0) == 0.0
    assert child_slot.restart_at == 50.0
