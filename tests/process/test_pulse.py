"""Who is stuck, as a run of looks."""

from balance.process.pulse import LOOKS, Pulse


def test_a_worker_whose_beat_stands_still_is_stuck_after_so_many_looks_and_named_once() -> None:
    pulse = Pulse(2)
    found = [pulse.stuck([100 + look, 7]) for look in range(2 * LOOKS)]
    assert found == [[]] * LOOKS + [[1]] + [[]] * (LOOKS - 1)


def test_one_beat_is_enough_to_be_well() -> None:
    pulse = Pulse(1)
    assert [pulse.stuck([look // LOOKS]) for look in range(5 * LOOKS)] == [[]] * 5 * LOOKS


def test_a_successor_starts_afresh() -> None:
    pulse = Pulse(1)
    for _ in range(LOOKS):
        assert pulse.stuck([7]) == []
    assert pulse.stuck([0]) == []  # the supervisor zeroes the beat of the dead
    assert pulse.stuck([0]) == []
