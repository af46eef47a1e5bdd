"""Who is stuck, as a run of looks."""

from balance.process.children.stall_detector import LOOKS, StallDetector


def test_a_worker_whose_beat_stands_still_is_stuck_after_so_many_looks_and_named_once() -> None:
    stall_detector = StallDetector()
    found = [stall_detector.stuck({"a": 100 + look, "b": 7}) for look in range(2 * LOOKS)]
    assert found == [[]] * LOOKS + [["b"]] + [[]] * (LOOKS - 1)


def test_one_beat_is_enough_to_be_well() -> None:
    stall_detector = StallDetector()
    assert [stall_detector.stuck({"a": look // LOOKS}) for look in range(5 * LOOKS)] == [[]] * 5 * LOOKS


def test_a_successor_starts_afresh() -> None:
    stall_detector = StallDetector()
    for _ in range(LOOKS):
        assert stall_detector.stuck({"first": 7}) == []
    assert stall_detector.stuck({"second": 7}) == []
    assert stall_detector.stuck({"second": 7}) == []
