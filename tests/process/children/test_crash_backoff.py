"""Crash back-off: doubling, its bounds, and its reset."""

from balance.process.children.crash_backoff import next_backoff_s


def test_back_off_doubles_up_to_a_bound_and_is_reset_by_a_stable_child() -> None:
    delays = [0.0]
    for _ in range(9):
        delays.append(next_backoff_s(delays[-1], uptime_s=0.5))
    assert delays == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert next_backoff_s(10.0, uptime_s=10.0) == 0.0
