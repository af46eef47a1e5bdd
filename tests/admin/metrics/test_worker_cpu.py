"""The share of a core that each worker used."""

from __future__ import annotations

from balance.admin.metrics.worker_cpu import WINDOW_S, WorkerCpu


def test_it_is_of_the_time_since_it_was_last_asked_within_a_minute() -> None:
    cpu, used = WorkerCpu(), {11: 100.0, 12: 5.0}
    assert cpu.shares(0.0, {0: 11, 1: 12}, lambda pid: used[pid]) == {0: 0.0, 1: 0.0}
    used |= {11: 105.0, 12: 5.0}
    assert cpu.shares(10.0, {0: 11, 1: 12}, lambda pid: used[pid]) == {0: 0.5, 1: 0.0}
    used |= {13: 50.0}  # a successor has a clock of its own
    assert cpu.shares(20.0, {0: 13, 1: 12}, lambda pid: used[pid]) == {0: 0.0, 1: 0.0}
    used |= {13: 58.0}
    assert cpu.shares(30.0, {0: 13, 1: 12}, lambda pid: used[pid])[0] == 0.8


def test_it_is_bounded_and_does_not_go_below_nothing() -> None:
    cpu = WorkerCpu()
    for second in range(1000):
        shares = cpu.shares(float(second), {0: 7}, {7: 10.0 - second % 2}.__getitem__)
    assert 0.0 <= shares[0] <= 1.0
    assert len(cpu._past) <= WINDOW_S + 2
