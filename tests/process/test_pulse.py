"""Who is stuck, as a run of looks."""

from balance.process.pulse import LOOKS, Pulse


def test_a_worker_whose_beat_stands_still_is_stuck_after_so_many_looks_and_named_once() -> None:
    pulse = Pulse()
    found = [pulse.stuck({"a": 100 + look, "b": 7}) for look in range(2 * LOOKS)]
    assert found == [[]] * LOOKS + [["b"]] + [[]] * (LOOKS - 1)


def test_one_beat_is_enough_to_be_well() -> None:
    pulse = Pulse()
    assert [pulse.stuck({"a": look // LOOKS}) for look in range(5 * LOOKS)] == [[]] * 5 * LOOKS


def test_a_successor_starts_afresh() -> None:
    pulse = Pulse()
    for _ in range(LOOKS):
        assert pulse.stuck({"first": 7}) == []
    assert pulse.stuck({"second": 7}) == []
    assert pulse.stuck({"second": 7}) == []
